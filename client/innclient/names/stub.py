"""Names answered on this host: the coordinator's own DNS server over what this peer was told, so that they resolve at
once after a change, and while the coordinator is away. For the network's zones only; it asks nobody else."""

import asyncio
import socket
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import cast

import structlog

from innclient.core.netmap import KnownPeer, Netmap
from inndns.records import Host
from inndns.server import Counters, DnsServer
from inndns.zone import Zone, empty
from innerd.domain.cidrs import INFRA_NAME
from innerd.domain.maps import Map
from innerd.domain.values import Address
from innerd.wireguard import links
from innerd.wireguard.device import DeviceError
from innerd.wireguard.holders import holder

ADDRESS = "127.0.0.153"
PORT = 53
TTL = 5  # seconds: we are told of changes, whoever remembers an answer is not
_TRIED = 16  # addresses from the first on: each interface of a host has its own
_EVERYBODY = 0  # the one class: what we were told, any program on this host may know

_log = structlog.get_logger("dns")


class Stub:
    """`zone` is always what was told last. `own` is this host's address on the tunnel, `interface` the tunnel."""

    def __init__(self, own: Address, interface: str) -> None:
        self.address: str | None = None  # where it listens, None while it does not
        self.trouble: str | None = None
        self._own, self._interface = own, interface
        self._hosts: dict[int, Host] = {}
        self._asker = Host("localhost", ip_address("127.0.0.1"), None)
        self.zone: Zone | None = None
        self._server: DnsServer | None = None
        self._on_tunnel: set[int] = set()  # the links (by index) that it is served to on the tunnel's address

    def update(self, netmap: Netmap, believed: Iterable[KnownPeer], numbers: set[int] | None) -> None:
        """Take in what was told of some peers (None: of all). Costs what these cost."""
        if not netmap.network or netmap.block is None:
            return
        if self.zone is None:
            self.zone = empty(netmap.network, netmap.suffix, netmap.block, INFRA_NAME, TTL, Map())
        told = {peer.id: _host(peer) for peer in believed}
        looked_at = {*self._hosts, *told} if numbers is None else numbers
        gone = [self._hosts[n] for n in looked_at if n in self._hosts and self._hosts[n] != told.get(n)]
        come = [told[n] for n in looked_at if n in told and self._hosts.get(n) != told[n]]
        if gone or come or self.zone.serial != netmap.revision:
            self.zone = self.zone.change(netmap.revision, lambda class_: frozenset({_EVERYBODY}), gone, come)
        for number in looked_at:
            if number in told:
                self._hosts[number] = told[number]
            else:
                self._hosts.pop(number, None)

    async def listen(self, wanted: str | None, *, on_tunnel: bool, log_queries: bool = False) -> None:
        """Serve on an address (None: the first that is free from 127.0.0.153 on), and on the tunnel's if asked to.
        Where none can be had, `trouble` says why."""
        if self._server is None and self.zone is not None:
            await self._listen(self.zone, wanted, log_queries=log_queries)
        if on_tunnel:
            await self.listen_on_tunnel()

    async def _listen(self, zone: Zone, wanted: str | None, *, log_queries: bool) -> None:
        server = DnsServer(lambda: cast(Zone, self.zone), asker=self._may_ask, log_queries=log_queries)
        for address in [wanted] if wanted else _addresses():
            try:
                await server.listen(*_sockets(address))
            except OSError as error:
                by = holder("udp", PORT) or holder("tcp", PORT)
                self.trouble = f"{address} port {PORT}: {error.strerror}" + (f" (by {by})" if by else "")
                continue
            self.address, self.trouble, self._server = address, None, server
            break
        if self._server is None:
            _log.warning("names are not answered on this host", why=self.trouble)

    async def listen_on_tunnel(self) -> str | None:
        """Serve on the tunnel's address too; that, or None where it can't be had. To this host (whose own packets
        count as the tunnel's) and its containers, by a socket for each of their links: whoever shares a LAN with us can
        send packets to that address too."""
        for link in (self._interface, *await asyncio.to_thread(_bridges_of_containers)):
            index = links.number_of(link)
            if self._server is None or index is None or index in self._on_tunnel:
                continue
            try:
                await self._server.listen(*_sockets(str(self._own), link))
                self._on_tunnel.add(index)
            except OSError as error:
                _log.warning("names are not answered on the tunnel's address", link=link, why=error.strerror)
        return str(self._own) if self._on_tunnel else None

    def _may_ask(self, source: str) -> Host | None:
        """This host and what runs on it. Never another peer: it sees other names than we do."""
        address = ip_address(source.partition("%")[0])
        is_peer = address in cast(Zone, self.zone).block and address != self._own
        return None if is_peer else self._asker

    @property
    def counters(self) -> Counters | None:
        """What was answered; None while nothing is."""
        return None if self._server is None else self._server.counters

    async def close(self) -> None:
        if self._server is not None:
            await self._server.close()
            self._server, self.address, self._on_tunnel = None, None, set()


def _host(peer: KnownPeer) -> Host:
    records = tuple((record.owner, record.type, record.value) for record in peer.records)
    return Host(peer.name, peer.ip, _EVERYBODY, records)


def _addresses() -> Iterator[str]:
    first = ip_address(ADDRESS)
    return (str(first + number) for number in range(_TRIED))


def _bridges_of_containers() -> list[str]:
    try:
        return links.bridges_of_containers()
    except DeviceError:  # they are looked for again
        return []


def _sockets(address: str, link: str | None = None) -> tuple[socket.socket, socket.socket]:
    """A pair for UDP and TCP, that hears only what came by a link if there is one. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    udp, tcp = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_STREAM)
    try:
        for one in (udp, tcp) if link is not None else ():
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, str(link).encode() + b"\0")
        udp.bind((address, PORT))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((address, PORT))
        tcp.listen(64)
        for one in (udp, tcp):
            one.setblocking(False)
    except OSError:
        udp.close()
        tcp.close()
        raise
    return udp, tcp
