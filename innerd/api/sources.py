"""What each source costs the loop, and whose turn it is.

One process serves everybody on one loop, so a source that asks without end must cost the others next to nothing:

- Time of the loop is what counts, whatever it went into: reading, refusing, answering. Time forgives it. Who has used
  up its budget is refused, and not read from for a moment.
- Requests begin one in each turn of the loop, and who has cost least begins first.
- Only a few requests of a source are in progress; until one is done, its other connections are not read.

A source is an address, and apart from it what only root can send from that address (ports below 1024): another user of
a peer's host, or a container behind it, spends what is its own. Which of the two it is decides about room and turns,
never about rights.
"""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Generator
from heapq import heappop, heappush
from itertools import count
from time import monotonic, thread_time
from typing import Any, Protocol

from innerd.domain.errors import Refused

BURST, RATE = 0.25, 0.05  # seconds of the loop that a source may cost at once, and in each second after that
CONNECTION = 0.0002  # seconds that one more connection is counted as
MOST_RUNNING = 4  # requests of a source in progress
MOST_SEATS, MOST_UNPROVEN = 32, 24  # connections of a source, and those of them that have proved nothing
_FEW = 4  # connections that every source may have, however many there are in all
_REST = 1.0  # seconds at most for which who is over its budget is not read from
_EXPECTED = 0.001  # seconds that a request which waits for its turn is taken to cost
_REMEMBERED = 4096  # sources: past that, those without connections or debts are forgotten


class Seat(Protocol):
    """One connection of a source."""

    is_proven: bool

    def hold(self, held: bool) -> None:
        """Read nothing of it between requests, or go on."""
        ...

    def drop(self) -> None: ...


class Visit:
    """A request in progress, until `leave`."""

    __slots__ = ("_is_excused", "_is_running", "_spent", "source")

    def __init__(self, source: "Source") -> None:
        self.source = source
        self._is_running, self._is_excused, self._spent = True, False, CONNECTION
        source.running += 1
        source.settle()

    def charge(self, seconds: float) -> None:
        if not self._is_excused:
            self._spent += seconds
            self.source.charge(seconds)

    def excuse(self) -> None:
        """It is an administrator's, and proved: it costs nothing, as bulk work must not lock out who does it."""
        self._is_excused = True
        self.source.charge(-self._spent)

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


class Source:
    """What one source has cost, and the connections that it holds, oldest first."""

    __slots__ = ("_clock", "_cost", "_counted", "_rests_until", "is_held", "is_root", "running", "seats")

    def __init__(self, clock: Callable[[], float], *, is_root: bool) -> None:
        self.is_root = is_root
        self.running = 0
        self.seats: dict[Seat, None] = {}
        self.is_held = False
        self._clock = clock
        self._cost, self._counted = 0.0, clock()
        self._rests_until = 0.0

    @property
    def cost(self) -> float:
        """Seconds of the loop, less what time has forgiven."""
        return max(0.0, self._cost - (self._clock() - self._counted) * RATE)

    @property
    def is_over(self) -> bool:
        return self.cost > BURST

    def charge(self, seconds: float) -> None:
        self._cost, self._counted = min(max(0.0, self.cost + seconds), 2 * BURST), self._clock()

    def require_budget(self) -> None:
        """Raises Refused `rate_limited`, with the seconds to wait. Whoever goes on asking is not heard for a while."""
        over = self.cost - BURST
        if over > 0:
            wait = over / RATE
            self.rest(min(wait, _REST))
            raise Refused("rate_limited", "this peer asks too often, or for too much", f"wait {wait:.1f} seconds")

    def rest(self, seconds: float) -> None:
        self._rests_until = self._clock() + seconds
        self.settle()
        asyncio.get_running_loop().call_later(seconds, self.settle)

    def settle(self) -> None:
        """Hold its connections or let them go on, as it has come to be; the latter when half of what was in progress is
        done, as to stop and start all of them costs as well."""
        most = MOST_RUNNING // 2 + 1 if self.is_held else MOST_RUNNING
        held = self.running >= most or self._clock() < self._rests_until
        if held != self.is_held:
            self.is_held = held
            for seat in self.seats:
                seat.hold(held)

    def settle_seat(self, seat: Seat) -> None:
        if seat in self.seats:
            seat.hold(self.is_held)

    def has_room(self) -> bool:
        """Whether one more connection fits; of root's, one that has proved nothing yet gives way to it."""
        unproven = [seat for seat in self.seats if not seat.is_proven]
        if len(self.seats) < MOST_SEATS and len(unproven) < MOST_UNPROVEN:
            return True
        if self.is_root and unproven:
            unproven[0].drop()
            return True
        return False


class Sources:
    """All sources. Their addresses are the network's: WireGuard lets no others through."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._sources: dict[tuple[str, bool], Source] = {}
        self.seats = 0  # connections of all
        self.turned_away = 0  # connections, for metrics

    def of(self, client: tuple[str, int]) -> Source:
        key = (client[0], client[1] < 1024)
        source = self._sources.get(key)
        if source is None:
            if len(self._sources) >= _REMEMBERED:
                self._forget()
            source = self._sources[key] = Source(self._clock, is_root=key[1])
        return source

    def _forget(self) -> None:
        kept = {key: s for key, s in self._sources.items() if s.seats or s.running or s.cost > 0}
        self._sources = kept

    def seat(self, seat: Seat, client: tuple[str, int]) -> Source | None:
        """A new connection's source; None where there is no room for it."""
        source = self.of(client)
        source.charge(CONNECTION)
        is_barred = source.is_over and not source.is_root  # root may have a proof to show
        if is_barred or not self._has_room(source) or not source.has_room():
            self.turned_away += 1
            return None
        source.seats[seat] = None
        self.seats += 1
        if source.is_held:  # a loop begins to read it after it was made, whatever it was told before
            asyncio.get_running_loop().call_soon(source.settle_seat, seat)
        return source

    def _has_room(self, source: Source) -> bool:
        """When files become few, who holds many connections gets no more."""
        most = most_connections()
        if self.seats < most:
            return True
        return self.seats < most * 7 // 6 and len(source.seats) < max(_FEW, most // len(self._sources))

    def unseat(self, seat: Seat, source: Source) -> None:
        del source.seats[seat]
        self.seats -= 1


def most_connections() -> int:
    """Three quarters of the files that this process may open: the log, the device and root's own socket need some."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4


class Turns:
    """Who begins next: one request in each turn of the loop, of the source that has cost least."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        self._is_taken = False

    async def take(self, source: Source) -> None:
        """Return when it is this source's turn: at once, where nobody else has begun in this turn of the loop."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._next)
            return
        turn: asyncio.Future[None] = loop.create_future()
        rank = source.cost + source.running * _EXPECTED
        heappush(self._waiting, (rank, next(self._order), turn))
        await turn

    def _next(self) -> None:
        while self._waiting:
            turn = heappop(self._waiting)[2]
            if not turn.done():  # who went away meanwhile
                turn.set_result(None)
                asyncio.get_running_loop().call_soon(self._next)
                return
        self._is_taken = False


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
