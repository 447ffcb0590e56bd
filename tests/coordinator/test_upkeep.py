"""What is wrong with the log: said by whoever looks, tried again where that may help, sticky where it can't."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain.errors import Refused
from innerd.log.database import fault_of
from innerd.log.sqlite import SqliteStore
from innerd.log.store import FAULTS, StoreCorrupt, StoreError
from tests.coordinator.bench import LOCAL, bench, cidr
from tests.log.damage import spoil
from tests.log.histories import BEGINNING
from tests.log.tampering import honest


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of nine events that holds."""
    honest(tmp_path / "net.db")
    return tmp_path / "net.db"


async def test_a_lock_of_another_program_is_seen_without_a_change(log: Path) -> None:
    store = await SqliteStore.open(log)
    writer = Writer(store, await load(store), lambda: BEGINNING, pytest.fail)
    await store._writer.transact(lambda database: database.execute("PRAGMA busy_timeout = 1"))
    with closing(sqlite3.connect(log, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await writer.upkeep.look()
        assert "another program holds a lock" in (writer.upkeep.trouble or "")
        assert "fuser" in (writer.upkeep.help or "")
        assert store.busy == 1
        with pytest.raises(Refused) as refused:
            await writer.submit(cidr(1), LOCAL)
        assert refused.value.code == "store_unavailable"
        other.execute("ROLLBACK")
    await writer.upkeep.look()
    assert writer.upkeep.trouble is None
    await store.close()


async def test_a_look_writes_nothing_while_all_is_well(log: Path) -> None:
    store = await SqliteStore.open(log)
    writer = Writer(store, await load(store), lambda: BEGINNING, pytest.fail)
    before = store.size()
    await writer.upkeep.look()
    assert (store.size(), writer.upkeep.trouble) == (before, None)
    await store.close()


async def test_damage_is_not_over_because_some_row_can_be_written(log: Path) -> None:
    spoil(log, "events_by_type")
    store = await SqliteStore.open(log)
    writer = Writer(store, await load(store), lambda: BEGINNING, pytest.fail)
    with pytest.raises(Refused) as refused:
        await writer.submit(cidr(1), LOCAL)
    assert refused.value.code == "log_corrupt"
    await store.probe()  # a row elsewhere can be written
    await writer.upkeep.look()
    assert writer.upkeep.is_damaged
    assert (await writer.upkeep.rebuild())[1] is not None
    assert writer.upkeep.trouble is None
    await writer.submit(cidr(1), LOCAL)
    await store.close()
    again = await SqliteStore.open(log)
    assert (await load(again)).chain.hex() == writer.head_hash
    await again.close()


async def test_damage_that_nobody_met_is_looked_for(log: Path) -> None:
    spoil(log, "peers")
    store = await SqliteStore.open(log)
    writer = Writer(store, await load(store), lambda: BEGINNING, pytest.fail)
    await writer.upkeep.look_for_damage()
    assert writer.upkeep.is_damaged
    assert "rebuild" in (writer.upkeep.help or "")
    await store.close()


async def test_readers_and_writers_that_come_while_the_file_is_exchanged_wait(log: Path) -> None:
    spoil(log, "events_by_at")
    store = await SqliteStore.open(log)
    writer = Writer(store, await load(store), lambda: BEGINNING, pytest.fail)

    async def reading() -> int:
        found = 0
        while not rebuilding.done():
            found = len([one async for page in store.read() for one in page])
        return found

    rebuilding = asyncio.create_task(writer.upkeep.rebuild())
    reader = asyncio.create_task(reading())
    changes = [asyncio.create_task(writer.submit(cidr(number), LOCAL)) for number in (1, 2)]
    assert (await rebuilding)[1] is not None
    assert [(await change).revision for change in changes] == [10, 11]
    assert await reader >= 9
    await store.close()


async def test_a_damaged_store_in_memory_is_renewed_too() -> None:
    b = await bench()
    b.store.broken, b.store.damaged = StoreCorrupt("a page", "corrupt"), "a page"
    with pytest.raises(Refused):
        await b.do(cidr(1))
    await b.writer.upkeep.rebuild()
    assert (await b.do(cidr(1))).revision == 5


CODES = {
    "SQLITE_FULL": "full",
    "SQLITE_READONLY": "read_only",
    "SQLITE_READONLY_DBMOVED": "read_only",
    "SQLITE_IOERR_READ": "io",
    "SQLITE_IOERR_FSYNC": "io",
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_CANTOPEN": "permission",
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_CORRUPT_INDEX": "corrupt",
    "SQLITE_NOTADB": "not_a_database",
    "SQLITE_CONSTRAINT": "other",
}


@pytest.mark.parametrize("name", CODES)
def test_each_error_of_sqlite_is_of_one_kind(name: str) -> None:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = getattr(sqlite3, name)
    assert fault_of(error) == CODES[name]


def test_each_kind_has_a_sentence_and_a_hint_of_its_own() -> None:
    assert len({sentence for sentence, _ in FAULTS.values()}) == len(FAULTS)
    assert all(hint for _, hint in FAULTS.values())
    kinds = {fault for fault in FAULTS if StoreError("x", fault).is_damage}
    assert kinds == {"corrupt", "not_a_database", "tampered"}
