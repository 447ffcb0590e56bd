"""When what was sent is parsed: a millisecond's worth in each turn of the loop, one connection of each source after the
other, administrators' first. Else hundreds that can be read in one turn would keep everybody else waiting for it.
"""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from time import monotonic
from typing import NamedTuple, Protocol

SLICE = 0.001  # seconds in a turn of the loop for accepting connections, and for parsing what they sent
MOST_KEPT = 8 << 20  # bytes that were sent and are to be parsed, of all


class Sender(Protocol):
    """A source (`sources`)."""

    due: int  # its connections that are to be parsed

    @property
    def rank(self) -> int:
        """In whose row it stands, from 0: administrators', others', or that of who is heavy."""
        ...


class Slice:
    """A part of each turn of the loop."""

    def __init__(self) -> None:
        self._ends: float | None = None  # None: nothing of this turn's was used

    def is_left(self) -> bool:
        if self._ends is None:
            self._ends = monotonic() + SLICE
            asyncio.get_running_loop().call_soon(self._over)
        return monotonic() < self._ends

    def _over(self) -> None:
        self._ends = None


class _Reading(NamedTuple):
    source: Sender
    size: int  # bytes
    parse: Callable[[], None]


class _Rounds:
    """A queue in which each source has one turn in every round, however many it waits for."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, _Reading]] = []
        self._order = count()
        self._now = 0  # the round that goes on
        self._last: dict[Sender, int] = {}  # the round in which each has its last turn, so far as that is to come

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, reading: _Reading) -> None:
        last = self._last.get(reading.source)
        number = self._last[reading.source] = self._now if last is None else last + 1
        heappush(self._waiting, (number, next(self._order), reading))

    def take(self) -> _Reading:
        self._now, _, reading = heappop(self._waiting)
        if self._last[reading.source] == self._now:
            del self._last[reading.source]
        return reading


class Readings:
    """What was sent and is to be parsed: a slice of it in each turn of the loop. Who is heavy comes after all others,
    and of each source one connection after the other, so that nobody waits for all of somebody else's."""

    def __init__(self) -> None:
        self._ranks = (_Rounds(), _Rounds(), _Rounds())  # root of administrators' machines, others, who is heavy
        self._kept = 0  # bytes
        self._slice = Slice()

    def have_time(self) -> bool:
        """Whether something may be parsed at once."""
        return not any(self._ranks) and self._slice.is_left()

    def enter(self, source: Sender, size: int, parse: Callable[[], None]) -> bool:
        """Whether there is room to keep so many bytes until it is their turn; for one connection of a source always."""
        if self._kept + size > MOST_KEPT and source.due > 1:
            return False
        if not any(self._ranks):
            asyncio.get_running_loop().call_soon(self._some)
        self._kept += size
        self._ranks[source.rank].put(_Reading(source, size, parse))
        return True

    def _some(self) -> None:
        try:
            while any(self._ranks) and self._slice.is_left():
                self._one()
        finally:  # whatever one of them makes of it, the others are read
            if any(self._ranks):
                asyncio.get_running_loop().call_soon(self._some)

    def _one(self) -> None:
        at = next(rank for rank, rounds in enumerate(self._ranks) if rounds)
        reading = self._ranks[at].take()
        if reading.source.rank > at:  # by now
            self._ranks[reading.source.rank].put(reading)
            return
        self._kept -= reading.size
        reading.parse()
