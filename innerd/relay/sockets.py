"""Raw sockets beside WireGuard's port (raw(7), ipv6(7); CAP_NET_RAW): copies of what comes to it, and packets that
leave from it. A filter lets handshakes through alone, and data too only where this process carries some."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from innerd.domain.values import Endpoint
from innerd.relay.messages import COOKIE, DATA, INITIATION, RESPONSE
from innerd.relay.table import Place
from innerd.wire.probe import MAGIC
from innerd.wireguard.filters import (
    ALL,
    IP_HEADER_TO_X,
    JUMP_EQUAL,
    LOAD_HALF,
    LOAD_HALF_X,
    LOAD_WORD,
    LOAD_WORD_X,
    RETURN,
    Program,
)
from innerd.wireguard.raw_udp import AT_ONCE, RawUdp, contents, towards

_IPV6_RECVPKTINFO, _IPV6_PKTINFO, _IP_PKTINFO = 49, 50, 8
_BUFFER = 1 << 20

Hear = Callable[[bytes, Endpoint, str], None]


class Heard(NamedTuple):
    """What is heard, by its first four bytes, and the seconds for which nothing is read after each full turn."""

    words: tuple[int, ...]
    pause: float


# So many strangers' handshakes a second, or their data, take no more of us than half of the time between.
HANDSHAKES = Heard((INITIATION << 24, RESPONSE << 24), 0.004)
CARRIED = Heard((COOKIE << 24, DATA << 24), 0.001)
PROBES = Heard((int.from_bytes(MAGIC, "big"),), 0.01)


class RawSockets:
    """`hear` is called with each datagram, where it came from and which of our addresses it came to. Raises OSError
    without the capability."""

    def __init__(self, port: int, hear: Hear, heard: Heard) -> None:
        self._hear, self._pause = hear, heard.pause
        self._raw = RawUdp(port, lambda version: program(version, port, heard.words), self._read)
        for version, raw in self._raw.open.items():
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            if version == 6:
                raw.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)

    def close(self) -> None:
        self._raw.close()

    def send(self, to: Place, data: bytes) -> None:
        """Send from WireGuard's port, and from the address of ours that they know; what can't leave is lost."""
        version, host, port, told = _towards(to)
        raw = self._raw.open.get(version)
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.sendmsg((self._raw.head(port, len(data)), data), told, 0, (host, 0))

    def _read(self, version: int, raw: socket.socket) -> None:
        try:
            for _ in range(AT_ONCE):
                packet, told, _, source = raw.recvmsg(2048, 64)
                own = socket.inet_ntop(socket.AF_INET, packet[16:20]) if version == 4 else _own6(told)
                datagram, endpoint = contents(version, packet, source[0])
                if datagram:
                    self._hear(datagram, endpoint, own)
        except OSError:
            return
        self._raw.pause(version)
        asyncio.get_running_loop().call_later(self._pause, self._raw.listen, version)


def _own6(told: list[tuple[int, int, bytes]]) -> str:
    for level, kind, data in told:
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            return socket.inet_ntop(socket.AF_INET6, data[:16])
    return ""


@lru_cache(1 << 16)
def _towards(to: Place) -> tuple[int, str, int, list[tuple[int, int, bytes]]]:
    """IP's version, address and port of a place, and what sendmsg(2) is told of our own address."""
    version, host, port = towards(to.endpoint)
    return version, host, port, _from(to.own, version)


def _from(own: str, version: int) -> list[tuple[int, int, bytes]]:
    if not own:
        return []
    packed = ip_address(own).packed
    if version == 4 and len(packed) == 4:
        return [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i", 0) + packed + bytes(4))]
    if version == 6 and len(packed) == 16:
        return [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, packed + struct.pack("=I", 0))]
    return []


def program(version: int, port: int, words: Sequence[int]) -> Program:
    """Accept what goes to a port and begins with one of some words, as WireGuard's messages do with their types. IPv4's
    raw sockets see the IP header too, IPv6's don't."""
    begin = [(IP_HEADER_TO_X, 0, 0, 0)] if version == 4 else []
    half, word = (LOAD_HALF_X, LOAD_WORD_X) if version == 4 else (LOAD_HALF, LOAD_WORD)
    found = [(JUMP_EQUAL, len(words) - number, 0, one) for number, one in enumerate(words)]
    steps = [*begin, (half, 0, 0, 2), (JUMP_EQUAL, 0, len(words) + 1, port), (word, 0, 0, 8), *found]
    return [*steps, (RETURN, 0, 0, 0), (RETURN, 0, 0, ALL)]
