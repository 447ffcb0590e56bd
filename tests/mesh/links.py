"""The way between a peer and the coordinator: it takes its time, it is cut without a word, it heals."""

import asyncio
from collections.abc import Callable
from random import Random

_GIVEN_UP = 20.0  # seconds after which a sender of unacknowledged bytes gives up (TCP_USER_TIMEOUT)


class Weather:
    """How one peer's way is. While it is cut nothing passes, and nobody is told."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def travel(self) -> None:
        """What a packet takes one way."""
        await asyncio.sleep(self._random.uniform(0.001, 0.04))
        await self.is_open.wait()


class Line:
    """One connection, as the hub's pipe on one end and a reader on the other. Bytes come in order, late or never."""

    def __init__(self, weather: Weather, closed: Callable[[], None], seen: Callable[[bytes], None]) -> None:
        self.drained: Callable[[], None] = lambda: None
        self.reads = asyncio.Event()  # whether the client takes what comes
        self.reads.set()
        self._weather, self._closed, self._seen = weather, closed, seen
        self._under_way: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting = 0
        self._arrived: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._carrier = asyncio.create_task(self._carry())

    def write(self, data: bytes) -> None:
        self._seen(data)
        self._waiting += len(data)
        self._under_way.put_nowait(data)

    def waiting(self) -> int:
        return self._waiting

    async def _carry(self) -> None:
        while True:
            data = await self._under_way.get()
            try:
                async with asyncio.timeout(_GIVEN_UP):
                    await self._weather.travel()
                    await self.reads.wait()
            except TimeoutError:
                self.cut()
                return
            self._waiting -= len(data)
            self._arrived.put_nowait(data)
            if not self._waiting:
                self.drained()

    async def read(self, seconds: float) -> bytes | None:
        """What came; None at the end. Raises TimeoutError after so many seconds of silence."""
        async with asyncio.timeout(seconds):
            return await self._arrived.get()

    def cut(self) -> None:
        """The connection is over, on both ends."""
        self._carrier.cancel()
        self._arrived.put_nowait(None)
        self._closed()
