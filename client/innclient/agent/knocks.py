"""Hears the coordinator knock, while there is no connection to it: that it let this peer in again, or is there again.

A knock is a datagram to a port at which nobody listens, so it is heard beside the network (packet(7); CAP_NET_RAW, and
without it nothing is heard). It came through the tunnel from the coordinator's address: WireGuard knows that it is its.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from innerd.domain.values import Address
from innerd.wireguard.filters import (
    IP_HEADER_TO_X,
    LOAD_BYTE,
    LOAD_HALF,
    LOAD_HALF_X,
    LOAD_WORD,
    Program,
    attach,
    equal,
    only_where,
)
from innerd.wireguard.sockets import KNOCK

_APART = 1.0  # seconds between two that are heeded
_ETHERTYPE = {4: 0x0800, 6: 0x86DD}


class Knocks:
    """Of the coordinator at an address, on a link; `heard` is called for each, but not more often than once a second:
    who knocks without end does not make us ask without end."""

    def __init__(self, link: str, coordinator: Address, heard: Callable[[], None]) -> None:
        self._link, self._coordinator, self._heard = link, coordinator, heard
        self._door: socket.socket | None = None
        self._heeding: asyncio.TimerHandle | None = None
        self._next = float("-inf")

    def listen(self) -> None:
        """Listen from now on, where that can be done."""
        if self._door is None:
            with contextlib.suppress(OSError):
                self._door = self._opened()
                asyncio.get_running_loop().add_reader(self._door, self._read, self._door)

    def leave(self) -> None:
        """Hear nothing more."""
        if self._door is not None:
            asyncio.get_running_loop().remove_reader(self._door)
            self._door.close()
        if self._heeding is not None:
            self._heeding.cancel()
        self._door = self._heeding = None

    def _read(self, door: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                door.recv(1)
                if self._heeding is None:
                    self._heeding = asyncio.get_running_loop().call_at(self._next, self._heed)

    def _heed(self) -> None:
        self._heeding, self._next = None, asyncio.get_running_loop().time() + _APART
        self._heard()

    def _opened(self) -> socket.socket:
        """Raises OSError."""
        door = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)  # 0: nothing comes before it is bound
        try:
            door.setblocking(False)
            attach(door, _knock_of(self._coordinator))
            door.bind((self._link, _ETHERTYPE[self._coordinator.version]))
        except OSError:
            door.close()
            raise
        return door


def _knock_of(coordinator: Address) -> Program:
    source, is_v4 = 12 if coordinator.version == 4 else 8, coordinator.version == 4
    words = [int.from_bytes(coordinator.packed[at : at + 4], "big") for at in range(0, len(coordinator.packed), 4)]
    comes_from = [equal(LOAD_WORD, source + 4 * number, word) for number, word in enumerate(words)]
    is_udp = equal(LOAD_BYTE, 9 if is_v4 else 6, socket.IPPROTO_UDP)
    port = [(IP_HEADER_TO_X, 0, 0, 0), *equal(LOAD_HALF_X, 2, KNOCK)] if is_v4 else equal(LOAD_HALF, 42, KNOCK)
    return only_where(*comes_from, is_udp, port)
