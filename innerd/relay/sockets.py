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

from innerd.domain.values import Endpoint, endpoint_of, split_endpoint
from innerd.relay.messages import COOKIE, DATA, INITIATION, RESPONSE
from innerd.relay.table import Place
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
    attach,
)

_UDP = struct.Struct(">HHHH")
_AT_ONCE = 64  # packets in a turn; then others have theirs
_IPV6_CHECKSUM, _IPV6_RECVPKTINFO, _IPV6_PKTINFO, _IP_PKTINFO = 7, 49, 50, 8
_BUFFER = 1 << 20

Hear = Callable[[bytes, Endpoint, str], None]


class Heard(NamedTuple):
    """What is heard, and the seconds for which nothing is read after each full turn."""

    kinds: tuple[int, ...]
    pause: float


# So many strangers' handshakes a second, or their data, take no more of us than half of the time between.
HANDSHAKES = Heard((INITIATION, RESPONSE), 0.004)
CARRIED = Heard((COOKIE, DATA), 0.001)


class RawSockets:
    """`hear` is called with each datagram, where it came from and which of our addresses it came to. Raises OSError
    without the capability."""

    def __init__(self, port: int, hear: Hear, heard: Heard) -> None:
        self._port, self._hear, self._heard = port, hear, heard
        self._open: dict[int, socket.socket] = {}
        try:
            self._open[4] = _opened(4)
            with contextlib.suppress(OSError):
                self._open[6] = _opened(6)
            for version, raw in self._open.items():
                attach(raw, program(version, port, heard.kinds))
        except OSError:
            self.close()
            raise
        for version in self._open:
            self._listen(version)

    def close(self) -> None:
        for raw in self._open.values():
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(raw)
            raw.close()
        self._open = {}

    def send(self, to: Place, data: bytes) -> bool:
        """Send from WireGuard's port, and from the address of ours that they know. Whether it left."""
        version, host, port, told = _towards(to)
        raw = self._open.get(version)
        if raw is None:
            return False
        head = _UDP.pack(self._port, port, _UDP.size + len(data), 0)  # IPv4: no checksum; IPv6: the kernel's
        try:
            raw.sendmsg((head, data), told, 0, (host, 0))
        except OSError:
            return False
        return True

    def _listen(self, version: int) -> None:
        raw = self._open.get(version)
        if raw is not None:
            asyncio.get_running_loop().add_reader(raw, self._read, version, raw)

    def _read(self, version: int, raw: socket.socket) -> None:
        try:
            for _ in range(_AT_ONCE):
                packet, told, _, source = raw.recvmsg(2048, 64)
                if version == 4:
                    own, datagram = socket.inet_ntop(socket.AF_INET, packet[16:20]), packet[4 * (packet[0] & 15) :]
                else:
                    own, datagram = _own6(told), packet
                if len(datagram) > _UDP.size:
                    port = _UDP.unpack_from(datagram)[0]
                    self._hear(datagram[_UDP.size :], endpoint_of(source[0].partition("%")[0], port), own)
        except OSError:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(raw)
        loop.call_later(self._heard.pause, self._listen, version)


def _opened(version: int) -> socket.socket:
    raw = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_UDP)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        if version == 6:
            raw.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, 6)
            raw.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    except OSError:
        raw.close()
        raise
    return raw


def _own6(told: list[tuple[int, int, bytes]]) -> str:
    for level, kind, data in told:
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            return socket.inet_ntop(socket.AF_INET6, data[:16])
    return ""


@lru_cache(1 << 16)
def _towards(to: Place) -> tuple[int, str, int, list[tuple[int, int, bytes]]]:
    """IP's version, address and port of a place, and what sendmsg(2) is told of our own address."""
    host, port = split_endpoint(to.endpoint)
    version = ip_address(host.partition("%")[0]).version
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


def program(version: int, port: int, kinds: Sequence[int]) -> Program:
    """Accept what goes to a port and is a message of WireGuard's of some types. IPv4's raw sockets see the IP header
    too, IPv6's don't."""
    begin = [(IP_HEADER_TO_X, 0, 0, 0)] if version == 4 else []
    half, word = (LOAD_HALF_X, LOAD_WORD_X) if version == 4 else (LOAD_HALF, LOAD_WORD)
    types = [(JUMP_EQUAL, len(kinds) - number, 0, kind << 24) for number, kind in enumerate(kinds)]
    steps = [*begin, (half, 0, 0, 2), (JUMP_EQUAL, 0, len(kinds) + 1, port), (word, 0, 0, 8), *types]
    return [*steps, (RETURN, 0, 0, 0), (RETURN, 0, 0, ALL)]
