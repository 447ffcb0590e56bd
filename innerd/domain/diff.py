"""What a change does: two networks compared in pairs of peers that gain or lose sight of each other.

Counts are exact and cheap: peers that were and are in the same classes behave alike, so they are counted as
cohorts, and a pair of cohorts gains or loses sight as a whole. Only the pairs asked for are written out.
"""

from collections.abc import Iterator
from itertools import combinations, islice, product

from msgspec import Struct

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


_Cohort = tuple[Class | None, Class | None, bool]  # class before and after (None: not active), is it the coordinator


def diff(before: Network, after: Network, most: int | None = 100) -> Diff:
    """The difference of two networks; `most` bounds the pairs written out, the counts are always exact."""
    old, new = View.of(before), View.of(after)
    cohorts = _cohorts(old, new)
    gained = _Pairs(most)
    lost = _Pairs(most)
    for one, other in _pairs_of(cohorts):
        saw, sees = _sight(old, one[0], other[0], one, other), _sight(new, one[1], other[1], one, other)
        if sees and not saw:
            gained.take(cohorts, one, other)
        elif saw and not sees:
            lost.take(cohorts, one, other)
    names_before, names_after = _names(before), _names(after)
    return Diff(
        gained.count,
        lost.count,
        tuple(gained.pairs),
        tuple(lost.pairs),
        tuple(sorted(names_after - names_before)),
        tuple(sorted(names_before - names_after)),
        tuple(_moved(old, new)),
    )


def _names(network: Network) -> set[str]:
    active = [peer for peer in network.peers.values() if peer.is_active]
    return {peer.name for peer in active} | {name for peer in active for name in names_of(peer)}


class _Pairs:
    def __init__(self, most: int | None) -> None:
        self.count = 0
        self.most = most
        self.pairs: list[tuple[str, str]] = []

    def take(self, cohorts: dict[_Cohort, list[str]], one: _Cohort, other: _Cohort) -> None:
        a, b = cohorts[one], cohorts[other]
        self.count += len(a) * (len(a) - 1) // 2 if one == other else len(a) * len(b)
        pairs = combinations(a, 2) if one == other else product(a, b)
        room = None if self.most is None else max(0, self.most - len(self.pairs))
        self.pairs += [(min(pair), max(pair)) for pair in islice(pairs, room)]


def _cohorts(old: View, new: View) -> dict[_Cohort, list[str]]:
    found: dict[_Cohort, list[str]] = {}
    for number in {*old.network.peers, *new.network.peers}:
        was, now = old.network.peers.get(number), new.network.peers.get(number)
        key = (_class(old, was), _class(new, now), number == COORDINATOR)
        if key[:2] != (None, None):
            found.setdefault(key, []).append((now or was).name)  # type: ignore[union-attr]
    return found


def _class(view: View, peer: Peer | None) -> Class | None:
    return view.class_of(peer) if peer is not None and peer.is_active else None


def _pairs_of(cohorts: dict[_Cohort, list[str]]) -> Iterator[tuple[_Cohort, _Cohort]]:
    keys = list(cohorts)
    yield from combinations(keys, 2)
    yield from ((key, key) for key in keys)


def _sight(view: View, a: Class | None, b: Class | None, one: _Cohort, other: _Cohort) -> bool:
    if a is None or b is None:
        return False
    return one[2] or other[2] or b in view.topology.seen(a)


def _moved(old: View, new: View) -> Iterator[Moved]:
    if old.network.cidrs is new.network.cidrs:
        return
    for number, peer in new.network.peers.items():
        if number in old.network.peers:
            was, now = old.class_of(peer), new.class_of(peer)
            if was != now:
                yield Moved(peer.name, old.network.cidrs[was].name, new.network.cidrs[now].name)
