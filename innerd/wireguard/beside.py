"""What links a host has, and the routes and addresses of those beside an interface of ours, by rtnetlink(7).

Read by ourselves: a command that asks for this alone (`inn show`, `inn status`) would else load a library for longer
than all that it does.
"""

import contextlib
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from innerd.domain.errors import plainly
from innerd.domain.values import Address, Range
from innerd.wireguard.device import DeviceError
from innerd.wireguard.genetlink import Line
from innerd.wireguard.netlink import attributes

_GET_LINK, _GET_ADDRESS, _GET_ROUTE = 18, 22, 26  # RTM_
_LINK_HEADER, _ADDRESS_HEADER, _ROUTE_HEADER = struct.Struct("=BxHiII"), struct.Struct("=BBBBI"), struct.Struct("=8BI")
_IFLA_LINKINFO, _IFLA_INFO_KIND = 18, 1
_IFLA_IFNAME, _IFA_ADDRESS, _IFA_LOCAL, _RTA_DST, _RTA_OIF, _RTA_MULTIPATH, _RTA_TABLE = 3, 1, 2, 1, 4, 9, 15
_HOP = struct.Struct("=HBBi")  # length, flags, hops, link
_UNICAST, _LOCAL_TABLE, _GLOBAL = 1, 255, 0
_HALF = 1  # prefix length: two such routes are a default route, as VPNs set it


class Route(NamedTuple):
    """What is reached by a link."""

    destination: Range
    link: str


def routes_and_addresses(interface: str) -> tuple[list[Route], list[tuple[str, Address]]]:
    """The routes of this host by other links, of all tables, without those to everywhere, the most telling first; and
    its global addresses on other links, with their links. Raises DeviceError."""
    with _asking() as line:
        links = line.dump_of(_GET_LINK, bytes(_LINK_HEADER.size))
        addresses = line.dump_of(_GET_ADDRESS, bytes(_ADDRESS_HEADER.size))
        routes = line.dump_of(_GET_ROUTE, bytes(_ROUTE_HEADER.size))
        names = dict(map(_link, links))
        told = {route for one in routes for route in _route(one, names) if route.link != interface}
        ordered = sorted(told, key=lambda route: (route.destination.prefixlen, str(route.destination), route.link))
        return ordered, [one for one in _addresses(addresses, names) if one[0] != interface]


def kinds() -> dict[str, str]:
    """The kind of each link by its name: "wireguard", "tun", …; "" of a plain one. Raises DeviceError."""
    with _asking() as line:
        return dict(map(_kind, line.dump_of(_GET_LINK, bytes(_LINK_HEADER.size))))


@contextlib.contextmanager
def _asking() -> Iterator[Line]:
    try:
        with contextlib.closing(Line(socket.NETLINK_ROUTE)) as line:
            yield line
    except (OSError, struct.error, ValueError, LookupError) as error:
        raise DeviceError("device_failed", f"netlink: {plainly(error)}") from error


def _kind(message: bytes) -> tuple[str, str]:
    said = dict(attributes(message[_LINK_HEADER.size :]))
    kind = dict(attributes(said.get(_IFLA_LINKINFO, b""))).get(_IFLA_INFO_KIND, b"")
    return _text(said[_IFLA_IFNAME]), _text(kind)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _link(message: bytes) -> tuple[int, str]:
    _, _, number, _, _ = _LINK_HEADER.unpack_from(message)
    return number, _text(dict(attributes(message[_LINK_HEADER.size :]))[_IFLA_IFNAME])


def _addresses(messages: list[bytes], names: dict[int, str]) -> Iterator[tuple[str, Address]]:
    for message in messages:
        family, _, _, scope, link = _ADDRESS_HEADER.unpack_from(message)
        said = dict(attributes(message[_ADDRESS_HEADER.size :]))
        packed = said.get(_IFA_LOCAL) or said.get(_IFA_ADDRESS)
        if scope == _GLOBAL and family in (socket.AF_INET, socket.AF_INET6) and packed:
            yield names.get(link, ""), ip_address(packed)


def _route(message: bytes, names: dict[int, str]) -> Iterator[Route]:
    family, length, _, _, table, _, _, kind, _ = _ROUTE_HEADER.unpack_from(message)
    if family not in (socket.AF_INET, socket.AF_INET6) or length <= _HALF or kind != _UNICAST:
        return
    said = dict(attributes(message[_ROUTE_HEADER.size :]))
    if (struct.unpack("=I", said[_RTA_TABLE])[0] if _RTA_TABLE in said else table) == _LOCAL_TABLE:
        return
    hops = [struct.unpack("=i", said[_RTA_OIF])[0]] if _RTA_OIF in said else list(_hops(said.get(_RTA_MULTIPATH, b"")))
    link = " and ".join(names.get(hop, f"link {hop}") for hop in hops) or "no link"
    yield Route(ip_network((said[_RTA_DST], length)), link)


def _hops(data: bytes) -> Iterator[int]:
    """The links of a route by several."""
    at = 0
    while at + _HOP.size <= len(data):
        length, _, _, link = _HOP.unpack_from(data, at)
        yield link
        at += max(length + 3 & ~3, _HOP.size)
