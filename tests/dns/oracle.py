"""What a zone must say, worked out the slow way from the rule's words; and random networks to ask about.

Names are dnspython's, addresses the standard library's; nothing of inndns is called.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, ip_network
from itertools import product
from typing import Any, NamedTuple

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from inndns.records import Host
from tests.dns.asking import SERVER, host

BLOCKS = [
    "10.42.0.0/16",
    "172.16.0.0/12",
    "10.42.128.0/17",
    "10.42.4.0/22",
    "192.168.7.128/25",
    "192.168.7.4/30",
    "fd00:1:2:3::/64",
    "fd00:1:2:8::/61",
    "fd00:1:2:3::10/126",
]
CLASSES = (3, 4, 5, 6)
FORWARD = dns.name.from_text("kermpany.wg")
TYPES = ["A", "AAAA", "PTR", "SOA", "NS", "TXT", "HTTPS", "DS", "ANY"]

Block = Any
Sees = dict[int, set[int]]


class Village(NamedTuple):
    block: str
    hosts: list[Host]
    sees: Sees


# -- the oracle -------------------------------------------------------------------------------------------------------


def may_see(sees: Sees, asker: Host, other: Host) -> bool:
    """The coordinator sees all and is seen by all; the others as their classes do."""
    return asker.class_ is None or other.class_ is None or other.class_ in sees[asker.class_]


def reverse_apexes(block: Block) -> Iterator[dns.name.Name]:
    """All domains cut at an octet or nibble that hold a part of the block: the widest that lie in it; the narrowest
    around it where the next cut would be a single address."""
    step = 8 if isinstance(block, IPv4Network) else 4
    cut = next(bits for bits in range(0, 129, step) if bits >= block.prefixlen)
    if cut == block.max_prefixlen:
        cut -= step
    for part in block.subnets(new_prefix=cut) if cut >= block.prefixlen else [block.supernet(new_prefix=cut)]:
        whole = dns.reversename.from_address(str(part.network_address))
        yield dns.name.Name(whole.labels[(block.max_prefixlen - cut) // step :])


def stands_for(name: dns.name.Name, block: Block) -> Block:
    """The addresses that a reverse name speaks of, as far as it can be read."""
    v4 = isinstance(block, IPv4Network)
    step, most = (8, 4) if v4 else (4, 32)
    digits: list[int] = []
    for label in reversed(name.labels[:-3]):
        text = label.decode("latin-1").lower()
        legal = [str(n) for n in range(256)] if v4 else list("0123456789abcdef")
        if text not in legal or len(digits) == most:
            break
        digits.append(legal.index(text))
    value = 0
    for digit in digits + [0] * (most - len(digits)):
        value = (value << step) + digit
    return type(block)((value, len(digits) * step))


class Told(NamedTuple):
    rcode: str
    aa: bool
    choices: set[tuple[str, str]]  # any one of these record sets (type, data) is right; none: no answer
    soa: dns.name.Name | None


REFUSED = Told("REFUSED", False, set(), None)


def expected(village: Village, asker: Host, name: dns.name.Name, type_: str) -> Told:
    block = ip_network(village.block)
    apexes = {FORWARD, *reverse_apexes(block)}
    apex = next((found for found in apexes if name.is_subdomain(found)), None)
    if apex is None or (apex != FORWARD and not stands_for(name, block).overlaps(block)):
        return REFUSED
    server = f"{SERVER}.kermpany.wg."
    records: dict[dns.name.Name, dict[str, str]] = {
        apex: {"SOA": f"{server} hostmaster.kermpany.wg. 7 3600 600 86400 30", "NS": server}
    }
    for other in village.hosts:
        if may_see(village.sees, asker, other):
            own = dns.name.from_text(other.name, FORWARD)
            records[own] = {"A" if other.address.version == 4 else "AAAA": str(other.address)}
            records[dns.reversename.from_address(str(other.address))] = {"PTR": f"{other.name}.kermpany.wg."}
    if not any(owner.is_subdomain(name) for owner in records):
        return Told("NXDOMAIN", True, set(), apex)
    here = records.get(name, {})
    choices = {(found, data) for found, data in here.items() if type_ in (found, "ANY")}
    return Told("NOERROR", True, choices, None if choices else apex)


def check(raw: bytes, told: Told, name: dns.name.Name) -> None:
    """An answer against what it must be."""
    read = dns.message.from_wire(raw)
    assert dns.rcode.to_text(read.rcode()) == told.rcode
    assert bool(read.flags & dns.flags.AA) == told.aa
    assert [rrset.name for rrset in read.authority] == ([] if told.soa is None else [told.soa])
    assert len(read.answer) == bool(told.choices)
    for rrset in read.answer:
        assert rrset.name == name
        assert rrset.ttl == 30
        assert [(dns.rdatatype.to_text(rrset.rdtype), data.to_text()) for data in rrset] == [
            choice for choice in told.choices if choice[0] == dns.rdatatype.to_text(rrset.rdtype)
        ]


# -- random networks and questions ------------------------------------------------------------------------------------


def examples(most: int) -> settings:
    """Bounded in number, not in time: a busy machine is no fault of what is tested."""
    return settings(max_examples=most, deadline=None, suppress_health_check=[HealthCheck.too_slow])


names = st.from_regex(r"[a-c][0-9]{0,2}", fullmatch=True) | st.sampled_from(["innernet", "server", "x-1"])


@st.composite
def sights(draw: st.DrawFn) -> Sees:
    """A symmetric relation of classes in which each sees itself."""
    pairs = draw(st.sets(st.sampled_from([pair for pair in product(CLASSES, CLASSES) if pair[0] < pair[1]])))
    return {a: {b for b in CLASSES if a == b or (a, b) in pairs or (b, a) in pairs} for a in CLASSES}


def offsets(block: Block) -> st.SearchStrategy[int]:
    """Places in a block: near each other, so that nodes above names are shared; at the edges of nodes; anywhere."""
    last = block.num_addresses - 1
    edges = [edge for edge in (0, 15, 16, 31, 255, 256, 511, 0x0FFF, 0xFFFF, last) if edge <= last]
    anywhere = st.integers(0, last).map(lambda offset: offset if offset != 1 else 2)  # 1 is the coordinator's
    return st.integers(2, min(20, last)) | st.sampled_from(edges) | anywhere


@st.composite
def populations(draw: st.DrawFn, block_text: str) -> list[Host]:
    """The coordinator and some peers with names and addresses of their own."""
    block = ip_network(block_text)
    first = block.network_address
    taken = draw(st.lists(offsets(block), unique=True, max_size=7))
    called = draw(st.lists(names, unique=True, min_size=len(taken), max_size=len(taken)))
    peers = [
        host(name, str(first + offset), draw(st.sampled_from(CLASSES)))
        for name, offset in zip(called, taken, strict=True)
    ]
    return [host(SERVER, str(first + 1), None), *peers]


@st.composite
def villages(draw: st.DrawFn) -> Village:
    block = draw(st.sampled_from(BLOCKS))
    return Village(block, draw(populations(block)), draw(sights()))


@st.composite
def asked_names(draw: st.DrawFn, village: Village) -> dns.name.Name:
    """A name at, above, below or beside the names of a village."""
    block = ip_network(village.block)
    prefix = draw(st.sampled_from(["", "", "", "x.", "0.", "7.x.", "256."]))
    if draw(st.booleans()):
        label = draw(st.sampled_from([h.name + "." for h in village.hosts]) | st.sampled_from(["", "zz."]))
        text = f"{prefix}{label}kermpany.wg."
    else:
        number = draw(st.sampled_from([int(h.address) for h in village.hosts])) + draw(
            st.sampled_from([0, 0, 0, 1, -1])
        )
        if draw(st.integers(0, 3)) == 0:
            number = int(block.network_address) + draw(offsets(block))
        whole = dns.reversename.from_address(str(type(block.network_address)(number)))
        text = prefix + dns.name.Name(whole.labels[draw(st.integers(0, len(whole.labels) - 3)) :]).to_text()
    return dns.name.from_text(text.upper() if draw(st.booleans()) else text)


def probes(hosts: Iterable[Host]) -> Iterator[tuple[dns.name.Name, str]]:
    """Every question at and above the names of hosts, and at their neighbours."""
    for one in hosts:
        for type_ in ("A", "AAAA", "TXT", "ANY"):
            yield dns.name.from_text(one.name, FORWARD), type_
            yield dns.name.from_text("x." + one.name, FORWARD), type_
        for number in (int(one.address), int(one.address) ^ 1):
            whole = dns.reversename.from_address(str(type(one.address)(number)))
            for drop in range(len(whole.labels) - 3):
                for type_ in ("PTR", "ANY"):
                    yield dns.name.Name(whole.labels[drop:]), type_
    for type_ in TYPES:
        yield FORWARD, type_
