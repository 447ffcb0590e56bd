"""`GET /v1/admin/events?follow=true` over real sockets: what was, then what happens, while who asks may ask."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from innerd.domain import commands as c
from innerd.domain.values import Name
from tests.api.asking import ask
from tests.api.sockets import wire
from tests.api.streaming import PATIENCE
from tests.stepped import on_stepped_time, step
from tests.world import World, populated

FOLLOW = "/v1/admin/events?follow=true"


class Following:
    """The lines of an audit that goes on."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                if line:
                    found: dict[str, Any] = json.loads(line)
                    return found
        raise EOFError

    async def seqs(self, count: int) -> list[int]:
        return [(await self.next())["seq"] for _ in range(count)]

    async def rest(self) -> list[int]:
        """What comes until the server ends it."""
        found = []
        with contextlib.suppress(EOFError):
            while True:
                found.append((await self.next())["seq"])
        return found


@contextlib.asynccontextmanager
async def following(w: World, port: int, query: str = "", who: str = "ryo") -> AsyncIterator[Following]:
    async with w.over_socket(who, port) as client, client.stream("GET", FOLLOW + query) as response:
        yield Following(response)


async def rename(w: World, name: str) -> int:
    """Something that happens to oven (peer 4); its revision."""
    await w.do(c.RenamePeer(4, Name(name)))
    return w.writer.network.revision


def followers(w: World) -> list[str]:
    """Those of the feed that follow for an audit."""
    return [name for name in w.writer.feed._followers if name.startswith("audit")]


async def test_all_that_was_comes_first_and_then_what_happens(w: World) -> None:
    async with w.listening() as port, following(w, port) as told:
        assert told.response.headers["content-type"] == "application/x-ndjson"
        assert await told.seqs(15) == list(range(1, 16))
        for name in ("kiln", "stove"):
            revision = await rename(w, name)
            event = await told.next()
            assert (event["seq"], event["type"], event["data"]["name"]) == (revision, "peer.renamed", name)


async def test_a_line_is_the_record_that_a_page_shows(w: World) -> None:
    page = (await ask(w, "ryo", "GET", "/v1/admin/events")).json()["events"]
    async with w.listening() as port, following(w, port) as told:
        assert [await told.next() for _ in page] == page


async def test_nothing_is_missed_and_nothing_told_twice_while_much_happens(w: World) -> None:
    async with w.listening() as port, following(w, port) as told:
        reading = asyncio.create_task(told.seqs(15 + 200))
        changes = [c.RenamePeer(4, Name(f"oven-{number}")) for number in range(200)]
        await asyncio.gather(*(w.do(change) for change in changes))
        assert await reading == list(range(1, 216))


async def test_a_long_history_comes_whole(w: World) -> None:
    for number in range(1100):
        await w.do(c.RenamePeer(4, Name(f"oven-{number}")))
    async with w.listening() as port, following(w, port) as told:
        assert await told.seqs(1115) == list(range(1, 1116))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("&after=13", [14, 15, 16, 17, 18]),
        ("&since=14", [15, 16, 17, 18]),
        ("&after=99", [100]),
        ("&type=peer.renamed", [16, 18]),
        ("&type=cidr", [2, 3, 5, 6, 7, 17]),
        ("&subject=peer:4", [12, 13, 16, 18]),
        ("&actor=peer:4", [13]),
        ("&until=16&after=14", [15, 16]),
        ("&type=nothing", []),
    ],
)
async def test_filters_hold_for_what_was_and_for_what_happens(w: World, query: str, expected: list[int]) -> None:
    """16: oven becomes kiln, 17: a CIDR, 18: kiln becomes stove; then who asks may not any more."""
    async with w.listening() as port, following(w, port, query) as told:
        await rename(w, "kiln")
        await w.add_cidr("birds", "127.42.5.0/24")
        await rename(w, "stove")
        if "after=99" in query:
            while w.writer.network.revision < 100:
                await rename(w, f"oven-{w.writer.network.revision}")
        assert await told.seqs(len(expected)) == expected
        await w.do(c.RevokeAdmin(2))
        assert await told.rest() == []


@pytest.mark.parametrize("command", [c.RevokeAdmin(2), c.DisablePeer(2), c.RemovePeer(2)], ids=repr)
async def test_it_ends_when_who_asks_may_not_any_more(w: World, command: c.Command) -> None:
    async with w.listening() as port, following(w, port) as told:
        await told.seqs(15)
        await w.do(command)
        await rename(w, "kiln")
        assert await told.rest() == [], "not even why"
    assert not any(name.startswith("audit") for name in w.writer.feed.errors if name in w.writer.feed._followers)


async def test_another_admins_fall_ends_nothing(w: World) -> None:
    await w.do(c.GrantAdmin(3))
    async with w.listening() as port, following(w, port, "&after=16") as told:
        await w.do(c.RevokeAdmin(3))
        assert await told.seqs(1) == [17]


async def test_it_ends_with_the_coordinator_at_once(w: World) -> None:
    """Its client must not find a connection cut off in the middle, nor the coordinator wait for it."""
    async with w.listening() as port, following(w, port) as told:
        await told.seqs(15)
        await w.hub.shut_down()
        async with asyncio.timeout(1):
            assert await told.rest() == []


async def test_a_client_that_goes_is_forgotten(w: World) -> None:
    """What is told to a client that is gone is nobody's error, and its place is free again."""
    async with w.listening() as port:
        for _ in range(3):
            async with following(w, port) as told:
                await told.seqs(15)
        await rename(w, "kiln")
        async with following(w, port) as told:  # its first line comes behind what the others' ends set going
            await told.seqs(16)
            assert len(followers(w)) == 1
    assert all(not errors for errors in w.writer.feed.errors.values())
    assert not followers(w)


@pytest.mark.parametrize(
    "query",
    [
        "after=x",
        "after=-1",
        "after=1.5",
        "since=yesterday",
        "until=2026-09-21",
        "until=",
        "since=9999-12-31T23:59:59-23:00",
        "limit=10",
    ],
)
async def test_a_wrong_filter_is_refused_before_anything(w: World, query: str) -> None:
    async with w.listening() as port, w.over_socket("ryo", port) as client:
        async with asyncio.timeout(PATIENCE):
            answer = await client.get(f"{FOLLOW}&{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["code"] == "invalid_request"


@pytest.mark.parametrize(("who", "status"), [("mari", 401), ("127.42.9.9", 401)])
async def test_only_administrators_follow(w: World, who: str, status: int) -> None:
    answer = await ask(w, who, "GET", FOLLOW)
    assert answer.status == status
    assert b"seq" not in answer.body


async def test_where_proofs_are_required_it_takes_one() -> None:
    w = await populated(proof_required=True)
    answer = await ask(w, "ryo", "GET", FOLLOW)
    assert (answer.status, answer.code) == (401, "proof_required")


def test_a_quiet_one_is_kept_alive_with_empty_lines() -> None:
    async def scenario() -> None:
        w = await populated()
        async with w.listening() as port, wire(w, "ryo", port) as ryo:
            ryo.request(f"GET {FOLLOW}&after=15 HTTP/1.1")
            await ryo.reader.readuntil(b"\r\n\r\n")
            for _ in range(2):
                await step(20.5)
                assert await ryo.reader.readuntil(b"\n\r\n") == b"1\r\n\n\r\n", "a chunk of one newline"
            await rename(w, "kiln")
            assert b'"seq":16' in await ryo.reader.readuntil(b"}\n")
            await w.do(c.RevokeAdmin(2))
            assert await ryo.reader.readuntil(b"0\r\n\r\n")

    on_stepped_time(scenario())
