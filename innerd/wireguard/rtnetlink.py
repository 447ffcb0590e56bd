"""The links, addresses and routes of this host as values, and the requests that change ours (rtnetlink(7)). Blocks.

Of our own: the library for it costs ten megabytes and a quarter of a second in each process, for a dozen messages.
"""

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from innerd.domain.errors import plainly
from innerd.domain.values import Address, Range
from innerd.wireguard.device import DeviceError
from innerd.wireguard.genetlink import Line
from innerd.wireguard.netlink import attribute, attributes

_NEW_LINK, _DEL_LINK, _GET_LINK = 16, 17, 18  # RTM_
_NEW_ADDRESS, _DEL_ADDRESS, _GET_ADDRESS = 20, 21, 22
_NEW_ROUTE, _GET_ROUTE = 24, 26
_REPLACE, _EXCLUSIVE, _CREATE = 0x100, 0x200, 0x400  # NLM_F_
_LINK, _ADDRESS, _ROUTE = struct.Struct("=BxHiII"), struct.Struct("=BBBBI"), struct.Struct("=8BI")  # the headers
_IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_ALIAS, _INFO_KIND = 3, 4, 10, 18, 20, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_METRICS, _RTA_MULTIPATH, _RTA_TABLE, _RTAX_MTU = 1, 4, 8, 9, 15, 2
_RTA_GATEWAY, _RTA_PREFSRC = 5, 7
_HOP = struct.Struct("=HBBi")  # length, flags, hops, link
_NODAD = 0x02  # IFA_F_NODAD
_STATIC, _UNICAST, _NOWHERE = 4, 1, (6, 7, 8)  # RTPROT_STATIC; RTN_UNICAST, …BLACKHOLE, …UNREACHABLE, …PROHIBIT
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}

UP, LOOPBACK, LOWER_UP = 0x1, 0x8, 0x10000  # IFF_; the last: it has carrier
GLOBAL, ON_LINK = 0, 253  # scopes
MAIN, LOCAL = 254, 255  # tables


class Link(NamedTuple):
    """`kind`: "wireguard", "tun", …; "" of a plain one. `master`: the bridge that it is plugged to."""

    number: int
    name: str
    kind: str
    mtu: int
    flags: int
    alias: str
    master: int | None


class LinkAddress(NamedTuple):
    link: int
    address: Address
    prefixlen: int
    scope: int


class HostRoute(NamedTuple):
    """`links` are several where it has several next hops; `mtu` is its own metric; `is_dead`: it leads nowhere, on
    purpose (a blackhole)."""

    destination: Range
    links: tuple[int, ...]
    table: int
    mtu: int | None
    is_dead: bool = False


class NextHop(NamedTuple):
    """Where a packet goes first: the link, the router (None: its receiver is on that link), and its source address."""

    link: int
    router: Address | None
    source: Address | None


