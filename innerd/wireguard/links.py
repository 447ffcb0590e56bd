"""Links, addresses and routes, through pyroute2 (blocking: call it from a thread, never on uvloop).

IPv6 addresses are added without duplicate address detection: for a second or two of it an address is tentative,
binding to it fails and first packets leave from a link-local address.
"""

import errno
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Interface, IPv6Interface, ip_interface, ip_network
from typing import Any

from innerd.domain.errors import plainly
from innerd.domain.values import Address, Range
from innerd.wireguard.beside import kinds
from innerd.wireguard.device import DeviceError, NoSuchDevice

_IFA_F_NODAD = 0x02
_SCOPE_LINK = 253
_MAIN_TABLE = 254


@contextmanager
def route_socket() -> Iterator[Any]:
    """A netlink socket; its errors come out as DeviceError."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        raise refusal(error.code, f"netlink: {error.args[1] if len(error.args) > 1 else error}") from error
    except OSError as error:
        raise refusal(error.errno or 0, f"netlink: {plainly(error)}") from error


def refusal(code: int, message: str) -> DeviceError:
    """The DeviceError of an errno."""
    if code in (errno.EPERM, errno.EACCES):
        return DeviceError("not_root", f"{message}: CAP_NET_ADMIN is missing", "run it as root")
    if code == errno.EADDRINUSE:
        return DeviceError("port_in_use", message, "choose another listen port, or stop what uses this one")
    return DeviceError("device_failed", message)


def find(ip: Any, interface: str) -> int | None:
    """The index of a link, or None."""
    found = ip.link_lookup(ifname=interface)
    return int(found[0]) if found else None


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
            ip.link("set", index=index_of(interface), ifalias=owner)

    def owner(self, interface: str) -> str:
        with route_socket() as ip:
            return ip.get_links(index_of(interface))[0].get_attr("IFLA_IFALIAS") or ""


def configure(interface: str, address: Address, prefix: int, mtu: int, *, routing: bool) -> list[str]:
    """Address, MTU, up and the route to the network, each only if it isn't so already; stale addresses go. What was
    done, in words."""
    done: list[str] = []
    with route_socket() as ip:
        index = find(ip, interface)
        if index is None:
            raise DeviceError("device_failed", f"there is no link {interface}")
        network = str(ip_interface(f"{address}/{prefix}").network)
        has_route = not routing or _has_route(ip, index, network)
        wanted = (str(address), prefix)
        have = _addresses(ip, index, address.version)
        for old in have - {wanted}:
            done.append(f"took address {old[0]}/{old[1]} off")
            ip.addr("del", index=index, address=old[0], prefixlen=old[1])
        link = ip.get_links(index)[0]
        if link.get_attr("IFLA_MTU") != mtu:
            done.append(f"set the MTU to {mtu} (it was {link.get_attr('IFLA_MTU')})")
            ip.link("set", index=index, mtu=mtu)
        if wanted not in have:
            done.append(f"added address {address}/{prefix}")
            flags = {"flags": _IFA_F_NODAD} if address.version == 6 else {}
            ip.addr("replace", index=index, address=str(address), prefixlen=prefix, **flags)
        if not link["flags"] & 1:
            done.append("set it up")
            ip.link("set", index=index, state="up")
        if routing and not (has_route and _has_route(ip, index, network)):
            done.append(f"added the route to {network}")
            family = {"family": 10} if address.version == 6 else {"scope": _SCOPE_LINK}
            ip.route("replace", dst=network, oif=index, **family)
    return done


def _has_route(ip: Any, index: int, network: str) -> bool:
    """Whether the network is reached through a link. Never take a route that leads somewhere else: it may be the way to
    the internet or to the LAN."""
    block = ip_network(network)
    found = False
    for route in ip.get_routes(family=2 if block.version == 4 else 10, table=_MAIN_TABLE):
        destination = f"{route.get_attr('RTA_DST')}/{route['dst_len']}"
        if destination == network:
            if route.get_attr("RTA_OIF") != index:
                raise DeviceError(
                    "route_taken",
                    f"this host has a route to {network} already, and not through this interface",
                    "two networks can't have one range; --no-routing leaves routes alone",
                )
            found = True
    return found


def _addresses(ip: Any, index: int, version: int) -> set[tuple[str, int]]:
    family = 2 if version == 4 else 10
    return {
        (a.get_attr("IFA_ADDRESS"), a["prefixlen"])
        for a in ip.get_addr(index=index, family=family)
        if a["scope"] != _SCOPE_LINK  # the kernel's own fe80:: stays
    }


def of_kind(kind: str) -> list[str]:
    """The names of all links of a kind."""
    return [name for name, found in kinds().items() if found == kind]


def _kind(link: Any) -> str | None:
    info = link.get_attr("IFLA_LINKINFO")
    return info.get_attr("IFLA_INFO_KIND") if info else None


def bridges_of_containers() -> list[str]:
    """The bridges that lead nowhere but to what runs on this host: nothing is plugged to them but pairs."""
    with route_socket() as ip:
        links = list(ip.get_links())
    return [str(bridge.get_attr("IFLA_IFNAME")) for bridge in _bridges_with_only({"veth"}, links)]


def _bridges_with_only(kinds: set[str], links: Iterable[Any]) -> list[Any]:
    """The bridges to which nothing else is plugged."""
    plugged = {link.get_attr("IFLA_MASTER") for link in links if _kind(link) not in kinds}
    return [link for link in links if _kind(link) == "bridge" and link["index"] not in plugged]


def deviations(interface: str, wanted: IPv4Interface | IPv6Interface) -> list[str]:
    """What of a link is not as it should be, in words."""
    with route_socket() as ip:
        index = find(ip, interface)
        if index is None:
            return ["there is no such link"]
        link = ip.get_links(index)[0]
        have = _addresses(ip, index, wanted.version)
        found = [] if link["flags"] & 1 else ["it is down"]
        if (str(wanted.ip), wanted.network.prefixlen) not in have:
            found.append(f"it does not have its address {wanted}")
        try:
            if not _has_route(ip, index, str(wanted.network)):
                found.append(f"there is no route to {wanted.network}")
        except DeviceError as error:
            found.append(error.message)
        return found


def mtu_of(interface: str) -> int | None:
    with route_socket() as ip:
        index = find(ip, interface)
        return None if index is None else int(ip.get_links(index)[0].get_attr("IFLA_MTU"))


def default_link() -> str | None:
    """The link that leads to the internet."""
    with route_socket() as ip:
        for index in _default_links(ip):
            return str(ip.get_links(index)[0].get_attr("IFLA_IFNAME"))
    return None


def _default_links(ip: Any) -> Iterator[int]:
    for family in (2, 10):
        for route in ip.get_routes(family=family, table=_MAIN_TABLE):
            index = route.get_attr("RTA_OIF")
            if not route["dst_len"] and index is not None:
                yield index


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
    with route_socket() as ip:
        index = find(ip, interface)
        if index is not None:
            ip.link("del", index=index)


_OVERHEAD = 80  # bytes of IPv6, UDP and WireGuard around a packet; 60 where the outer one is IPv4
_USUAL, _LEAST = 1500, {4: 576, 6: 1280}
_PROBED = {4: "1.1.1.1", 6: "2606:4700:4700::1111"}  # any address that only a default route leads to; nothing is sent


def mtu_towards(endpoint: Address | None, overlay: Address, interface: str) -> int:
    """The MTU for an interface, from the routes that its packets take: to the coordinator (None: its address is not
    known) and to everybody else. Never more than goes through an Ethernet link: what lies behind the first hop nobody
    knows."""
    found = [_USUAL]
    with route_socket() as ip:
        own = find(ip, interface)
        for target in (str(endpoint or ""), *_PROBED.values()):
            mtu = _route_mtu(ip, target, own) if target else None
            if mtu is not None:
                found.append(mtu)
    return max(_LEAST[overlay.version], min(found) - _OVERHEAD)


def _route_mtu(ip: Any, target: str, own: int | None) -> int | None:
    """What fits through the route to an address; None where there is none, or it is one of our own interface."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        (route,) = ip.route("get", dst=target, family=10 if ":" in target else 2)
    except (NetlinkError, ValueError):
        return None
    link = route.get_attr("RTA_OIF")
    if link is None or link == own:
        return None
    metrics = route.get_attr("RTA_METRICS")
    told = metrics.get_attr("RTAX_MTU") if metrics else None
    carried = int(ip.get_links(link)[0].get_attr("IFLA_MTU"))
    return min(carried, int(told)) if told else carried


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
_LOWER_UP = 0x10000  # IFF_LOWER_UP: it has carrier


def _usable(least: int = _NOWHERE) -> list[IPv4Interface | IPv6Interface]:
    """The global addresses, with their networks, of links that carry what is not a tunnel's; the best first."""
    with route_socket() as ip:
        links, onward = list(ip.get_links()), set(_default_links(ip))
        inner = {bridge["index"] for bridge in _bridges_with_only({"veth", "tun"}, links)}
        inner |= {link["index"] for link in links if not link["flags"] & _LOWER_UP}
        leads = {link["index"]: _NOWHERE if link["index"] in inner else _BESIDE for link in links if _carries(link)}
        leads |= dict.fromkeys(onward & leads.keys(), _ONWARD)
        entries = [entry for entry in ip.get_addr() if entry["scope"] == 0 and leads.get(entry["index"], 9) <= least]
    entries.sort(key=lambda entry: leads[entry["index"]])
    return [ip_interface(f"{e.get_attr('IFA_LOCAL') or e.get_attr('IFA_ADDRESS')}/{e['prefixlen']}") for e in entries]


def _carries(link: Any) -> bool:
    info = link.get_attr("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info else None
    return bool(link["flags"] & 1) and not link["flags"] & 8 and kind not in _TUNNELS
