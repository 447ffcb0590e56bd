"""DNS records that administrators add beside the names of peers. Each hangs on one peer: who sees that peer sees it,
and it goes with the peer.

A record's owner is kept relative to its peer: `@` is the peer's name, `app.@` and `*.app.@` lie below it, and a single
label without `@` is an alias beside the peers' names. So renaming a peer renames what lies below it.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.errors import Refused
from innerd.domain.network import Network, Peer, Record
from innerd.domain.values import Address, Range, parse_address, shown, whole_number

TYPES = ("A", "AAAA", "CNAME", "TXT", "SRV")
MOST = 64  # of one peer
MOST_TEXT = 1000  # characters of a value
_MAX_OWNER = 120  # characters: with the network's domain a name stays within 255 bytes
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?")
_EXTERNAL = re.compile(r"([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+")
_HERE = "@"

Events = tuple[e.AnyEvent, ...]


def full(owner: str, peer: str) -> str:
    """An owner or target as people know it, relative to the network's domain: `app.@` of ryo is app.ryo."""
    return peer if owner == _HERE else f"{owner[:-1]}{peer}" if owner.endswith(".@") else owner


def shown_value(record: Record, peer: str) -> str:
    """A value as people know it: names in it relative to the network's domain."""
    if record.rrtype == "CNAME":
        return full(record.value, peer)
    if record.rrtype == "SRV":
        numbers, _, target = record.value.rpartition(" ")
        return f"{numbers} {full(target, peer)}"
    return record.value


def names_of(peer: Peer) -> Iterator[str]:
    """The names that a peer's records make exist."""
    return (full(record.owner, peer.name) for record in peer.records)


def addresses(
    peer: str, ip: Address, records: Iterable[tuple[str, str, str]], block: Range | None
) -> Iterator[tuple[Address, str]]:
    """The names of a peer that have an address, for a hosts file: its own, and of its records (owner, type, value) what
    such a file can hold. It knows no wildcards, and addresses outside the network (`block`) are not for it."""
    found = {peer: [ip]}
    kept = [(full(owner, peer), rrtype, value) for owner, rrtype, value in records if not owner.startswith("*")]
    for name, rrtype, value in kept:
        if rrtype in ("A", "AAAA"):
            with contextlib.suppress(Refused):
                address = parse_address(value)
                found.setdefault(name, []).extend([address] if block is None or address in block else [])
    for name, rrtype, value in kept:
        if rrtype == "CNAME":
            found.setdefault(name, found.get(full(value, peer), []))
    return ((address, name) for name, held in found.items() for address in dict.fromkeys(held))


def add_record(network: Network, command: c.AddRecord) -> Events:
    """Add a record. The same one again changes nothing."""
    name = command.name.lower().rstrip(".")
    rrtype = command.rrtype.upper()
    if rrtype not in TYPES:
        raise Refused(
            "invalid_record", f"{shown(command.rrtype)} is no type of record that can be added", ", ".join(TYPES)
        )
    peer, owner = _place(network, name, rrtype, command.value)
    value = _value(network, peer, rrtype, command.value)
    if any((r.owner, r.rrtype, r.value) == (owner, rrtype, value) for r in peer.records):
        return ()
    _agrees(peer, owner, rrtype, name)
    if len(peer.records) >= MOST:
        raise Refused("too_many_records", f"{shown(peer.name)} has {MOST} records, which are the limit")
    number = network.last_record + 1
    return (e.RecordAdded(id=number, peer=peer.id, name=name, owner=owner, rrtype=rrtype, value=value),)


def delete_record(network: Network, command: c.DeleteRecord) -> Events:
    for peer in network.peers.values():
        for record in peer.records:
            if record.id == command.id:
                name = full(record.owner, peer.name)
                return (
                    e.RecordDeleted(
                        id=record.id,
                        peer=peer.id,
                        name=name,
                        owner=record.owner,
                        rrtype=record.rrtype,
                        value=record.value,
                    ),
                )
    raise Refused("record_not_found", f"there is no record with id {command.id}")


def check_owner(text: str) -> str:
    """An owner as it is stored. Raises Refused."""
    labels = text.split(".")
    plain = labels[1:] if labels[0] == "*" else labels
    last = plain[-1:] == [_HERE]
    if (
        len(text) > _MAX_OWNER
        or not plain
        or (text == "*.@")
        or not all(_LABEL.fullmatch(label) for label in (plain[:-1] if last else plain))
        or (not last and (len(labels) != 1))
    ):
        raise Refused(
            "invalid_record",
            f"{shown(text)} is no name for a record",
            "labels of a-z, 0-9, - and _, the last one a peer's name; * as the first label below one of these",
        )
    return text


