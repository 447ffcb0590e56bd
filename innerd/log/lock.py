"""The lock of a log: one process at a time has it open, and says in the lock file who it is.

SQLite's own locks are for transactions, and are dropped when any descriptor of the file is closed; this one is beside
the database, and its holder's until it ends. A copy of a log has a lock of its own: so who holds the lock of a file
serves that very log, whatever else on the host bears its name, and the lock tells by which control socket.
"""

import contextlib
import errno
import fcntl
import os
from pathlib import Path

import msgspec
from msgspec import Struct


class Holder(Struct, frozen=True):
    """Who has a log open. `socket`: where it serves it, or is about to; None for a verb."""

    pid: int
    socket: str | None = None

    def __str__(self) -> str:
        return f"{_command(self.pid)} (pid {self.pid})"


class StoreLocked(Exception):
    """Another process holds the database. `holder` is None where it does not say who it is: an earlier release."""

    def __init__(self, path: Path, holder: Holder | None) -> None:
        super().__init__(f"{path} is held by {holder or 'another innerd'}")
        self.holder = holder


def take(database: Path, socket: Path | None = None) -> int:
    """The lock of a database, held until the descriptor is closed. `socket`: by which it is going to be served. Raises
    StoreLocked."""
    path = database.with_name(database.name + "-lock")
    lock, refused = _opened(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        found = _read(lock)
        os.close(lock)
        raise StoreLocked(path, found) from None
    if refused is not None:  # nobody has it, and nobody could write
        os.close(lock)
        raise refused
    said = msgspec.json.encode(Holder(os.getpid(), None if socket is None else str(socket.absolute())))
    with contextlib.suppress(OSError):  # a full disk keeps nobody from reading
        os.pwrite(lock, said + b"\n", 0)
        os.ftruncate(lock, len(said) + 1)
    return lock


def _opened(path: Path) -> tuple[int, OSError | None]:
    """On a disk that takes nothing it can still be read who holds it; why it can't be taken."""
    try:
        return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), None
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC), error


def _read(lock: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(lock, 8192, 0), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None


def _command(pid: int) -> str:
    """What a process was called with, without its interpreter and folders."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return "another innerd"
    names = [Path(word).name for word in words[:2]]
    named = [names[1], *words[2:]] if len(names) == 2 and names[0].startswith("python") else [names[0], *words[1:]]
    return " ".join(named)[:100] or "another innerd"
