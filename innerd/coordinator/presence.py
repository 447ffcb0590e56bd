"""Soft state: who is online, where peers were seen, what they say of themselves, which revision they have applied.

Nothing of this is in the log. Most of it is rebuilt within a second of a restart, from the coordinator's device and the
agents' reconnects; what peers that are away were seen to be last is recalled (`innerd.coordinator.remembering`).
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable

from msgspec import Struct

from innerd.coordinator.twins import Twins
from innerd.domain.values import Endpoint, endpoint_of, is_by_tcp, split_endpoint, stands_for_seen

_RECENT_HANDSHAKE = 180.0  # seconds; WireGuard gives a session up after that
_RELEASES = 10  # that are counted by name


class Observed(Struct, frozen=True, gc=False):
    """What the coordinator's device knows of a peer. `handshake` is seconds since 1970."""

    endpoint: Endpoint | None
    handshake: float | None
    rx_bytes: int
    tx_bytes: int


class Receipt(Struct, frozen=True):
    """A peer's word that its device matches a revision; `refused` are the peers whose keys it did not take."""

    revision: int
    at: float
    refused: tuple[tuple[int, str], ...] = ()


class Presence:
    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.observed: dict[int, Observed] = {}
        self.candidates: dict[int, tuple[Endpoint, ...]] = {}
        self.receipts: dict[int, Receipt] = {}
        self.software: dict[int, str] = {}  # what peers say that they run, such as inn/0.1.0
        self.proven: set[int] = set()  # peers that have shown a proof of their key: they run `inn`
        self.earlier: dict[int, Receipt] = {}  # of before the coordinator started: to be looked at, not to be relied on
        self.recalled: set[int] = set()  # peers of which what is known of where they are is from before it started
        self.unrelayed: set[int] = set()  # peers that want nothing relayed
        self.worth_keeping: set[int] = set()  # peers of which something to be recalled has changed
        self.shown: dict[int, int] = {}  # the newest revision that a peer was told of, or brought along itself
        self.told: dict[int, int] = {}  # the revision of the last frame that a streaming peer was sent
        self.streaming: set[int] = set()
        self.versions: dict[int, int] = {}  # how often what is told of a peer has changed
        self.version = 0  # of all of it
        self._stirred: list[Callable[[], None]] = []
        self._moved: list[Callable[[int], None]] = []
        self._placed: list[Callable[[int, Endpoint], None]] = []
        self.unsettled: set[int] = set()  # who may not have all that it was to be told
        self._clock = clock
        self._twins = Twins()
        self._learned: dict[int, deque[Endpoint]] = {}
        self._left: dict[int, float] = {}  # when peers were let go of
        self._online: set[int] = set()  # as it was told last
        self._changed: set[int] = set()

    def on_news(self, call: Callable[[], None]) -> None:
        """Call it at every change that is worth telling others."""
        self._stirred.append(call)

    def on_place(self, call: Callable[[int, Endpoint], None]) -> None:
        """Call it with each peer that shook hands, or is seen somewhere else, and where."""
        self._placed.append(call)

    def takes_relay(self, peer: int, wanted: bool) -> None:
        """Whether a peer's agent wants to be relayed."""
        (self.unrelayed.discard if wanted else self.unrelayed.add)(peer)

    def on_progress(self, call: Callable[[int], None]) -> None:
        """Call it with each peer that sent a receipt, or whose stream came or went."""
        self._moved.append(call)

    def moved(self, peer: int) -> None:
        """A peer came forward, or is not waited for any more."""
        for call in self._moved:
            call(peer)

    def _stir(self, peer: int) -> None:
        self._changed.add(peer)
        self.version += 1
        self.versions[peer] = self.version
        for call in self._stirred:
            call()

    def _note_online(self, peer: int) -> None:
        online = self.is_online(peer, self._clock())
        if online != (peer in self._online):
            (self._online.add if online else self._online.discard)(peer)
            self._stir(peer)

    def expire(self) -> None:
        """Note who is offline because its last handshake is three minutes old."""
        for peer in self._online - self.streaming:
            self._note_online(peer)

    def observe(self, peer: int, seen: Observed) -> None:
        """Note what the device says. Only a new endpoint is worth telling others."""
        before = self.observed.get(peer)
        self.observed[peer] = seen
        self.recalled.discard(peer)
        if before is None or (before.endpoint, before.handshake) != (seen.endpoint, seen.handshake):
            self.worth_keeping.add(peer)
            if seen.endpoint is not None:
                for call in self._placed:
                    call(peer, seen.endpoint)
        if seen.endpoint is not None and (before is None or before.endpoint != seen.endpoint):
            self._note_place(peer, seen.endpoint)
            self._stir(peer)
        self._note_online(peer)

    def _note_place(self, peer: int, endpoint: Endpoint) -> None:
        """It was seen somewhere else. By TCP it is nowhere that means something to others, and who comes back from
        there to where it was has not moved."""
        learned = self._learned.setdefault(peer, deque(maxlen=16))
        if not is_by_tcp(endpoint) and (not learned or learned[-1] != endpoint):
            learned.append(endpoint)
            self._twins.moved(peer, endpoint, self._clock())

    def prove(self, peer: int) -> None:
        """It has shown a proof of its key."""
        if peer not in self.proven:
            self.proven.add(peer)
            self.worth_keeping.add(peer)

    def let_go(self, peer: int) -> None:
        """It is no peer at this time: it is not here, however lately it shook hands, and must show a proof no more, as
        whoever lets it in again may let it in with innernet's client."""
        self._left[peer] = self._clock()
        self._note_online(peer)
        if peer in self.proven:
            self.proven.discard(peer)
            self.worth_keeping.add(peer)

    def recall(
        self, peer: int, seen: Observed | None, receipt: Receipt | None, software: str | None, *, is_proven: bool
    ) -> None:
        """What was known of a peer before the coordinator started."""
        if software is not None:
            self.software[peer] = software
        if is_proven:
            self.proven.add(peer)
        if receipt is not None:
            self.earlier[peer] = receipt
        if seen is not None:
            self.observed[peer] = seen
            self.recalled.add(peer)
            if seen.endpoint is not None:
                self._learned.setdefault(peer, deque(maxlen=16)).append(seen.endpoint)
                self._stir(peer)
            self._note_online(peer)

    def report_candidates(self, peer: int, candidates: tuple[Endpoint, ...]) -> None:
        if self.candidates.get(peer, ()) != candidates:
            self.candidates[peer] = candidates
            self._stir(peer)

    def report_software(self, peer: int, software: str) -> None:
        if self.software.get(peer) != software:
            self.software[peer] = software
            self.worth_keeping.add(peer)

    def releases(self, peers: Iterable[int]) -> dict[str, int]:
        """How many of some peers run what."""
        return releases(Counter(map(self.software.get, peers)))

    def report_applied(self, peer: int, receipt: Receipt) -> None:
        before = self.receipts.get(peer)
        if before is None or before.revision <= receipt.revision:  # two may overtake each other on their way
            self.receipts[peer] = receipt
            self.worth_keeping.add(peer)
            self.moved(peer)

    def met(self, peer: int, run: str) -> bool:
        """A run of a peer's agent opens a stream. Whether it is another than the one before."""
        return self._twins.met(peer, run, self._clock())

    def stream_opened(self, peer: int) -> None:
        self.streaming.add(peer)
        self._note_online(peer)
        self.moved(peer)

    def stream_closed(self, peer: int) -> None:
        self.streaming.discard(peer)
        self._note_online(peer)
        self.moved(peer)

    def forget(self, peer: int) -> None:
        """The peer is gone for good."""
        for known in (
            self.observed,
            self.candidates,
            self.receipts,
            self.software,
            self.earlier,
            self.told,
            self.shown,
            self._learned,
            self._left,
            self.versions,
        ):
            known.pop(peer, None)
        self._twins.forget(peer)
        for held in (self.unrelayed, self.proven, self.streaming, self.recalled, self._online, self._changed):
            held.discard(peer)
        self.worth_keeping.add(peer)
        self.moved(peer)

    def drain(self) -> set[int]:
        """The peers whose soft state changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def twins(self, peer: int) -> tuple[Endpoint, ...]:
        """Where a peer is seen in turns, as two machines have its key; none where it is one machine."""
        return self._twins.of(peer, self._clock())

    def all_twins(self) -> dict[int, tuple[Endpoint, ...]]:
        """The same of all peers, where there are some."""
        return self._twins.all(self._clock())

    def learned(self, peer: int) -> Endpoint | None:
        """Where the peer was seen last; None where it came by TCP, as nobody else reaches it there."""
        seen = self.observed.get(peer)
        return None if seen is None or seen.endpoint is None or is_by_tcp(seen.endpoint) else seen.endpoint

    def handshake(self, peer: int) -> float | None:
        seen = self.observed.get(peer)
        return None if seen is None else seen.handshake

    def receipt(self, peer: int) -> Receipt | None:
        """The last one, from before the coordinator started if need be."""
        return self.receipts.get(peer) or self.earlier.get(peer)

    def applied(self, peer: int) -> int | None:
        """The revision that the peer's device is known to have matched last."""
        receipt = self.receipt(peer)
        return None if receipt is None else receipt.revision

    def was_learned(self, peer: int, endpoint: Endpoint) -> bool:
        """Whether an endpoint is one that we told of this peer lately: innernet's clients put it back."""
        return endpoint in self._learned.get(peer, ())

    def is_online(self, peer: int, now: float) -> bool:
        """It holds a stream, or (a polling client) has shaken hands within three minutes."""
        seen, left = self.observed.get(peer), self._left.get(peer, 0.0)
        return peer in self.streaming or (
            seen is not None
            and seen.handshake is not None
            and now - seen.handshake < _RECENT_HANDSHAKE
            and seen.handshake > left
        )

    def shown_endpoint(self, peer: int, override: Endpoint | None) -> Endpoint | None:
        """innernet's rule (its 4.4): an override wins; one with an unspecified address takes the learned address
        with its own port; without an override, what was learned."""
        learned = self.learned(peer)
        if override is None:
            return learned
        if not stands_for_seen(override):
            return override
        if learned is None:
            return None
        return endpoint_of(split_endpoint(learned)[0], split_endpoint(override)[1])

    def shown_candidates(self, peer: int, shown: Endpoint | None) -> tuple[Endpoint, ...]:
        """What the peer reported, and last (so tried first) where it was seen, if that is not told already."""
        candidates = self.candidates.get(peer, ())
        learned = self.learned(peer)
        if learned is None or learned == shown or learned in candidates:
            return candidates
        return (*candidates, learned)


def releases(counted: Counter[str | None]) -> dict[str, int]:
    """How many peers run what: the ten that most run, `other`, and `unknown` where nothing was said."""
    counted = counted.copy()
    unknown = counted.pop(None, 0)
    named = {software: count for software, count in counted.most_common(_RELEASES) if software is not None}
    rest = {"other": counted.total() - sum(named.values()), "unknown": unknown}
    return named | {what: count for what, count in rest.items() if count}
