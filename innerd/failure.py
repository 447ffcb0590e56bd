"""How a command fails: exit statuses, and the one form of an error on stderr.

0 done · 1 a bug · 2 usage · 3 refused by a rule · 4 not found · 5 can't reach the coordinator
6 WireGuard or the operating system refused · 7 trust broken · 8 invitation no good · 130 interrupted
"""

import errno
import sys

from innerd.domain.errors import CODES, Kind, Refused, plainly
from innerd.terminal import json_text, printable

INTERNAL, USAGE, REFUSED, NOT_FOUND, UNREACHABLE, SYSTEM, TRUST, INVITATION, INTERRUPTED = 1, 2, 3, 4, 5, 6, 7, 8, 130

_BY_KIND: dict[Kind, int] = {
    "invalid": USAGE,
    "too_large": USAGE,
    "refused": REFUSED,
    "conflict": REFUSED,
    "unauthorized": REFUSED,
    "not_found": NOT_FOUND,
    "unavailable": UNREACHABLE,
    "damaged": TRUST,
    "too_often": UNREACHABLE,
    "invitation": INVITATION,
}


class Failure(Exception):
    """A command could not do it. `status` is the exit status, `code` stable, `hint` what to do."""

    def __init__(self, status: int, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint


def usage(message: str, hint: str | None = None, code: str = "usage") -> Failure:
    return Failure(USAGE, code, message, hint)


def unreachable(message: str, hint: str | None = None, code: str = "unreachable") -> Failure:
    return Failure(UNREACHABLE, code, message, hint)


def not_found(code: str, message: str, hint: str | None = None) -> Failure:
    return Failure(NOT_FOUND, code, message, hint)


def status_of_code(code: str) -> int:
    """The exit status of a stable code, whoever says it."""
    return _BY_KIND[CODES[code]] if code in CODES else REFUSED


_HELPS = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room on that disk",
    errno.EROFS: "that file system can only be read: mount it for writing, or name another folder",
    errno.ENOTDIR: "a part of that path is no folder",
    errno.ENOENT: "make it, or name another path",
    errno.EISDIR: "name a file",
    errno.EEXIST: "name another path, or move what is there",
    errno.EMFILE: "it has too many files open: raise the limit (ulimit -n)",
}

_DENIED = "run it as root; where that is kept out too, look at lsattr and at how it is mounted"


def as_failure(error: BaseException) -> Failure | None:
    """An expected error as a failure; None for a bug."""
    from innerd.wireguard.device import DeviceError  # most commands end well, without it

    match error:
        case Failure():
            return error
        case Refused():
            return Failure(status_of_code(error.code), error.code, error.message, error.hint)
        case DeviceError():
            return Failure(SYSTEM, error.code, error.message, error.hint)
        case PermissionError():
            where = f"{error.filename}: " if error.filename else ""
            return Failure(SYSTEM, "permission_denied", f"{where}permission denied", _DENIED)
        case OSError():
            return Failure(SYSTEM, "os_error", plainly(error), _HELPS.get(error.errno or 0))
        case _:
            return None


def report(failure: Failure, *, as_json: bool = False) -> None:
    """The error on stderr, in the form that the contract promises."""
    if as_json:
        error = {"code": failure.code, "message": failure.message, "hint": failure.hint}
        sys.stderr.write(json_text({"error": error}) + "\n")
        return
    sys.stderr.write(f"error: {printable(failure.message)} [{printable(failure.code)}]\n")
    if failure.hint:
        sys.stderr.write(f"hint: {printable(failure.hint)}\n")
