"""A file of the host's in which a part is ours, written anew so that nobody's lines are lost: on no full disk, to no
second writer. Owner, mode, ACL and SELinux label stay.

By rename; in place only where a rename is impossible: the file is a mount of its own (containers), or its folder can't
be written. Then room is made first, and what was there is put back where writing fails.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from innerd.host import files

_IMPOSSIBLE = {errno.EBUSY, errno.EROFS, errno.EACCES, errno.EPERM}  # to make a file beside, or to put it in the place
_OF_THE_CONTENT = {"security.ima", "security.evm"}  # attributes that the kernel makes of what is in a file
_PATIENCE, _STEP = 5.0, 0.02  # seconds


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> bool:
    """Let a file say what `change` makes of its content (none, where there is no file). Whether it changed. Raises
    OSError, and what `change` raises: then the file is as it was."""
    real = path.resolve()
    if _changed(real, change) is None:  # mostly: then nobody is waited for
        return False
    with _alone(real.parent):
        found = _changed(real, change)
        if found is not None:
            _write(real, *found)
        return found is not None


def _changed(real: Path, change: Callable[[bytes], bytes]) -> tuple[bytes | None, bytes] | None:
    """What a file says (None: there is none) and what it should; None where that is the same."""
    try:
        before = real.read_bytes()
    except FileNotFoundError:
        before = None
    after = change(before or b"")
    return None if after == (before or b"") else (before, after)


def _write(real: Path, before: bytes | None, after: bytes) -> None:
    if before is not None and _is_mount(real):
        return _write_in_place(real, before, after)
    try:
        _write_by_rename(real, after)
    except OSError as error:
        if before is None or error.errno not in _IMPOSSIBLE:
            raise
        _write_in_place(real, before, after)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Not at the same time as another writer of ours: each network's agent, a coordinator. Anybody may hold this lock,
    so nobody waits for it for ever."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES) or time.monotonic() > deadline:
                    break  # or a file system without locks
                time.sleep(_STEP)
        yield
    finally:
        os.close(descriptor)


def _is_mount(path: Path) -> bool:
    """Whether a file is a mount of its own (proc(5), mountinfo)."""
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return False
    return _escaped(path) in {line.split()[4] for line in mounts}


def _escaped(path: Path) -> bytes:
    return b"".join(b"\\%03o" % byte if byte in b" \t\n\\" else bytes([byte]) for byte in os.fsencode(path))


def _write_by_rename(real: Path, data: bytes) -> None:
    beside = real.with_name(f".{real.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            _dress(file.fileno(), real)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, real)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong is said, not this
            beside.unlink(missing_ok=True)
        raise
    files.sync_folder(real.parent)


def _dress(descriptor: int, like: Path) -> None:
    """Owner, mode and extended attributes (ACL, SELinux label) of the file that will be replaced. Raises OSError."""
    try:
        status = like.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, 0o644)
        return
    ours = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (ours.st_uid, ours.st_gid):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, status.st_mode & 0o7777)
    wanted = {name: os.getxattr(like, name) for name in _attributes(like) if name not in _OF_THE_CONTENT}
    have = {name: os.getxattr(descriptor, name) for name in _attributes(descriptor)}
    for name in have.keys() - wanted.keys() - _OF_THE_CONTENT:
        os.removexattr(descriptor, name)  # the folder's default ACL
    for name, value in wanted.items():
        if have.get(name) != value:
            os.setxattr(descriptor, name, value)


def _attributes(file: Path | int) -> list[str]:
    try:
        return os.listxattr(file)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return []


def _write_in_place(real: Path, before: bytes, after: bytes) -> None:
    """Blank lines make room first: whoever reads them meanwhile reads nothing wrong."""
    with real.open("r+b", buffering=0) as file:
        descriptor = file.fileno()
        try:
            _put(descriptor, b"\n" * (len(after) - len(before)), len(before))
            _put(descriptor, after, 0)
            os.ftruncate(descriptor, len(after))
            os.fsync(descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                _put(descriptor, before, 0)
            os.ftruncate(descriptor, len(before))
            raise


def _put(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view, at = view[written:], at + written
    os.fsync(descriptor)
