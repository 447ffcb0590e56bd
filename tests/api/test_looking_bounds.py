"""What a question about the past may cost: how much of the log it reads, how many are answered at once, and that all
else has its turns meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from innerd.admin.inspect import _events as events_of
from innerd.admin.transport import Response, in_process
from innerd.admin.verb import Call
from innerd.api.sources import Source
from innerd.coordinator.history import network_at
from innerd.coordinator.milestones import Milestones
from innerd.domain import commands as c
from innerd.log.memory import MemoryStore
from innerd.log.store import Query, Stored
from tests.api.asking import Answer, ask
from tests.world import LOCAL, Through, World, populated


class CountingStore(MemoryStore):
    """Counts the records that are read; holds every reader while `open` is not set."""

    def __init__(self) -> None:
        super().__init__()
        self.given = self.inside = self.most_inside = 0
        self.open = asyncio.Event()
        self.open.set()

    async def find(self, query: Query, limit: int) -> list[Stored]:
        async with self._reading():
            found = await super().find(query, limit)
            self.given += len(found)
            return found

    async def read(self, after: int = 0, limit: int = 10_000) -> AsyncIterator[list[Stored]]:
        async for page in super().read(after, limit):
            async with self._reading():
                self.given += len(page)
            yield page

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await self.open.wait()
            yield
        finally:
            self.inside -= 1


@pytest.fixture
async def long() -> World:
    """The populated world, with a long log: what the feed remembers is not its beginning."""
    w = await populated()
    store = CountingStore()
    store.records, store.tables = w.store.records, w.store.tables
    w.store = store
    await w.start()
    number = w.peer("mari").id
    moves = [c.OverrideEndpoint(number, f"198.51.100.7:{port}") for port in range(1000, 3000)]  # type: ignore[arg-type]
    await asyncio.gather(*(w.writer.submit(move, LOCAL) for move in moves))
    store.given = store.most_inside = 0
    return w


def store_of(w: World) -> CountingStore:
    assert isinstance(w.store, CountingStore)
    return w.store


async def at_once(w: World, who: str, target: str, times: int) -> list[Answer]:
    return list(await asyncio.gather(*(ask(w, who, "GET", target) for _ in range(times))))


async def test_why_reads_what_decides_it_once_however_long_the_log(long: World) -> None:
    asks = 30
    answers = await at_once(long, "mari", "/v1/why?a=ryo", asks)
    assert {answer.status for answer in answers} == {200}
    assert store_of(long).given <= 40 + asks, (
        "the events of the tree and of peers, and the one that it is answered with"
    )
    store_of(long).given = 0
    await long.do(c.DisablePeer(long.peer("ryo").id))
    answers = await at_once(long, "ryo", "/v1/why?a=mari", 1)
    await long.do(c.EnablePeer(long.peer("ryo").id))
    answers += await at_once(long, "mari", "/v1/why?a=ryo", 1)
    assert answers[-1].json()["since"]["type"] == "peer.enabled"
    assert store_of(long).given <= 3, "what came since, and the one that it is answered with"


async def test_what_is_so_at_a_remembered_revision_is_not_folded(long: World) -> None:
    [answer] = await at_once(long, "ryo", f"/v1/network?at={long.writer.network.revision - 500}", 1)
    assert (answer.status, store_of(long).given) == (200, 0)


async def crowd(w: World, target: str, count: int, who: str = "ryo") -> list["asyncio.Task[Answer]"]:
    """So many ask while no reader comes on; all that are turned away are by now."""
    store_of(w).open.clear()
    asking = [asyncio.create_task(ask(w, who, "GET", target)) for _ in range(count)]
    await settled(count)
    return asking


async def settled(count: int) -> None:
    """So many who ask have come as far as they can: one begins in each turn of the loop."""
    for _ in range(20 * count):
        await asyncio.sleep(0)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What so many requests of one peer cost is another matter: else few of them would come so far."""
    monkeypatch.setattr(Source, "require_budget", lambda source: None)
    monkeypatch.setattr(Source, "is_heavy", False)


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("target", "places", "waiting"),
    [("/v1/network?at=9", 1, 16), ("/v1/why?a=mari&b=tama&at=15", 1, 16), ("/v1/admin/events?limit=5", 4, 64)],
)
async def test_so_many_at_once_and_so_many_wait_and_the_rest_is_told(
    long: World, target: str, places: int, waiting: int
) -> None:
    store = store_of(long)
    asking = await crowd(long, target, places + waiting + 5)
    away = [task.result() for task in asking if task.done()]
    assert [(answer.status, answer.code) for answer in away] == [(503, "busy")] * 5
    assert store.inside == places
    store.open.set()
    answers = await asyncio.gather(*asking)
    assert [answer.status for answer in answers].count(200) == places + waiting
    assert store.most_inside <= places
    assert (await ask(long, "ryo", "GET", target)).status == 200, "the places are free again"


