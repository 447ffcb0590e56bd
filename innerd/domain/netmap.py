"""What one peer is told: its netmap at one revision, and the delta between two netmaps.

All members of a class are told the same. CIDRs are known to all. A peer that disappears from sight is told as
gone, by id and nothing else: not why, not what became of it.
"""

from collections.abc import Iterable

from msgspec import Struct

from innerd.domain.maps import Map
from innerd.domain.network import Cidr, Peer
from innerd.domain.values import COORDINATOR
from innerd.domain.visibility import Class, View

_NOBODY: Map[int, Peer] = Map()


class Netmap(Struct, frozen=True):
    revision: int
    peers: tuple[Peer, ...]  # by id
    cidrs: tuple[Cidr, ...]


class Delta(Struct, frozen=True):
    """`peers` and `cidrs` are new or changed; `gone` and `cidrs_gone` are ids."""

    revision: int
    peers: tuple[Peer, ...] = ()
    gone: tuple[int, ...] = ()
    cidrs: tuple[Cidr, ...] = ()
    cidrs_gone: tuple[int, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.peers or self.gone or self.cidrs or self.cidrs_gone)


def netmap(view: View, class_: Class) -> Netmap:
    """The netmap of the members of a class."""
    peers = tuple(sorted(view.seen_by(class_), key=lambda peer: peer.id))
    cidrs = tuple(sorted(view.network.cidrs.values(), key=lambda cidr: cidr.id))
    return Netmap(view.network.revision, peers, cidrs)


def delta(before: View, was: Class, after: View, is_: Class, only: Iterable[int] | None = None) -> Delta:
    """What a peer that moved from one view (and class) to another must be told.

    `only` names the peers that can have changed where the tree did not; without it all are compared that are not in
    both views the same: classes whose members did not change are not looked into.
    """
    if only is not None and before.topology is after.topology and was == is_:
        old, new = _among(before, was, only), _among(after, is_, only)
    else:
        old, new = _apart(before, was, after, is_)
    peers = [peer for number, peer in new.items() if old.get(number) != peer or _moved(before, after, peer)]
    gone = [number for number in old if number not in new]
    cidrs, cidrs_gone = _cidr_changes(before, after)
    return Delta(
        after.network.revision,
        tuple(sorted(peers, key=lambda peer: peer.id)),
        tuple(sorted(gone)),
        cidrs,
        cidrs_gone,
    )


def _apart(before: View, was: Class, after: View, is_: Class) -> tuple[dict[int, Peer], dict[int, Peer]]:
    """What was seen and what is seen, without the classes that are in both as they were."""
    saw, sees = before.topology.seen(was), after.topology.seen(is_)
    same = {c for c in saw & sees if before.members.get(c) is after.members.get(c)}
    return _members(before, saw - same), _members(after, sees - same)


def _members(view: View, classes: Iterable[Class]) -> dict[int, Peer]:
    """The members of classes, and the coordinator, whom all see."""
    found: dict[int, Peer] = {}
    for class_ in classes:
        found.update(view.members.get(class_, _NOBODY))
    coordinator = view.network.peers.get(COORDINATOR)
    return found if coordinator is None else found | {COORDINATOR: coordinator}


def _moved(before: View, after: View, peer: Peer) -> bool:
    """Whether another CIDR is a peer's narrowest now, though nothing of the peer itself changed."""
    return before.topology is not after.topology and before.class_of(peer) != after.class_of(peer)


def _among(view: View, class_: Class, numbers: Iterable[int]) -> dict[int, Peer]:
    seen = view.topology.seen(class_)
    found = {}
    for number in numbers:
        peer = view.network.peers.get(number)
        if peer is not None and peer.is_active and (peer.id == COORDINATOR or view.class_of(peer) in seen):
            found[number] = peer
    return found


def _cidr_changes(before: View, after: View) -> tuple[tuple[Cidr, ...], tuple[int, ...]]:
    old, new = before.network.cidrs, after.network.cidrs
    if old is new:
        return (), ()
    changed = tuple(sorted((c for c in new.values() if old.get(c.id) != c), key=lambda c: c.id))
    return changed, tuple(sorted(number for number in old if number not in new))
