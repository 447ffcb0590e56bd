"""What the network's zones say, and to whom: compiled answers, filtered by the asker's class. Pure.

The forward zone `<network>.<suffix>` has one name a peer; reverse zones cover the range. A name that the asker can't
see does not exist for it, and neither does a node that stands only above such names: the answers are the same bytes.
A `Zone` is a value; `change` gives the next one in microseconds.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from inndns import message as m
from inndns import reverse
from inndns.maps import Map
from inndns.message import Answer, Question
from inndns.records import Class, Host, Node
from inndns.records import nodes as compiled_nodes
from inndns.reverse import Range


class _Leaf(Struct, frozen=True, gc=False):
    """What stands at a whole name of a host, forward or reverse: the type of its one record, and the name that it
    points to; None is the host's address. The zone's name begins at `top` in a message that asks for it. The record
    is made when it is asked for: those of 60,000 hosts, kept, took 5 MiB."""

    host: Host
    kind: int
    target: bytes | None
    top: int

    def record(self, ttl: int) -> bytes:
        return m.record(self.kind, ttl, self.host.address.packed if self.target is None else self.target)


# What is hidden and what is absent go the same way, so that time does not tell them apart: where nothing is, these are.
_NOBODY = Host("", IPv4Address(0), -1)
_NO_LEAF = _Leaf(_NOBODY, 0, None, 0)
_NO_NODE = Node(_NOBODY, {})


class _Apex(Struct, frozen=True):
    """The top of the forward zone by name, and the records that stand at the top of each zone. `negative` is the SOA as
    negative answers have it, without its owner."""

    name: bytes
    soa: Answer
    ns: Answer
    negative: bytes


View = frozenset[Class | None]  # the classes that somebody sees


class Zone(Struct, frozen=True, kw_only=True):
    """The zones of one network at one revision. Make one with `empty(...)` and `change`."""

    block: Range
    ttl: int
    apex: _Apex
    domain: str
    target: bytes  # the name server's name
    serial: int
    sees: Callable[[Class], frozenset[Class]]
    names: Map[bytes, _Leaf]  # of hosts, forward and reverse, by whole names in wire format
    askers: Map[str, Host]  # by address as sockets write it
    nodes: Map[bytes, Node]  # of records beside hosts, by name in wire format relative to the zone
    sorted: Map[Class | None, tuple[int, ...]]  # addresses of a class in order, for nodes above names
    views: dict[Class | None, View] = {}  # of askers by their class, as far as they asked

    def change(
        self, serial: int, sees: Callable[[Class], frozenset[Class]], gone: Iterable[Host], hosts: Iterable[Host]
    ) -> "Zone":
        """The zone at a later revision."""
        names, askers, nodes = self.names.mutate(), self.askers.mutate(), self.nodes.mutate()
        order: dict[Class | None, list[int]] = {}
        for host in gone:
            for name in compiled_nodes(host, self.apex.name, self.ttl) if host.records else ():
                nodes.pop(name, None)
            for name, _ in self._leaves(host):
                names.pop(name, None)
            askers.pop(str(host.address), None)
            numbers = _ordered(self.sorted, order, host)
            del numbers[bisect_left(numbers, int(host.address))]
        for host in hosts:
            if host.records:
                nodes.update(compiled_nodes(host, self.apex.name, self.ttl))
            for name, leaf in self._leaves(host):
                names[name] = leaf
            askers[str(host.address)] = host
            insort(_ordered(self.sorted, order, host), int(host.address))
        ordered = self.sorted.mutate()
        ordered.update({class_: tuple(numbers) for class_, numbers in order.items()})
        return replace(
            self,
            serial=serial,
            sees=sees,
            names=names.finish(),
            askers=askers.finish(),
            nodes=nodes.finish(),
            sorted=ordered.finish(),
            apex=self._top(self.apex.name, serial),
            views={},
        )

    def _leaves(self, host: Host) -> tuple[tuple[bytes, _Leaf], tuple[bytes, _Leaf]]:
        """The forward and the reverse name of a host, and what stands there."""
        label, type_ = host.name.encode(), m.A if host.address.version == 4 else m.AAAA
        name = bytes((len(label),)) + label + self.apex.name
        reverse_name, top = reverse.name_of(host.address, self.block)
        return (name, _Leaf(host, type_, None, 13 + len(label))), (reverse_name, _Leaf(host, m.PTR, name, 12 + top))

    def _top(self, name: bytes, serial: int) -> _Apex:
        contact = b"\x0ahostmaster" + name
        numbers = (serial % 2**32, 3600, 600, 86_400, self.ttl)
        data = self.target + contact + b"".join(number.to_bytes(4, "big") for number in numbers)
        soa, ns = m.record(m.SOA, self.ttl, data), m.record(m.NS, self.ttl, self.target)
        return _Apex(name, Answer(m.NOERROR, True, soa, 1), Answer(m.NOERROR, True, ns, 1), soa[2:])

    # -- who asks -----------------------------------------------------------------------------------------------

    def asker(self, address: str) -> Host | None:
        """The peer behind a source address; None is nobody whom we answer."""
        return self.askers.get(address)

    def _view(self, class_: Class | None) -> View:
        view = self.views.get(class_)
        if view is None:
            view = frozenset(self.sorted) if class_ is None else frozenset(self.sees(class_))
            self.views[class_] = view = view | {None}
        return view

    # -- answers ------------------------------------------------------------------------------------------------

    def answer(self, question: Question, asker: Host) -> Answer:
        """The answer to a question of an asker."""
        if question.rcode:
            return Answer(question.rcode)
        if question.qclass != m.IN or question.qtype == m.AXFR or question.qtype == m.IXFR:
            return m.REFUSAL
        name, apex, view = question.name, self.apex.name, self._view(asker.class_)
        leaf = self.names.get(name, _NO_LEAF)
        if leaf.host.class_ in view:
            return self._at_host(question, leaf)
        if name == apex:
            return self._at_apex(question)
        if name.endswith(apex) and _is_below(name, apex):
            return self._beside(question, view, name[: -len(apex)])
        return self._reverse(question, view)

    def _at_host(self, question: Question, leaf: _Leaf) -> Answer:
        if question.qtype == leaf.kind or question.qtype == m.ANY:  # ANY gets one record set (RFC 8482)
            return Answer(m.NOERROR, True, leaf.record(self.ttl), 1)
        if leaf.host.records and leaf.kind != m.PTR:
            node = self.nodes.get(question.name[: question.name[0] + 1], _NO_NODE)
            found = node.sets.get(question.qtype)
            if found is not None:
                return Answer(m.NOERROR, True, *found)
        return self._negative(m.NOERROR, leaf.top)

    def _at_apex(self, question: Question) -> Answer:
        if question.qtype in (m.SOA, m.ANY):
            return self.apex.soa
        if question.qtype == m.NS:
            return self.apex.ns
        return self._negative(m.NOERROR, 12)

    def _negative(self, rcode: int, top: int) -> Answer:
        """No such name, or no such type: the SOA says how long that may be remembered (RFC 2308)."""
        return Answer(rcode, True, b"", 0, m.pointer(top) + self.apex.negative, 1)

    def _beside(self, question: Question, view: View, name: bytes) -> Answer:
        """A name that is no host's."""
        node = self._match(view, name) if self.nodes else None
        if node is None:
            return self._negative(m.NXDOMAIN, 12 + len(name))
        return self._at_node(question, view, node, 12 + len(name))

    def _match(self, view: View, name: bytes) -> Node | None:
        """The node of a name, or of the wildcard that covers it: the nearest name above it that exists decides
        (RFC 4592). Sought from the top: below what does not exist nothing does, however long the name is."""
        node, above = None, b""
        for at in reversed(_label_starts(name)):
            here = name[at:]
            node = self._node_for(view, here)
            is_host = at > 0 and not above and self.names.get(here + self.apex.name, _NO_LEAF).host.class_ in view
            if node is None and not is_host:
                return self._node_for(view, b"\x01*" + above) if above else None
            above = here
        return node

    def _node_for(self, view: View, name: bytes) -> Node | None:
        node = self.nodes.get(name, _NO_NODE)
        return node if node.host.class_ in view else None

    def _at_node(self, question: Question, view: View, node: Node, top: int) -> Answer:
        kind = question.qtype if question.qtype != m.ANY else next(iter(node.sets), m.ANY)
        found = node.sets.get(kind)
        if found is not None:
            return Answer(m.NOERROR, True, *found)
        if node.target is None:
            return self._negative(m.NOERROR, top)
        return self._led_on(question, view, node, node.target, top)

    def _led_on(self, question: Question, view: View, node: Node, target: bytes, top: int) -> Answer:
        """The CNAME, and what stands at its target, where that is ours (RFC 1034 4.3.2) and no CNAME itself: chains are
        followed by who asks."""
        said, _ = node.sets[m.CNAME]
        alone = Answer(m.NOERROR, True, said, 1)
        if not target.endswith(self.apex.name) or not _is_below(target, self.apex.name):
            return alone
        leaf = self.names.get(target, _NO_LEAF)
        if leaf.host.class_ in view:
            led = self._at_host(replace(question, name=target), leaf)
        else:
            other = self._match(view, target[: -len(self.apex.name)])
            if other is not None and other.target is not None:
                return alone
            found = None if other is None else other.sets.get(question.qtype)
            rcode = m.NXDOMAIN if other is None else m.NOERROR
            led = Answer(rcode) if found is None else Answer(m.NOERROR, True, *found)
        if not led.answers:
            return replace(self._negative(led.rcode, top), answer=said, answers=1)
        # What was compiled for a question points at the question's name; here it must point at the CNAME's data.
        there = 12 + len(question.raw) + _BEFORE_DATA
        return Answer(m.NOERROR, True, said + _at(led.answer, there), 1 + led.answers)

    def _reverse(self, question: Question, view: View) -> Answer:
        """A name of a reverse zone that is no host's."""
        total, cut = self.block.max_prefixlen, reverse.top_bits(self.block)
        prefix = reverse.read(question.name, self.block)
        if prefix is None or not self._ours(prefix.value, prefix.bits, total):
            return m.REFUSAL
        if not prefix.is_whole or prefix.bits == total:
            return self._negative(m.NXDOMAIN, 12 + prefix.top)
        if prefix.bits == cut:
            return self._at_apex(question)
        first, count = prefix.value << (total - prefix.bits), 1 << (total - prefix.bits)
        rcode = m.NOERROR if self._any_between(view, first, first + count - 1) else m.NXDOMAIN
        return self._negative(rcode, 12 + prefix.top)

    def _ours(self, value: int, bits: int, total: int) -> bool:
        """Whether a node lies in our range. A range smaller than a zone cut answers only for its own part:
        the rest may be somebody's LAN."""
        common = min(bits, self.block.prefixlen)
        return value >> (bits - common) == int(self.block.network_address) >> (total - common)

    def _any_between(self, view: View, first: int, last: int) -> bool:
        """Whether one of these classes has an address in a run."""
        for class_ in view:
            numbers = self.sorted.get(class_, ())
            at = bisect_left(numbers, first)
            if at < len(numbers) and numbers[at] <= last:
                return True
        return False


