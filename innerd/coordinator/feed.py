"""What was committed, told to everything that follows: DNS zone, device, streams.

The feed also remembers the last views of the network, so that a client that comes back within them is told just
the difference, computed from what it knew and what is so now; and since when nothing has concerned whom, so that most
need not be compared at all.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable

import structlog
from msgspec import Struct

from innerd.coordinator.milestones import Milestones
from innerd.domain.concern import Concern, Concerned, concerned
from innerd.domain.events import AnyEvent
from innerd.domain.network import evolve
from innerd.domain.visibility import View, touched

_log = structlog.get_logger("feed")

_KEPT = 1024  # revisions
_KEPT_TOPOLOGIES = 16  # a change of the tree costs a whole index; peers' changes share everything


class Committed(Struct, frozen=True):
    """One committed command: the views around it, its events, and the chain hash behind it."""

    before: View
    after: View
    events: tuple[AnyEvent, ...]
    at: float
    head_hash: str
    concerned: Concerned  # the classes that may see something of it


Follower = Callable[[Committed], None]


class Past(Struct, frozen=True):
    """What was so at a revision, and the peers that were spoken of since."""

    view: View
    touched: frozenset[int]


class History:
    """The last revisions and their views, and the peers that the change to each spoke of."""

    def __init__(self, view: View) -> None:
        self._views: OrderedDict[int, tuple[View, set[int]]] = OrderedDict()
        self._topologies: Counter[int] = Counter()  # how many views share each
        self.add(view, set())

    def add(self, view: View, spoken_of: set[int]) -> None:
        self._views[view.network.revision] = (view, spoken_of)
        self._topologies[id(view.topology)] += 1
        while len(self._views) > _KEPT or len(self._topologies) > _KEPT_TOPOLOGIES:
            _, (oldest, _) = self._views.popitem(last=False)
            self._topologies[id(oldest.topology)] -= 1
            if not self._topologies[id(oldest.topology)]:
                del self._topologies[id(oldest.topology)]

    def at(self, revision: int) -> View | None:
        found = self._views.get(revision)
        return None if found is None else found[0]

    def since(self, revision: int) -> Past | None:
        """A revision that is remembered, and what happened after it."""
        found = self._views.get(revision)
        if found is None:
            return None
        spoken_of: set[int] = set()
        for later in reversed(self._views):
            if later == revision:
                break
            spoken_of |= self._views[later][1]
        return Past(found[0], frozenset(spoken_of))


class Feed:
    def __init__(self, view: View, milestones: Milestones | None = None) -> None:
        self.history = History(view)
        self.milestones = Milestones() if milestones is None else milestones
        self.concern = Concern(view.network.revision)
        self.errors: dict[str, int] = {}
        self._followers: dict[str, Follower] = {}

    def follow(self, name: str, follower: Follower) -> None:
        """Call `follower` with every change from now on; `name` is for metrics and logs."""
        self._followers[name] = follower
        self.errors.setdefault(name, 0)

    def unfollow(self, name: str) -> None:
        self._followers.pop(name, None)

    def recall(self, view: View, happened: Iterable[AnyEvent]) -> View:
        """Remember what happened before anybody followed, from the view that the feed began with; the last view."""
        for event in happened:
            before, view = view, view.advance(evolve(view.network, event), (event,))
            self._remember(view, touched((event,)), concerned(before, view, (event,)))
        return view

    def _remember(self, view: View, spoken_of: set[int], classes: Concerned) -> None:
        self.history.add(view, spoken_of)
        self.concern.note(classes, view.network.revision)

    def publish(self, change: Committed) -> None:
        self._remember(change.after, touched(change.events), change.concerned)
        self.milestones.note(change.after.network, bytes.fromhex(change.head_hash))
        for name, follower in list(self._followers.items()):
            try:
                follower(change)
            except Exception:
                # Its last good answer stays; the others must hear of the change all the same.
                self.errors[name] += 1
                _log.exception("follower failed", follower=name, revision=change.after.network.revision)
