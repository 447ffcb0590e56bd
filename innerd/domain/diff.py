"""What a change does: two networks compared in pairs of peers that gain or lose sight of each other.

Counts are exact and cheap: peers that were and are in the same classes behave alike, so they are counted as
cohorts, and a pair of cohorts gains or loses sight as a whole. Only the pairs asked for are written out. Looked at are
the cohorts that changed, against all, and of the others those that an association speaks of which came or went: what
a change costs is linear in the network.
"""

from collections.abc import Iterator
from itertools import combinations, islice, product

from msgspec import Struct, field

from innerd.domain.network import Network, Peer
from innerd.domain.records import names_of
from innerd.domain.values import COORDINATOR
from innerd.domain.visibility import Class, View


class Moved(Struct, frozen=True):
    """A peer whose narrowest CIDR changes."""

    peer: str
    was: str
    now: str


class Diff(Struct, frozen=True):
    pairs_gained: int
    pairs_lost: int
    gained: tuple[tuple[str, str], ...]
    lost: tuple[tuple[str, str], ...]
    names_added: tuple[str, ...]
    names_removed: tuple[str, ...]
    moved: tuple[Moved, ...]
    happens: tuple[str, ...] = ()  # what it is that would be done, in sentences; empty where two networks are compared


class _Cohort(Struct, eq=False):
    """Peers that behave alike: their class before and after (None: not active)."""

    was: Class | None
    now: Class | None
    is_coordinator: bool = False
    peers: list[Peer] = field(default_factory=list)

    @property
    def has_changed(self) -> bool:
        return self.was != self.now or self.is_coordinator


def diff(before: Network, after: Network, most: int | None = 100) -> Diff:
    """The difference of two networks; `most` bounds the pairs written out, the counts are always exact."""
    return compared(View.of(before), View.of(after), most)


def compared(old: View, new: View, most: int | None = 100) -> Diff:
    """The same, of two views of one network."""
    cohorts, gained, lost = _cohorts(old, new), _Pairs(most), _Pairs(most)
    for one, other in _with_changed(cohorts):
        saw, sees = _sight(old, one.was, other.was, one, other), _sight(new, one.now, other.now, one, other)
        if saw != sees:
            (gained if sees else lost).take(one, other)
    _count_joined(old, new, cohorts, gained, lost)
    names_before, names_after = _names(old, new), _names(new, old)
    return Diff(
        gained.count,
        lost.count,
        tuple(gained.pairs),
        tuple(lost.pairs),
        tuple(sorted(names_after - names_before)),
        tuple(sorted(names_before - names_after)),
        tuple(_moved(old, new)),
    )


def _names(view: View, other: View) -> set[str]:
    """The names in the classes in which anything differs."""
    return {name for peer in _differing(view, other) for name in (peer.name, *names_of(peer))}


def _differing(view: View, other: View) -> Iterator[Peer]:
    for class_, held in view.members.items():
        theirs = other.members.get(class_)
        if theirs is not held:
            yield from (peer for number, peer in held.items() if theirs is None or theirs.get(number) is not peer)


class _Pairs:
    def __init__(self, most: int | None) -> None:
        self.count = 0
        self.most = most
        self.pairs: list[tuple[str, str]] = []

    def take(self, one: _Cohort, other: _Cohort) -> None:
        a, b = one.peers, other.peers
        self.count += len(a) * (len(a) - 1) // 2 if one is other else len(a) * len(b)
        self.write(one, other)

    def write(self, one: _Cohort, other: _Cohort) -> None:
        """The pairs of two cohorts, as far as there is room."""
        room = None if self.most is None else max(0, self.most - len(self.pairs))
        if room != 0:
            pairs = combinations(one.peers, 2) if one is other else product(one.peers, other.peers)
            self.pairs += [(min(a.name, b.name), max(a.name, b.name)) for a, b in islice(pairs, room)]


def _cohorts(old: View, new: View) -> list[_Cohort]:
    found: dict[tuple[Class | None, Class | None, bool], _Cohort] = {}

    def put(peer: Peer, was: Class | None, now: Class | None) -> None:
        key = was, now, peer.id == COORDINATOR
        cohort = found.get(key)
        if cohort is None:
            cohort = found[key] = _Cohort(*key)
        cohort.peers.append(peer)

    for class_, held in new.members.items():
        before = old.members.get(class_)
        for number, peer in held.items():
            put(peer, class_ if before is not None and number in before else _class(old, number), class_)
    for class_, held in old.members.items():
        for number, peer in held.items():
            if (now := new.network.peers.get(number)) is None or not now.is_active:
                put(now or peer, class_, None)
    return list(found.values())


def _class(view: View, number: int) -> Class | None:
    peer = view.network.peers.get(number)
    return view.class_of(peer) if peer is not None and peer.is_active else None


def _with_changed(cohorts: list[_Cohort]) -> Iterator[tuple[_Cohort, _Cohort]]:
    """The pairs of cohorts of which one changed."""
    changed = [cohort for cohort in cohorts if cohort.has_changed]
    yield from combinations(changed, 2)
    yield from ((cohort, cohort) for cohort in changed)
    yield from product(changed, (cohort for cohort in cohorts if not cohort.has_changed))


def _sight(view: View, a: Class | None, b: Class | None, one: _Cohort, other: _Cohort) -> bool:
    if a is None or b is None:
        return False
    return one.is_coordinator or other.is_coordinator or b in view.topology.seen(a)


def _count_joined(old: View, new: View, cohorts: list[_Cohort], gained: _Pairs, lost: _Pairs) -> None:
    """The pairs of cohorts that stayed where they were, and see each other now, or no more: an association came, or
    went. Both ends of such a pair lie below its ends."""
    stayed = {cohort.now: cohort for cohort in cohorts if not cohort.has_changed}
    below = _joined_anew(old, new) & stayed.keys()
    sizes: dict[frozenset[Class], int] = {}

    def size_of(classes: frozenset[Class]) -> int:
        if classes not in sizes:
            sizes[classes] = sum(len(stayed[class_].peers) for class_ in classes)
        return sizes[classes]

    for one, other, pairs in ((old, new, gained), (new, old, lost)):
        twice = 0  # each pair is met from both of its ends
        for class_ in sorted(below):
            more = (other.topology.seen(class_) - one.topology.seen(class_)) & stayed.keys()
            twice += len(stayed[class_].peers) * size_of(frozenset(more))
            for met in sorted(more) if pairs.most is None or len(pairs.pairs) < pairs.most else ():
                if class_ < met:
                    pairs.write(stayed[class_], stayed[met])
        pairs.count += twice // 2


def _joined_anew(old: View, new: View) -> set[Class]:
    """The classes below the ends of associations that are in one of two networks alone."""
    found: set[Class] = set()
    before, after = old.network.associations, new.network.associations
    if before is after:
        return found
    for view, others in ((old, after), (new, before)):
        for number, association in view.network.associations.items():
            if others.get(number) != association:
                for end in (association.cidr_id_1, association.cidr_id_2):
                    found |= view.topology.subtree[end]
    return found


def _moved(old: View, new: View) -> Iterator[Moved]:
    if old.network.cidrs is new.network.cidrs:
        return
    for number, peer in new.network.peers.items():
        if number in old.network.peers:
            was, now = old.class_of(peer), new.class_of(peer)
            if was != now:
                yield Moved(peer.name, old.network.cidrs[was].name, new.network.cidrs[now].name)
