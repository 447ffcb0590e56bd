"""What each source costs the loop, and whose turn it is.

One process serves everybody on one loop, so a source that asks without end must cost the others next to nothing:

- Time of the loop is what counts, whatever it went into: reading, refusing, answering. Time forgives it. Who has used
  up its budget is refused, and not read from for a moment.
- Requests begin one in each turn of the loop, and who has cost least begins first.
- What was sent is parsed a little in each turn of the loop, one connection of each source after the other (`readings`).
- Only a few requests of a source are in progress. While they are, its other connections are not read, nor begun; when
  one is done, the next on which something lies is read, and no other.
- After each quarter of a millisecond of it something else has its turn (`between`: names are answered).
- Who is heavy shares what there is with all others who are: a part of the time, and a few requests in progress.

A source is an address, and apart from it what only root can send from that address (ports below 1024): another user of
a peer's host, or a container behind it, spends what is its own. Which of the two it is decides about room and turns,
never about rights.
"""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Generator
from time import monotonic, thread_time
from typing import Any, Protocol

from innerd.api.readings import Readings
from innerd.domain.errors import Refused

BURST, RATE = 0.25, 0.05  # seconds of the loop that a source may cost at once, and in each second after that
HEAVY = 0.01  # seconds of the loop: no honest peer costs so much, but for a moment
LEAST_BURST = 0.02  # seconds of the loop: what nobody is refused for
ALL_BURST, ALL_RATE = 1.0, 0.3  # what all who are heavy may cost together: each of them has an equal part
CONNECTION = 0.0002  # seconds that one more connection is counted as
REQUEST = 0.00015  # and a request, beside its own steps: what the loop and the server do for it
MOST_RUNNING, ALL_RUNNING = 4, 64  # requests of a source that are read and not answered; of all who are heavy
MOST_SEATS, MOST_UNPROVEN = 32, 24  # connections of a source, and those of them that have proved nothing
MOST_UNREAD = 8  # connections of a source on which answers lie: each keeps one or two in memory
_FEW = 4  # connections that every source may have, however many there are in all
_REST = 1.0  # seconds at most for which who is over its budget is not read from
_SHARED_EVERY = 0.25  # seconds
_BETWEEN = 0.00025  # seconds of the loop
_EXPECTED = 0.001  # seconds that a request which waits for its turn is taken to cost
_REMEMBERED = 4096  # sources: past that, those without connections or debts are forgotten


class Seat(Protocol):
    """One connection of a source, from when it was accepted."""

    is_proven: bool

    @property
    def is_held(self) -> bool:
        """Whether it is not read."""
        ...

    @property
    def is_unread(self) -> bool:
        """Whether its client has left an answer lying."""
        ...

    def is_gone(self) -> bool:
        """Whether there is nobody any more to answer to: then no answer is missed."""
        ...

    def hold(self) -> None:
        """Read nothing of it, unless it is within a request."""
        ...

    def has_more(self) -> bool:
        """Whether something lies there to be read."""
        ...

    def let_go(self, is_due: bool) -> None:
        """Read it again; if it is due, what lies there is counted as to be parsed."""
        ...

    def drop(self) -> None: ...


class Serving(Seat, Protocol):
    """One that has begun, and serves requests."""

    @property
    def has_body(self) -> bool:
        """Whether all of the body has come of the request in progress."""
        ...

    async def heard(self, seconds: float) -> bool:
        """Wait until its client has all that was answered, or is gone; whether that was so within a time."""
        ...


class Waiting(Protocol):
    """Who waits for their turn (`turns`)."""

    def enter(self, place: float) -> "asyncio.Future[bool]":
        """`place`: who has the least goes on first."""
        ...

    def give_back(self) -> None:
        """What was given is not needed."""
        ...


class Visit:
    """A request in progress, until `leave`."""

    __slots__ = ("_is_excused", "_is_running", "_left", "_spent", "_waits", "source")

    def __init__(self, source: "Source") -> None:
        self.source = source
        self._is_running, self._is_excused, self._spent = True, False, CONNECTION
        self._left: Callable[[], None] | None = None
        self._waits: asyncio.Future[bool] | None = None
        source.running += 1
        self.charge(REQUEST)
        source.settle()

    def charge(self, seconds: float) -> None:
        if self._is_excused:
            self.source.spend(seconds)
        else:
            self._spent += seconds
            self.source.charge(seconds)

    def excuse(self) -> None:
        """It is an administrator's, and proved: it costs nothing, as bulk work must not lock out who does it."""
        self._is_excused = True
        self.source.charge(-self._spent)
        self.leave()  # nor do others of its source wait for it

    def turn_down(self) -> None:
        """It is refused: a source that is over its budget all the same is not heard for a while."""
        if self.source.is_over and not self._is_excused:
            self.source.rest(_REST)

    def leave(self) -> None:
        """It is done, or only waits from here on."""
        if self._is_running:
            self._is_running = False
            self.source.running -= 1
            self.source.settle()
            if self._left is not None:
                self._left()

    async def wait(self, queue: Waiting) -> bool:
        """Wait for what somebody sets; whether it was set, and it is not that its client is gone."""
        self._waits = queue.enter(self.source.place + self.source.running * _EXPECTED)
        try:
            return await self._waits
        except asyncio.CancelledError:
            if self._waits.done() and not self._waits.cancelled():
                queue.give_back()
            raise
        finally:
            self._waits = None

    def abandon(self) -> None:
        """Its client is gone: what waits for its turn is not kept until then."""
        if self._waits is not None and not self._waits.done():
            self._waits.set_result(False)

    def on_leave(self, call: Callable[[], None]) -> None:
        self._left = call


