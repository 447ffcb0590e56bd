"""The link of an interface: made as it should be, looked at, and what it must fit through. Blocks: call it from a
thread."""

import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from innerd.domain.values import Address, Range
from innerd.wireguard.beside import kinds
from innerd.wireguard.device import DeviceError, NoSuchDevice
from innerd.wireguard.rtnetlink import GLOBAL, LOOPBACK, LOWER_UP, MAIN, ON_LINK, UP, Link, RouteSocket, route_socket


def kind_of(interface: str) -> str | None:
    """The kind of a link ("wireguard", "tun", …; "" for a plain one), None where there is no such link."""
    return None if number_of(interface) is None else kinds().get(interface)


class OnLinks:
    """What all backends have that make links of the kernel's."""

    def index(self, interface: str) -> int:
        return index_of(interface)

    def await_end(self, interface: str) -> None:
        """The kernel's port goes with the link."""

    def configure(self, interface: str, address: Address, prefix: int, mtu: int, *, routing: bool) -> list[str]:
        return configure(interface, address, prefix, mtu, routing=routing)

    def link(self, interface: str) -> str:
        return interface

    def mark(self, interface: str, owner: str) -> None:
        """The owner stands in the link's alias: there it outlives us, and people see it (ip link)."""
        with route_socket() as ip:
            ip.set_alias(index_of(interface), owner)

    def owner(self, interface: str) -> str:
        with route_socket() as ip:
            return ip.link(index_of(interface)).alias


def configure(interface: str, address: Address, prefix: int, mtu: int, *, routing: bool) -> list[str]:
    """Address, MTU, up and the route to the network, each only if it isn't so already; stale addresses go. What was
    done, in words."""
    done: list[str] = []
    index = number_of(interface)
    if index is None:
        raise DeviceError("device_failed", f"there is no link {interface}")
    with route_socket() as ip:
        network = ip_interface(f"{address}/{prefix}").network
        has_route = not routing or _has_route(ip, index, network)
        wanted = (address, prefix)
        have = _addresses(ip, index, address.version)
        for old in have - {wanted}:
            done.append(f"took address {old[0]}/{old[1]} off")
            ip.delete_address(index, *old)
        link = ip.link(index)
        if link.mtu != mtu:
            done.append(f"set the MTU to {mtu} (it was {link.mtu})")
            ip.set_mtu(index, mtu)
        if wanted not in have:
            done.append(f"added address {address}/{prefix}")
            ip.add_address(index, address, prefix)
        if not link.flags & UP:
            done.append("set it up")
            ip.set_up(index)
        if routing and not (has_route and _has_route(ip, index, network)):
            done.append(f"added the route to {network}")
            ip.add_route(index, network)
    return done


def _has_route(ip: RouteSocket, index: int, network: Range) -> bool:
    """Whether the network is reached through a link. Never take a route that leads somewhere else: it may be the way to
    the internet or to the LAN."""
    found = False
    for route in ip.routes():
        if route.table == MAIN and route.destination == network:
            if route.links != (index,):
                raise DeviceError(
                    "route_taken",
                    f"this host has a route to {network} already, and not through this interface",
                    "two networks can't have one range; --no-routing leaves routes alone",
                )
            found = True
    return found


def _addresses(ip: RouteSocket, index: int, version: int) -> set[tuple[Address, int]]:
    return {
        (one.address, one.prefixlen)
        for one in ip.addresses()
        if one.link == index
        and one.address.version == version
        and one.scope != ON_LINK  # the kernel's own fe80:: stays
    }


def of_kind(kind: str) -> list[str]:
    """The names of all links of a kind."""
    return [name for name, found in kinds().items() if found == kind]


def bridges_of_containers() -> list[str]:
    """The bridges that lead nowhere but to what runs on this host: nothing is plugged to them but pairs."""
    with route_socket() as ip:
        return [bridge.name for bridge in _bridges_with_only({"veth"}, ip.links())]


def _bridges_with_only(kinds: set[str], links: Iterable[Link]) -> list[Link]:
    """The bridges to which nothing else is plugged."""
    links = list(links)
    plugged = {link.master for link in links if link.kind not in kinds}
    return [link for link in links if link.kind == "bridge" and link.number not in plugged]


def deviations(interface: str, wanted: IPv4Interface | IPv6Interface) -> list[str]:
    """What of a link is not as it should be, in words."""
    index = number_of(interface)
    if index is None:
        return ["there is no such link"]
    with route_socket() as ip:
        found = [] if ip.link(index).flags & UP else ["it is down"]
        if (wanted.ip, wanted.network.prefixlen) not in _addresses(ip, index, wanted.version):
            found.append(f"it does not have its address {wanted}")
        try:
            if not _has_route(ip, index, wanted.network):
                found.append(f"there is no route to {wanted.network}")
        except DeviceError as error:
            found.append(error.message)
        return found


