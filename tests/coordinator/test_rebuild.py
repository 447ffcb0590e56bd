"""Making the read models anew: nothing differs that only we wrote to; what others wrote is found and mended."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from innerd.coordinator.replay import load, replayed_rows
from innerd.coordinator.writer import Writer
from innerd.domain.errors import Refused
from innerd.log.memory import MemoryStore
from innerd.log.projection import COLUMNS, Tables
from innerd.log.sqlite import SqliteStore
from innerd.log.store import Store, StoreError
from tests.coordinator.bench import LOCAL, BenchStore, bench, cidr
from tests.log.histories import BEGINNING, BEGUN, FOUNDING, STEPS, Step, command_of, time_of
from tests.log.test_projection import naive


async def live(store: Store, steps: list[Step], together: int = 1) -> Writer:
    """A network in a store to which the steps happened, some in one commit."""
    clock = [BEGINNING]
    writer = Writer(store, await load(store), lambda: clock[0], pytest.fail)
    await writer.submit(FOUNDING, LOCAL)
    for at in range(0, len(steps), together):
        clock[0] = time_of(steps[at], at)
        commands = [command_of(step, at + n, writer.network) for n, step in enumerate(steps[at : at + together], 1)]
        outcomes = await asyncio.gather(*(writer.submit(x, LOCAL) for x in commands), return_exceptions=True)
        assert all(not isinstance(outcome, Exception) or isinstance(outcome, Refused) for outcome in outcomes)
    return writer


def plain(tables: Tables) -> dict[tuple[str, int], tuple[object, ...]]:
    return {(table, number): row[:-1] for table, held in tables.items() for number, row in held.items()}


@settings(deadline=None, max_examples=30)
@given(STEPS, st.integers(1, 5))
def test_no_row_differs_that_only_the_writer_wrote(steps: list[Step], together: int) -> None:
    async def check() -> None:
        store = MemoryStore()
        writer = await live(store, steps, together)
        kept = await store.rows()
        assert await writer.upkeep.rebuild() == (0, None)
        assert await store.rows() == kept
        assert plain(kept) == naive(writer.network)

    asyncio.run(check())


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, together=st.integers(1, 5))
def test_nor_in_a_file(tmp_path: Path, steps: list[Step], together: int) -> None:
    async def check() -> None:
        path = tmp_path / "net.db"
        for file in tmp_path.iterdir():
            file.unlink()
        store = await SqliteStore.open(path, create=True)
        try:
            writer = await live(store, steps, together)
            kept = await store.rows()
            assert await writer.upkeep.rebuild() == (0, None)
            assert await store.rows() == kept
            assert plain(kept) == naive(writer.network)
        finally:
            await store.close()

    asyncio.run(check())


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else await SqliteStore.open(tmp_path / "n.db", create=True)
    yield made
    await made.close()


def by_hand(store: Store, change: Callable[[Tables], object]) -> None:
    """Somebody changes the tables as they please."""
    if isinstance(store, MemoryStore):
        change(store.tables)
        return
    assert isinstance(store, SqliteStore)
    with closing(sqlite3.connect(store.path)) as database, database:
        tables = {table: {r[0]: r for r in database.execute(f"SELECT * FROM {table}")} for table in COLUMNS}
        change(tables)
        for table, rows in tables.items():
            database.execute(f"DELETE FROM {table}")
            marks = ", ".join("?" * len(COLUMNS[table]))
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows.values())


def edit(tables: Tables) -> None:
    row = list(tables["peers"][2])
    row[COLUMNS["peers"].index("is_admin")] = 1 - row[COLUMNS["peers"].index("is_admin")]  # type: ignore[operator]
    tables["peers"][2] = tuple(row)


def wrong_revision(tables: Tables) -> None:
    tables["cidrs"][3] = (*tables["cidrs"][3][:-1], 1)


def add(tables: Tables) -> None:
    tables["associations"][99] = (99, 1, 2, 5)


def several(tables: Tables) -> None:
    edit(tables)
    add(tables)
    tables["cidrs"].pop(3)


DEEDS: dict[str, tuple[Callable[[Tables], object], int]] = {
    "a value edited": (edit, 1),
    "a revision edited": (wrong_revision, 1),
    "a row removed": (lambda tables: tables["cidrs"].pop(3), 1),
    "a row added": (add, 1),
    "three rows in three tables": (several, 3),
    "a table emptied": (lambda tables: tables["cidrs"].clear(), 5),
}


@pytest.mark.parametrize(("deed", "rows"), DEEDS.values(), ids=DEEDS)
async def test_rows_changed_behind_our_back_are_counted_and_mended(store: Store, deed, rows) -> None:
    writer = await live(store, BEGUN)
    before = await store.rows()
    by_hand(store, deed)
    assert await store.rows() != before
    assert await writer.upkeep.rebuild() == (rows, None)
    assert await store.rows() == before
    assert await writer.upkeep.rebuild() == (0, None)


async def test_rows_are_replayed_from_the_log_alone(store: Store) -> None:
    writer = await live(store, BEGUN)
    before = await store.rows()
    by_hand(store, lambda tables: [held.clear() for held in tables.values()])
    assert await replayed_rows(store) == before
    assert (await load(store)).network == writer.network


class Slow(BenchStore):
    """Its read models are put in place only when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.replacing, self.may_replace = asyncio.Event(), asyncio.Event()

    async def replace_rows(self, rows: object) -> None:
        self.replacing.set()
        await self.may_replace.wait()
        await super().replace_rows(rows)  # type: ignore[arg-type]


async def test_changes_wait_while_it_lasts_and_none_is_lost() -> None:
    store = Slow()
    writer = await live(store, BEGUN)
    by_hand(store, edit)
    rebuilding = asyncio.create_task(writer.upkeep.rebuild())
    await store.replacing.wait()
    appends, revision = len(store.appends), writer.network.revision
    changes = [asyncio.create_task(writer.submit(cidr(number), LOCAL)) for number in (200, 201, 202)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert (len(store.appends), writer.network.revision) == (appends, revision)
    assert not any(change.done() for change in changes)
    store.may_replace.set()
    assert await rebuilding == (1, None)
    assert [(await change).revision for change in changes] == [revision + 1, revision + 2, revision + 3]
    assert plain(await store.rows()) == naive(writer.network)
    assert await writer.upkeep.rebuild() == (0, None)


async def test_a_rebuild_waits_for_the_commit_under_way() -> None:
    b = await bench()
    change = await b.hold_one(cidr(1))
    rebuilding = asyncio.create_task(b.writer.upkeep.rebuild())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not rebuilding.done()
    b.store.release()
    await change
    assert await rebuilding == (0, None)


async def test_a_store_that_can_not_is_said_so_and_writing_goes_on() -> None:
    class Failing(BenchStore):
        async def replace_rows(self, rows: object) -> None:
            raise StoreError("disk full")

    store = Failing()
    writer = await live(store, BEGUN)
    with pytest.raises(Refused) as refused:
        await writer.upkeep.rebuild()
    assert refused.value.code == "store_unavailable"
    assert (await writer.submit(cidr(200), LOCAL)).revision == writer.network.revision
