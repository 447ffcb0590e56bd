"""Notices that the ground has moved: addresses or default routes of this host changed, or it slept. Whoever holds a
connection then asks at once whether it still leads anywhere, instead of waiting for a timeout.

Netlink messages (rtnetlink(7)) are only looked at, never believed: what they start is a question.
"""

import asyncio
import contextlib
import errno
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator

import structlog

_log = structlog.get_logger("agent")

_GROUPS = 0x10 | 0x40 | 0x100 | 0x400  # addresses and routes of IPv4, addresses and routes of IPv6
_ADDRESS, _ROUTE = (20, 21), (24, 25)  # RTM_NEWADDR, RTM_DELADDR; RTM_NEWROUTE, RTM_DELROUTE
_RTA_OIF = 4
_SETTLE = 0.3  # seconds in which what comes together is one change
_SLEPT = 1.5  # seconds


async def changes(interface: str) -> AsyncIterator[str]:
    """A word for each change, but for those of our own interface. Without end."""
    moved: asyncio.Queue[str] = asyncio.Queue()
    watchers = [asyncio.create_task(_addresses(interface, moved)), asyncio.create_task(_sleeps(moved))]
    try:
        while True:
            why = await moved.get()
            await asyncio.sleep(_SETTLE)
            while not moved.empty():
                moved.get_nowait()
            yield why
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


async def _sleeps(moved: "asyncio.Queue[str]") -> None:
    """CLOCK_BOOTTIME goes on while a machine sleeps, CLOCK_MONOTONIC does not."""
    ahead = _ahead()
    while True:
        await asyncio.sleep(1.0)
        before, ahead = ahead, _ahead()
        if ahead - before > _SLEPT:
            moved.put_nowait(f"this host slept for {ahead - before:.0f} s")


def _ahead() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


async def _addresses(interface: str, moved: "asyncio.Queue[str]") -> None:
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.bind((0, _GROUPS))
            netlink.setblocking(False)
            while True:
                try:
                    data = await loop.sock_recv(netlink, 1 << 16)
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise
                    # More came than we read: so something changed.
                    moved.put_nowait("addresses or routes of this host changed")
                    continue
                own = _index(interface)
                if any(index != own for index in concerned(data)):
                    moved.put_nowait("addresses or routes of this host changed")
    except OSError as error:
        _log.warning("changes of addresses will not be noticed", error=str(error))


def _index(interface: str) -> int | None:
    with contextlib.suppress(OSError):
        return socket.if_nametoindex(interface)
    return None


def concerned(data: bytes) -> Iterator[int]:
    """The indexes of the links whose addresses or default routes some messages speak of. What is cut short ends it."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if length < 16 or at + length > len(data):
            return
        body = data[at + 16 : at + length]
        if kind in _ADDRESS and len(body) >= 8:
            yield struct.unpack_from("=I", body, 4)[0]
        elif kind in _ROUTE and len(body) >= 12 and body[1] == 0:  # of length 0: a default route
            yield from (struct.unpack("=I", value)[0] for value in _attributes(body[12:], _RTA_OIF))
        at += (length + 3) & ~3


def _attributes(data: bytes, wanted: int) -> Iterator[bytes]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4 or at + length > len(data):
            return
        if kind == wanted and length == 8:
            yield data[at + 4 : at + 8]
        at += (length + 3) & ~3
