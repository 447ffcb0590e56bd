"""What peers are sent, encoded once: each peer by itself, deltas, snapshots and presence by class.

All members of a class are told the same bytes. What is kept belongs to the view and the soft state that it was made
of; with the next change it is made anew from the encoded peers, of which only the changed ones are encoded again.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter

import msgspec
from msgspec import Raw

from innerd.coordinator.feed import Feed
from innerd.coordinator.presence import Presence
from innerd.domain.netmap import Delta, delta, netmap
from innerd.domain.network import Cidr, Peer
from innerd.domain.values import COORDINATOR, Endpoint
from innerd.domain.visibility import Class, View
from innerd.wire.innernet import State, cidr_json, peer_json
from innerd.wire.stream import delta_frame, presence_frame, presence_of, snapshot_frame

HEAVY = 64 * 1024  # bytes; larger frames are sent in a lane of their own
_HEAVY_PEERS = 256
_KEPT_SNAPSHOTS = 64 << 20  # bytes

_encode = msgspec.json.Encoder().encode
_by_id = attrgetter("id")


class Frames:
    def __init__(self, feed: Feed, presence: Presence, clock: Callable[[], float]) -> None:
        self._feed = feed
        self._presence = presence
        self._clock = clock
        self._peers: dict[int, tuple[Peer, Class, Raw]] = {}
        self._states: dict[int, tuple[Peer, tuple[Class, int, Endpoint | None], Raw]] = {}
        self._soft: dict[int, tuple[str | None, int, bool, Raw]] = {}
        self._cidrs: tuple[object, list[Raw]] = (None, [])
        self._revision = -1
        self._deltas: dict[tuple[int, Class, Class], Delta] = {}
        self._encoded: dict[tuple[int, Class, Class], bytes] = {}
        self._snapshots: dict[Class, bytes] = {}
        self._whole: dict[Class, tuple[tuple[int, int], bytes]] = {}  # and the version and revision it is of

    def forget(self, number: int) -> None:
        """The peer is gone for good."""
        self._peers.pop(number, None)
        self._states.pop(number, None)
        self._soft.pop(number, None)

    # -- peers by themselves ------------------------------------------------------------------------------------

    def _peer(self, view: View, peer: Peer) -> Raw:
        known, class_ = self._peers.get(peer.id), view.class_of(peer)
        if known is None or known[0] is not peer or known[1] != class_:
            known = self._peers[peer.id] = (peer, class_, Raw(_encode(peer_json(view, peer))))
        return known[2]

    def _state(self, view: View, peer: Peer) -> Raw:
        known, class_ = self._states.get(peer.id), view.class_of(peer)
        version = self._presence.versions.get(peer.id, 0)
        coordinator = view.network.coordinator
        relay = coordinator.endpoint if coordinator.is_relay else None
        made_of = (class_, version, relay)
        if known is None or known[0] is not peer or known[1] != made_of:
            encoded = Raw(_encode(peer_json(view, peer, self._presence, relay)))
            known = self._states[peer.id] = (peer, made_of, encoded)
        return known[2]

    def presence(self, peer: Peer) -> Raw:
        """The soft state of a peer, as a `presence` frame has it."""
        now = self._clock()
        online, version = self._presence.is_online(peer.id, now), self._presence.versions.get(peer.id, 0)
        known = self._soft.get(peer.id)
        if known is None or known[:3] != (peer.endpoint, version, online):
            encoded = Raw(_encode(presence_of(peer.id, peer.endpoint, self._presence, now)))
            known = self._soft[peer.id] = (peer.endpoint, version, online, encoded)
        return known[3]

    def _all_cidrs(self, view: View) -> list[Raw]:
        if self._cidrs[0] is not view.network.cidrs:
            ordered = sorted(view.network.cidrs.values(), key=_by_id)
            self._cidrs = (view.network.cidrs, [_cidr(cidr) for cidr in ordered])
        return self._cidrs[1]

    # -- what classes are told ----------------------------------------------------------------------------------

    def _turn_to(self, view: View) -> None:
        if view.network.revision != self._revision:
            self._revision = view.network.revision
            self._deltas, self._encoded, self._snapshots = {}, {}, {}

    def _difference(self, before: View, was: Class, after: View, is_: Class) -> Delta:
        self._turn_to(after)
        key = (before.network.revision, was, is_)
        found = self._deltas.get(key)
        if found is None:
            past = self._feed.history.since(before.network.revision)
            only = None if past is None else past.touched
            found = self._deltas[key] = delta(before, was, after, is_, only)
        return found

    def is_heavy(self, before: View | None, was: Class, after: View, is_: Class) -> bool:
        """Whether what members of a class must be told (whole without a `before`) is too much to be sent at once."""
        if before is not None:
            found = self._difference(before, was, after, is_)
            return len(found.peers) + len(found.cidrs) > _HEAVY_PEERS
        count = 0
        for class_ in after.topology.seen(is_):
            count += len(after.members.get(class_, ()))
            if count > _HEAVY_PEERS:
                return True
        return False

    def delta(self, before: View, was: Class, after: View, is_: Class, head_hash: str) -> tuple[bytes, bool]:
        """The delta from one view to another, and whether there is anything in it. It goes behind the soft state of
        the peers that come with it: a device that has both at once begins its handshake at once."""
        found = self._difference(before, was, after, is_)
        key = (before.network.revision, was, is_)
        encoded = self._encoded.get(key)
        if encoded is None:
            peers, cidrs = [self._peer(after, peer) for peer in found.peers], [_cidr(cidr) for cidr in found.cidrs]
            encoded = self._met(found.peers) + delta_frame(after.network, found, peers, cidrs, head_hash)
            self._encoded[key] = encoded
        return encoded, not found.is_empty

    def _met(self, peers: Iterable[Peer]) -> bytes:
        soft = self._presence
        met = [
            p for p in peers if p.id != COORDINATOR and (p.endpoint or soft.learned(p.id) or soft.candidates.get(p.id))
        ]
        return presence_frame([self.presence(peer) for peer in met], whole=False) if met else b""

    def snapshot(self, view: View, class_: Class, head_hash: str) -> bytes:
        self._turn_to(view)
        found = self._snapshots.get(class_)
        if found is None:
            seen = netmap(view, class_)
            peers = [self._peer(view, peer) for peer in seen.peers]
            found = snapshot_frame(view.network, peers, self._all_cidrs(view), head_hash)
            if sum(map(len, self._snapshots.values())) + len(found) > _KEPT_SNAPSHOTS:
                self._snapshots.clear()
            self._snapshots[class_] = found
        return found

    def whole_presence(self, view: View, class_: Class) -> bytes:
        """The soft state of all that a class sees, but for those of whom there is nothing to say."""
        found, made = self._whole.get(class_), (self._presence.version, view.network.revision)
        if found is None or found[0] != made:
            seen = [peer for peer in view.seen_by(class_) if peer.id != COORDINATOR and self._is_known(peer)]
            if sum(len(data) for _, data in self._whole.values()) > _KEPT_SNAPSHOTS:
                self._whole.clear()
            found = self._whole[class_] = (made, presence_frame(list(map(self.presence, seen)), whole=True))
        return found[1]

    def _is_known(self, peer: Peer) -> bool:
        return peer.endpoint is not None or peer.id in self._presence.versions

    def state(self, view: View, peer: Peer) -> bytes:
        """`GET /v1/user/state` of a peer, as innernet has it."""
        seen = sorted(view.visible_to(peer), key=_by_id)
        return _encode(State(peers=[self._state(view, other) for other in seen], cidrs=self._all_cidrs(view)))


def _cidr(cidr: Cidr) -> Raw:
    return Raw(_encode(cidr_json(cidr)))
