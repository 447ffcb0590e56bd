"""Probes from and to WireGuard's own port, by raw sockets beside it (raw(7), ipv6(7); CAP_NET_RAW). The kernel hands
a copy of each UDP packet to a raw socket; a filter (classic BPF) lets only probes for our port through, so that
WireGuard's data never comes here."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address

from innerd.domain.values import Endpoint, endpoint_of, split_endpoint
from innerd.wire.probe import MAGIC, SIZE
from innerd.wireguard.filters import (
    IP_HEADER_TO_X,
    LOAD_HALF,
    LOAD_HALF_X,
    LOAD_WORD,
    LOAD_WORD_X,
    Program,
    attach,
    equal,
    only_where,
)

_UDP = struct.Struct(">HHHH")
_IPV6_CHECKSUM = 7

_TTL = {4: (socket.IPPROTO_IP, socket.IP_TTL), 6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)}
Heard = Callable[[bytes, Endpoint], None]


class Prober:
    """Two raw sockets, one for each family that this host has. Raises PermissionError without the capability."""

    def __init__(self, port: int, heard: Heard) -> None:
        self.port = port
        self._heard = heard
        self._sockets: dict[int, socket.socket] = {}
        loop = asyncio.get_running_loop()
        try:
            for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
                with contextlib.suppress(OSError) if version == 6 else contextlib.nullcontext():
                    self._sockets[version] = _opened(family, version, port)
        except OSError:
            self.close()
            raise
        for version, raw in self._sockets.items():
            loop.add_reader(raw, self._read, version, raw)

    def close(self) -> None:
        for raw in self._sockets.values():
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(raw)
            raw.close()
        self._sockets = {}

    def send(self, endpoint: Endpoint, data: bytes, ttl: int | None) -> None:
        """Send once; a probe that can't leave is a probe that is lost."""
        host, port = split_endpoint(endpoint)
        version = ip_address(host).version
        raw = self._sockets.get(version)
        if raw is None:
            return
        packet = _UDP.pack(self.port, port, _UDP.size + len(data), 0) + data  # IPv4: no checksum; IPv6: the kernel's
        level, name = _TTL[version]
        with contextlib.suppress(OSError):
            raw.setsockopt(level, name, ttl if ttl is not None else 64)
            raw.sendto(packet, (host, 0))

    def _read(self, version: int, raw: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for _ in range(64):  # then others have their turn
                packet, source = raw.recvfrom(2048)
                start = 4 * (packet[0] & 15) if version == 4 else 0
                datagram = packet[start:]
                if len(datagram) == _UDP.size + SIZE:
                    port = _UDP.unpack_from(datagram)[0]
                    self._heard(datagram[_UDP.size :], endpoint_of(source[0].partition("%")[0], port))


def _opened(family: socket.AddressFamily, version: int, port: int) -> socket.socket:
    raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP)
    raw.setblocking(False)
    if version == 6:
        raw.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, 6)
    attach(raw, _filter(version, port))
    return raw


def _filter(version: int, port: int) -> Program:
    """Accept what goes to our port and begins with the magic. IPv4's raw sockets see the IP header too, IPv6's
    don't."""
    magic = int.from_bytes(MAGIC, "big")
    if version == 6:
        return only_where(equal(LOAD_HALF, 2, port), equal(LOAD_WORD, 8, magic))
    return only_where([(IP_HEADER_TO_X, 0, 0, 0)], equal(LOAD_HALF_X, 2, port), equal(LOAD_WORD_X, 8, magic))
