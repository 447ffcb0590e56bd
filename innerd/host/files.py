"""Files that must not be lost, torn or seen: written beside, synced, renamed, synced again; private from the start."""

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from innerd.failure import USAGE, Failure


def check_private(path: Path) -> None:
    """A file with a key must be ours (or root's) and nobody else's to read. Raises Failure."""
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()):
        what = f"{path} belongs to the user {status.st_uid}, who may read the private key in it"
        raise Failure(USAGE, "config_mode", what, f"chown root {path}")
    if status.st_mode & 0o077:
        what = f"{path} has mode {status.st_mode & 0o7777:04o}: others may read the private key in it"
        raise Failure(USAGE, "config_mode", what, f"chmod go= {path}")


def make_private(folder: Path) -> None:
    """A folder for files with keys: 0700, created so, never widened."""
    if not folder.is_dir():
        make_public(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)


def make_public(folder: Path) -> None:
    """A folder that everybody may look into: 0755 where it is created, whatever the umask."""
    if folder.is_dir():
        return
    make_public(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file in one step that survives a power cut. The old one stays if anything goes wrong."""
    with prepared(path, data, mode) as put:
        put()


@contextlib.contextmanager
def prepared(path: Path, data: bytes, mode: int = 0o600) -> Iterator[Callable[[], None]]:
    """A file written down and synced, but not in its place yet: what is given puts it there, which no full or read-only
    disk can hinder any more. Without that nothing is left of it. Raises OSError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")

    def put() -> None:
        os.replace(beside, path)
        sync_folder(path.parent)

    try:
        _write(beside, data, mode)
        yield put
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def create(path: Path, data: bytes, mode: int = 0o600) -> None:
    """A new file, synced. Raises FileExistsError rather than touch one that is there."""
    _write(path, data, mode)
    sync_folder(path.parent)


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)  # whatever the umask
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append(path: Path, data: bytes, mode: int | None = None, *, sync: bool = False) -> int:
    """Bytes to the end of a file, all of them or none: what is torn would be glued to what comes next. `mode` makes a
    file where there is none. The file's size before. Raises OSError."""
    create = 0 if mode is None else os.O_CREAT
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | create, mode or 0)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, data) < len(data):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if sync:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    return size


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> bool:
    """Remove a file, synced. Whether there was one."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_folder(path.parent)
    return True


class Locked(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file. Raises Locked at once if another process does. The file stays: removing it would race."""
    make_public(path.parent)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(path) from None
        yield
    finally:
        os.close(descriptor)
