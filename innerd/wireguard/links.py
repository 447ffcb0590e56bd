"""Links, addresses and routes, through pyroute2 (blocking: call it from a thread, never on uvloop).

IPv6 addresses are added without duplicate address detection: for a second or two of it an address is tentative,
binding to it fails and first packets leave from a link-local address.
"""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Interface, IPv6Interface, ip_interface, ip_network
from typing import Any

from innerd.domain.values import Address, Range
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
        raise refusal(error.errno or 0, f"netlink: {error}") from error


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
    with route_socket() as ip:
        index = find(ip, interface)
        if index is None:
            return None
        info = ip.get_links(index)[0].get_attr("IFLA_LINKINFO")
        return (info.get_attr("IFLA_INFO_KIND") if info else None) or ""


def configure(interface: str, address: Address, prefix: int, mtu: int, *, routing: bool) -> None:
    """Address, MTU, up and the route to the network, each only if it isn't so already; stale addresses go."""
    with route_socket() as ip:
        index = find(ip, interface)
        if index is None:
            raise DeviceError("device_failed", f"there is no link {interface}")
        network = str(ip_interface(f"{address}/{prefix}").network)
        if routing:
            _not_elsewhere(ip, index, network)
        wanted = (str(address), prefix)
        have = _addresses(ip, index, address.version)
        for old in have - {wanted}:
            ip.addr("del", index=index, address=old[0], prefixlen=old[1])
        link = ip.get_links(index)[0]
        if link.get_attr("IFLA_MTU") != mtu:
            ip.link("set", index=index, mtu=mtu)
        if wanted not in have:
            flags = {"flags": _IFA_F_NODAD} if address.version == 6 else {}
            ip.addr("replace", index=index, address=str(address), prefixlen=prefix, **flags)
        if not link["flags"] & 1:
            ip.link("set", index=index, state="up")
        if routing:
            family = {"family": 10} if address.version == 6 else {"scope": _SCOPE_LINK}
            ip.route("replace", dst=network, oif=index, **family)


def _not_elsewhere(ip: Any, index: int, network: str) -> None:
    """Never take a route that leads somewhere else: it may be the way to the internet or to the LAN."""
    block = ip_network(network)
    for route in ip.get_routes(family=2 if block.version == 4 else 10, table=_MAIN_TABLE):
        destination = f"{route.get_attr('RTA_DST')}/{route['dst_len']}"
        if destination == network and route.get_attr("RTA_OIF") != index:
            raise DeviceError(
                "route_taken",
                f"this host has a route to {network} already, and not through this interface",
                "two networks can't have one range; --no-routing leaves routes alone",
            )


def _addresses(ip: Any, index: int, version: int) -> set[tuple[str, int]]:
    family = 2 if version == 4 else 10
    return {
        (a.get_attr("IFA_ADDRESS"), a["prefixlen"])
        for a in ip.get_addr(index=index, family=family)
        if a["scope"] != _SCOPE_LINK  # the kernel's own fe80:: stays
    }


def index_of(interface: str) -> int:
    """The number of a link, which is another one when it is made anew."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise NoSuchDevice(interface) from None


def delete(interface: str) -> None:
    with route_socket() as ip:
        index = find(ip, interface)
        if index is not None:
            ip.link("del", index=index)


_TUNNELS = {"wireguard", "tun", "sit", "ipip", "gre", "ip6tnl", "vti"}


def host_addresses() -> list[Address]:
    """The global addresses of links that are up and are neither loopback nor tunnels, in the kernel's order."""
    usable = (entry.ip for entry in _usable())
    found = [a for a in usable if not (a.is_link_local or a.is_multicast or a.is_loopback)]
    return list(dict.fromkeys(found))


def host_networks() -> list[Range]:
    """The networks of the links that `host_addresses` is about, but for single addresses: who lives there is near."""
    found = dict.fromkeys(entry.network for entry in _usable())
    return [network for network in found if network.num_addresses > 1]


def _usable() -> list[IPv4Interface | IPv6Interface]:
    """The global addresses, with their networks, of the links that carry what is not a tunnel's."""
    with route_socket() as ip:
        carrying = {link["index"] for link in ip.get_links() if _carries(link)}
        entries = [entry for entry in ip.get_addr() if entry["index"] in carrying and entry["scope"] == 0]
    return [ip_interface(f"{e.get_attr('IFA_LOCAL') or e.get_attr('IFA_ADDRESS')}/{e['prefixlen']}") for e in entries]


def _carries(link: Any) -> bool:
    info = link.get_attr("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info else None
    return bool(link["flags"] & 1) and not link["flags"] & 8 and kind not in _TUNNELS
