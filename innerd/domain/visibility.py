"""Who sees whom: the one rule of the network. Everything that shows a peer to a peer goes through here.

Two enabled, redeemed peers a and b see each other when
 1. they belong to the same CIDR (the narrowest one that holds each), or
 2. some association joins a CIDR that contains a with a CIDR that contains b, or
 3. one of them is the coordinator.

So what a peer sees depends only on its narrowest CIDR, its *class*. Classes see each other or don't (`sees` is
symmetric by construction); a peer sees the active members of the classes that its own class sees. A `View` is a
network with that worked out; it is a value too, and advances with the network.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from copy import copy

from innerd.domain import events as e
from innerd.domain.maps import Map
from innerd.domain.network import Network, Peer
from innerd.domain.values import COORDINATOR

Class = int  # the id of the narrowest CIDR

_STRUCTURAL = (e.CidrCreated, e.CidrDeleted, e.AssociationAdded, e.AssociationDeleted)


class Topology:
    """The CIDR tree and the associations, indexed. Addresses are numbers; a class owns whole runs of them."""

    def __init__(self, network: Network) -> None:
        self._cidrs = network.cidrs
        self.ancestors: dict[Class, tuple[Class, ...]] = {}  # itself included, narrowest first
        self.subtree: dict[Class, set[Class]] = {number: {number} for number in network.cidrs}
        for number in network.cidrs:
            self.ancestors[number] = tuple(self._up(number))
            for above in self.ancestors[number]:
                self.subtree[above].add(number)
        self._join(network)
        self._seen: dict[Class, frozenset[Class]] = {}
        self._starts, self._owners = self._runs()

    def rejoined(self, network: Network, ends: Iterable[Class]) -> "Topology":
        """The same tree with other associations: what is below the ends of those that came or went is worked out anew
        when somebody asks, all else stays."""
        made = copy(self)
        made._join(network)
        made._seen = dict(self._seen)  # at once: it may be added to in another thread
        for class_ in set[Class]().union(*(self.subtree[end] for end in ends)):
            made._seen.pop(class_, None)
        return made

    def _join(self, network: Network) -> None:
        self._joined: dict[Class, set[Class]] = {}
        for association in network.associations.values():
            self._joined.setdefault(association.cidr_id_1, set()).add(association.cidr_id_2)
            self._joined.setdefault(association.cidr_id_2, set()).add(association.cidr_id_1)

    def _up(self, number: Class) -> Iterator[Class]:
        at: int | None = number
        while at is not None:
            yield at
            at = self._cidrs[at].parent

    def _runs(self) -> tuple[list[int], list[Class]]:
        """The address space cut into runs that belong to one class each: narrower CIDRs overwrite wider ones."""
        edges: dict[int, Class] = {}
        for cidr in sorted(self._cidrs.values(), key=lambda c: (c.first, c.range.prefixlen)):
            edges[cidr.first] = cidr.id
        for cidr in sorted(self._cidrs.values(), key=lambda c: c.range.prefixlen):
            # Behind a CIDR its parent goes on, unless a sibling starts right there.
            if cidr.parent is not None and cidr.last + 1 not in edges:
                edges[cidr.last + 1] = cidr.parent
        starts = sorted(edges)
        return starts, [edges[start] for start in starts]

    def class_of(self, peer: Peer) -> Class:
        """The narrowest CIDR of a peer."""
        return self._owners[bisect_right(self._starts, int(peer.ip)) - 1]

    def seen(self, class_: Class) -> frozenset[Class]:
        """The classes whose members the members of a class see, by rules 1 and 2."""
        found = self._seen.get(class_)
        if found is None:
            found = self._seen[class_] = frozenset(self._reach(class_))
        return found

    def _reach(self, class_: Class) -> set[Class]:
        reach = {class_}
        for above in self.ancestors[class_]:
            for other in self._joined.get(above, ()):
                reach |= self.subtree[other]
        return reach


class View:
    """A network with its classes worked out. `members` holds the active peers of each class."""

    __slots__ = ("members", "network", "topology")

    def __init__(self, network: Network, topology: Topology, members: Map[Class, Map[int, Peer]]) -> None:
        self.network = network
        self.topology = topology
        self.members = members

    @classmethod
    def of(cls, network: Network) -> "View":
        topology = Topology(network)
        classes: dict[Class, dict[int, Peer]] = {}
        for peer in network.peers.values():
            if peer.is_active:
                classes.setdefault(topology.class_of(peer), {})[peer.id] = peer
        return cls(network, topology, Map({number: Map(held) for number, held in classes.items()}))

    def advance(self, network: Network, happened: Iterable[e.AnyEvent]) -> "View":
        """The view of a later network. Changes of peers cost microseconds; changes of the tree, an index of it anew;
        where peers are stays, but for a CIDR that is carved out of theirs or given back to it."""
        happened = tuple(happened)
        if structural(happened):
            if len(happened) > 1:
                return View.of(network)
            if isinstance(happened[0], e.AssociationAdded | e.AssociationDeleted):
                ends = (happened[0].cidr_id_1, happened[0].cidr_id_2)
                return View(network, self.topology.rejoined(network, ends), self.members)
            return View(network, topology := Topology(network), self._carved(network, topology, happened[0]))
        members = self.members
        for number in touched(happened):
            members = self._place(members, number, network.peers.get(number))
        return View(network, self.topology, members)

    def _carved(self, network: Network, topology: Topology, event: e.AnyEvent) -> Map[Class, Map[int, Peer]]:
        """The members after one change of the tree: a new CIDR takes its own from the one around it, and what one held
        that is gone is the one's that was around it."""
        if isinstance(event, e.CidrDeleted):
            return self._given_back(event.id)
        if not isinstance(event, e.CidrCreated):
            return self.members
        around = network.cidrs[event.id].parent
        held = self.members.get(around, Map()) if around is not None else Map()
        taken = {number: peer for number, peer in held.items() if topology.class_of(peer) == event.id}
        if around is None or not taken:
            return self.members
        left = held.mutate()
        for number in taken:
            del left[number]
        return self.members.set(around, left.finish()).set(event.id, Map(taken))

    def _given_back(self, gone: Class) -> Map[Class, Map[int, Peer]]:
        around = self.network.cidrs[gone].parent
        held = self.members.get(gone, Map())
        if around is None or not held:
            return self.members
        joined = self.members.get(around, Map()).mutate()
        for number, peer in held.items():
            joined[number] = peer
        return self.members.set(around, joined.finish()).delete(gone)

    def _place(self, members: Map[Class, Map[int, Peer]], number: int, peer: Peer | None) -> Map[Class, Map[int, Peer]]:
        known = peer or self.network.peers.get(number)
        if known is None:
            return members
        class_ = self.topology.class_of(known)
        held = members.get(class_, Map())
        if peer is not None and peer.is_active:
            return members.set(class_, held.set(number, peer))
        return members.set(class_, held.delete(number)) if number in held else members

    def class_of(self, peer: Peer) -> Class:
        return self.topology.class_of(peer)

    def sees(self, a: Peer, b: Peer) -> bool:
        """The rule, for any two peers of the network."""
        if not (a.is_active and b.is_active):
            return False
        if COORDINATOR in (a.id, b.id):
            return True
        return self.class_of(b) in self.topology.seen(self.class_of(a))

    def visible_to(self, peer: Peer) -> Iterator[Peer]:
        """The peers that an active peer sees, itself and the coordinator included."""
        if not peer.is_active:
            return iter(())
        if peer.id == COORDINATOR:
            return (p for held in self.members.values() for p in held.values())
        return self.seen_by(self.class_of(peer))

    def seen_by(self, class_: Class) -> Iterator[Peer]:
        """The peers that every member of a class sees (but for the coordinator itself, who sees all)."""
        seen = self.topology.seen(class_)
        coordinator = self.network.peers.get(COORDINATOR)
        if coordinator is not None and self.class_of(coordinator) not in seen:
            yield coordinator
        for number in seen:
            held = self.members.get(number)
            if held is not None:
                yield from held.values()


def touched(happened: Iterable[e.AnyEvent]) -> set[int]:
    """The ids of the peers that events speak of."""
    return {number for event in happened if (number := e.peer_of(event)) is not None}


def structural(happened: Iterable[e.AnyEvent]) -> bool:
    """Whether events changed the tree or the associations, and so possibly anybody's sight."""
    return any(isinstance(event, _STRUCTURAL) for event in happened)
