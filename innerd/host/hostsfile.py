"""The block of a network in /etc/hosts, between innernet's markers: written by rename, and nothing else touched.

# DO NOT EDIT innernet kermpany BEGIN
10.42.128.1 ryo.kermpany.wg
# DO NOT EDIT innernet kermpany END
"""

import errno
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from innerd.domain.values import Address
from innerd.failure import SYSTEM, Failure
from innerd.host.rewriting import rewrite

CODES = ("hosts_markers", "hosts_unwritable")  # of what can be wrong with the file
_HELP = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room on that disk",
    errno.EROFS: "mount it read-write, or have names written elsewhere (hosts-path) or nowhere (write-hosts)",
}


class Stamp(NamedTuple):
    """What tells a file that was written to since; all 0 where there is none."""

    inode: int = 0
    size: int = 0  # bytes
    modified: int = 0  # nanoseconds since 1970


def stamp_of(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return Stamp()
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns)


def _markers(interface: str) -> tuple[bytes, bytes]:
    return (f"# DO NOT EDIT innernet {interface} BEGIN".encode(), f"# DO NOT EDIT innernet {interface} END".encode())


class Block:
    """The lines of a block, by address, kept in order: a change costs what its own lines cost. An empty suffix gives
    bare names."""

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix
        self._lines: list[_Line] = []
        self._texts: list[bytes] = []  # of the lines, in their order
        self._held: dict[int, list[_Line]] = {}  # by whose they are

    def put(self, number: int, names: Iterable[tuple[Address, str]]) -> None:
        """The names of somebody, in place of those before; none take them out."""
        lines = [
            _Line(address.version, int(address), number, place, f"{address} {name}.{self.suffix}".rstrip(".").encode())
            for place, (address, name) in enumerate(names)
        ]
        before = self._held.pop(number, [])
        if lines:
            self._held[number] = lines
        if lines != before:
            for line in before:
                place = bisect_left(self._lines, line)
                del self._lines[place], self._texts[place]
            for line in lines:
                place = bisect_left(self._lines, line)
                self._lines.insert(place, line)
                self._texts.insert(place, line.text)

    def fill(self, everybody: Iterable[tuple[int, Iterable[tuple[Address, str]]]]) -> None:
        """The names of everybody, in place of all."""
        self._lines, self._texts, self._held = [], [], {}
        for number, names in everybody:
            self.put(number, names)

    def __len__(self) -> int:
        return len(self._lines)

    def lines(self) -> list[bytes]:
        return self._texts.copy()


class _Line(NamedTuple):
    version: int
    address: int
    number: int  # whose it is
    place: int  # its own name comes first: that is what an address is called
    text: bytes


def replaced(text: bytes, interface: str, block: list[bytes]) -> bytes:
    """The file with the network's block in place of the old one; an empty block removes it. Of blocks that somebody
    copied one stays. Raises Failure where the markers are not pairs in order: then somebody edited them, and guessing
    would lose lines."""
    begin, end = _markers(interface)
    section = b"\n".join([begin, *block, end]) if block else b""
    found = _blocks(text, interface)
    for first, last in found[:0:-1]:
        text = text[:first] + text[last + 1 :] if last < len(text) else text[: first - 1]
    if found:
        first, last = found[0]
        return _between(text[:first], section, text[last:])
    if not block:
        return text
    if text and not text.endswith(b"\n"):
        text += b"\n"  # the end of a last line that had none
    blank = b"\n" if text not in (b"", b"\n") and not text.endswith(b"\n\n") else b""
    return text + blank + section + b"\n"


def _blocks(text: bytes, interface: str) -> list[tuple[int, int]]:
    """Where each block is, from the start of its first line to the end of its last. Raises Failure."""
    begins, ends = (list(_lines_that_say(text, marker)) for marker in _markers(interface))
    found = sorted([(place, 1) for place in begins] + [(place, 2) for place in ends])
    if [which for _, which in found] != [1, 2] * (len(found) // 2):
        raise Failure(
            SYSTEM,
            "hosts_markers",
            f'the markers of "{interface}" in the hosts file are not pairs in order',
            f"remove the lines that say {_markers(interface)[0].decode()} and END, and what is between them",
        )
    return [(first, last) for (first, _), (_, last) in zip(begins, ends, strict=True)]


def _lines_that_say(text: bytes, marker: bytes) -> Iterator[tuple[int, int]]:
    """Where each line is that says this and no more, but for blanks around it."""
    at = text.find(marker)
    while at >= 0:
        start, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
        end = len(text) if end < 0 else end
        if text[start:end].strip() == marker:
            yield start, end
        at = text.find(marker, end)


def _between(before: bytes, section: bytes, after: bytes) -> bytes:
    """`before` is empty, or ends with the end of a line; `after` is empty, or begins with one."""
    if section:
        return before + section + after
    if after in (b"", b"\n") and (before == b"\n" or before.endswith(b"\n\n")):
        before = before[:-1]  # the blank line that we put in front
    return before[:-1] + after if before else after[1:]


def keep(path: Path, interface: str, block: list[bytes]) -> Stamp | None:
    """As `update`; the stamp of the file where nothing had to be written. Of one that was written there is none:
    somebody else may have written to it since, and the next look finds out."""
    stamp = stamp_of(path)
    return None if update(path, interface, block) else stamp


def update(path: Path, interface: str, block: list[bytes]) -> bool:
    """Bring the block up to date; an empty one takes it out. Whether the file changed. Raises Failure: then it is as it
    was."""
    try:
        return rewrite(path, lambda before: replaced(before, interface, block))
    except OSError as error:
        what = f'{path} can\'t be written: {error.strerror or error}; the names of "{interface}" in it are as before'
        raise Failure(SYSTEM, "hosts_unwritable", what, _HELP.get(error.errno or 0, "see to the file")) from error
