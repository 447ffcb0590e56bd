"""What the door costs a request, beside the request itself: the proof of a peer's key, and the count of its source."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from benchmarks.figures import figure, title
from innerd.api.sources import Metered, Sources, Turns, Visit
from innerd.wire.proof import NonceMemory, Request, check, prove
from tests.world import populated

_TIMES = 5_000
_NOW = 1_790_000_000


def proofs() -> float:
    """Seconds of CPU that the check of one takes."""
    key, request = bytes(32), Request(method="PUT", target="/v1/user/applied", host="h", body=b'{"revision":1}')
    made = [prove(key, request, _NOW, f"nonce-{number:08}") for number in range(_TIMES)]
    nonces = NonceMemory(_NOW)
    began = time.thread_time()
    for header in made:
        check(header, key, request, 2, _NOW, nonces)
    return (time.thread_time() - began) / _TIMES


async def _cost(work: Callable[[], Awaitable[None]]) -> float:
    began = time.thread_time()
    for _ in range(_TIMES):
        await work()
    return (time.thread_time() - began) / _TIMES


async def counted() -> tuple[float, float]:
    """Seconds of CPU that it takes to count a request, and a request without that (no sockets)."""
    sources, turns = Sources(), Turns()
    source = sources.of(("127.42.128.2", 40_000))

    async def bare() -> None:
        await asyncio.sleep(0)

    async def guarded() -> None:
        visit = Visit(source)

        async def begun() -> None:
            await turns.take(source)
            await bare()

        await Metered(begun(), lambda seconds: None)
        visit.leave()

    guard = await _cost(guarded) - await _cost(bare)
    made = await populated()
    async with made.client("mari") as client:

        async def ask() -> None:
            assert (await client.get("/v1/user/capabilities")).status_code in (200, 429)

        return guard, await _cost(ask)


def run() -> None:
    title("The door (CPU)")
    guard, request = asyncio.run(counted())
    figure("the check of a proof", f"{1e6 * proofs():.0f} us", "<= 50 us")
    figure("counting a source, and its turn", f"{1e6 * guard:.0f} us", "", f"a request: {1e6 * request:.0f} us")
