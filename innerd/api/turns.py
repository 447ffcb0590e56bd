"""Whose request begins next: one in each turn of the loop, of who has cost least; and a few in progress of all who are
heavy."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from innerd.api.sources import Visit

MOST_HEAVY = 8  # requests in progress of all who are heavy: more would have their answers in the same turn of the loop


class Queue:
    """Who waits, the one of who has cost least first. `give_back` is called when what was given is not needed."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self.give_back = give_back
        self._waiting: list[tuple[float, int, asyncio.Future[bool]]] = []
        self._order = count()

    def enter(self, place: float) -> "asyncio.Future[bool]":
        waits: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (place, next(self._order), waits))
        return waits

    def give(self) -> bool:
        """Let the first go on; False where nobody waits."""
        while self._waiting:
            place = heappop(self._waiting)[2]
            if not place.done():  # who went away meanwhile
                place.set_result(True)
                return True
        return False


class Turns:
    """Who begins next: one request in each turn of the loop, of the source that has cost least."""

    def __init__(self) -> None:
        self._queue = Queue(lambda: None)  # a turn is over with its turn of the loop
        self._is_taken = False

    async def take(self, visit: Visit) -> None:
        """Return when it is this request's turn: at once, where nobody else has begun in this turn of the loop; or when
        its client is gone."""
        if not self._is_taken:
            self._is_taken = True
            asyncio.get_running_loop().call_soon(self._next)
            return
        await visit.wait(self._queue)

    def _next(self) -> None:
        self._is_taken = self._queue.give()
        if self._is_taken:
            asyncio.get_running_loop().call_soon(self._next)


class Heavy:
    """Who is heavy waits for a place here before its turn: the first of who has cost least. Who is not goes past."""

    def __init__(self) -> None:
        self._queue = Queue(self._leave)
        self._running = 0

    async def enter(self, visit: Visit) -> None:
        """Return when it has a place; or when its client is gone."""
        if not visit.source.is_heavy:
            return
        if self._running < MOST_HEAVY:
            self._running += 1
        elif not await visit.wait(self._queue):
            return
        visit.on_leave(self._leave)

    def _leave(self) -> None:
        if not self._queue.give():  # else the next one takes over the place
            self._running -= 1
