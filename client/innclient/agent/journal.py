"""The journal of what this peer was told: the last entries in memory, all of them (up to a bound) in a file. One that
can't be written hinders nothing else."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from innclient.core.changes import Entry
from innerd.domain.unreadable import UNREADABLE
from innerd.host import files

_KEPT = 2000  # entries in memory
_LARGEST = 1 << 20  # bytes of the file, beside one older


class Journal:
    """The entries of one interface. `broken` says why the file can't be written, while it can't."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: deque[Entry] = deque(read(path), maxlen=_KEPT)
        self._last = self._entries[-1].seq if self._entries else 0
        self._unwritten = b"\n" if _is_torn(path) else b""
        self.broken: str | None = None
        self._added = asyncio.Event()

    async def more(self, seq: int) -> None:
        """Return when there are entries after one."""
        while self._last <= seq:
            self._added.clear()
            await self._added.wait()

    def after(self, seq: int) -> list[Entry]:
        return [entry for entry in self._entries if entry.seq > seq]

    def add(self, entries: Iterable[Entry]) -> None:
        """Number entries, remember them, write them down, and before them what could not be written until now."""
        parts = []
        for entry in entries:
            self._last += 1
            numbered = replace(entry, seq=self._last)
            self._entries.append(numbered)
            parts.append(msgspec.json.encode(numbered) + b"\n")
        lines = b"".join(parts)
        if not lines and not self._unwritten:
            return
        if lines:
            self._added.set()
        self._unwritten += lines
        try:
            self._write(self._unwritten)
        except OSError as error:
            self.broken = f"{self._path}: {error.strerror or error}"
            self._unwritten = self._unwritten[-_LARGEST:]
        else:
            self._unwritten, self.broken = b"", None

    def _write(self, lines: bytes) -> None:
        files.make_private(self._path.parent)
        size = files.append(self._path, lines, 0o600)
        if size + len(lines) > _LARGEST:
            self._path.replace(_older(self._path))


def _is_torn(path: Path) -> bool:
    """Whether a crash cut the last line: the next must not be glued to it."""
    try:
        return path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
    except OSError:
        return False


def _older(path: Path) -> Path:
    return path.with_suffix(".old.jsonl")


def read(path: Path) -> list[Entry]:
    """The entries in the files, oldest first. A line that can't be read (torn by a crash) is left out."""
    found: list[Entry] = []
    for part in (_older(path), path):
        with contextlib.suppress(OSError):
            for line in part.read_bytes().splitlines():
                with contextlib.suppress(*UNREADABLE):
                    found.append(msgspec.json.decode(line, type=Entry))
    return found[-_KEPT:]
