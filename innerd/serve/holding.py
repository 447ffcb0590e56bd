"""Whose a log is at this moment: nobody's, so that we may take it, or somebody's who serves it.

What is asked is the lock of the log itself (`innerd.log.lock`), never a socket that bears the network's name: that may
be of another log, of which this one is a copy. Verbs hold it for a moment each, so it is waited for.
"""

import asyncio
import socket
import time
from pathlib import Path

from msgspec import Struct

from innerd.config import Paths
from innerd.failure import SYSTEM, Failure, not_found
from innerd.log.lock import StoreLocked, take

_PATIENCE, _AGAIN = 10.0, 0.05  # seconds
_UNKNOWN = "another innerd"


class Served(Struct, frozen=True):
    """A log that somebody serves: `by` whom, and by which control socket."""

    socket: Path
    by: str


async def way(paths: Paths, *, serves: bool = False) -> Served | int:
    """Who serves the log; else the lock of the log, taken: close it when done. `serves`: whether we are going to.
    Raises Failure."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            if not paths.database.exists():
                hint = "innerd new makes one"
                raise not_found("network_not_found", f"there is no database {paths.database}", hint)
            return take(paths.database, paths.socket if serves else None)
        except StoreLocked as locked:
            by = locked.holder
            leads = str(paths.socket) if by is None else by.socket
            if leads is not None and answers(Path(leads)):
                return Served(Path(leads), str(by or _UNKNOWN))
            if time.monotonic() >= deadline:
                raise _busy(paths, str(by or _UNKNOWN), "wait for it, or end it") from None
        await asyncio.sleep(_AGAIN)


async def lock(paths: Paths, *, serves: bool = False) -> int:
    """The lock of the log, taken. Raises Failure `already_running` where somebody serves it, or holds it too long."""
    found = await way(paths, serves=serves)
    if isinstance(found, Served):
        raise _busy(paths, found.by, f"it serves by {found.socket}")
    return found


def _busy(paths: Paths, by: str, hint: str) -> Failure:
    return Failure(SYSTEM, "already_running", f'the database of "{paths.network}" is held by {by}', hint)


def answers(path: Path) -> bool:
    """Whether somebody listens on a socket."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(path))
    except OSError:
        return False
    return True
