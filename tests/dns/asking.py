"""Questions as bytes, a village to ask about, and answers as one readable line.

Questions are built by hand or by dnspython and answers are read by dnspython, so nothing here leans on our own
reader and writer of messages.
"""

from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from struct import pack

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype

from inndns import message as m
from inndns.records import Host
from inndns.zone import Zone, empty
from innerd.domain.maps import Map

ID = 0xBEEF
RD = 0x0100
DO = 0x8000
TTL = 30
SERVER = "innernet-server"

HUMANS, OVENS, CATS = 3, 4, 5
VILLAGE_SEES = {HUMANS: {HUMANS, OVENS}, OVENS: {OVENS, HUMANS}, CATS: {CATS}}


def wire(name: str) -> bytes:
    return dns.name.from_text(name).to_wire()


def packet(
    name: str | bytes = "ryo.kermpany.wg",
    type_: int | str = 1,
    class_: int = 1,
    *,
    flags: int = RD,
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
    tail: bytes = b"",
) -> bytes:
    """A question: `name` as text or as bytes to be taken as they are, `tail` behind it."""
    raw = wire(name) if isinstance(name, str) else name
    number = dns.rdatatype.from_text(type_) if isinstance(type_, str) else type_
    return pack(">HHHHHH", ID, flags, *counts) + raw + pack(">HH", number, class_) + tail


def opt(
    size: int = 1232, ttl: int = 0, options: bytes = b"", *, owner: bytes = b"\0", length: int | None = None
) -> bytes:
    """An OPT record; `ttl` holds extended rcode, version and flags; a `length` may lie."""
    return owner + pack(">HHIH", 41, size, ttl, len(options) if length is None else length) + options


def with_opt(record: bytes, count: int = 1, **kwargs: object) -> bytes:
    """A question with additional records behind it."""
    return packet(counts=(1, 0, 0, count), tail=record, **kwargs)  # type: ignore[arg-type]


def zone_of(
    hosts: Iterable[Host],
    block: str = "10.42.0.0/16",
    sees: dict[int, set[int]] | None = None,
    *,
    suffix: str = "wg",
    serial: int = 7,
) -> Zone:
    """A zone built afresh."""
    blank = empty("kermpany", suffix, ip_network(block), SERVER, TTL, Map())
    return blank.change(serial, sight(sees or {}), [], list(hosts))


def sight(sees: dict[int, set[int]]) -> Callable[[int], frozenset[int]]:
    return lambda class_: frozenset(sees.get(class_, {class_}))


def host(name: str, address: str, class_: int | None) -> Host:
    return Host(name, ip_address(address), class_)


VILLAGE_HOSTS = (
    host(SERVER, "10.42.0.1", None),
    host("ryo", "10.42.3.5", HUMANS),
    host("mari", "10.42.3.6", HUMANS),
    host("oven", "10.42.64.2", OVENS),
    host("tama", "10.42.200.9", CATS),
)
VILLAGE = zone_of(VILLAGE_HOSTS, sees=VILLAGE_SEES)
ADDRESS = {host.name: str(host.address) for host in VILLAGE_HOSTS}


def reply(packet: bytes, *, zone: Zone = VILLAGE, source: str = ADDRESS["ryo"], tcp: bool = False) -> bytes | None:
    """What the server says to a packet of a known asker; None is silence."""
    question = m.parse(packet)
    if question is None:
        return None
    asker = zone.asker(source)
    assert asker is not None, source
    return m.write(question, zone.answer(question, asker), tcp=tcp)


def summary(answer: bytes | None) -> str:
    """The head of an answer in a line: `NOERROR qr aa rd 1/1/0/0`, with `opt` or `opt:do` where there is one."""
    if answer is None:
        return "silence"
    read = dns.message.from_wire(answer)
    words = [dns.rcode.to_text(read.rcode())]
    if read.opcode():
        words.append(f"opcode={int(read.opcode())}")
    words += dns.flags.to_text(read.flags).lower().split()
    words.append("/".join(str(int.from_bytes(answer[at : at + 2], "big")) for at in (4, 6, 8, 10)))
    if read.edns >= 0:
        assert (read.edns, read.payload, read.options) == (0, 1232, ()), read
        words.append({0: "opt", DO: "opt:do"}[read.ednsflags & 0xFFFF])
    return " ".join(words)


def question_of(packet: bytes) -> bytes:
    """The bytes of the one question of a packet that has one."""
    at = 12
    while packet[at]:
        at += packet[at] + 1
    return packet[12 : at + 5]


def dig(question: str, *, zone: Zone = VILLAGE, source: str = ADDRESS["ryo"], tcp: bool = False) -> str:
    """What is answered to `name TYPE`: rcode and AA, the answer's records, the owner of the authority's SOA."""
    name, type_ = question.split()
    raw = reply(packet(name, type_), zone=zone, source=source, tcp=tcp)
    assert raw is not None
    return told(raw)


def told(raw: bytes) -> str:
    read = dns.message.from_wire(raw)
    words = [dns.rcode.to_text(read.rcode()) + (" aa" if read.flags & dns.flags.AA else "")]
    words += [line for rrset in read.answer for line in rrset.to_text().splitlines()]
    words += [f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)}" for rrset in read.authority]
    return " | ".join(words)