_BEFORE_DATA = 12  # bytes of a record before its data: a pointer as the owner, type, class, TTL and length


def _at(records: bytes, owner: int) -> bytes:
    """Compiled records of the question's name, as records of the name at another offset of the message."""
    moved, at = b"", 0
    while at < len(records):
        end = at + _BEFORE_DATA + int.from_bytes(records[at + 10 : at + 12], "big")
        moved += m.pointer(owner) + records[at + 2 : end]
        at = end
    return moved


def _ordered(known: Map[Class | None, tuple[int, ...]], draft: dict[Class | None, list[int]], host: Host) -> list[int]:
    if host.class_ not in draft:
        draft[host.class_] = list(known.get(host.class_, ()))
    return draft[host.class_]


def empty(network: str, suffix: str, block: Range, server: str, ttl: int, maps: Map[Any, Any]) -> Zone:
    """The zones of a network without any names; `server` is the label of the coordinator, `maps` an empty map of the
    kind that the zones are to be kept in."""
    domain = f"{network}.{suffix}"
    name = m.wire_name(domain)
    target = m.wire_name(f"{server}.{domain}")
    blank = _Apex(name, m.REFUSAL, m.REFUSAL, b"")
    zone = Zone(
        block=block,
        ttl=ttl,
        apex=blank,
        domain=domain,
        target=target,
        serial=0,
        sees=lambda class_: frozenset(),
        names=maps,
        askers=maps,
        nodes=maps,
        sorted=maps,
    )
    return replace(zone, apex=zone._top(name, 0))


def _is_below(name: bytes, apex: bytes) -> bool:
    """Whether `name` ends in `apex` at a label's edge."""
    at, edge = 0, len(name) - len(apex)
    while at < edge:
        at += name[at] + 1
    return at == edge


def _label_starts(name: bytes) -> list[int]:
    starts, at = [], 0
    while at < len(name):
        starts.append(at)
        at += name[at] + 1
    return starts
