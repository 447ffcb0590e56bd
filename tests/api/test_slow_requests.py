"""A request has ten seconds for its head, and ten for its body: who is slower is cut, and keeps nothing busy."""

import json

import pytest

from innerd.api.sources import MOST_RUNNING, Visit
from tests.api.sockets import Wire, wire
from tests.stepped import on_stepped_time, step
from tests.world import World, populated

GET = "GET /v1/user/capabilities HTTP/1.1"
BODY = '["198.51.100.66:666"]'


async def is_served(connection: Wire) -> bool:
    connection.request(GET)
    return (await connection.answer())[0] == 200


async def is_cut(connection: Wire) -> bool:
    try:
        return await connection.rest() == b""
    except ConnectionError:  # what was sent and not read makes a reset of it
        return True


SLOW = {"nothing": [], "half a head": ["GE"], "a trickle": ["GE", "T /v1/user/", "capabilities"]}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
def test_a_head_that_is_not_there_in_ten_seconds_is_cut(sent: list[str]) -> None:
    async def scenario() -> None:
        w = await populated()
        async with w.listening() as port, wire(w, "mari", port) as slow:
            for piece in sent:
                slow.send(piece)
                await step(10.5 / len(sent))
            await step(0 if sent else 10.5)
            assert await is_cut(slow)
            async with wire(w, "mari", port) as another:
                assert await is_served(another)

    on_stepped_time(scenario())


def test_the_ten_seconds_are_for_the_head_alone() -> None:
    async def scenario() -> None:
        w = await populated()
        async with w.listening() as port, wire(w, "mari", port) as connection:
            for _ in range(3):
                await step(9)  # before the first, and idle between requests
                assert await is_served(connection)
            await step(60)
            assert await is_served(connection)

    on_stepped_time(scenario())


def test_time_in_which_a_connection_is_not_read_does_not_count() -> None:
    """Four requests of its source are in progress: its other connections wait, and can't be blamed for it."""

    async def scenario() -> None:
        w = await populated()
        async with w.listening() as port, wire(w, "mari", port) as waiting:
            visits = [Visit(w.services.sources.of((str(w.peer("mari").ip), 40_000))) for _ in range(MOST_RUNNING)]
            waiting.request(GET)
            await step(25)
            for visit in visits:
                visit.leave()
            assert (await waiting.answer())[0] == 200

    on_stepped_time(scenario())


async def begun(connection: Wire) -> None:
    """A request whose body is waited for: the server says 100 when it begins to."""
    connection.request("PUT /v1/user/candidates HTTP/1.1", f"Content-Length: {len(BODY)}", "Expect: 100-continue")
    assert (await connection.answer())[0] == 100


def reported(w: World) -> tuple[str, ...]:
    return w.presence.candidates.get(w.peer("mari").id, ())


@pytest.mark.parametrize("sent", ["", "[", BODY[:8]], ids=["nothing", "a byte", "a trickle"])
def test_a_body_that_is_not_there_in_ten_seconds_is_refused(sent: str) -> None:
    async def scenario() -> None:
        w = await populated()
        async with w.listening() as port, wire(w, "mari", port) as connection:
            await begun(connection)
            for piece in (*sent, ""):
                connection.send(piece)
                await step(10.5 / (len(sent) + 1))
            status, _, body = await connection.answer()
            assert (status, json.loads(body)["code"]) == (400, "invalid_request")
            assert reported(w) == ()

    on_stepped_time(scenario())


def test_a_body_may_take_nine_seconds() -> None:
    async def scenario() -> None:
        w = await populated()
        async with w.listening() as port, wire(w, "mari", port) as connection:
            await begun(connection)
            connection.send(BODY[:8])
            await step(9)
            connection.send(BODY[8:])
            assert (await connection.answer())[0] == 204
            assert reported(w) == ("198.51.100.66:666",)

    on_stepped_time(scenario())