def _place(network: Network, name: str, rrtype: str, value: str) -> tuple[Peer, str]:
    """On which peer a record hangs, and its owner there."""
    head, dot, last = name.rpartition(".")
    peer = network.peer_named(last)
    if peer is not None:
        return peer, check_owner(f"{head}.@" if dot else _HERE)
    if dot:
        raise Refused(
            "invalid_record",
            f"{shown(name)} hangs on no peer: there is none named {shown(last)}",
            "the last label is the peer whose record it is, such as app.ryo",
        )
    holder = network.peers.get(network.aliases.get(name, 0)) or _meant(network, rrtype, value)
    if holder is None:
        raise Refused(
            "invalid_record",
            f"{shown(name)} hangs on no peer",
            "write it below a peer's name, as in app.ryo; or let it be a CNAME of a peer, or have a peer's address",
        )
    return holder, check_owner(name)


def _meant(network: Network, rrtype: str, value: str) -> Peer | None:
    """The peer that an alias leads to."""
    if rrtype == "CNAME":
        return network.peer_named(value.lower().rstrip(".").rpartition(".")[2])
    return network.peer_at(parse_address(value)) if rrtype in ("A", "AAAA") else None


def _value(network: Network, peer: Peer, rrtype: str, text: str) -> str:
    match rrtype:
        case "A" | "AAAA":
            return _address(network, peer, rrtype, text)
        case "CNAME":
            return _target(network, peer, text)
        case "SRV":
            return _service(network, peer, text)
    if not text or len(text) > MOST_TEXT or not text.isprintable():
        raise Refused("invalid_record", f"a text has 1 to {MOST_TEXT} printable characters; this one has {len(text)}")
    return text


def _address(network: Network, peer: Peer, rrtype: str, text: str) -> str:
    address = parse_address(text)
    if address.version != (4 if rrtype == "A" else 6):
        raise Refused("invalid_record", f"{address} is no value of a record of type {rrtype}")
    if address not in network.root.range:
        raise Refused(
            "invalid_record", f"{address} lies outside the network ({network.root.range}): others could not reach it"
        )
    owner = network.peer_at(address)
    if owner is not None and owner.id != peer.id:
        raise Refused(
            "invalid_record",
            f"{address} is the address of {shown(owner.name)}, which not all may see who see {shown(peer.name)}",
            f"hang the record on {owner.name}",
        )
    return str(address)


def _target(network: Network, peer: Peer, text: str) -> str:
    """A name below the same peer, kept relative to it, or one outside the network, with a dot at its end. A name of
    another peer would be known to who may not see that peer."""
    name = text.lower()
    last = name.rstrip(".").rpartition(".")[2]
    other = network.peer_named(last)
    if other is not None and not name.endswith("."):
        if other.id != peer.id:
            raise Refused(
                "invalid_record",
                f"{shown(name)} is a name of another peer than {shown(peer.name)}",
                f"hang the record on {other.name}",
            )
        head = name[: -len(last)]
        return check_owner(f"{head}{_HERE}")
    absolute = name if name.endswith(".") else f"{name}."
    if "." not in name.rstrip(".") or len(absolute) > 253 or not _EXTERNAL.fullmatch(absolute):
        raise Refused(
            "invalid_record",
            f"{shown(text)} is neither a name below {shown(peer.name)} nor one outside the network",
            f"write {peer.name}, app.{peer.name}, or a whole name such as www.example.com",
        )
    return absolute


def _service(network: Network, peer: Peer, text: str) -> str:
    """RFC 2782: priority, weight, port and target."""
    *numbers, target = text.split() or [""]
    read = [whole_number(number, 65535) for number in numbers]
    if len(read) != 3 or None in read:
        raise Refused(
            "invalid_record", f"{shown(text)} is no SRV record", "write PRIORITY WEIGHT PORT TARGET, as in 0 0 8080 ryo"
        )
    return f"{' '.join(map(str, read))} {_target(network, peer, target)}"


def _agrees(peer: Peer, owner: str, rrtype: str, name: str) -> None:
    """A CNAME stands alone (RFC 1034 3.6.2), and a peer's own name has its address."""
    there = {record.rrtype for record in peer.records if record.owner == owner}
    if owner == _HERE and rrtype in ("CNAME", "A", "AAAA"):
        raise Refused(
            "record_conflict", f"{shown(name)} is a peer and has its address; no {rrtype} can stand beside it"
        )
    if (there and rrtype == "CNAME") or "CNAME" in there:
        raise Refused(
            "record_conflict",
            f"{shown(name)} has a record of type {', '.join(sorted(there))}: a CNAME stands alone",
            "delete that one first, or take another name",
        )
