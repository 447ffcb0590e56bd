"""What is relayed, as a value: where each peer's port is, which pairs speak by way of us, and by which index whoever
answers is known. Pure: messages, places and the time come in, what an edge is to do comes out.

An initiation says for whom it is, to whoever knows that one's public key; with it comes the index that the answer will
bear, so where that comes from and bears it goes back. The answer brings the other index. From then on data is carried
by (where it comes from, index) alone. Both sides take new indices at each handshake, every two minutes.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from innerd.domain.bucket import Bucket
from innerd.domain.values import Endpoint, PublicKey
from innerd.relay.messages import RESPONSE, Message, is_meant_for, mac1_key

LIVES = 250.0  # seconds: WireGuard lets go of a session after 180, and what passed by it is counted once a minute
_KEPT = 3  # sessions of one towards the other: the one that is used, those before and after it
_OPEN = 3  # initiations that wait for their answer, so that one that is forged takes no other's place at once
CROSSES = 0.2  # seconds for which an initiation waits for the answer to one that went the other way just before
_MOST_PAIRS = 30_000
_INITIATIONS, _BURST = 0.5, 5.0  # a second, from one to another: WireGuard sends one in five seconds
_TRIES, _TRIES_BURST = 5_000.0, 30_000.0  # keys a second that one's initiations are compared with

STRANGER = "unknown source"


class Element(Struct, frozen=True, gc=False):
    """What comes from a peer's port and bears an index."""

    source: Endpoint
    index: bytes


class Place(Struct, frozen=True, gc=False):
    """Where a peer is reached; `own`: the address of ours that it sends to, "" where that is not known."""

    endpoint: Endpoint
    own: str = ""


class Put(Struct, frozen=True, gc=False):
    """Carry what comes from a peer as an element to another."""

    element: Element
    sender: int
    to: int


class Drop(Struct, frozen=True, gc=False):
    element: Element


class Placed(Struct, frozen=True, gc=False):
    """A peer of a pair is there (None: is in no pair any more)."""

    peer: int
    place: Place | None


Edit = Put | Drop | Placed


class Lane(Struct, gc=False):
    """From whom to whom an element leads, until when, and the bytes that have passed."""

    sender: int
    receiver: int
    until: float
    passed: int = 0


class Pair(Struct):
    """Two peers; `since` is when one of them first greeted the other by way of us, by the table's clock."""

    since: float
    answered: float = float("-inf")  # when an answer was sent on last
    passed: int = 0
    lanes: dict[int, deque[Element]] = {}  # by who sends: those of sessions
    open: dict[int, deque[Element]] = {}  # by who is asked: where an answer would come, of the newest initiations
    allowances: dict[int, Bucket] = {}

    def elements(self) -> list[Element]:
        return [element for held in (self.lanes, self.open) for lanes in held.values() for element in lanes]


class Handled(Struct, frozen=True):
    """What became of a handshake: to whom it goes on (None: to nobody, and `why`; without a reason it is for the host
    that relays itself), and what an edge is to do first. `waits`: it goes on only if the other's own initiation, which
    it crosses, is not answered meanwhile: of two that cross each other WireGuard loses both, and tries again after
    five seconds."""

    to: int | None = None
    edits: tuple[Edit, ...] = ()
    why: str = ""
    waits: bool = False


class Sight(Protocol):
    """Who sees whom: the network's one rule."""

    def seen_by(self, peer: int) -> Sequence[tuple[int, PublicKey]]:
        """Whom a peer sees, by id, each with its key."""
        ...

    def sees(self, one: int, other: int) -> bool: ...

    def key_of(self, peer: int) -> PublicKey | None: ...


