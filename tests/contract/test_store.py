"""What every store promises, asked of the one in memory and the one in SQLite alike.

Read models can't be read through the protocol: each param brings the eyes of somebody who looks at its tables.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from innerd.log.memory import MemoryStore
from innerd.log.projection import Row, Rows
from innerd.log.sqlite import SqliteStore
from innerd.log.store import KeptAnswer, Seen, Store, Stored, StoreError

# Legal JSON that a parser and writer would not give back byte by byte, and blobs with every kind of byte.
ODD = '{ "z":1.0, "a":1e5,\n "text":"ä\\u00e4 \\ud83d\\ude00 🐱 \\u0000" , "z2":12345678901234567890}'.encode()


def stored(seq: int) -> Stored:
    return Stored(seq, ODD + b" " * seq, bytes(range(seq, seq + 16)), bytes(range(seq, seq + 32)))


def log(first: int, last: int) -> list[Stored]:
    return [stored(seq) for seq in range(first, last + 1)]


def cidr(number: int, name: str, seq: int) -> Row:
    return (number, name, f"10.42.{number}.0/24", 1, seq)


def answer(request: str, at: int = 1000, result: bytes = b"\0\xff") -> KeptAnswer:
    return KeptAnswer("peer:2", request, b"d" * 32, 201, result, at)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made = MemoryStore() if request.param == "memory" else await SqliteStore.open(tmp_path / "n.db", create=True)
    yield made
    await made.close()


async def everything(store: Store, after: int = 0, limit: int = 10_000) -> list[Stored]:
    return [one async for page in store.read(after, limit) for one in page]


def rows_of(store: Store) -> dict[str, list[Row]]:
    """The read models as they are."""
    if isinstance(store, MemoryStore):
        return {table: sorted(rows.values()) for table, rows in store.tables.items()}
    with closing(sqlite3.connect(store.path)) as database:
        tables = ("cidrs", "peers", "associations", "records")
        return {table: sorted(database.execute(f"SELECT * FROM {table}").fetchall()) for table in tables}


async def test_a_new_store_is_empty(store: Store) -> None:
    assert await everything(store) == []
    assert rows_of(store) == {"cidrs": [], "peers": [], "associations": [], "records": []}
    assert await store.answer("peer:2", "a") is None


async def test_records_come_back_in_order_byte_by_byte(store: Store) -> None:
    await store.append(log(1, 1), Rows(), [])
    await store.append(log(2, 5), Rows(), [])
    assert await everything(store) == log(1, 5)


@pytest.mark.parametrize(
    ("after", "limit", "pages"),
    [
        (0, 2, [[1, 2], [3, 4], [5]]),
        (0, 5, [[1, 2, 3, 4, 5]]),
        (3, 10, [[4, 5]]),
        (4, 1, [[5]]),
        (5, 10, []),
        (9, 10, []),
    ],
    ids=["pages", "one full page", "from the middle", "the last", "nothing new", "beyond the end"],
)
async def test_reading_goes_on_in_pages_where_the_reader_was(
    store: Store, after: int, limit: int, pages: list[list[int]]
) -> None:
    await store.append(log(1, 5), Rows(), [])
    assert [[one.seq for one in page] async for page in store.read(after, limit)] == pages


async def test_a_reader_hears_of_what_is_appended_while_it_reads(store: Store) -> None:
    await store.append(log(1, 2), Rows(), [])
    seen = []
    async for page in store.read(limit=2):
        seen += [one.seq for one in page]
        if len(seen) == 2:
            await store.append(log(3, 3), Rows(), [])
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(
    "numbers",
    [[4], [5, 6], [2, 3], [1], [3, 5], [3, 3], [4, 3], [0], [-1]],
    ids=["gap", "gap before two", "overlap", "again", "gap within", "twice", "out of order", "zero", "negative"],
)
async def test_a_batch_that_does_not_go_on_where_the_log_ends_is_refused_whole(
    store: Store, numbers: list[int]
) -> None:
    await store.append(log(1, 2), Rows({"cidrs": [cidr(3, "humans", 2)]}), [])
    with pytest.raises(StoreError):
        await store.append(
            [stored(n) for n in numbers] if min(numbers) > 0 else [Stored(numbers[0], ODD, b"s" * 16, b"c" * 32)],
            Rows({"cidrs": [cidr(4, "cats", 3)]}, {"cidrs": [3]}),
            [answer("a")],
        )
    assert await everything(store) == log(1, 2)
    assert rows_of(store)["cidrs"] == [cidr(3, "humans", 2)]
    assert await store.answer("peer:2", "a") is None
    await store.append(log(3, 3), Rows(), [])
    assert await everything(store) == log(1, 3)


async def test_rows_change_with_the_batch(store: Store) -> None:
    await store.append(log(1, 1), Rows({"cidrs": [cidr(3, "humans", 1), cidr(4, "cats", 1)]}), [])
    await store.append(log(2, 2), Rows({"cidrs": [cidr(3, "people", 2)]}, {"cidrs": [4, 99]}), [])
    assert rows_of(store)["cidrs"] == [cidr(3, "people", 2)]


async def test_names_may_change_hands_within_a_batch(store: Store) -> None:
    await store.append(log(1, 1), Rows({"cidrs": [cidr(3, "a", 1), cidr(4, "b", 1), cidr(5, "c", 1)]}), [])
    turned = [cidr(3, "b", 2), cidr(4, "c", 2), cidr(5, "a", 2)]
    await store.append(log(2, 2), Rows({"cidrs": turned}), [])
    assert rows_of(store)["cidrs"] == turned


async def test_rows_of_every_table_are_kept_with_their_nulls(store: Store) -> None:
    peer: Row = (5, "ryo", "10.42.3.1", 3, "key", 1, 0, 0, 0, None, None, 1)
    await store.append(log(1, 1), Rows({"peers": [peer], "associations": [(2, 3, 4, 1)]}), [])
    assert rows_of(store) == {"cidrs": [], "peers": [peer], "associations": [(2, 3, 4, 1)], "records": []}


async def test_rows_are_replaced_as_a_whole(store: Store) -> None:
    await store.append(log(1, 1), Rows({"cidrs": [cidr(3, "humans", 1)], "associations": [(2, 3, 4, 1)]}), [])
    await store.replace_rows(Rows({"cidrs": [cidr(4, "cats", 1), cidr(5, "humans", 1)]}))
    assert rows_of(store) == {
        "cidrs": [cidr(4, "cats", 1), cidr(5, "humans", 1)],
        "peers": [],
        "associations": [],
        "records": [],
    }
    assert await everything(store) == log(1, 1)


async def test_an_answer_is_kept_per_actor_and_id(store: Store) -> None:
    theirs = KeptAnswer("peer:3", "a", b"e" * 32, 204, b"", 1000)
    await store.append(log(1, 1), Rows(), [answer("a"), theirs])
    assert await store.answer("peer:2", "a") == answer("a")
    assert await store.answer("peer:3", "a") == theirs
    assert await store.answer("peer:2", "b") is None


async def test_an_answer_without_events_is_kept_too(store: Store) -> None:
    await store.append([], Rows(), [answer("a")])
    assert await store.answer("peer:2", "a") == answer("a")
    assert await everything(store) == []


async def test_answers_are_forgotten_by_age_and_events_are_not(store: Store) -> None:
    await store.append(log(1, 1), Rows(), [answer("old", 999), answer("edge", 1000), answer("new", 1001)])
    await store.forget_answers(1000)
    assert await store.answer("peer:2", "old") is None
    assert await store.answer("peer:2", "edge") == answer("edge", 1000)
    assert await store.answer("peer:2", "new") == answer("new", 1001)
    assert await everything(store) == log(1, 1)


async def test_a_probe_changes_nothing_that_anybody_reads(store: Store) -> None:
    await store.append(log(1, 2), Rows({"cidrs": [cidr(3, "humans", 1)]}), [answer("a")])
    await store.probe()
    await store.probe()
    assert await everything(store) == log(1, 2)
    assert rows_of(store)["cidrs"] == [cidr(3, "humans", 1)]
    await store.append(log(3, 3), Rows(), [])


async def test_a_store_grows_with_its_log(store: Store) -> None:
    before = sum(store.size())
    await store.append(log(1, 100), Rows(), [])
    assert sum(store.size()) - before >= sum(len(one.record) for one in log(1, 100))


@pytest.mark.parametrize("turns", range(4))
async def test_a_probe_beside_an_append_harms_neither(store: Store, turns: int) -> None:
    """Two commands after a failure: one is being appended when the other asks whether writing works again."""
    await store.append(log(1, 1), Rows(), [])
    appending = asyncio.create_task(store.append(log(2, 4), Rows({"cidrs": [cidr(3, "humans", 4)]}), [answer("a")]))
    for _ in range(turns):  # the probe's statements fall between others of the append each time
        await store.answer("peer:2", "b")
    assert await asyncio.gather(appending, store.probe(), return_exceptions=True) == [None, None]
    assert await everything(store) == log(1, 4)
    assert rows_of(store)["cidrs"] == [cidr(3, "humans", 4)]
    assert await store.answer("peer:2", "a") == answer("a")


async def test_two_probes_at_once_both_succeed(store: Store) -> None:
    assert await asyncio.gather(store.probe(), store.probe(), return_exceptions=True) == [None, None]


async def test_rows_replaced_beside_an_append_harm_neither(store: Store) -> None:
    rows = Rows({"associations": [(2, 3, 4, 1)]})
    done = await asyncio.gather(store.append(log(1, 2), Rows(), []), store.replace_rows(rows), return_exceptions=True)
    assert done == [None, None]
    assert await everything(store) == log(1, 2)
    assert rows_of(store)["associations"] == [(2, 3, 4, 1)]


async def test_a_row_that_can_not_be_stored_takes_its_batch_with_it(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "n.db", create=True)
    with pytest.raises(StoreError):
        await store.append(log(1, 2), Rows({"cidrs": [("x", "humans", "10.42.3.0/24", 1, 2)]}), [answer("a")])
    assert await everything(store) == []
    assert await store.answer("peer:2", "a") is None
    await store.append(log(1, 2), Rows(), [])
    assert await everything(store) == log(1, 2)
    await store.close()


async def test_a_reopened_database_has_everything(tmp_path: Path) -> None:
    first = await SqliteStore.open(tmp_path / "n.db", create=True)
    await first.append(log(1, 3), Rows({"cidrs": [cidr(3, "humans", 3)]}), [answer("a")])
    await first.close()
    again = await SqliteStore.open(tmp_path / "n.db")
    assert await everything(again) == log(1, 3)
    assert rows_of(again)["cidrs"] == [cidr(3, "humans", 3)]
    assert await again.answer("peer:2", "a") == answer("a")
    await again.append(log(4, 4), Rows(), [])
    await again.close()


async def test_a_crash_after_an_append_loses_nothing(tmp_path: Path) -> None:
    """The files as they are at that moment, copied away: what a power cut leaves of them."""
    store = await SqliteStore.open(tmp_path / "n.db", create=True)
    await store.append(log(1, 3), Rows(), [])
    (tmp_path / "after").mkdir()
    for name in ("n.db", "n.db-wal"):
        (tmp_path / "after" / name).write_bytes((tmp_path / name).read_bytes())
    await store.close()
    again = await SqliteStore.open(tmp_path / "after" / "n.db")
    assert await everything(again) == log(1, 3)
    await again.close()


# -- what was seen of peers -----------------------------------------------------------------------------------------

MARI = Seen(4, "203.0.113.4:40001", 1000.5, True, 7, 1001.25, "inn/0.1.0")
OVEN = Seen(5)


async def test_what_was_seen_of_peers_is_remembered_and_the_newest_word_counts(store: Store) -> None:
    assert await store.seen() == []
    await store.remember([OVEN, MARI])
    assert await store.seen() == [MARI, OVEN]
    moved = replace(MARI, endpoint="[2001:db8::4]:1", handshake=2000.0)
    await store.remember([moved], gone=[5, 77])
    assert await store.seen() == [moved]


async def test_what_was_seen_is_no_part_of_the_log_nor_of_what_is_made_of_it(store: Store) -> None:
    await store.append(log(1, 2), Rows(), [])
    await store.remember([MARI])
    await store.replace_rows(Rows())
    assert (await everything(store), await store.seen()) == (log(1, 2), [MARI])


async def test_what_was_seen_outlives_the_process(tmp_path: Path) -> None:
    first = await SqliteStore.open(tmp_path / "n.db", create=True)
    await first.remember([MARI])
    await first.close()
    again = await SqliteStore.open(tmp_path / "n.db")
    assert await again.seen() == [MARI]
    await again.close()
