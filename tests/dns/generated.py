"""Generated networks and thousands of generated questions about them: names that are there, names that are not, and
what lies above, below and beside them; every type, class, flag and option that is asked; packets that are broken."""

from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from random import Random
from struct import pack
from typing import NamedTuple

import dns.name
import dns.reversename

from inndns.records import Host
from inndns.zone import Zone, empty
from innerd.domain.maps import Map
from tests.dns.asking import DO, RD, SERVER, host, opt, packet, sight
from tests.dns.oracle import reverse_apexes

TTL, SERIAL = 30, 77
HUMANS, OVENS = 3, 4
SEES = {HUMANS: {HUMANS, OVENS}, OVENS: {HUMANS, OVENS}}

# Every type that a peer has, then those that others ask of it, then types of no use to anybody.
_OWN = [1, 28, 12, 16, 33, 5, 255]
_ASKED = [2, 6, 15, 35, 39, 43, 46, 47, 48, 52, 64, 65, 99, 256, 257]
_ODD = [0, 3, 10, 13, 41, 249, 250, 251, 252, 253, 254, 0x4141, 65_280, 65_535]
_CLASSES = [0, 2, 3, 4, 254, 255, 0x4141]
_FLAGS = [0, RD, 0x0010, 0x0020, 0x0040, 0x0080, 0x0200, 0x0400, 0x03F0]
_OPTIONS = [
    b"",
    pack(">HH", 3, 0),  # NSID
    pack(">HHHBB", 8, 4, 1, 0, 0),  # client subnet 0.0.0.0/0
    pack(">HH", 10, 8) + b"c" * 8,  # cookies, whole and of a bad length
    pack(">HH", 10, 3) + b"ccc",
    pack(">HH", 11, 0),  # keep-alive
    pack(">HH", 12, 20) + b"\0" * 20,  # padding
    pack(">HH", 65_001, 5) + b"hello",
    pack(">HH", 3, 0) + pack(">HH", 65_001, 0),
]


class Network(NamedTuple):
    """`zone` is ours, of what `asker` sees: everybody."""

    domain: str
    block: str
    hosts: list[Host]
    zone: Zone
    asker: str


