"""Two peers that look for a way to each other are told of one moment at which both begin (`connect`).

Either may ask for it (`POST /v1/user/connect`); both hear, with the newest that is known of where the other is. A pair
that was told lately is not told again unless one of them is somewhere else by now: who asks without end costs the
others nothing.
"""

import time
from collections.abc import Callable

from msgspec import Struct

from innerd.coordinator.looks import Looks
from innerd.coordinator.presence import Presence
from innerd.coordinator.writer import Writer
from innerd.domain.errors import Refused
from innerd.domain.network import Peer
from innerd.domain.values import COORDINATOR, split_endpoint
from innerd.streaming.frames import Frames
from innerd.streaming.limits import Buckets
from innerd.streaming.registry import Streams
from innerd.streaming.strangers import Strangers
from innerd.wire.stream import LEAD, Connect, frame, presence_frame

_AGAIN = 3.0  # seconds in which a pair is not told the same a second time
_AT_MOST = 0.5  # seconds in which it is not told anything
_ASKS, _ASKS_RATE = 100, 5.0  # a peer's, at once, and a second after that
_KEPT = 10_000  # pairs


class _Told(Struct):
    """When a pair was told, by the clock that nobody sets, and where they are."""

    at: float
    where: bytes


class Rendezvous:
    def __init__(
        self,
        writer: Writer,
        streams: Streams,
        frames: Frames,
        looks: Looks,
        presence: Presence,
        strangers: Strangers,
        clock: Callable[[], float],
    ) -> None:
        self._presence = presence
        self._strangers = strangers
        self._looks = looks
        self._writer = writer
        self._streams = streams
        self._frames = frames
        self._clock = clock
        self._asks = Buckets("meetings", _ASKS, _ASKS_RATE, clock)
        self._told: dict[tuple[int, int], _Told] = {}
        self._epoch = int(clock()) & 0xFFFFFFFF

    async def ask(self, asker: Peer, other: int) -> None:
        """Tell both, if both are there. Raises Refused where the asker sees no such peer, or asks too often."""
        self._check(asker, other)
        self._asks.take(asker.id)
        pair = (min(asker.id, other), max(asker.id, other))
        if self._was_told(pair, _AT_MOST) or not self._are_there(*pair):
            return
        await self._looks.now()
        self._check(asker, other)  # much can have happened
        where = self._where(*pair)
        if not self._was_told(pair, _AGAIN, where) and self._are_there(*pair):
            self._note(pair, where)
            self._tell(*pair)

    def _check(self, asker: Peer, other: int) -> None:
        view = self._writer.view
        one, two = view.network.peers.get(asker.id), view.network.peers.get(other)
        if one is None or two is None or other == COORDINATOR or one.id == other or not view.sees(one, two):
            raise Refused("peer_not_found", "there is no such peer")

    def _where(self, *pair: int) -> bytes:
        peers = self._writer.network.peers
        return b"".join(bytes(self._frames.presence(peers[number])) for number in pair)

    def _was_told(self, pair: tuple[int, int], seconds: float, where: bytes | None = None) -> bool:
        """Whether a pair was told within a time: anything, or that they are where they are."""
        told = self._told.get(pair)
        return told is not None and time.monotonic() - told.at < seconds and where in (None, told.where)

    def _note(self, pair: tuple[int, int], where: bytes) -> None:
        now = time.monotonic()
        if len(self._told) >= _KEPT:
            self._told = {known: told for known, told in self._told.items() if now - told.at < _AGAIN}
        self._told[pair] = _Told(now, where)

    def _are_there(self, *pair: int) -> bool:
        """Who holds no stream can't be told. It asks for itself when it comes."""
        streams = [self._streams.by_peer.get(number) for number in pair]
        return all(stream is not None and stream.ending is None for stream in streams)

    def _tell(self, one: int, other: int) -> None:
        self._epoch = (self._epoch + 1) & 0xFFFFFFFF
        peers, minds = self._writer.network.peers, self._who_minds(one, other)
        # Where one minds who comes too early, both must have heard by then.
        go_at = self._clock() + (LEAD if minds else 0.0)
        for number, peer in ((one, other), (other, one)):
            known = presence_frame([self._frames.presence(peers[peer])], whole=False)
            told = Connect(peer=peer, epoch=self._epoch, go_at=go_at, prime=peer in minds)
            self._streams.write(self._streams.by_peer[number], known + frame("connect", told))

    def _who_minds(self, *pair: int) -> set[int]:
        """Of two peers those whose routers may mind the other's packets. Where both are seen at one address, there are
        routers behind it that no stranger of ours has come to."""
        seen = [self._presence.learned(number) for number in pair]
        are_together = len({split_endpoint(endpoint)[0] for endpoint in seen if endpoint is not None}) < len(pair)
        return {number for number in pair if are_together or not self._strangers.is_at_ease(number)}
