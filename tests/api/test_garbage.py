"""What a connection leaves behind when it ends: nothing that only the collector would find. It is told to spare what
lives long, and looks seldom (`spare_the_collector`), so cycles would be memory that grows with every stream."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.api.sockets import PATIENCE, Wire, wire
from tests.world import World

STREAM = "GET /v1/user/events HTTP/1.1"
ASK = "GET /v1/user/capabilities HTTP/1.1"
# asyncio's transports, the test's own among them, point at themselves. Under uvloop, which serves, they don't.
_THE_LOOPS = {"tuple", "socket", "dict", "_SelectorSocketTransport", "TransportSocket", "method"}
_A_FEW = 10  # objects: what a run leaves by itself, however long it is


async def streams_and_hangs_up(one: Wire) -> None:
    one.request(STREAM)
    async with asyncio.timeout(PATIENCE):
        await one.reader.readuntil(b"event: presence")


async def asks_twice(one: Wire) -> None:
    for _ in range(2):
        one.request(ASK)
        assert (await one.answer())[0] == 200


async def is_refused(one: Wire) -> None:
    one.request(ASK, "Origin: http://evil.example")
    assert (await one.answer())[0] == 403


async def goes_in_the_middle_of_a_request(one: Wire) -> None:
    one.request("PUT /v1/user/candidates HTTP/1.1", "Content-Length: 100", body="[")
    await asyncio.sleep(0)


async def talks_nonsense(one: Wire) -> None:
    one.send("\x00 nonsense\r\n\r\n")
    await one.rest()


async def sends_too_many_ahead(one: Wire) -> None:
    one.send(f"{ASK}\r\n\r\n" * 20)
    with contextlib.suppress(ConnectionError):
        await one.rest()


KINDS = [
    streams_and_hangs_up,
    asks_twice,
    is_refused,
    goes_in_the_middle_of_a_request,
    talks_nonsense,
    sends_too_many_ahead,
]


@contextlib.asynccontextmanager
async def uncollected() -> AsyncIterator[Callable[[], list[str]]]:
    """Nothing is collected meanwhile; what is given finds what only the collector could have freed, by its types."""

    def found() -> list[str]:
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return sorted({type(left).__name__ for left in gc.garbage} - _THE_LOOPS) * (len(gc.garbage) > _A_FEW)

    gc.collect()
    gc.disable()
    try:
        yield found
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def visit(w: World, port: int, act: Callable[[Wire], Awaitable[None]]) -> None:
    async with wire(w, "mari", port) as one:
        await act(one)
    async with asyncio.timeout(PATIENCE):
        while w.services.sources.seats or w.hub.streams.by_peer:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.001)


async def left_by(w: World, act: Callable[[Wire], Awaitable[None]], times: int) -> list[str]:
    async with w.listening() as port:
        for _ in range(5):  # what is made once, is made
            await visit(w, port, act)
        async with uncollected() as found:
            for _ in range(times):
                w.now += 2  # a peer may open a stream a second
                await visit(w, port, act)
            return found()


@pytest.mark.parametrize("act", KINDS, ids=lambda act: act.__name__)
async def test_a_connection_leaves_no_garbage(w: World, act: Callable[[Wire], Awaitable[None]]) -> None:
    assert await left_by(w, act, 100) == []


@pytest.mark.slow
async def test_ten_thousand_streams_leave_no_garbage(w: World) -> None:
    assert await left_by(w, streams_and_hangs_up, 10_000) == []
