"""What was committed, told to everything that follows: DNS zone, device, streams.

The feed also remembers the last views of the network, so that a client that comes back within them is told just
the difference, computed from what it knew and what is so now.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable

import structlog
from msgspec import Struct

from innerd.domain.events import AnyEvent
from innerd.domain.visibility import View

_log = structlog.get_logger("feed")

_KEPT = 1024  # revisions
_KEPT_TOPOLOGIES = 16  # a change of the tree costs a whole index; peers' changes share everything


class Change(Struct, frozen=True):
    """One committed command: the views around it, its events, and the chain hash behind it."""

    before: View
    after: View
    events: tuple[AnyEvent, ...]
    at: float
    head_hash: str


Follower = Callable[[Change], None]


class History:
    """The last revisions and their views."""

    def __init__(self, view: View) -> None:
        self._views: OrderedDict[int, View] = OrderedDict()
        self._topologies: Counter[int] = Counter()  # how many views share each
        self.add(view)

    def add(self, view: View) -> None:
        self._views[view.network.revision] = view
        self._topologies[id(view.topology)] += 1
        while len(self._views) > _KEPT or len(self._topologies) > _KEPT_TOPOLOGIES:
            _, oldest = self._views.popitem(last=False)
            self._topologies[id(oldest.topology)] -= 1
            if not self._topologies[id(oldest.topology)]:
                del self._topologies[id(oldest.topology)]

    def at(self, revision: int) -> View | None:
        return self._views.get(revision)


class Feed:
    def __init__(self, view: View) -> None:
        self.history = History(view)
        self.errors: dict[str, int] = {}
        self._followers: dict[str, Follower] = {}

    def follow(self, name: str, follower: Follower) -> None:
        """Call `follower` with every change from now on; `name` is for metrics and logs."""
        self._followers[name] = follower
        self.errors.setdefault(name, 0)

    def unfollow(self, name: str) -> None:
        self._followers.pop(name, None)

    def publish(self, change: Change) -> None:
        self.history.add(change.after)
        for name, follower in list(self._followers.items()):
            try:
                follower(change)
            except Exception:
                # Its last good answer stays; the others must hear of the change all the same.
                self.errors[name] += 1
                _log.exception("follower failed", follower=name, revision=change.after.network.revision)