class Table:
    """`own` is the key of the host that relays: what is for itself concerns nobody else."""

    def __init__(self, sight: Sight, own: PublicKey) -> None:
        self.places: dict[int, Place] = {}
        self.pairs: dict[tuple[int, int], Pair] = {}
        self.lanes: dict[Element, Lane] = {}
        self._who: dict[Endpoint, int] = {}
        self._of: dict[int, dict[tuple[int, int], None]] = {}  # the pairs of a peer; who shook hands last comes last
        self._tries: dict[int, Bucket] = {}
        self._latest: dict[int, int] = {}  # whom a peer's last initiation was for
        self._sight, self._own = sight, mac1_key(own)

    # -- where peers are ----------------------------------------------------------------------------------------

    def who(self, endpoint: Endpoint) -> int | None:
        return self._who.get(endpoint)

    def place(self, peer: int, place: Place) -> list[Edit]:
        """WireGuard sees a peer there: what leads to it and from it is others' from now on."""
        before = self.places.get(peer)
        if before == place:
            return []
        edits: list[Edit] = []
        other = self._who.get(place.endpoint)
        if other is not None and other != peer:  # it was there, and must be somewhere else now
            edits += self.forget(other)
        self.places[peer] = place
        if before is not None and self._who.get(before.endpoint) == peer:
            del self._who[before.endpoint]
        self._who[place.endpoint] = peer
        if peer not in self._of:
            return edits
        edits.append(Placed(peer, place))
        if before is not None and before.endpoint != place.endpoint:
            for pair in self._of[peer]:
                edits += self._moved(self.pairs[pair], peer, place.endpoint)
        return edits

    def _moved(self, pair: Pair, peer: int, endpoint: Endpoint) -> Iterator[Edit]:
        for lanes in (pair.lanes.get(peer, deque()), pair.open.get(peer, deque())):
            for _ in range(len(lanes)):
                element = lanes.popleft()
                lane, anew = self.lanes.pop(element), Element(endpoint, element.index)
                self.lanes[anew] = lane
                lanes.append(anew)
                yield Drop(element)
                yield Put(anew, lane.sender, lane.receiver)

    def forget(self, peer: int) -> list[Edit]:
        """A peer is none any more."""
        edits = self.part(self._of.get(peer, ()))
        place = self.places.pop(peer, None)
        if place is not None and self._who.get(place.endpoint) == peer:
            del self._who[place.endpoint]
        self._tries.pop(peer, None)
        self._latest.pop(peer, None)
        return edits

    # -- handshakes ---------------------------------------------------------------------------------------------

    def handle(self, message: Message, datagram: bytes, source: Endpoint, now: float) -> Handled:
        """An initiation or a response that came from somewhere."""
        sender = self._who.get(source)
        if sender is None:
            return Handled(why=STRANGER)
        if is_meant_for(datagram, self._own):
            return Handled()
        if message.kind == RESPONSE:
            return self._response(message, datagram, source, sender, now)
        return self._initiation(message, datagram, sender, now)

    def _initiation(self, message: Message, datagram: bytes, sender: int, now: float) -> Handled:
        receiver = self._meant(datagram, sender, now)
        if receiver is None:
            return Handled(why="for nobody that it sees")
        name = _pair(sender, receiver)
        pair = self.pairs.get(name)
        if pair is None and len(self.pairs) >= _MOST_PAIRS:
            return Handled(why="too many pairs")
        if pair is None:
            pair = self.pairs[name] = Pair(now)
        allowance = pair.allowances.setdefault(sender, Bucket(_INITIATIONS, _BURST))
        if not allowance.take(1.0, now):
            return Handled(why="too many initiations")
        crosses = any(self.lanes[one].until - LIVES > now - CROSSES for one in pair.open.get(sender, ()))
        asked = Element(self.places[receiver].endpoint, message.sender)
        edits = [*self._joined(name), *self._await(pair, receiver, sender, asked, now)]
        return Handled(receiver, tuple(edits), waits=crosses)

    def was_answered(self, one: int, other: int, since: float) -> bool:
        """Whether an answer of one of two to the other was sent on since then; they may be no pair any more."""
        pair = self.pairs.get(_pair(one, other))
        return pair is None or pair.answered >= since

    def _response(self, message: Message, datagram: bytes, source: Endpoint, sender: int, now: float) -> Handled:
        asked = Element(source, message.receiver)
        lane = self.lanes.get(asked)
        if lane is None or lane.sender != sender:
            return Handled(why="answers nothing")
        receiver = lane.receiver
        name = _pair(sender, receiver)
        pair, place, key = self.pairs[name], self.places.get(receiver), self._sight.key_of(receiver)
        if asked not in pair.open.get(sender, ()):
            return Handled(why="answered before")
        if key is None or not is_meant_for(datagram, mac1_key(key)):
            return Handled(why="for somebody else")
        if place is None:
            return Handled(why="nobody knows where the other is")
        for peer in name:  # who shook hands last is the last to do so again
            self._of[peer][name] = self._of[peer].pop(name)
        pair.open[sender].remove(asked)
        pair.answered = now
        edits = self._keep(pair, sender, asked)
        answer = Element(place.endpoint, message.sender)
        if answer not in self.lanes:
            edits += [self._lead(answer, receiver, sender, now), *self._keep(pair, receiver, answer)]
        return Handled(receiver, tuple(edits))

    def _meant(self, datagram: bytes, sender: int, now: float) -> int | None:
        """For whom an initiation is, of those whom its sender sees: with whom it spoke last, then the others, from the
        one on that its last initiation was for: a host that begins greets all its peers in their order."""
        tries = self._tries.setdefault(sender, Bucket(_TRIES, _TRIES_BURST))
        if not tries.take(1.0, now):
            return None
        for tried, (peer, key) in enumerate(self._candidates(sender), 1):
            if not tries.take(1.0, now):
                return None
            if peer in self.places and is_meant_for(datagram, mac1_key(key)):
                tries.left += tried  # whoever asks for one that there is has not guessed
                self._latest[sender] = peer
                return peer if self._sight.sees(sender, peer) else None
        return None

    def _candidates(self, sender: int) -> Iterator[tuple[int, PublicKey]]:
        """With whom it spoke, those first whose session is the oldest; then the others."""
        known = self._of.get(sender, {})
        for one, other in known:
            peer = other if one == sender else one
            key = self._sight.key_of(peer)
            if key is not None:
                yield peer, key
        seen = self._sight.seen_by(sender)
        begin = bisect_right(seen, self._latest.get(sender, 0), key=lambda one: one[0])
        for at in range(len(seen)):
            peer, key = seen[(begin + at) % len(seen)]
            if peer != sender and _pair(peer, sender) not in known:
                yield peer, key

    def adopt(self, element: Element, receiver: int, now: float) -> bool:
        """An edge has it from a run before. Whether it still counts."""
        sender = self._who.get(element.source)
        if (
            sender is None
            or element in self.lanes
            or receiver not in self.places
            or not self._sight.sees(sender, receiver)
        ):
            return False
        name = _pair(sender, receiver)
        pair = self.pairs.setdefault(name, Pair(now))
        self._joined(name)
        self._lead(element, sender, receiver, now)
        self._keep(pair, sender, element)
        return True

    # -- pairs --------------------------------------------------------------------------------------------------

    def _joined(self, name: tuple[int, int]) -> list[Edit]:
        edits: list[Edit] = [Placed(peer, self.places[peer]) for peer in name if peer not in self._of]
        for peer in name:
            self._of.setdefault(peer, {})[name] = None
        return edits

    def _lead(self, element: Element, sender: int, receiver: int, now: float) -> Put:
        self.lanes[element] = Lane(sender, receiver, now + LIVES)
        return Put(element, sender, receiver)

    def _await(self, pair: Pair, asked: int, by: int, element: Element, now: float) -> list[Edit]:
        """An answer may come, and data behind it. An index that leads to somebody already stays whose it is."""
        if element in self.lanes:
            return []
        edits = self._make_room(pair, pair.open.setdefault(asked, deque()), _OPEN)
        pair.open[asked].append(element)
        return [*edits, self._lead(element, asked, by, now)]

    def _keep(self, pair: Pair, sender: int, element: Element) -> list[Edit]:
        """What a peer sends under an index is of a session from now on."""
        edits = self._make_room(pair, pair.lanes.setdefault(sender, deque()), _KEPT)
        pair.lanes[sender].append(element)
        return edits

    def _make_room(self, pair: Pair, held: deque[Element], most: int) -> list[Edit]:
        """Let the oldest go, so that there is room for one more."""
        return [self._taken(pair, held.popleft()) for _ in range(len(held) - most + 1)]

    def _taken(self, pair: Pair, element: Element) -> Drop:
        pair.passed += self.lanes.pop(element).passed
        return Drop(element)

    def part(self, names: Iterable[tuple[int, int]]) -> list[Edit]:
        """Some pairs are none any more."""
        edits: list[Edit] = []
        for name in list(names):
            pair = self.pairs.pop(name, None)
            if pair is None:
                continue
            edits += [self._taken(pair, element) for element in pair.elements()]
            for peer in name:
                del self._of[peer][name]
                if not self._of[peer]:
                    del self._of[peer]
                    edits.append(Placed(peer, None))
        return edits

    def revoke(self, peers: Iterable[int] | None = None) -> list[Edit]:
        """Part those of the pairs (of some peers; None: of all) that see each other no more."""
        names = self.pairs if peers is None else {name for peer in peers for name in self._of.get(peer, ())}
        return self.part([name for name in names if not self._sight.sees(*name)])

    def expire(self, now: float) -> list[Edit]:
        """Let go of what is as old as no session gets."""
        edits: list[Edit] = []
        for element, lane in [(element, lane) for element, lane in self.lanes.items() if lane.until <= now]:
            pair = self.pairs[_pair(lane.sender, lane.receiver)]
            for held in (pair.lanes.get(lane.sender), pair.open.get(lane.sender)):
                if held is not None and element in held:
                    held.remove(element)
            edits.append(self._taken(pair, element))
        return edits + self.part([name for name, pair in self.pairs.items() if not pair.elements()])

    def counted(self, passed: dict[Element, int]) -> None:
        """How many bytes have passed by elements, since they were put."""
        for element, number in passed.items():
            lane = self.lanes.get(element)
            if lane is not None:
                lane.passed = max(lane.passed, number)

    def bytes_of(self, name: tuple[int, int]) -> int:
        pair = self.pairs[name]
        return pair.passed + sum(self.lanes[element].passed for element in pair.elements())

    def everything(self) -> list[Edit]:
        """What makes an edge that has nothing one that has all of it."""
        placed: list[Edit] = [Placed(peer, self.places[peer]) for peer in self._of]
        return placed + [Put(element, lane.sender, lane.receiver) for element, lane in self.lanes.items()]

    def paired(self) -> set[int]:
        """The peers of all pairs."""
        return set(self._of)


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)