def mtu_of(interface: str) -> int | None:
    index = number_of(interface)
    if index is None:
        return None
    with route_socket() as ip:
        return ip.link(index).mtu


def default_link() -> str | None:
    """The link that leads to the internet."""
    with route_socket() as ip:
        return next((ip.link(index).name for index in _default_links(ip)), None)


def _default_links(ip: RouteSocket) -> Iterator[int]:
    """Of IPv4 first."""
    found = [route for route in ip.routes() if route.table == MAIN and not route.destination.prefixlen]
    return (route.links[0] for route in sorted(found, key=lambda r: r.destination.version) if len(route.links) == 1)


def number_of(interface: str) -> int | None:
    """The number of a link, which is another one when it is made anew; None where there is no such link. One system
    call: it may be asked often."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return None


def index_of(interface: str) -> int:
    """The number of a link. Raises NoSuchDevice."""
    number = number_of(interface)
    if number is None:
        raise NoSuchDevice(interface)
    return number


def delete(interface: str) -> None:
    index = number_of(interface)
    if index is not None:
        with route_socket() as ip:
            ip.delete_link(index)


_OVERHEAD = 80  # bytes of IPv6, UDP and WireGuard around a packet; 60 where the outer one is IPv4
_USUAL, _LEAST = 1500, {4: 576, 6: 1280}
# Any addresses that only a default route leads to; nothing is sent.
_PROBED = (ip_address("1.1.1.1"), ip_address("2606:4700:4700::1111"))


def mtu_towards(endpoint: Address | None, overlay: Address, interface: str) -> int:
    """The MTU for an interface, from the routes that its packets take: to the coordinator (None: its address is not
    known) and to everybody else. Never more than goes through an Ethernet link: what lies behind the first hop nobody
    knows."""
    found, own = [_USUAL], number_of(interface)
    with route_socket() as ip:
        for target in (endpoint, *_PROBED):
            mtu = _route_mtu(ip, target, own) if target is not None else None
            if mtu is not None:
                found.append(mtu)
    return max(_LEAST[overlay.version], min(found) - _OVERHEAD)


def _route_mtu(ip: RouteSocket, target: Address, own: int | None) -> int | None:
    """What fits through the route to an address; None where there is none, or it is one of our own interface."""
    route = ip.route_to(target)
    if route is None or not route.links or route.links == (own,):
        return None
    carried = ip.link(route.links[0]).mtu
    return min(carried, route.mtu) if route.mtu else carried


_TUNNELS = {"wireguard", "tun", "sit", "ipip", "gre", "ip6tnl", "vti"}


def host_addresses() -> list[Address]:
    """The global addresses of links that are up and are neither loopback nor tunnels: those of the links that lead to
    the internet first, those of bridges that lead nowhere but to what runs here last."""
    usable = (entry.ip for entry in _usable())
    found = [a for a in usable if not (a.is_link_local or a.is_multicast or a.is_loopback)]
    return list(dict.fromkeys(found))


def host_networks() -> list[Range]:
    """The networks of the links that `host_addresses` is about, but for single addresses: who lives there is near. Not
    of bridges that lead nowhere: every host with containers has the same ones."""
    found = dict.fromkeys(entry.network for entry in _usable(least=_BESIDE))
    return [network for network in found if network.num_addresses > 1]


_ONWARD, _BESIDE, _NOWHERE = range(3)  # where a link leads: to the internet; to others; to what runs on this host


def _usable(least: int = _NOWHERE) -> list[IPv4Interface | IPv6Interface]:
    """The global addresses, with their networks, of links that carry what is not a tunnel's; the best first."""
    with route_socket() as ip:
        links, onward = ip.links(), set(_default_links(ip))
        inner = {bridge.number for bridge in _bridges_with_only({"veth", "tun"}, links)}
        inner |= {link.number for link in links if not link.flags & LOWER_UP}
        leads = {link.number: _NOWHERE if link.number in inner else _BESIDE for link in links if _carries(link)}
        leads |= dict.fromkeys(onward & leads.keys(), _ONWARD)
        found = [one for one in ip.addresses() if one.scope == GLOBAL and leads.get(one.link, 9) <= least]
    found.sort(key=lambda one: leads[one.link])
    return [ip_interface(f"{one.address}/{one.prefixlen}") for one in found]


def _carries(link: Link) -> bool:
    return bool(link.flags & UP) and not link.flags & LOOPBACK and link.kind not in _TUNNELS
