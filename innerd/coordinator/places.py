"""So many at once: who comes when all places are taken waits for one, and who finds too many waiting is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from innerd.domain.errors import Refused


class Places:
    """`places` at once, and `waiting` who wait for one. `what` names them to whom is turned away."""

    def __init__(self, what: str, places: int, waiting: int) -> None:
        self._what = what
        self._free = asyncio.Semaphore(places)
        self._most = places + waiting
        self._here = 0

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Have a place. Raises Refused `busy`."""
        if self._here >= self._most:
            raise Refused("busy", f"too many ask for {self._what} at this moment", "ask again in a few seconds")
        self._here += 1
        try:
            async with self._free:
                yield
        finally:
            self._here -= 1
