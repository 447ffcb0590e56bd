"""What peers that may relay are told, as they must know who sees whom: at once when that changes, so that who does not
see the other any more is relayed no more."""

from itertools import islice

import structlog

from innerd.coordinator.feed import Committed
from innerd.coordinator.presence import Presence
from innerd.domain.events import RelayAllowed, RelayDisallowed
from innerd.domain.values import COORDINATOR
from innerd.domain.visibility import Class, View, structural
from innerd.streaming.registry import Stream, Streams
from innerd.wire.stream import Relays, frame

_log = structlog.get_logger("stream")

MOST_PAIRS = 20_000  # of CIDRs, that one peer is told of


class RelaySights:
    def __init__(self, streams: Streams, presence: Presence) -> None:
        self._streams, self._presence = streams, presence
        self._relays: set[int] = set()  # peers that may relay, and have had a stream since
        self._told: dict[int, tuple[Stream, bytes]] = {}  # what each was told last, on which stream
        self._unrelayed: set[int] = set()  # peers that want nothing relayed, as it was told last

    def follow(self, change: Committed) -> None:
        """A follower of the feed, behind the one that sorts streams."""
        events = change.events
        spoken_of = {event.peer for event in events if isinstance(event, RelayAllowed | RelayDisallowed)} - {
            COORDINATOR
        }
        self._relays |= spoken_of
        for number in self._relays if structural(events) else spoken_of:
            self._tell(number, change.after)
        self._relays = {number for number in self._relays if _may_relay(change.after, number)}
        self._told = {number: told for number, told in self._told.items() if number in self._relays}

    def greet(self, number: int, view: View) -> None:
        """A peer has a stream; with it may come word of whether it wants to be relayed."""
        if _may_relay(view, number):
            self._relays.add(number)
            self._tell(number, view)
        wants_none = number in self._presence.unrelayed
        if wants_none != (number in self._unrelayed):
            (self._unrelayed.add if wants_none else self._unrelayed.discard)(number)
            for relay in self._relays - {number}:
                self._tell(relay, view)

    def _tell(self, number: int, view: View) -> None:
        stream = self._streams.by_peer.get(number)
        if stream is None or stream.ending is not None:
            return
        seen = view.topology.seen(stream.class_)
        unrelayed = (view.network.peers.get(peer) for peer in sorted(self._presence.unrelayed))
        told = Relays(
            pairs=self._pairs(view, stream) if _may_relay(view, number) else [],
            unrelayed=[peer.id for peer in unrelayed if peer and peer.is_active and view.class_of(peer) in seen],
        )
        data = frame("relays", told)
        if self._told.get(number) != (stream, data):
            self._told[number] = stream, data
            self._streams.write(stream, data)

    def _pairs(self, view: View, stream: Stream) -> list[tuple[int, int]]:
        pairs = pairs_of(view, stream.class_)
        if len(pairs) > MOST_PAIRS:
            _log.warning("a peer sees too many CIDRs to relay between them", peer=stream.peer, most=MOST_PAIRS)
            return []
        return pairs


def _may_relay(view: View, number: int) -> bool:
    peer = view.network.peers.get(number)
    return peer is not None and peer.is_relay and number != COORDINATOR


def pairs_of(view: View, class_: Class) -> list[tuple[int, int]]:
    """Of the CIDRs whose peers a class sees, those whose peers see each other; of too many one more than may be."""
    seen = view.topology.seen(class_)
    found = ((one, other) for one in seen for other in view.topology.seen(one) & seen if one < other)
    return sorted(islice(found, MOST_PAIRS + 1))
