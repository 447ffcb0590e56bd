"""UDP by raw sockets beside a port that WireGuard has (raw(7), ipv6(7); CAP_NET_RAW): the kernel hands them a copy of
each packet that a filter lets through (classic BPF), and what they send leaves from that port."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address

from innerd.domain.values import Endpoint, endpoint_of, split_endpoint
from innerd.wireguard.filters import Program, attach

AT_ONCE = 64  # packets in a turn; then others have theirs
_UDP = struct.Struct(">HHHH")
_IPV6_CHECKSUM = 7
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

Read = Callable[[int, socket.socket], None]


class RawUdp:
    """A socket for each version of IP that this host has, with the filter that `program` gives for it; `read` is called
    where there is something. Raises OSError, PermissionError without the capability."""

    def __init__(
        self, port: int, program: Callable[[int], Program], read: Callable[[int, socket.socket], None]
    ) -> None:
        self._port, self._read = port, read
        self.open: dict[int, socket.socket] = {}
        try:
            self.open[4] = _opened(4, program(4))
            with contextlib.suppress(OSError):
                self.open[6] = _opened(6, program(6))
        except OSError:
            self.close()
            raise
        for version in self.open:
            self.listen(version)

    def close(self) -> None:
        for version, raw in self.open.items():
            self.pause(version)
            raw.close()
        self.open = {}

    def listen(self, version: int) -> None:
        """Hear what comes, if it is still open."""
        raw = self.open.get(version)
        if raw is not None:
            asyncio.get_running_loop().add_reader(raw, self._read, version, raw)

    def pause(self, version: int) -> None:
        """Hear nothing, until it listens again."""
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().remove_reader(self.open[version])

    def head(self, port: int, size: int) -> bytes:
        """Of a datagram to a port, with so many bytes in it; IPv4 needs no checksum, IPv6's is the kernel's."""
        return _UDP.pack(self._port, port, _UDP.size + size, 0)


def _opened(version: int, program: Program) -> socket.socket:
    raw = socket.socket(_FAMILIES[version], socket.SOCK_RAW, socket.IPPROTO_UDP)
    try:
        raw.setblocking(False)
        if version == 6:
            raw.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, 6)
        attach(raw, program)
    except OSError:
        raw.close()
        raise
    return raw


def towards(endpoint: Endpoint) -> tuple[int, str, int]:
    """IP's version, address and port of an endpoint."""
    host, port = split_endpoint(endpoint)
    return ip_address(host.partition("%")[0]).version, host, port


def contents(version: int, packet: bytes, source: str) -> tuple[bytes, Endpoint]:
    """What a packet brings, and where from (`source` is the address of it). IPv4's raw sockets see the IP header too,
    IPv6's don't. Empty for what is no datagram."""
    datagram = packet[4 * (packet[0] & 15) :] if version == 4 else packet
    port = _UDP.unpack_from(datagram)[0] if len(datagram) >= _UDP.size else 0
    return datagram[_UDP.size :], endpoint_of(source.partition("%")[0], port)