class RouteSocket(Line):
    """All methods raise OSError with the kernel's errno."""

    def __init__(self) -> None:
        super().__init__(socket.NETLINK_ROUTE)

    # -- what there is ------------------------------------------------------------------------------------------

    def links(self) -> list[Link]:
        return list(map(_link, self.dump_of(_GET_LINK, bytes(_LINK.size))))

    def link(self, number: int) -> Link:
        return _link(self.ask(_GET_LINK, _LINK.pack(0, 0, number, 0, 0))[0])

    def addresses(self) -> list[LinkAddress]:
        return [one for told in self.dump_of(_GET_ADDRESS, bytes(_ADDRESS.size)) for one in _address(told)]

    def routes(self) -> list[HostRoute]:
        return [one for told in self.dump_of(_GET_ROUTE, bytes(_ROUTE.size)) for one in _route(told)]

    def route_to(self, address: Address) -> HostRoute | None:
        """The route that a packet takes; None where there is none."""
        return next((one for message in self._towards(address) for one in _route(message)), None)

    def next_hop(self, address: Address) -> NextHop | None:
        """Where a packet to an address goes first; None where no link leads there."""
        for message in self._towards(address):
            kind, said = _ROUTE.unpack_from(message)[7], dict(attributes(message[_ROUTE.size :]))
            if kind == _UNICAST and _RTA_OIF in said:
                router, source = said.get(_RTA_GATEWAY), said.get(_RTA_PREFSRC)
                hop = None if router is None else ip_address(router)
                return NextHop(_number(said[_RTA_OIF]) or 0, hop, None if source is None else ip_address(source))
        return None

    def _towards(self, address: Address) -> list[bytes]:
        """What the kernel says of the way to an address; nothing where there is none."""
        header = _ROUTE.pack(_FAMILY[address.version], address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
        try:
            return self.ask(_GET_ROUTE, header + attribute(_RTA_DST, address.packed))
        except OSError:
            return []  # unreachable, prohibited, no such family

    # -- what is to be ------------------------------------------------------------------------------------------

    def add_link(self, name: str, kind: str) -> None:
        info = attribute(_IFLA_LINKINFO, attribute(_INFO_KIND, kind.encode()))
        body = bytes(_LINK.size) + attribute(_IFLA_IFNAME, name.encode() + b"\0") + info
        self.ask(_NEW_LINK, body, _CREATE | _EXCLUSIVE)

    def delete_link(self, index: int) -> None:
        self.ask(_DEL_LINK, _LINK.pack(0, 0, index, 0, 0))

    def set_up(self, index: int) -> None:
        self.ask(_NEW_LINK, _LINK.pack(0, 0, index, UP, UP))

    def set_mtu(self, index: int, mtu: int) -> None:
        self.ask(_NEW_LINK, _LINK.pack(0, 0, index, 0, 0) + attribute(_IFLA_MTU, struct.pack("=I", mtu)))

    def set_alias(self, index: int, alias: str) -> None:
        self.ask(_NEW_LINK, _LINK.pack(0, 0, index, 0, 0) + attribute(_IFLA_ALIAS, alias.encode()))

    def add_address(self, index: int, address: Address, prefixlen: int) -> None:
        """IPv6 without duplicate address detection: for a second or two of it an address is tentative, binding to it
        fails and first packets leave from a link-local address."""
        flags = _NODAD if address.version == 6 else 0
        self.ask(_NEW_ADDRESS, _addressed(index, address, prefixlen, flags), _CREATE | _REPLACE)

    def delete_address(self, index: int, address: Address, prefixlen: int) -> None:
        self.ask(_DEL_ADDRESS, _addressed(index, address, prefixlen))

    def add_route(self, index: int, block: Range) -> None:
        scope = ON_LINK if block.version == 4 else GLOBAL
        header = _ROUTE.pack(_FAMILY[block.version], block.prefixlen, 0, 0, MAIN, _STATIC, scope, _UNICAST, 0)
        to = attribute(_RTA_DST, block.network_address.packed) + attribute(_RTA_OIF, struct.pack("=i", index))
        self.ask(_NEW_ROUTE, header + to, _CREATE | _REPLACE)


def refusal(code: int, message: str) -> DeviceError:
    """The DeviceError of an errno."""
    if code in (errno.EPERM, errno.EACCES):
        return DeviceError("not_root", f"{message}: CAP_NET_ADMIN is missing", "run it as root")
    if code == errno.EADDRINUSE:
        return DeviceError("port_in_use", message, "choose another listen port, or stop what uses this one")
    return DeviceError("device_failed", message)


@contextlib.contextmanager
def route_socket() -> Iterator[RouteSocket]:
    """A socket; errors come out as DeviceError."""
    try:
        with contextlib.closing(RouteSocket()) as line:
            yield line
    except OSError as error:
        raise refusal(error.errno or 0, f"netlink: {plainly(error)}") from error
    except (struct.error, ValueError, LookupError) as error:
        raise DeviceError("device_failed", f"netlink: what came can't be read: {plainly(error)}") from error


def _addressed(index: int, address: Address, prefixlen: int, flags: int = 0) -> bytes:
    header = _ADDRESS.pack(_FAMILY[address.version], prefixlen, flags, GLOBAL, index)
    return header + attribute(_IFA_LOCAL, address.packed) + attribute(_IFA_ADDRESS, address.packed)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _number(value: bytes | None) -> int | None:
    return None if value is None else int(struct.unpack("=I", value)[0])


def _link(message: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(message)
    said = dict(attributes(message[_LINK.size :]))
    kind = dict(attributes(said.get(_IFLA_LINKINFO, b""))).get(_INFO_KIND, b"")
    name, alias = _text(said[_IFLA_IFNAME]), _text(said.get(_IFLA_ALIAS, b""))
    master = _number(said.get(_IFLA_MASTER))
    return Link(index, name, _text(kind), _number(said.get(_IFLA_MTU)) or 0, flags, alias, master)


def _address(message: bytes) -> Iterator[LinkAddress]:
    family, prefixlen, _, scope, link = _ADDRESS.unpack_from(message)
    said = dict(attributes(message[_ADDRESS.size :]))
    packed = said.get(_IFA_LOCAL) or said.get(_IFA_ADDRESS)
    if family in _FAMILY.values() and packed:
        yield LinkAddress(link, ip_address(packed), prefixlen, scope)


def _route(message: bytes) -> Iterator[HostRoute]:
    """A route, if it is not of the kernel's own (to this host, to everybody on a link)."""
    family, length, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(message)
    if family not in _FAMILY.values() or kind not in (_UNICAST, *_NOWHERE):
        return
    said = dict(attributes(message[_ROUTE.size :]))
    packed = said.get(_RTA_DST) or bytes(4 if family == socket.AF_INET else 16)
    links = (_number(said[_RTA_OIF]) or 0,) if _RTA_OIF in said else tuple(_hops(said.get(_RTA_MULTIPATH, b"")))
    mtu = _number(dict(attributes(said.get(_RTA_METRICS, b""))).get(_RTAX_MTU))
    told = _number(said.get(_RTA_TABLE))
    yield HostRoute(ip_network((packed, length)), links, table if told is None else told, mtu, kind != _UNICAST)


def _hops(data: bytes) -> Iterator[int]:
    """The links of a route by several."""
    at = 0
    while at + _HOP.size <= len(data):
        length, _, _, link = _HOP.unpack_from(data, at)
        yield link
        at += max(length + 3 & ~3, _HOP.size)
