"""The edge in the kernel: data is forwarded by nftables at ingress, before anything else of this host sees it, and none
of it comes to a process. Blocks; errors are OSError or DeviceError.

The table is `innerd-NETWORK`, of the family netdev. `index4` and `index6` say whom what comes from an endpoint under an
index is for, as a mark that is the peer's id; all else of the peer (address and port, which of our addresses it knows
us by, the next hop and its link) is by that mark, so that one who moves costs one element of each.
"""

import contextlib
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import ip_address

from innerd.domain.values import Endpoint, endpoint_of, split_endpoint
from innerd.relay import TABLES
from innerd.relay.limits import Limits, Total, burst_of
from innerd.relay.nftables import AT_ONCE, Entry, Maps, run
from innerd.relay.table import LIVES, Drop, Edit, Element, Place, Placed, Put
from innerd.wireguard.device import DeviceError
from innerd.wireguard.links import number_of
from innerd.wireguard.rtnetlink import LOOPBACK, UP, RouteSocket, route_socket

_ADDRESSES = ("address", "own", "hop")  # of a peer
COUNTERS = ("forwarded", "held_peer", "held_total")
_LIVES = LIVES + 150.0  # seconds: the table lets go of it before, so that nothing is to be taken out that is gone


class KernelEdge:
    """`links` are looked up anew at each `install`. `placed` are the peers whose packets it can carry."""

    def __init__(self, network: str, own_interface: str, port: int, limits: Limits) -> None:
        self.table = table_of(network)
        self._own, self._port, self._limits = own_interface, port, limits
        self._links: tuple[str, ...] = ()
        self._maps = Maps(self.table)
        self._aside = Aside(self.table)  # for what is asked in threads
        self._routes = RouteSocket()
        self._numbers: set[int] = set()  # of these
        self.placed: dict[int, dict[str, tuple[bytes, bytes]]] = {}  # by peer: map, key and value

    def close(self) -> None:
        """Let go of it; what it carries it goes on carrying."""
        self._maps.close()
        self._aside.close()
        self._routes.close()

    def abandon(self) -> None:
        """Let go of it, and leave nothing behind. Blocks."""
        with contextlib.suppress(DeviceError):
            self.remove()
        self.close()

    # -- rules --------------------------------------------------------------------------------------------------

    def install(self) -> bool:
        """The table with all its rules, on the links that this host has now; elements stay. Whether it was not there
        before. Raises DeviceError."""
        links = _links(self._own)
        with self._aside as maps:
            was_there = maps.exists()
            chains = [name for name in maps.chains() if name.startswith("in")] if was_there else None
        run(rules(self.table, links, self._port, self._limits, chains))
        self._links = links
        self._numbers = {number for name in links if (number := number_of(name)) is not None}
        if not was_there:
            self.placed = {}
        return not was_there

    def is_whole(self) -> bool:
        with self._aside as maps:
            return maps.exists()

    def has_other_links(self) -> bool:
        """Whether this host has other links now than at the last `install`."""
        return _links(self._own) != self._links

    def remove(self) -> None:
        """Take it all away."""
        sweep(self.table)
        self.placed = {}

    # -- elements -----------------------------------------------------------------------------------------------

    def apply(self, edits: Iterable[Edit]) -> None:
        """What is to be carried to whom, and where they are. Where no link leads to a place, it is left out of
        `placed`."""
        gone: dict[str, list[bytes]] = {}
        put: dict[str, dict[bytes, Entry]] = {}
        for edit in edits:
            match edit:
                case Put(element, _, to):
                    name, key = _key(element)
                    put.setdefault(name, {})[key] = Entry(key, struct.pack("=I", to), _LIVES)
                case Drop(element):
                    name, key = _key(element)
                    gone.setdefault(name, []).append(key)
                    put.get(name, {}).pop(key, None)  # what goes goes first
                case Placed(peer, place):
                    self._place(peer, place, gone, put)
        self._commit(gone, put)

    def _place(
        self, peer: int, place: Place | None, gone: dict[str, list[bytes]], put: dict[str, dict[bytes, Entry]]
    ) -> None:
        before, after = self.placed.pop(peer, {}), {} if place is None else self._of_place(peer, place)
        for name, (key, value) in before.items():
            if after.get(name) != (key, value):
                gone.setdefault(name, []).append(key)
                put.get(name, {}).pop(key, None)
        for name, (key, value) in after.items():
            if before.get(name) != (key, value):
                put.setdefault(name, {})[key] = Entry(key, value)
        if after:
            self.placed[peer] = after

    def _of_place(self, peer: int, place: Place) -> dict[str, tuple[bytes, bytes]]:
        """The elements of a peer at a place; none where no link leads there."""
        host, port = split_endpoint(place.endpoint)
        address, mark = ip_address(host.partition("%")[0]), struct.pack("=I", peer)
        way = self._routes.next_hop(address)
        if way is None or way.link not in self._numbers:
            return {}
        own, hop = ip_address(place.own) if place.own else way.source, way.router or address
        if own is None or not own.version == hop.version == address.version:
            return {}
        values = {
            "address": address.packed,
            "own": own.packed,
            "hop": hop.packed,
            "link": struct.pack("=i", way.link),
            "port": struct.pack(">H", port),
        }
        return {f"{name}{address.version}": (mark, value) for name, value in values.items()}

    def _commit(self, gone: dict[str, list[bytes]], put: dict[str, dict[bytes, Entry]]) -> None:
        for name, keys in gone.items():
            for at in range(0, len(keys), AT_ONCE):
                self._take(name, keys[at : at + AT_ONCE])
        for name, found in put.items():
            entries = list(found.values())
            for at in range(0, len(entries), AT_ONCE):
                self._put(name, entries[at : at + AT_ONCE])

    def _take(self, name: str, keys: Sequence[bytes]) -> None:
        """What is gone already (its time was over) keeps the rest from going: it is found by halves."""
        try:
            self._maps.take(name, keys)
        except FileNotFoundError:
            if not self._maps.exists():
                raise
            if (half := len(keys) // 2) > 0:
                self._take(name, keys[:half])
                self._take(name, keys[half:])

    def _put(self, name: str, entries: Sequence[Entry]) -> None:
        """The same of what is there with another value (of a run before), and is replaced."""
        try:
            self._maps.put(name, entries)
        except FileExistsError:
            if (half := len(entries) // 2) > 0:
                self._put(name, entries[:half])
                self._put(name, entries[half:])
            else:
                self._maps.take(name, [entry.key for entry in entries])
                self._maps.put(name, entries)

    def counters(self) -> dict[Element, int]:
        """The bytes that have passed by each element."""
        found = {}
        with self._aside as maps:
            for name in ("index4", "index6"):
                for key, _, passed in maps.counters(name):
                    found[_element(key)] = passed
        return found

    def total(self) -> Total:
        with self._aside as maps:
            counted = maps.counted()
        held = sum(counted.get(name, (0, 0))[0] for name in COUNTERS[1:])
        packets, passed = counted.get(COUNTERS[0], (0, 0))
        return Total(packets, passed, held)

    def owns(self) -> dict[int, str]:
        """The address of ours that each peer that is placed hears from."""
        return {
            peer: str(ip_address(values[name][1]))
            for peer, values in self.placed.items()
            for name in ("own4", "own6")
            if name in values
        }

    def adopt(self) -> dict[Element, int]:
        """Take what is there from a run before: the elements, and for whom each is."""
        found = {}
        with self._aside as maps:
            for version in (4, 6):
                for name in (f"{name}{version}" for name in (*_ADDRESSES, "link", "port")):
                    for key, value, _ in maps.counters(name):
                        self.placed.setdefault(int(struct.unpack("=I", key)[0]), {})[name] = (key, value)
                for key, value, _ in maps.counters(f"index{version}"):
                    found[_element(key)] = int(struct.unpack("=I", value)[0])
        return found


class Aside:
    """The same maps on a line of its own, for one thread at a time."""

    def __init__(self, table: str) -> None:
        self._maps, self._turn = Maps(table), threading.Lock()

    def close(self) -> None:
        self._maps.close()

    def __enter__(self) -> Maps:
        self._turn.acquire()
        return self._maps

    def __exit__(self, *_: object) -> None:
        self._turn.release()


def sweep(table: str) -> None:
    """Take a table away, with all that is in it. Raises DeviceError."""
    run(f"add table netdev {table}\ndelete table netdev {table}\n")


def clear(network: str) -> None:
    """Leave nothing of a network's relay behind, if there is anything. Raises DeviceError."""
    if is_left(table_of(network)):
        sweep(table_of(network))


def is_left(table: str) -> bool:
    """Whether there is one."""
    try:
        with contextlib.closing(Maps(table)) as maps:
            return maps.exists()
    except OSError:
        return False


def table_of(network: str) -> str:
    return TABLES + network


def _links(own: str) -> tuple[str, ...]:
    """The links over which packets of others may come: all that are up and are not our own interface or loopback."""
    with route_socket() as ip:
        addressed = {one.link for one in ip.addresses()}
        found = [
            link.name
            for link in ip.links()
            if link.number in addressed
            and link.flags & UP
            and not link.flags & LOOPBACK
            and link.name != own
            and link.kind not in ("wireguard", "tun")
        ]
    return tuple(sorted(found))


def _key(element: Element) -> tuple[str, bytes]:
    """The map that an element is in, and its key there: address, port in four bytes, index."""
    name, source = _source(element.source)
    return name, source + element.index


@lru_cache(1 << 16)
def _source(endpoint: Endpoint) -> tuple[str, bytes]:
    host, port = split_endpoint(endpoint)
    address = ip_address(host)
    return f"index{address.version}", address.packed + struct.pack(">H2x", port)


def _element(key: bytes) -> Element:
    address, (port,) = key[:-8], struct.unpack_from(">H", key, len(key) - 8)
    return Element(endpoint_of(str(ip_address(address)), port), key[-4:])


def rules(table: str, links: Sequence[str], port: int, limits: Limits, chains: Sequence[str] | None) -> str:
    """The table as nft(8) reads it. `chains`: those at ingress that it has, where it is there already and its elements
    stay."""
    made = [f"add table netdev {table}"]
    if chains is None:
        made += [line for version in (4, 6) for line in _maps_of(table, version)]
        made += [f"add counter netdev {table} {name}" for name in COUNTERS]
    else:
        made += [f"flush table netdev {table}", *(f"delete chain netdev {table} {name}" for name in chains)]
        made += [f"flush set netdev {table} rate{version}" for version in (4, 6)]  # which may be of another limit
    for version in (4, 6):
        made += _forwarding(table, version, port, limits)
    for number, link in enumerate(links):
        chain = f"add chain netdev {table} in{number}"
        made.append(f'{chain} {{ type filter hook ingress device "{link}" priority 0; policy accept; }}')
        for version in (4, 6):
            protocol = "ip protocol" if version == 4 else "ip6 nexthdr"
            # Cookie replies and data: both bear the receiver's index at the same place.
            made.append(
                f"add rule netdev {table} in{number} {protocol} udp udp dport {port} "
                f"fib daddr type local @th,64,32 {{ 0x03000000, 0x04000000 }} jump relay{version}"
            )
    return "\n".join(made) + "\n"


def _maps_of(table: str, version: int) -> Iterator[str]:
    ip, address = ("ip", "ipv4_addr") if version == 4 else ("ip6", "ipv6_addr")
    key = f"typeof {ip} saddr . udp sport . @th,96,32 : meta mark"
    yield f"add map netdev {table} index{version} {{ {key}; flags timeout; size 262144; counter; }}"
    for name, kind in (*((name, address) for name in _ADDRESSES), ("link", "iface_index"), ("port", "inet_service")):
        yield f"add map netdev {table} {name}{version} {{ type mark : {kind}; size 65536; }}"
    source = f"typeof {ip} saddr . udp sport"
    yield f"add set netdev {table} rate{version} {{ {source}; flags dynamic,timeout; timeout 1m; size 65536; }}"


def _forwarding(table: str, version: int, port: int, limits: Limits) -> list[str]:
    ip = "ip" if version == 4 else "ip6"
    chain, mark = f"netdev {table} relay{version}", "meta mark map @"
    out = f"netdev {table} out{version}"
    made = [f"add chain {out}", f"add chain {chain}"]
    made.append(
        f"add rule {chain} meta mark set {ip} saddr . udp sport . @th,96,32 map @index{version} goto out{version}"
    )
    if limits.per_peer is not None:
        rate = f"limit rate over {_rate(limits.per_peer)}"
        source = f"{ip} saddr . udp sport"
        made.append(f"add rule {out} update @rate{version} {{ {source} {rate} }} counter name held_peer drop")
    if limits.total is not None:
        made.append(f"add rule {out} limit rate over {_rate(limits.total)} counter name held_total drop")
    to = f"udp dport set {mark}port{version} udp sport set {port}"
    addresses = f"{ip} saddr set {mark}own{version} {ip} daddr set {mark}address{version}"
    forward = f"fwd {ip} to {mark}hop{version} device {mark}link{version}"
    made.append(f"add rule {out} {to} {addresses} counter name forwarded {forward}")
    return made


def _rate(limit: int) -> str:
    return f"{limit} bytes/second burst {burst_of(limit)} bytes"
