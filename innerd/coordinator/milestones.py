"""Networks that the log went through, kept here and there, so that a look back need not begin at the beginning.

A cache: what a replay made of a log whose chain it checked, and what was committed since. Each is kept with the chain
hash behind its last event, and counts only where the log still has that very hash. Nothing of it is written down: every
start makes it anew, and without it all is as it was, only slower.
"""

from bisect import bisect_right

from msgspec import Struct

from innerd.domain.network import Network

_APART = 1 << 16  # revisions, at the least: so many events are folded while nobody would mind
_ROOM = 100_000  # peers, some 300 bytes each


class Milestone(Struct, frozen=True):
    """A network, and the chain hash behind its last event."""

    network: Network
    chain: bytes


class Milestones:
    """Kept at even distances, and further apart the longer the log is and the more peers it has: networks share what
    did not change between them, and what is no other's is never more than `room` peers."""

    def __init__(self, apart: int = _APART, room: int = _ROOM) -> None:
        self._kept: list[Milestone] = []
        self._apart, self._room = apart, room

    def note(self, network: Network, chain: bytes) -> None:
        """Keep a network, if it is far enough from the last one. To be called with each, in order."""
        last = self._kept[-1].network.revision if self._kept else 0
        if network.revision - last < self._apart:
            return
        self._kept.append(Milestone(network, chain))
        while _own(self._kept) > self._room:
            self._apart *= 2
            self._kept = _thinned(self._kept, self._apart)

    def before(self, revision: int) -> Milestone | None:
        """The last that is kept up to a revision."""
        index = bisect_right(self._kept, revision, key=lambda kept: kept.network.revision)
        return self._kept[index - 1] if index else None

    def forget(self, kept: Milestone) -> None:
        """The log is another one than it was: neither this one nor what came of it counts."""
        self._kept = [each for each in self._kept if each.network.revision < kept.network.revision]


def _own(kept: list[Milestone]) -> int:
    """How many peers the networks have that no other has, at most: an event changes one."""
    total = last = 0
    for network in (each.network for each in kept):
        total += min(network.revision - last, len(network.peers) + len(network.retired))
        last = network.revision
    return total


def _thinned(kept: list[Milestone], apart: int) -> list[Milestone]:
    left: list[Milestone] = []
    for each in kept:
        if each.network.revision - (left[-1].network.revision if left else 0) >= apart:
            left.append(each)
    return left