class Source:
    """What one source has cost, and the connections that it holds: whose last request is longest ago comes first."""

    __slots__ = (
        *("_cost", "_counted", "_host", "_rests_until", "_sources"),
        *("due", "is_held", "is_root", "running", "seats"),
    )

    def __init__(self, sources: "Sources", host: str, *, is_root: bool) -> None:
        self.is_root = is_root
        self.running = 0
        self.due = 0  # connections that are to be parsed
        self.seats: dict[Seat, None] = {}
        self.is_held = False  # there is no room for one request more
        self._sources, self._host = sources, host
        self._cost, self._counted = 0.0, sources.clock()
        self._rests_until = 0.0

    @property
    def cost(self) -> float:
        """Seconds of the loop, less what time has forgiven."""
        return self._cost_at(self._sources.clock())

    def _cost_at(self, now: float) -> float:
        return max(0.0, self._cost - (now - self._counted) * self._sources.rate)

    @property
    def is_admins(self) -> bool:
        """Whether it is root of an administrator's machine."""
        return self.is_root and self._host in self._sources.administrators

    @property
    def is_heavy(self) -> bool:
        """Whether it costs more than any honest one does."""
        return self.cost > HEAVY

    @property
    def place(self) -> float:
        """Among those that wait for their turn: administrators first, then who has cost least."""
        return self.cost - self.is_admins

    @property
    def rank(self) -> int:
        """In whose row it stands: administrators', others', or that of who is heavy."""
        return 2 if self.is_heavy else 0 if self.is_admins else 1

    @property
    def is_over(self) -> bool:
        return self.cost > self._sources.burst

    def charge(self, seconds: float) -> None:
        now = self._sources.share()
        self._cost, self._counted = min(max(0.0, self._cost_at(now) + seconds), 2 * BURST), now
        if self._cost > HEAVY:
            self._sources.costly.add(self)
        self.spend(seconds)

    def spend(self, seconds: float) -> None:
        """What costs the loop, and nobody."""
        self._sources.spend(seconds)

    def require_budget(self) -> None:
        """Raises Refused `rate_limited`, with the seconds to wait. Whoever goes on asking is not heard for a while."""
        over = self.cost - self._sources.burst
        if over > 0:
            wait = over / self._sources.rate
            self.rest(min(wait, _REST))
            raise Refused("rate_limited", "this peer asks too often, or for too much", f"wait {wait:.1f} seconds")

    def rest(self, seconds: float) -> None:
        self._rests_until = until = self._sources.clock() + seconds
        self.settle()
        asyncio.get_running_loop().call_later(seconds, self._rested, until)

    def _rested(self, until: float) -> None:
        """Whatever the time is: a loop's clock may be ahead of ours by a part of a millisecond."""
        if until == self._rests_until:
            self._rests_until = 0.0
        self.settle()

    def settle(self) -> None:
        """Have as many of its connections read as there is room for requests in progress."""
        room = self._room()
        if room <= 0 and not self.is_held:
            self.is_held = True
            for seat in self.seats:
                seat.hold()
        elif room > 0 and self.is_held:
            self.is_held = self._read_again(room)

    def _room(self) -> int:
        if self._sources.clock() < self._rests_until:
            return 0
        return self._sources.running - self.running - self.due

    def _read_again(self, room: int) -> bool:
        """Those on which something lies, up to a number; whether it is used up. If not, those that are silent too."""
        held = [seat for seat in self.seats if seat.is_held]
        for seat in held:
            if room and seat.has_more():
                room -= 1
                self.due += 1
                seat.let_go(is_due=True)
        if room:
            for seat in held:
                if seat.is_held:
                    seat.let_go(is_due=False)
        return room == 0

    def no_longer_due(self) -> None:
        """What lay on a connection is parsed, or it is gone."""
        self.due -= 1
        self.settle()

    def served(self, seat: Seat) -> None:
        """A request of a connection begins: when room is few, its others come first."""
        if seat in self.seats:
            self.seats[seat] = self.seats.pop(seat)

    def leaves_too_much(self) -> bool:
        """Whether answers lie unread on more connections than one who is merely slow has."""
        return sum(seat.is_unread for seat in self.seats) > MOST_UNREAD

    def has_room(self) -> bool:
        """Whether one more connection fits; of root's, one that has proved nothing yet gives way to it."""
        unproven = [seat for seat in self.seats if not seat.is_proven and not seat.is_gone()]
        if len(self.seats) < MOST_SEATS and len(unproven) < MOST_UNPROVEN:
            return True
        if self.is_root and unproven and len(self.seats) < 2 * MOST_SEATS:  # who was dropped is not gone at once
            unproven[0].drop()
            return True
        return False


