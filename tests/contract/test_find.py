"""Searching the log: one suite over both stores, with a scan in plain Python as the oracle."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from innerd.log import codec
from innerd.log.memory import MemoryStore
from innerd.log.projection import Rows
from innerd.log.sqlite import SqliteStore
from innerd.log.store import Query, Store, Stored
from tests.world import populated

EPOCH = codec.timestamp(1_790_000_000.0)


async def history() -> list[Stored]:
    """A life of some thirty events, by several hands, over an hour."""
    world = await populated()
    for step in range(6):
        world.now += 600
        async with world.client("ryo") as ryo, world.client(None) as root:
            peer = world.peer("mari").id
            await ryo.patch(f"/v1/admin/peers/{peer}", content=b'{"is_disabled":%s}' % (b"true", b"false")[step % 2])
            await root.patch(f"/v1/admin/peers/{peer}", content=b'{"name":"mari%d"}' % step)
            await world.writer.submit(*_rename(world, step))
    return world.store.records


def _rename(world, step):  # type: ignore[no-untyped-def]
    from innerd.domain.commands import RenamePeer
    from innerd.domain.values import Name

    return RenamePeer(world.peer(f"mari{step}").id, Name("mari")), codec.Who("coordinator")


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else await SqliteStore.open(tmp_path / "n.db", create=True)
    await made.append(await history(), Rows(), [])
    yield made
    await made.close()


def scan(records: list[Stored], query: Query, limit: int) -> list[int]:
    found = []
    for stored in records:
        read = codec.envelope(stored.record)
        if stored.seq <= query.after or (query.upto is not None and stored.seq > query.upto):
            continue
        if (query.since is not None and read.at < query.since) or (query.until is not None and read.at > query.until):
            continue
        if not read.type.startswith(query.type) or (query.subject is not None and query.subject != read.subject):
            continue
        if query.actors and read.actor not in query.actors:
            continue
        found.append(stored.seq)
    return found[-limit:] if query.newest else found[:limit]


times = st.none() | st.integers(0, 4500).map(lambda s: codec.timestamp(1_790_000_000.0 + s))
queries = st.builds(
    Query,
    after=st.integers(0, 40),
    upto=st.none() | st.integers(0, 45),
    since=times,
    until=times,
    type=st.sampled_from(
        ["", "peer.", "peer.renamed", "cidr.", "key", "nothing", "p", ("cidr.", "key."), ("peer.added", "no")]
    ),
    subject=st.sampled_from([None, "peer:3", "cidr:3", "network", "peer:99"]),
    actors=st.sampled_from([(), ("peer:2",), ("local:root", "coordinator"), ("nobody",)]),
    newest=st.booleans(),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=queries, limit=st.integers(1, 50))
async def test_a_search_finds_what_a_scan_finds(store: Store, query: Query, limit: int) -> None:
    records = [stored async for page in store.read() for stored in page]
    assert [stored.seq for stored in await store.find(query, limit)] == scan(records, query, limit)


async def test_the_times_of_a_record_are_its_bounds(store: Store) -> None:
    [last] = await store.find(Query(newest=True), 1)
    at = codec.envelope(last.record).at
    assert last in await store.find(Query(since=at), 99)
    assert last in await store.find(Query(until=at), 99)
    assert await store.find(Query(until=EPOCH[:10]), 99) == []


async def test_a_name_that_many_had_is_searched_for_whole(store: Store) -> None:
    """A name may have been hundreds of peers' in its time: each is an actor of its own."""
    many = (*(f"peer:{number}" for number in range(1000, 2000)), "peer:2", "coordinator")
    for newest in (False, True):
        query = Query(actors=many, newest=newest)
        records = [one async for page in store.read() for one in page]
        assert [stored.seq for stored in await store.find(query, 7)] == scan(records, query, 7)
        assert await store.find(Query(actors=many[:900], newest=newest), 7) == []
