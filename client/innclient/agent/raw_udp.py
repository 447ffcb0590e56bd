"""Probes from and to WireGuard's own port, by raw sockets beside it: a filter lets only probes for our port through, so
that WireGuard's data never comes here."""

import contextlib
import socket
from collections.abc import Callable

from innerd.domain.values import Endpoint
from innerd.wire.probe import MAGIC, SIZE
from innerd.wireguard.filters import (
    IP_HEADER_TO_X,
    LOAD_HALF,
    LOAD_HALF_X,
    LOAD_WORD,
    LOAD_WORD_X,
    Program,
    equal,
    only_where,
)
from innerd.wireguard.raw_udp import AT_ONCE, RawUdp, contents, towards

_TTL = {4: (socket.IPPROTO_IP, socket.IP_TTL), 6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)}
Heard = Callable[[bytes, Endpoint], None]


class Prober:
    """Two raw sockets, one for each family that this host has. Raises PermissionError without the capability."""

    def __init__(self, port: int, heard: Heard) -> None:
        self.port = port
        self._heard = heard
        self._raw = RawUdp(port, lambda version: _filter(version, port), self._read)

    def close(self) -> None:
        self._raw.close()

    def send(self, endpoint: Endpoint, data: bytes, ttl: int | None) -> None:
        """Send once; a probe that can't leave is a probe that is lost."""
        version, host, port = towards(endpoint)
        raw = self._raw.open.get(version)
        if raw is None:
            return
        level, name = _TTL[version]
        with contextlib.suppress(OSError):
            raw.setsockopt(level, name, ttl if ttl is not None else 64)
            raw.sendto(self._raw.head(port, len(data)) + data, (host, 0))

    def _read(self, version: int, raw: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for _ in range(AT_ONCE):
                packet, source = raw.recvfrom(2048)
                probe, endpoint = contents(version, packet, source[0])
                if len(probe) == SIZE:
                    self._heard(probe, endpoint)


def _filter(version: int, port: int) -> Program:
    """Accept what goes to our port and begins with the magic. IPv4's raw sockets see the IP header too, IPv6's
    don't."""
    magic = int.from_bytes(MAGIC, "big")
    if version == 6:
        return only_where(equal(LOAD_HALF, 2, port), equal(LOAD_WORD, 8, magic))
    return only_where([(IP_HEADER_TO_X, 0, 0, 0)], equal(LOAD_HALF_X, 2, port), equal(LOAD_WORD_X, 8, magic))