@pytest.mark.usefixtures("unmeasured")
async def test_peers_that_ask_why_without_end_keep_no_administrator_from_asking(long: World) -> None:
    asking = await crowd(long, "/v1/why?a=ryo", 8 + 256 + 5, "mari")
    assert [task.result().code for task in asking if task.done()] == ["busy"] * 5
    admin = asyncio.create_task(ask(long, "ryo", "GET", "/v1/why?a=mari"))
    await settled(1)
    assert not admin.done()
    store_of(long).open.set()
    assert (await admin).status == 200
    assert [answer.status for answer in await asyncio.gather(*asking)].count(200) == 8 + 256


async def test_a_place_is_free_again_whatever_became_of_who_had_it(long: World) -> None:
    target = "/v1/network?at=9"
    asking = await crowd(long, target, 17)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    store_of(long).open.set()
    assert {answer.status for answer in await at_once(long, "ryo", target, 17)} == {200}


async def test_others_have_their_turns_while_the_past_is_folded(long: World) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    revision = long.writer.network.revision
    assert (await network_at(long.store, revision, Milestones())).revision == revision
    task.cancel()
    assert turns >= revision // 200


async def test_so_many_follow_the_log_at_once(long: World) -> None:
    most = 32
    following = [asyncio.create_task(follow(long)) for _ in range(most)]
    await settled(most)
    answer = await ask(long, "ryo", "GET", "/v1/admin/events?follow=true")
    assert (answer.status, answer.code) == (503, "busy")
    following[0].cancel()
    await asyncio.wait(following[:1])
    following.append(asyncio.create_task(follow(long)))
    await settled(1)
    assert not following[-1].done()
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)


async def follow(w: World) -> None:
    """Follow the log until cancelled."""

    async def receive() -> object:
        return await asyncio.Event().wait()

    async def send(message: object) -> None:
        """Nobody looks."""

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/admin/events",
        "raw_path": b"/v1/admin/events",
        "query_string": b"follow=true",
        "headers": [(b"host", w.services.internal_endpoint.encode())],
        "client": ("local:0", 1),
    }
    await w.app(scope, receive, send)


# -- the newest events of a long log ----------------------------------------------------------------------------------

FILTERS = {
    "all": {},
    "a type": {"type": "endpoint."},
    "several types": {"type": "peer."},
    "a subject": {"subject": "peer:3"},
    "who did it": {"actor": "local:root"},
    "up to a revision": {"until": "1900"},
    "up to a time": {"until": "2999-01-01T00:00:00Z"},
    "from a revision on": {"since": "700"},
    "nothing": {"subject": "peer:4711"},
}


def of(w: World) -> Call:
    return Call(in_process(Through(w), 0), as_json=True)


async def shown(w: World, asked: dict[str, str], limit: int | None) -> list[int]:
    found, revision = await events_of(of(w), asked, limit)
    assert revision == w.writer.network.revision
    return [event.seq for event in found]


@pytest.mark.parametrize("limit", [1, 999, 1000, 1001, 1500, 2000, 100_000])
@pytest.mark.parametrize("asked", FILTERS.values(), ids=FILTERS)
async def test_the_newest_are_the_end_of_all(long: World, asked: dict[str, str], limit: int) -> None:
    assert await shown(long, asked, limit) == (await shown(long, asked, None))[-limit:]


async def test_the_newest_are_read_from_the_end_on(long: World) -> None:
    assert len(await shown(long, {}, 1500)) == 1500
    assert store_of(long).given == 1500


async def test_what_happens_while_pages_are_read_moves_none(long: World) -> None:
    head = long.writer.network.revision
    asking = asyncio.create_task(shown_meanwhile(long))
    assert await asking == list(range(head - 1499, head + 1))


async def shown_meanwhile(w: World) -> list[int]:
    """The newest 1,500, with an event between the two pages of them."""
    api = in_process(Through(w), 0)
    get = api.get

    async def getting(path: str, **params: str | int) -> Response:
        answer = await get(path, **params)
        await w.writer.submit(c.OverrideEndpoint(w.peer("mari").id, None), LOCAL)
        return answer

    api.get = getting  # type: ignore[method-assign]
    return [event.seq for event in (await events_of(Call(api, as_json=True), {}, 1500))[0]]
