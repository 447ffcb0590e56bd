"""Whom a change concerns: which classes may see anything of it. Pure.

What is answered may hold a class too many, and never one too few: who is told nothing new is told nothing. It costs
microseconds however large the network is, as it looks at what the events speak of and not at the peers.
"""

from collections.abc import Iterable

from innerd.domain import events as e
from innerd.domain.values import COORDINATOR
from innerd.domain.visibility import Class, View, touched

Concerned = frozenset[Class] | None  # None: everybody

_OF_ALL = (e.CidrCreated, e.CidrRenamed, e.CidrDeleted)  # CIDRs are known to all


def concerned(before: View, after: View, happened: Iterable[e.AnyEvent]) -> Concerned:
    """The classes (of the network after it) that a change may concern; None where it concerns everybody."""
    happened = tuple(happened)
    if any(isinstance(event, _OF_ALL) for event in happened):
        return None
    classes: set[Class] = set()
    for event in happened:
        if isinstance(event, e.AssociationAdded | e.AssociationDeleted):
            subtree = after.topology.subtree
            classes |= subtree.get(event.cidr_id_1, set()) | subtree.get(event.cidr_id_2, set())
    for number in touched(happened):
        old, new = before.network.peers.get(number), after.network.peers.get(number)
        if old == new:
            continue
        if number == COORDINATOR:
            return None
        for view, peer in ((before, old), (after, new)):
            if peer is not None and peer.is_active:
                classes |= view.topology.seen(view.class_of(peer))
    return frozenset(classes)


class Concern:
    """Since which revision nothing has concerned a class. `revision` is what nothing is known before."""

    def __init__(self, revision: int) -> None:
        self._everybody = revision
        self._last: dict[Class, int] = {}

    def note(self, classes: Concerned, revision: int) -> None:
        if classes is None:
            self._everybody = revision
            self._last.clear()
            return
        for class_ in classes:
            self._last[class_] = revision

    def last(self, class_: Class) -> int:
        """The newest revision that may have concerned the members of a class."""
        return max(self._everybody, self._last.get(class_, 0))