class Sources:
    """All sources. Their addresses are the network's: WireGuard lets no others through. `between` is called after each
    quarter of a millisecond that was spent, in the midst of a turn of the loop."""

    def __init__(self, clock: Callable[[], float] = monotonic, between: Callable[[], None] = lambda: None) -> None:
        self.clock, self._between, self._spent = clock, between, 0.0
        self.burst, self.rate, self.running = BURST, RATE, MOST_RUNNING  # what each source may cost, and have, now
        self._rated = clock()
        self._sources: dict[tuple[str, bool], Source] = {}
        self.readings = Readings()
        self.administrators: frozenset[str] = frozenset()  # addresses
        self.costly: set[Source] = set()  # who was heavy, until all is forgiven
        self.seats = 0  # connections of all
        self.turned_away = 0  # connections, for metrics

    def of(self, client: tuple[str, int]) -> Source:
        key = (client[0], client[1] < 1024)
        source = self._sources.get(key)
        if source is None:
            if len(self._sources) >= _REMEMBERED:
                self._forget()
            source = self._sources[key] = Source(self, key[0], is_root=key[1])
        return source

    def share(self) -> float:
        """What each may cost, where many cost much. Looked at a few times a second; the time of now."""
        if (now := self.clock()) - self._rated >= _SHARED_EVERY:
            self._rated = now
            self.costly = {source for source in self.costly if source.cost}
            heavy = max(1, sum(source.is_heavy for source in self.costly))
            self.burst, self.rate = max(LEAST_BURST, min(BURST, ALL_BURST / heavy)), min(RATE, ALL_RATE / heavy)
            self.running = max(1, min(MOST_RUNNING, ALL_RUNNING // heavy))
        return now

    def spend(self, seconds: float) -> None:
        self._spent += max(0.0, seconds)
        if self._spent >= _BETWEEN:
            self._spent = 0.0
            self._between()

    def _forget(self) -> None:
        kept = {key: s for key, s in self._sources.items() if s.seats or s.running or s.cost > 0}
        self._sources = kept

    def admit(self, client: tuple[str, int]) -> Source | None:
        """The source of a connection that was accepted; None where there is no room for it."""
        source = self.of(client)
        source.charge(CONNECTION)
        # Root may have a proof to show: it is heard as long as few of its connections are.
        is_barred = source.is_over and not (source.is_root and len(source.seats) < _FEW)
        if is_barred or not self._has_room(source) or not source.has_room():
            self.turned_away += 1
            return None
        return source

    def seat(self, seat: Seat, source: Source) -> None:
        source.seats[seat] = None
        self.seats += 1
        if source.is_held:
            seat.hold()

    def take_over(self, before: Seat, seat: Seat, source: Source) -> None:
        """A connection has begun."""
        del source.seats[before]
        source.seats[seat] = None
        self.spend(CONNECTION)

    def _has_room(self, source: Source) -> bool:
        """When files become few, who holds many connections gets no more."""
        most = most_connections()
        if self.seats < most:
            return True
        return self.seats < most * 7 // 6 and len(source.seats) < max(_FEW, most // len(self._sources))

    def unseat(self, seat: Seat, source: Source) -> None:
        if source.seats.pop(seat, seat) is None:
            self.seats -= 1
        self.spend(CONNECTION)


def most_connections() -> int:
    """Three quarters of the files that this process may open: the log, the device and root's own socket need some."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4


class Metered:
    """A coroutine whose time on the loop is counted: its own steps, not what it waits for."""

    def __init__(self, work: Awaitable[None], charge: Callable[[float], None]) -> None:
        self._work, self._charge = work, charge

    def __await__(self) -> Generator[Any, Any, None]:
        steps, value, error = self._work.__await__(), None, None
        while True:
            began = thread_time()
            try:
                waited_for = steps.send(value) if error is None else steps.throw(error)
            except StopIteration:
                return
            finally:
                self._charge(thread_time() - began)
                value = error = None  # an exception that holds this frame is garbage that only the collector finds
            try:
                value = yield waited_for
            except BaseException as raised:  # a cancellation: the work's to handle
                error = raised
