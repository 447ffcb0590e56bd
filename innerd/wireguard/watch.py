"""Notices that the ground has moved: addresses or default routes of this host changed, or it slept; and that somebody
touched our own interface: took it away, or its address, its route, its MTU; and that another link carries another MTU
now, as ours depends on it.

Netlink messages (rtnetlink(7)) are only looked at, never believed: what they start is a question.
"""

import asyncio
import contextlib
import errno
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import structlog

from innerd.wireguard.device import DeviceError
from innerd.wireguard.genetlink import messages
from innerd.wireguard.links import number_of
from innerd.wireguard.netlink import attributes

_log = structlog.get_logger("agent")

_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # links, addresses and routes of IPv4, addresses and routes of IPv6
_LINK, _ADDRESS, _ROUTE = (16, 17), (20, 21), (24, 25)  # RTM_NEW… and RTM_DEL… of each
_IFLA_IFNAME, _IFLA_MTU, _RTA_OIF = 3, 4, 4
_SETTLE = 0.3  # seconds in which what comes together is one change
_SLEPT, _LOOKS = 1.5, 10.0  # seconds that a host must have slept, and between two looks whether it did


class Moved(NamedTuple):
    """`host`: why the ways of this host may be others; `own`: whether our own interface was touched, or what it
    is made by."""

    host: str = ""
    own: bool = False


async def changes(interface: str) -> AsyncIterator[Moved]:
    """What changed, each time that something did. Without end."""
    moved: asyncio.Queue[Moved] = asyncio.Queue()
    watchers = [asyncio.create_task(_netlink(interface, moved)), asyncio.create_task(_sleeps(moved))]
    try:
        while True:
            first = await moved.get()
            if not first.own:  # what is ours is put right at once
                await asyncio.sleep(_SETTLE)
            together = [first]
            while not moved.empty():
                together.append(moved.get_nowait())
            hosts = [one.host for one in together if one.host]
            yield Moved(hosts[0] if hosts else "", any(one.own for one in together))
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


async def _sleeps(moved: "asyncio.Queue[Moved]") -> None:
    """CLOCK_BOOTTIME goes on while a machine sleeps, CLOCK_MONOTONIC does not."""
    ahead = _ahead()
    while True:
        await asyncio.sleep(_LOOKS)
        before, ahead = ahead, _ahead()
        if ahead - before > _SLEPT:
            moved.put_nowait(Moved(f"this host slept for {ahead - before:.0f} s"))


def _ahead() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


_CHANGED = "addresses or routes of this host changed"


async def _netlink(interface: str, moved: "asyncio.Queue[Moved]") -> None:
    loop = asyncio.get_running_loop()
    own = {number_of(interface)}  # all numbers that it has had: what is said of an old one may come late
    mtus: dict[int, int] = {}  # of other links, so far as they were spoken of
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
                    moved.put_nowait(Moved(_CHANGED, own=True))  # more came than we read: so something changed
                    continue
                told = list(said(data))
                own |= {number_of(interface), *(one.link for one in told if one.name == interface)}
                is_own = any(one.link in own or is_news(one, mtus) for one in told)
                elsewhere = any(one.is_way and one.link not in own for one in told)
                if is_own or elsewhere:
                    moved.put_nowait(Moved(_CHANGED if elsewhere else "", is_own))
    except OSError as error:
        _log.warning("changes of addresses will not be noticed", error=str(error))


class Said(NamedTuple):
    """What a message speaks of: the index of a link, its name and MTU where the link itself is meant (0: it goes), and
    whether it is about a way of this host's: an address, or a default route."""

    link: int
    name: str = ""
    is_way: bool = False
    mtu: int | None = None


def is_news(one: Said, mtus: dict[int, int]) -> bool:
    """Whether a link carries another MTU than was known, which is noted. Links that come and go are no news: their
    addresses and routes are."""
    if one.mtu is None:
        return False
    if not one.mtu:
        mtus.pop(one.link, None)
        return False
    before, mtus[one.link] = mtus.get(one.link), one.mtu
    return before != one.mtu


def said(data: bytes) -> Iterator[Said]:
    """What some messages speak of. What is cut short ends it."""
    with contextlib.suppress(DeviceError):
        for kind, _, _, body in messages(data):
            if kind in _ADDRESS and len(body) >= 8:
                yield Said(struct.unpack_from("=I", body, 4)[0], is_way=True)
            elif kind in _ROUTE and len(body) >= 12:
                for value in _attributes(body[12:], _RTA_OIF):
                    if len(value) == 4:
                        yield Said(struct.unpack("=I", value)[0], is_way=body[1] == 0)  # of length 0: a default route
            elif kind in _LINK and len(body) >= 16:
                link, name = struct.unpack_from("=I", body, 4)[0], next(_attributes(body[16:], _IFLA_IFNAME), b"")
                yield Said(link, name.rstrip(b"\0").decode(errors="replace"), mtu=_mtu(kind, body[16:]))


def _mtu(kind: int, data: bytes) -> int | None:
    """Of a link; 0 where it goes, None where nothing is said of it."""
    value = next(_attributes(data, _IFLA_MTU), b"")
    return 0 if kind == _LINK[1] else int.from_bytes(value, sys.byteorder) if len(value) == 4 else None


def _attributes(data: bytes, wanted: int) -> Iterator[bytes]:
    """The values of one kind, so far as they can be read."""
    with contextlib.suppress(DeviceError):
        yield from (value for kind, value in attributes(data) if kind == wanted)
