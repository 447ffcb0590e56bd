"""A document on disk to which changes are appended: its first line says everything, each line after it what is other
since. So what a change costs does not grow with the document. Now and then it is written anew as a whole.

A line without its end was torn by a crash while it was written: nobody was told that it was kept, so it is left out.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from innerd.host import files

_ROOM = 65_536  # bytes of changes that a document may always have; one that is larger may have as many as itself


class Ledger:
    """One file. All methods may raise OSError: then the next one writes it anew."""

    def __init__(self, path: Path) -> None:
        self.has_changes = False  # it is more than one line
        self._path = path
        self._place: tuple[int, int] | None = None  # inode and size of what we wrote: nobody else's is appended to
        self._most = 0  # bytes that it may grow to

    def write(self, document: bytes) -> None:
        self._place = None
        files.make_private(self._path.parent)
        files.write_atomically(self._path, document + b"\n")
        self._place, self.has_changes = _place_of(self._path), False
        self._most = self._place[1] + max(self._place[1], _ROOM)

    def append(self, change: bytes, whole: Callable[[], bytes]) -> None:
        """A change; or the whole where that is due, or where the file is not the one that we wrote."""
        place, self._place = self._place, None
        if place is None or place[1] + len(change) >= self._most or _is_another(self._path, place):
            return self.write(whole())
        files.append(self._path, change + b"\n", sync=True)
        self._place, self.has_changes = (place[0], place[1] + len(change) + 1), True
        return None


def lines(content: bytes) -> Iterator[bytes]:
    """The document of a file, and its changes; without one that was torn. A document alone needs no end."""
    first, *changes = content.split(b"\n")
    yield first
    yield from changes[:-1]


def _place_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_size


def _is_another(path: Path, place: tuple[int, int]) -> bool:
    try:
        return _place_of(path) != place
    except FileNotFoundError:
        return True
