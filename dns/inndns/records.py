"""Records beside the names of hosts, compiled: which nodes of the zone they make, and what stands there. Pure.

An owner or target is relative to its host: `@` is the host's name, `app.@` lies below it, a single label stands beside
the hosts' names; a target that ends in a dot is a whole name.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from msgspec import Struct

from inndns import message as m
from inndns.reverse import Address

Told = tuple[str, str, str]  # owner, type and value
Class = int
_TYPES = {"A": m.A, "AAAA": m.AAAA, "CNAME": m.CNAME, "TXT": m.TXT, "SRV": m.SRV}
_STRING = 255  # bytes


class Host(Struct, frozen=True, gc=False):
    """One name with its address. `class_` None: everybody of the network sees it (the coordinator)."""

    name: str
    address: Address
    class_: Class | None
    records: tuple[Told, ...] = ()


class Node(Struct, frozen=True, gc=False):
    """A name of the zone that stands for no host. `sets` are its record sets, by type: bytes, and how many records;
    without any it stands only above others (RFC 4592 2.2.2). `target` is where its CNAME leads, in wire format. `host`
    is the one that it hangs on: who sees that sees this."""

    host: Host
    sets: dict[int, tuple[bytes, int]]
    target: bytes | None = None


def nodes(host: Host, apex: bytes, ttl: int) -> dict[bytes, Node]:
    """The nodes that a host's records make, by their names in wire format, relative to the zone."""
    data: dict[bytes, dict[int, list[bytes]]] = {}
    for owner, type_, value in host.records:
        kind = _TYPES.get(type_)
        if kind is None:
            continue  # of a later release
        try:
            name, written = _relative(owner, host.name), _rdata(kind, value, host.name, apex)
        except (ValueError, OverflowError):
            continue  # no such value: a client has it from a coordinator that says anything
        data.setdefault(name, {}).setdefault(kind, []).append(written)
        for above in _between(name):
            data.setdefault(above, {})
    return {name: _node(host, sets, ttl) for name, sets in data.items()}


def _node(host: Host, sets: dict[int, list[bytes]], ttl: int) -> Node:
    compiled = {
        kind: (b"".join(m.record(kind, ttl, data) for data in sorted(values)), len(values))
        for kind, values in sets.items()
    }
    target = sets.get(m.CNAME)
    return Node(host, compiled, target[0] if target else None)


def _relative(text: str, host: str) -> bytes:
    """A name below the zone, without its root."""
    labels = [host if label == "@" else label for label in text.split(".")]
    return b"".join(bytes((len(label),)) + label.encode() for label in labels)


def _between(name: bytes) -> Iterable[bytes]:
    """The names between a node and the host that it lies below."""
    rest = name[name[0] + 1 :]
    while rest and len(rest) > rest[0] + 1:
        yield rest
        rest = rest[rest[0] + 1 :]


def _rdata(kind: int, value: str, host: str, apex: bytes) -> bytes:
    match kind:
        case m.A | m.AAAA:
            return ip_address(value).packed
        case m.CNAME:
            return _target(value, host, apex)
        case m.SRV:
            *numbers, target = value.split(" ")
            return b"".join(int(n).to_bytes(2, "big") for n in numbers) + _target(target, host, apex)
    return _strings(value.encode())


def _strings(text: bytes) -> bytes:
    """A text as strings of up to 255 bytes: one at least, and it may be empty (RFC 1035 3.3.14)."""
    chunks = [text[at : at + _STRING] for at in range(0, max(1, len(text)), _STRING)]
    return b"".join(bytes((len(chunk),)) + chunk for chunk in chunks)


def _target(text: str, host: str, apex: bytes) -> bytes:
    return m.wire_name(text) if text.endswith(".") else _relative(text, host) + apex
