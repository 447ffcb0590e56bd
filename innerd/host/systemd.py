"""Tell systemd, where it asked to be told (sd_notify(3), sd_watchdog_enabled(3))."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

from innerd.domain.values import whole_number
from innerd.terminal import printable

_TOLD = 5.0  # seconds


def notify(state: str) -> None:
    """One variable for systemd, which shows people some of them."""
    where = os.environ.get("NOTIFY_SOCKET")
    if not where:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect("\0" + where[1:] if where.startswith("@") else where)
        out.sendall(printable(state).encode())


def watched() -> float | None:
    """Seconds within which systemd wants to hear from this process again; None where it does not watch us."""
    text, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    microseconds = whole_number(text)
    if not microseconds or process not in (None, str(os.getpid())):
        return None
    return microseconds / 1_000_000


async def keep_watched() -> None:
    """Say twice in each span of the watchdog that the event loop is alive, until cancelled. Where it is not, systemd
    ends the process with SIGABRT, and what it stood in goes to the journal."""
    span = watched()
    if span is None:
        return
    import faulthandler

    faulthandler.enable()
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(span / 2)


async def keep_told(say: Callable[[], str]) -> None:
    """Say how things are, in the line that `systemctl status` shows, whenever it is another one; until cancelled."""
    said = ""
    while "NOTIFY_SOCKET" in os.environ:
        if (now := say()) != said:
            notify(f"STATUS={now}")
            said = now
        await asyncio.sleep(_TOLD)
