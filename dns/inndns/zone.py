"""What the network's zones say, and to whom: compiled answers, filtered by the asker's class. Pure.

The forward zone `<network>.<suffix>` has one name a peer; reverse zones (RFC 1035 3.5, 3596 2.5) cover the range.
A name that the asker can't see does not exist for it, and neither does a node that stands only above such names:
the answers are the same bytes. A `Zone` is a value; `change` gives the next one in microseconds.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network

from msgspec import Struct
from msgspec.structs import replace

from inndns import message as m
from inndns.message import Answer, Question
from inndns.records import Node, Told
from inndns.records import nodes as compiled_nodes
from innerd.domain.maps import Map
from innerd.domain.values import Address, Range

Class = int

_V4_ROOT = m.wire_name("in-addr.arpa")
_V6_ROOT = m.wire_name("ip6.arpa")


class Host(Struct, frozen=True, gc=False):
    """One name with its address. `class_` None: everybody of the network sees it (the coordinator)."""

    name: str
    address: Address
    class_: Class | None
    records: tuple[Told, ...] = ()
    forward: bytes = b""  # compiled records
    reverse: bytes = b""


class _Apex(Struct, frozen=True):
    """The top of a zone: its name in wire format and the records that stand there."""

    name: bytes
    soa_data: bytes
    soa: bytes
    ns: bytes


class Zone(Struct, frozen=True, kw_only=True):
    """The zones of one network at one revision. Make one with `empty(...)` and `change`."""

    block: Range
    ttl: int
    apex: _Apex
    domain: str
    target: bytes  # the name server's name
    serial: int
    sees: Callable[[Class], frozenset[Class]]
    names: Map[bytes, Host] = Map()
    addresses: Map[int, Host] = Map()
    askers: Map[str, Host] = Map()  # by address as sockets write it
    nodes: Map[bytes, Node] = Map()  # of records beside hosts, by name in wire format relative to the zone
    sorted: Map[Class, tuple[int, ...]] = Map()  # addresses of a class in order, for nodes above names

    def change(
        self, serial: int, sees: Callable[[Class], frozenset[Class]], gone: Iterable[Host], hosts: Iterable[Host]
    ) -> "Zone":
        """The zone at a later revision."""
        names, addresses, askers = self.names.mutate(), self.addresses.mutate(), self.askers.mutate()
        order: dict[Class, list[int]] = {}
        nodes = self.nodes.mutate()
        for host in gone:
            for name in compiled_nodes(host, self.apex.name, self.ttl) if host.records else ():
                nodes.pop(name, None)
            names.pop(host.name.encode(), None)
            addresses.pop(int(host.address), None)
            askers.pop(str(host.address), None)
            _ordered(self.sorted, order, host).remove(int(host.address))
        for host in hosts:
            compiled = self._compile(host)
            if host.records:
                nodes.update(compiled_nodes(compiled, self.apex.name, self.ttl))
            names[host.name.encode()] = compiled
            addresses[int(host.address)] = askers[str(host.address)] = compiled
            insort(_ordered(self.sorted, order, host), int(host.address))
        ordered = self.sorted.mutate()
        for class_, numbers in order.items():
            ordered[class_] = tuple(numbers)
        return replace(
            self,
            serial=serial,
            sees=sees,
            names=names.finish(),
            addresses=addresses.finish(),
            askers=askers.finish(),
            nodes=nodes.finish(),
            sorted=ordered.finish(),
            apex=self._top(self.apex.name, serial),
        )

    def _compile(self, host: Host) -> Host:
        type_ = m.A if host.address.version == 4 else m.AAAA
        target = bytes((len(host.name),)) + host.name.encode() + self.apex.name
        return replace(
            host,
            forward=m.record(type_, self.ttl, host.address.packed),
            reverse=m.record(m.PTR, self.ttl, target),
        )

    def _top(self, name: bytes, serial: int) -> _Apex:
        contact = b"\x0ahostmaster" + self.apex.name
        numbers = (serial % 2**32, 3600, 600, 86_400, self.ttl)
        data = self.target + contact + b"".join(number.to_bytes(4, "big") for number in numbers)
        return _Apex(name, data, m.record(m.SOA, self.ttl, data), m.record(m.NS, self.ttl, self.target))

    # -- who asks -----------------------------------------------------------------------------------------------

    def asker(self, address: str) -> Host | None:
        """The peer behind a source address; None is nobody whom we answer."""
        return self.askers.get(address)

    def _visible(self, asker: Host, host: Host | None) -> bool:
        if host is None:
            return False
        if asker.class_ is None or host.class_ is None:
            return True
        return host.class_ in self.sees(asker.class_)

    # -- answers ------------------------------------------------------------------------------------------------

    def answer(self, question: Question, asker: Host) -> Answer:
        """The answer to a question of an asker."""
        if question.rcode:
            return Answer(question.rcode)
        if question.qclass != m.IN or question.qtype == m.AXFR or question.qtype == m.IXFR:
            return m.REFUSAL
        name = question.name
        apex = self.apex
        first = name[0] + 1
        if name[first:] == apex.name:
            host = self.names.get(name[1:first])
            if self._visible(asker, host):
                return self._host(question, host, apex)  # type: ignore[arg-type]
            return self._beside(question, asker, name[:first])
        if name == apex.name:
            return self._at_apex(question, apex)
        if name.endswith(apex.name) and _is_below(name, apex.name):
            return self._beside(question, asker, name[: -len(apex.name)])
        return self._reverse(question, asker)

    def _beside(self, question: Question, asker: Host, name: bytes) -> Answer:
        """A name that is no host's."""
        node = self._match(asker, name) if self.nodes else None
        if node is None:
            return self._negative(m.NXDOMAIN, question, self.apex)
        return self._node(question, asker, node)

    def _match(self, asker: Host, name: bytes) -> Node | None:
        """The node of a name, or of the wildcard that covers it: the nearest name above it that exists decides
        (RFC 4592)."""
        node, rest = self._node_for(asker, name), name[name[0] + 1 :]
        while node is None and rest:
            is_host = len(rest) == rest[0] + 1 and self._visible(asker, self.names.get(rest[1:]))
            if is_host or self._node_for(asker, rest) is not None:
                return self._node_for(asker, b"\x01*" + rest)
            rest = rest[rest[0] + 1 :]
        return node

    def _node_for(self, asker: Host, name: bytes) -> Node | None:
        node = self.nodes.get(name)
        return node if node is not None and self._visible(asker, node.host) else None

    def _node(self, question: Question, asker: Host, node: Node) -> Answer:
        kind = question.qtype if question.qtype != m.ANY else next(iter(node.sets), m.ANY)
        found = node.sets.get(kind)
        if found is not None:
            return Answer(m.NOERROR, True, *found)
        if node.target is None:
            return self._negative(m.NOERROR, question, self.apex)
        return self._led_on(question, asker, node, node.target)

    def _led_on(self, question: Question, asker: Host, node: Node, target: bytes) -> Answer:
        """The CNAME, and what stands at its target, where that is ours (RFC 1034 4.3.2) and no CNAME itself: chains are
        followed by who asks."""
        said, _ = node.sets[m.CNAME]
        alone = Answer(m.NOERROR, True, said, 1)
        if not target.endswith(self.apex.name) or not _is_below(target, self.apex.name):
            return alone
        name = target[: -len(self.apex.name)]
        host = self.names.get(name[1:]) if len(name) == name[0] + 1 else None
        if self._visible(asker, host):
            led = self._host(replace(question, name=target), host, self.apex)  # type: ignore[arg-type]
        else:
            other = self._match(asker, name)
            if other is not None and other.target is not None:
                return alone
            found = None if other is None else other.sets.get(question.qtype)
            rcode = m.NXDOMAIN if other is None else m.NOERROR
            led = Answer(rcode) if found is None else Answer(m.NOERROR, True, *found)
        if not led.answers:
            return replace(self._negative(led.rcode, question, self.apex), answer=said, answers=1)
        # What was compiled for a question points at the question's name; here it must point at the CNAME's data.
        there = 12 + len(question.raw) + _BEFORE_DATA
        return Answer(m.NOERROR, True, said + _at(led.answer, there), 1 + led.answers)

    def _host(self, question: Question, host: Host, apex: _Apex) -> Answer:
        type_ = m.A if host.address.version == 4 else m.AAAA
        if question.qtype in (type_, m.ANY):  # ANY gets one record set (RFC 8482)
            return Answer(m.NOERROR, True, host.forward, 1)
        if host.records:
            node = self.nodes.get(question.name[: question.name[0] + 1])
            found = node.sets.get(question.qtype) if node is not None else None
            if found is not None:
                return Answer(m.NOERROR, True, *found)
        return self._negative(m.NOERROR, question, apex)

    def _at_apex(self, question: Question, apex: _Apex) -> Answer:
        if question.qtype in (m.SOA, m.ANY):
            return Answer(m.NOERROR, True, apex.soa, 1)
        if question.qtype == m.NS:
            return Answer(m.NOERROR, True, apex.ns, 1)
        return self._negative(m.NOERROR, question, apex)

    def _negative(self, rcode: int, question: Question, apex: _Apex) -> Answer:
        """No such name, or no such type: the SOA says how long that may be remembered (RFC 2308)."""
        owner = 12 + len(question.name) - len(apex.name)
        return Answer(rcode, True, authority=m.record(m.SOA, self.ttl, apex.soa_data, owner), authorities=1)

    def _reverse(self, question: Question, asker: Host) -> Answer:
        is_v4 = isinstance(self.block, IPv4Network)
        step, total = (8, 32) if is_v4 else (4, 128)
        where = _prefix_of(question.name, _V4_ROOT if is_v4 else _V6_ROOT, is_v4)
        if where is None:
            return m.REFUSAL
        value, bits, exact = where
        top = _apex_bits(self.block, step)
        if bits < top or not self._ours(value, bits, total):
            return m.REFUSAL
        # The same server, contact and numbers stand at the top of every zone.
        apex = replace(self.apex, name=question.name[-_reverse_length(question.name, top // step, is_v4) :])
        if not exact:
            return self._negative(m.NXDOMAIN, question, apex)
        if bits == top:
            return self._at_apex(question, apex)
        first = value << (total - bits)
        if bits < total:
            rcode = m.NOERROR if self._any_between(asker, first, first + (1 << (total - bits)) - 1) else m.NXDOMAIN
            return self._negative(rcode, question, apex)
        host = self.addresses.get(first)
        if not self._visible(asker, host):
            return self._negative(m.NXDOMAIN, question, apex)
        if question.qtype in (m.PTR, m.ANY):
            return Answer(m.NOERROR, True, host.reverse, 1)  # type: ignore[union-attr]
        return self._negative(m.NOERROR, question, apex)

    def _ours(self, value: int, bits: int, total: int) -> bool:
        """Whether a node lies in our range. A range smaller than a zone cut answers only for its own part:
        the rest may be somebody's LAN."""
        common = min(bits, self.block.prefixlen)
        return value >> (bits - common) == int(self.block.network_address) >> (total - common)

    def _any_between(self, asker: Host, first: int, last: int) -> bool:
        """Whether the asker sees any name in a run of addresses."""
        classes = set(self.sorted) if asker.class_ is None else {*self.sees(asker.class_), _EVERYBODY}
        for class_ in classes:
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
        moved += (0xC000 | owner).to_bytes(2, "big") + records[at + 2 : end]
        at = end
    return moved


_EVERYBODY = -1


def _ordered(known: Map[Class, tuple[int, ...]], draft: dict[Class, list[int]], host: Host) -> list[int]:
    class_ = _EVERYBODY if host.class_ is None else host.class_
    if class_ not in draft:
        draft[class_] = list(known.get(class_, ()))
    return draft[class_]


def empty(network: str, suffix: str, block: Range, server: str, ttl: int) -> Zone:
    """The zones of a network without any names; `server` is the label of the coordinator."""
    domain = f"{network}.{suffix}"
    name = m.wire_name(domain)
    target = m.wire_name(f"{server}.{domain}")
    blank = _Apex(name, b"", b"", b"")
    zone = Zone(
        block=block, ttl=ttl, apex=blank, domain=domain, target=target, serial=0, sees=lambda class_: frozenset()
    )
    return replace(zone, apex=zone._top(name, 0))


def reverse_domains(block: Range) -> list[str]:
    """The reverse zones of a range, cut at octets (IPv4) or nibbles (IPv6): `42.10.in-addr.arpa`."""
    step = 8 if isinstance(block, IPv4Network) else 4
    top = _apex_bits(block, step)
    cut = [block] if top <= block.prefixlen else block.subnets(new_prefix=top)
    return [_reverse_domain(part.network_address, top, step) for part in cut]


def _reverse_domain(address: Address, bits: int, step: int) -> str:
    labels = address.reverse_pointer.split(".")
    return ".".join(labels[(address.max_prefixlen - bits) // step :])


def _apex_bits(block: Range, step: int) -> int:
    """Where the zone is cut: at the next octet or nibble, but never at a whole address."""
    return min(-(-block.prefixlen // step) * step, block.max_prefixlen - step)


def _is_below(name: bytes, apex: bytes) -> bool:
    """Whether `name` ends in `apex` at a label's edge."""
    at, edge = 0, len(name) - len(apex)
    while at < edge:
        at += name[at] + 1
    return at == edge


def _labels(name: bytes) -> list[bytes]:
    labels, at = [], 0
    while name[at]:
        labels.append(name[at + 1 : at + 1 + name[at]])
        at += name[at] + 1
    return labels


def _prefix_of(name: bytes, root: bytes, is_v4: bool) -> tuple[int, int, bool] | None:
    """What a reverse name stands for: the prefix's value, its bits, and whether the whole name was read (a label
    that is no number, or one too many, ends it)."""
    if not name.endswith(root) or not _is_below(name, root):
        return None
    labels = _labels(name)[:-2][::-1]
    step, most = (8, 4) if is_v4 else (4, 32)
    value = bits = 0
    for count, label in enumerate(labels):
        number = _number(label, is_v4) if count < most else None
        if number is None:
            return value, bits, False
        value, bits = value << step | number, bits + step
    return value, bits, True


def _number(label: bytes, is_v4: bool) -> int | None:
    if is_v4:
        if label.isdigit() and len(label) <= 3 and (label == b"0" or label[0] != 0x30) and int(label) < 256:
            return int(label)
        return None
    return int(label, 16) if len(label) == 1 and label in b"0123456789abcdef" else None


def _reverse_length(name: bytes, count: int, is_v4: bool) -> int:
    """The length in bytes of the last `count` labels of a reverse name, its root included."""
    labels = _labels(name)[:-2]
    root = _V4_ROOT if is_v4 else _V6_ROOT
    return len(root) + sum(len(label) + 1 for label in labels[len(labels) - count :])
