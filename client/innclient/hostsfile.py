"""The block of a network in /etc/hosts, between innernet's markers: written by rename, and nothing else touched.

# DO NOT EDIT innernet kermpany BEGIN
10.42.128.1 ryo.kermpany.wg
# DO NOT EDIT innernet kermpany END
"""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from innclient.failures import SYSTEM, Failure
from innerd.domain.values import Address


def _markers(interface: str) -> tuple[bytes, bytes]:
    return (f"# DO NOT EDIT innernet {interface} BEGIN".encode(), f"# DO NOT EDIT innernet {interface} END".encode())


def lines_of(names: Iterable[tuple[Address, str]], suffix: str) -> list[bytes]:
    """The lines of a block, by address; an empty suffix gives bare names."""
    ordered = sorted(names, key=lambda entry: (entry[0].version, int(entry[0])))
    return [f"{address} {name}.{suffix}".rstrip(".").encode() for address, name in ordered]


def replaced(text: bytes, interface: str, block: list[bytes]) -> bytes:
    """The file with the network's block in place of the old one; an empty block removes it. Raises Failure where
    the markers are not one pair in order: then somebody edited them, and guessing would lose lines."""
    begin, end = _markers(interface)
    lines = text.split(b"\n")
    stripped = [line.strip() for line in lines]
    begins = [n for n, line in enumerate(stripped) if line == begin]
    ends = [n for n, line in enumerate(stripped) if line == end]
    if len(begins) != len(ends) or len(begins) > 1 or (begins and begins[0] > ends[0]):
        raise Failure(
            SYSTEM,
            "hosts_markers",
            f'the markers of "{interface}" in the hosts file are not one pair in order',
            f"remove the lines that say {begin.decode()} and END, and what is between them",
        )
    section = [begin, *block, end] if block else []
    if begins:
        before, after = lines[: begins[0]], lines[ends[0] + 1 :]
        if not block and before and before[-1] == b"" and (not after or after == [b""]):
            before.pop()  # the blank line that we put in front
        return b"\n".join([*before, *section, *after])
    if not block:
        return text
    if lines[-1]:
        lines += [b"", b""]  # the end of a last line that had none, and a blank line
    elif len(lines) > 1 and lines[-2]:
        lines.append(b"")
    return b"\n".join([*lines[:-1], *section, b""])


def update(path: Path, interface: str, block: list[bytes]) -> bool:
    """Bring the block up to date. Whether the file changed. Raises Failure, OSError."""
    try:
        before = path.read_bytes()
    except FileNotFoundError:
        before = b""
    after = replaced(before, interface, block)
    if after == before:
        return False
    _write(path, after)
    return True


def _write(path: Path, data: bytes) -> None:
    """By rename beside it, with its owner and mode; where the file is a mount of its own (containers), in place."""
    real = path.resolve()
    beside = real.with_name(f".{real.name}.{secrets.token_hex(4)}")
    try:
        status = real.stat() if real.exists() else None
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), status.st_mode & 0o7777 if status else 0o644)
            ours = os.fstat(file.fileno())
            if status and (status.st_uid, status.st_gid) != (ours.st_uid, ours.st_gid):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)  # the services may not, and need not
            os.fsync(file.fileno())
        os.replace(beside, real)
    except OSError:
        beside.unlink(missing_ok=True)
        with real.open("r+b" if real.exists() else "wb") as file:
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