def network(rng: Random, label: str, block: str, peers: int, records: bool = False) -> Network:
    """Peers at any address of a range, some of them close together; with records beside them if wanted."""
    range_ = ip_network(block)
    most = range_.num_addresses - 2
    near = range(2, min(peers // 2, most) + 2)
    taken = {*near} | {1 + rng.randrange(1, most) for _ in range(peers)}
    names = [f"{rng.choice(['ryo', 'mari', 'x-1', '0', 'a' * 59])}{n}" for n in range(len(taken))]
    first = range_.network_address
    hosts = [host(SERVER, str(first + 1), None)]
    for name, offset in zip(names, sorted(taken), strict=True):
        one = host(name, str(first + offset), rng.choice([HUMANS, OVENS]))
        told = tuple(_records(rng, one, names)) if records and rng.random() < 0.3 else ()
        hosts.append(Host(one.name, one.address, one.class_, told))
    zone = empty(label, "wg", range_, SERVER, TTL, Map()).change(SERIAL, sight(SEES), [], hosts)
    return Network(f"{label}.wg", block, hosts, zone, str(hosts[0].address))


def _records(rng: Random, one: Host, names: list[str]) -> Iterator[tuple[str, str, str]]:
    """Records as administrators give them to a peer: an owner has either an alias or others."""
    kind = "A" if one.address.version == 4 else "AAAA"
    yield "@", "TXT", f"v={one.name}"
    for owner in rng.sample(["app", "*.web", "a.b.c", "*.app", "_http._tcp", "api.web", "*.deep.down", "old"], 3):
        match rng.randrange(5):
            case 0:
                yield f"{owner}.@", "CNAME", rng.choice(["@", rng.choice(names), "app.@", "lost.@", "www.example.com."])
            case 1:
                yield f"{owner}.@", "TXT", rng.choice(["one", "", "x" * 300, 'quote " and \\'])
                yield f"{owner}.@", kind, str(one.address)
            case 2:
                yield f"{owner}.@", "SRV", f"0 5 {rng.randrange(65_536)} @"
                yield f"{owner}.@", "SRV", f"1 5 {rng.randrange(65_536)} {rng.choice(names)}"
            case _:
                yield f"{owner}.@", kind, str(one.address)
    if rng.random() < 0.3:
        yield f"svc-{one.name[-8:]}", "CNAME", "@"
        yield "first.@", "CNAME", "second.@"
        yield "second.@", "CNAME", rng.choice(["@", "third.@", "www.example.com."])


def _at_and_above(whole: dns.name.Name, apexes: list[dns.name.Name]) -> list[dns.name.Name]:
    """A name and all above it, down to the top of its zone."""
    apex = next(apex for apex in apexes if whole.is_subdomain(apex))
    return [dns.name.Name(whole.labels[drop:]) for drop in range(len(whole.labels) - len(apex.labels) + 1)]


def names_of(rng: Random, known: Network) -> Iterator[dns.name.Name]:
    """Names of a network without an end: a third of them exist."""
    range_, forward = ip_network(known.block), dns.name.from_text(known.domain)
    apexes = [forward, *reverse_apexes(range_)]
    owners = [
        ".".join(one.name if label == "@" else label for label in owner.split("."))
        for one in known.hosts
        for owner, _, _ in one.records
    ]
    most = range_.num_addresses
    labels = [
        b"x",
        b"*",
        b"0",
        b"00",
        b"7",
        b"_http",
        b"_tcp",
        b"web",
        b"app",
        b"f",
        b"256",
        b"\xff\xfe",
        b"r\0o",
        b"A.b",
    ]
    while True:
        one = rng.choice(known.hosts)
        match rng.randrange(8):
            case 0 | 1:
                name = dns.name.from_text(one.name, forward)
            case 2:
                name = dns.name.from_text(rng.choice(owners), forward) if owners else rng.choice(apexes)
                if rng.random() < 0.5 and name not in apexes:
                    name = rng.choice(_at_and_above(name, apexes))
            case 3:
                name = dns.name.from_text(rng.choice(["nobody", one.name[:-1] + "~", "wg", "hostmaster"]), forward)
            case 4:
                name = rng.choice(apexes)
            case _:
                number = int(one.address) + rng.choice([0, 0, 0, 1, -1, 16, 256])
                if rng.random() < 0.2:
                    number = int(range_.network_address) + rng.randrange(most)
                number = min(max(number, int(range_[0])), int(range_[-1]))
                whole = dns.reversename.from_address(str(type(range_[0])(number)))
                name = rng.choice([whole, rng.choice(_at_and_above(whole, apexes))])
        for _ in range(rng.choice([0, 0, 0, 0, 0, 1, 1, 2])):
            label = rng.choice(labels)
            if sum(map(len, name.labels)) + len(name.labels) + len(label) + 1 <= 255:
                name = dns.name.Name((label, *name.labels))
        yield name


def elsewhere(rng: Random, known: Network) -> dns.name.Name:
    """A name that is none of a network's."""
    range_ = ip_network(known.block)
    whole = dns.reversename.from_address("9.9.9.9" if isinstance(range_, IPv4Network) else "fe80::9")
    text = rng.choice(
        [".", "wg", "example.com", f"{known.domain}.example.com", f"x{known.domain}", "arpa", "10.in-addr.arpa"]
    )
    return rng.choice([dns.name.from_text(text), whole, dns.name.Name(whole.labels[2:])])


def _case(rng: Random, name: bytes) -> bytes:
    """The letters of a name in cases as they fall (no length is a letter)."""
    return bytes(
        byte ^ 0x20 if 0x41 <= byte & 0xDF <= 0x5A and byte > 0x3F and rng.random() < 0.5 else byte for byte in name
    )


def questions(rng: Random, known: Network) -> Iterator[bytes]:
    """Questions without an end, whole ones."""
    names = names_of(rng, known)
    while True:
        name = elsewhere(rng, known) if rng.random() < 0.06 else next(names)
        wire = b"".join(bytes((len(label),)) + label for label in name.labels)
        type_ = rng.choice(
            [rng.choice(_OWN), rng.choice(_OWN), rng.choice(_ASKED), rng.choice(_ODD), rng.randrange(65_536)]
        )
        class_ = rng.choice(_CLASSES) if rng.random() < 0.04 else 1
        flags = rng.choice(_FLAGS) if rng.random() < 0.3 else RD
        if rng.random() < 0.01:
            flags |= rng.choice([1, 2, 4, 5, 6, 15]) << 11
        if rng.random() < 0.005:
            flags |= 15
        counts, tail = (1, 0, 0, 0), b""
        if rng.random() < 0.6:
            counts = (1, 0, 0, 1)
            size = rng.choice([0, 512, 1231, 1232, 1233, 4096, 65_535])
            version = rng.choice([1, 2, 255]) << 16 if rng.random() < 0.08 else 0
            ttl = rng.choice([0, DO, DO, 0x7FFF, 0xFF00_0000]) | version
            tail = opt(size, ttl, rng.choice(_OPTIONS))
        yield packet(
            _case(rng, wire) if rng.random() < 0.5 else wire, type_, class_, flags=flags, counts=counts, tail=tail
        )


def broken(rng: Random, sent: bytes) -> bytes:
    """A question with a few things wrong; its id stays."""
    made = bytearray(sent)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if len(made) < 3:
            break
        match rng.randrange(7):
            case 0:
                made[rng.randrange(2, len(made))] = rng.randrange(256)
            case 1:
                made[rng.randrange(2, len(made))] ^= 1 << rng.randrange(8)
            case 2:
                del made[rng.randrange(2, len(made)) :]
            case 3:
                made += rng.randbytes(rng.randrange(1, 40))
            case 4:
                at = rng.randrange(4, 12)
                made[at : at + 1] = bytes((rng.choice([0, 1, 2, 255]),))
            case 5:
                at = rng.randrange(2, len(made))
                made[at:at] = rng.choice([b"\xc0\x0c", b"\xc0", b"\0", b"\x3f", b"\x40", opt(), rng.randbytes(4)])
            case 6:
                at = rng.randrange(2, len(made))
                del made[at : at + rng.randrange(1, 6)]
    return bytes(made)
