"""What of its own a host would lose to a network: routes, addresses, resolvers, whom one is connected from, names.

A WireGuard interface takes all packets for the network's range. Where the host has something there already, one of the
two is cut off; a narrower route of the host even lets packets for peers out beside the tunnel. What there is is read
(`of_host`), what overlaps is told from it in sentences (`overlaps_of`), which is pure.
"""

import os
from collections.abc import Collection, Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

from innerd.domain.values import Address, Range, overlaps, plain, within
from innerd.wireguard import beside
from innerd.wireguard.beside import Route

# What programs ask, and whom those ask that they ask.
_RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf")


class Own(Struct, frozen=True, kw_only=True):
    """What a host has beside one interface. `came_from`: where the SSH connection comes from in which this runs."""

    routes: tuple[Route, ...] = ()
    addresses: tuple[tuple[str, Address], ...] = ()  # by link
    resolvers: tuple[Address, ...] = ()
    came_from: Address | None = None


class Neighbour(Struct, frozen=True, kw_only=True):
    """Another network of this host, whether it is up or not."""

    name: str
    block: Range
    port: int | None = None
    domain: str | None = None


def of_neighbours(others: Iterable[Neighbour], block: Range, port: int | None, domain: str | None) -> list[str]:
    """What a network would have that another one of this host has."""
    said = []
    for other in others:
        if overlaps(other.block, block):
            said.append(f'the network "{other.name}" has the range {other.block}')
        if port is not None and other.port == port:
            said.append(f'the network "{other.name}" has UDP port {port}')
        if domain is not None and other.domain == domain:
            said.append(f'names of the network "{other.name}" end in {domain} too')
    return said


def of_host(interface: str) -> Own:
    """Raises DeviceError."""
    routes, addresses = beside.routes_and_addresses(interface)
    return Own(
        routes=tuple(routes),
        addresses=tuple(addresses),
        resolvers=tuple(dict.fromkeys(_resolvers())),
        came_from=_came_from(),
    )


def overlaps_of(block: Range, own: Own, peers: Collection[Address] = ()) -> list[str]:
    """What a range takes of a host, a sentence each; what lies at an address of a peer is meant to be there."""
    routes = [route for route in own.routes if overlaps(route.destination, block)]
    narrow = [route.destination for route in routes if within(route.destination, block)]
    apart = [destination for destination in narrow if destination != block]

    def is_cut(address: Address) -> bool:
        return address in block and address not in peers and not any(address in other for other in apart)

    said = [_of_route(route, block) for route in routes]
    said += [
        f"{link} has the address {address}, which is the network's to give"
        for link, address in own.addresses
        if address in block and not any(address in route for route in narrow)
    ]
    said += [
        f"the resolver {address} of this host is looked for in the tunnel: names resolve no more"
        for address in own.resolvers
        if is_cut(address)
    ]
    if own.came_from is not None and is_cut(own.came_from):
        said.append(f"the SSH connection from {own.came_from} is cut, and no other comes in from there")
    return said


def _of_route(route: Route, block: Range) -> str:
    if route.destination == block:
        return f"{block}, which is reached by {route.link} now, is cut off"
    if within(block, route.destination):
        return f"{block}, a part of {route.destination} which is reached by {route.link} now, is cut off"
    return f"{route.destination} is reached by {route.link}: packets for peers there leave beside the tunnel"


def _resolvers() -> Iterator[Address]:
    for path in _RESOLVERS:
        try:
            lines = Path(path).read_text(errors="replace").splitlines()
        except OSError:
            continue
        for words in map(str.split, lines):
            if len(words) > 1 and words[0] == "nameserver":
                yield from _addresses(words[1])


def _addresses(text: str) -> Iterator[Address]:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return
    yield plain(address)


def _came_from() -> Address | None:
    """By what sshd told the processes that we descend from: sudo keeps it from us."""
    process = os.getpid()
    while process > 1:
        try:
            variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
            process = _parent(process)
        except OSError:
            return None
        for variable in variables:
            name, _, value = variable.partition(b"=")
            if name == b"SSH_CONNECTION" and value:
                return next(_addresses(value.split()[0].decode(errors="replace")), None)
    return None


def _parent(process: int) -> int:
    """The name of a process may hold brackets and blanks: what is after it is numbers (proc_pid_stat(5))."""
    return int(Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
