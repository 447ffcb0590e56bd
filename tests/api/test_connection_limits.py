"""What one peer may take of the coordinator: so many connections, and so large a head. The others are served."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from innerd.api.sources import MOST_RUNNING
from tests.api.sockets import PATIENCE, Wire, wire
from tests.world import World, populated

MOST = 24  # of who has proved nothing
GET = "GET /v1/user/capabilities HTTP/1.1"
LARGE = 17 * 1024


async def is_served(connection: Wire) -> bool:
    connection.request(GET)
    return (await connection.answer())[0] == 200


async def is_cut(connection: Wire) -> bool:
    """Closed without a word; what was sent and not read makes a reset of it."""
    try:
        return await connection.rest() == b""
    except ConnectionError:
        return True


async def is_turned_away(w: World, port: int, who: str = "ryo") -> bool:
    """One more connection gets nothing: a reset while it is made, or after."""
    try:
        async with wire(w, who, port) as one_more:
            return await is_cut(one_more)
    except ConnectionError:
        return True


async def crowd(w: World, port: int, stack: contextlib.AsyncExitStack, who: str = "ryo") -> list[Wire]:
    """As many connections as one peer may have, each served."""
    made = [await stack.enter_async_context(wire(w, who, port)) for _ in range(MOST)]
    assert all([await is_served(connection) for connection in made])
    return made


async def test_a_peer_may_have_only_so_many_connections(w: World) -> None:
    async with w.listening() as port, contextlib.AsyncExitStack() as stack:
        held = await crowd(w, port, stack)
        for _ in range(3):  # who was cut is not counted, and makes no room
            assert await is_turned_away(w, port)
        assert all([await is_served(connection) for connection in held])


async def test_the_crowd_of_one_peer_keeps_no_other_out(w: World) -> None:
    async with w.listening() as port, contextlib.AsyncExitStack() as stack:
        await crowd(w, port, stack)
        for other in ("mari", "oven", "tama"):
            await crowd(w, port, stack, other)


@pytest.mark.parametrize("how", ["orderly", "by a reset"])
async def test_a_connection_that_ended_makes_room_for_one(w: World, how: str) -> None:
    async with w.listening() as port, contextlib.AsyncExitStack() as stack:
        first = (await crowd(w, port, stack))[0]
        if how == "orderly":
            first.request(GET, "Connection: close")
            assert (await first.answer())[0] == 200
            assert await first.rest() == b""
        else:
            linger = struct.pack("ii", 1, 0)  # closing is a reset then
            first.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            first.writer.transport.abort()
            await first.writer.wait_closed()
        async with wire(w, "ryo", port) as new:
            assert await is_served(new)
            assert await is_turned_away(w, port)


HEADS = {
    "one header": f"{GET}\r\nX-Large: {'x' * LARGE}",
    "many headers": f"{GET}\r\n" + "\r\n".join(["X-Many: x"] * (LARGE // 11)),
    "a path": f"GET /{'x' * LARGE} HTTP/1.1",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("end", ["", "\r\nHost: x\r\nConnection: close\r\n\r\n"], ids=["without end", "whole"])
async def test_a_head_of_more_than_16_kib_is_cut(w: World, head: str, end: str) -> None:
    async with w.listening() as port, wire(w, "mari", port) as connection:
        connection.send(head + end)
        assert await is_cut(connection)


async def test_each_head_on_a_connection_has_the_bound_anew(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as connection:
        for _ in range(4):
            connection.request(GET, "X-Large: " + "x" * 10_000)
            assert (await connection.answer())[0] == 200
        connection.send(f"{GET}\r\nX-Large: " + "x" * LARGE)
        assert await is_cut(connection)


async def test_a_body_is_not_counted_with_the_head(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as connection:
        body = "[" + " " * 16_000 + "]"
        for _ in range(2):
            connection.request("PUT /v1/user/candidates HTTP/1.1", f"Content-Length: {len(body)}", body=body)
            assert (await connection.answer())[0] == 204


async def test_what_follows_a_body_in_chunks_is_bounded_too(w: World) -> None:
    """Trailers are headers that come after a body (RFC 9112 7.1.2): also when the request was refused long ago."""
    async with w.listening() as port, wire(w, "mari", port) as connection:
        connection.request("PUT /v1/user/candidates HTTP/1.1", "Transfer-Encoding: chunked", body="0\r\n")
        assert (await connection.answer())[0] == 400
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                for _ in range(64):
                    connection.send(f"X-Large: {'x' * LARGE}\r\n")
                    await connection.writer.drain()
        connection.send(f"\r\n{GET}\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert await is_cut(connection)


async def test_one_connection_serves_request_after_request(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as connection:
        assert [await is_served(connection) for _ in range(5)] == [True] * 5
        for _ in range(5):
            connection.request(GET)
        assert [(await connection.answer())[0] for _ in range(5)] == [200] * 5, "all sent ahead"


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("early", [MOST_RUNNING, MOST])
def test_only_a_few_requests_of_a_source_are_in_progress(run: Callable[[Awaitable[None]], None], early: int) -> None:
    """Whether they come all at once, or on connections that are made when enough of them are in progress."""
    run(few_in_progress(early))


async def few_in_progress(early: int) -> None:
    w, begun, go_on = await populated(), 0, asyncio.Event()

    async def page() -> bytes:
        nonlocal begun
        begun += 1
        await go_on.wait()
        return b""

    w.provide(render_metrics=page)
    async with w.listening() as port, contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(wire(w, "ryo", port)) for _ in range(early)]
        other = await stack.enter_async_context(wire(w, "oven", port))
        for connection in connections:
            connection.request("GET /metrics HTTP/1.1")
        assert await is_served(other)
        for _ in range(MOST - early):
            connections.append(await stack.enter_async_context(wire(w, "ryo", port)))
            connections[-1].request("GET /metrics HTTP/1.1")
        for _ in range(3 * MOST):
            assert await is_served(other)
        assert begun == MOST_RUNNING
        go_on.set()
        assert [(await connection.answer())[0] for connection in connections] == [200] * MOST
