"""The block of a network in /etc/hosts, between innernet's markers: written by rename, and nothing else touched.

# DO NOT EDIT innernet kermpany BEGIN
10.42.128.1 ryo.kermpany.wg
# DO NOT EDIT innernet kermpany END
"""

import errno
from collections.abc import Iterable
from pathlib import Path

from innerd.domain.values import Address
from innerd.failure import SYSTEM, Failure
from innerd.host.rewriting import rewrite

CODES = ("hosts_markers", "hosts_unwritable")  # of what can be wrong with the file
_HELP = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room on that disk",
    errno.EROFS: "mount it read-write, or have names written elsewhere (hosts-path) or nowhere (write-hosts)",
}


def _markers(interface: str) -> tuple[bytes, bytes]:
    return (f"# DO NOT EDIT innernet {interface} BEGIN".encode(), f"# DO NOT EDIT innernet {interface} END".encode())


def lines_of(names: Iterable[tuple[Address, str]], suffix: str) -> list[bytes]:
    """The lines of a block, by address; an empty suffix gives bare names."""
    ordered = sorted(names, key=lambda entry: (entry[0].version, int(entry[0])))
    return [f"{address} {name}.{suffix}".rstrip(".").encode() for address, name in ordered]


def replaced(text: bytes, interface: str, block: list[bytes]) -> bytes:
    """The file with the network's block in place of the old one; an empty block removes it. Of blocks that somebody
    copied one stays. Raises Failure where the markers are not pairs in order: then somebody edited them, and guessing
    would lose lines."""
    begin, end = _markers(interface)
    lines = text.split(b"\n")
    stripped = [line.strip() for line in lines]
    begins = [n for n, line in enumerate(stripped) if line == begin]
    ends = [n for n, line in enumerate(stripped) if line == end]
    markers = [number for pair in zip(begins, ends, strict=False) for number in pair]
    if len(begins) != len(ends) or markers != sorted(markers):
        raise Failure(
            SYSTEM,
            "hosts_markers",
            f'the markers of "{interface}" in the hosts file are not pairs in order',
            f"remove the lines that say {begin.decode()} and END, and what is between them",
        )
    for first, last in list(zip(begins, ends, strict=True))[:0:-1]:
        del lines[first : last + 1]
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
    """Bring the block up to date; an empty one takes it out. Whether the file changed. Raises Failure: then it is as it
    was."""
    try:
        return rewrite(path, lambda before: replaced(before, interface, block))
    except OSError as error:
        what = f'{path} can\'t be written: {error.strerror or error}; the names of "{interface}" in it are as before'
        raise Failure(SYSTEM, "hosts_unwritable", what, _HELP.get(error.errno or 0, "see to the file")) from error
