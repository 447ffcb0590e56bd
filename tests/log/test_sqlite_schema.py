"""What people who bring their own SQL find in the file, and what they can't do to it."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from innerd.log.migrate import APPLICATION_ID, migrate, migrations
from innerd.log.projection import COLUMNS
from tests.log.databases import ask, made, stored

SCHEMA = Path(__file__).parents[2] / "migrations" / "schema.sql"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET salt = zeroblob(16) WHERE seq = 2",
        "UPDATE events SET seq = 9 WHERE seq = 3",
        "DELETE FROM events WHERE seq = 3",
        "DELETE FROM events",
    ],
    ids=["change a column", "move", "remove the last", "remove all"],
)
async def test_an_event_is_never_changed_or_removed(tmp_path: Path, statement: str) -> None:
    path = await made(tmp_path / "net.db")
    before = ask(path, "SELECT * FROM events")
    with pytest.raises(sqlite3.IntegrityError, match="events are immutable"):
        ask(path, statement)
    assert ask(path, "SELECT * FROM events") == before


async def test_replacing_an_event_is_refused_as_well(tmp_path: Path) -> None:
    """REPLACE deletes without a DELETE: triggers hear of it only where recursive_triggers is on."""
    path = await made(tmp_path / "net.db")
    before = ask(path, "SELECT record, salt FROM events WHERE seq = 3")
    with pytest.raises(sqlite3.IntegrityError):
        ask(
            path,
            "INSERT OR REPLACE INTO events (seq, record, salt, chain) VALUES (3, '{}', zeroblob(16), zeroblob(32))",
        )
    assert ask(path, "SELECT record, salt FROM events WHERE seq = 3") == before


@pytest.mark.parametrize(
    ("record", "salt", "chain"),
    [("{", 16, 32), ("{}", 15, 32), ("{}", 16, 31)],
    ids=["no JSON", "short salt", "short chain"],
)
async def test_a_row_that_can_be_no_event_is_refused(tmp_path: Path, record: str, salt: int, chain: int) -> None:
    path = await made(tmp_path / "net.db")
    with pytest.raises(sqlite3.Error, match=r"CHECK|malformed JSON"):
        ask(
            path,
            "INSERT INTO events (seq, record, salt, chain) VALUES (4, ?, zeroblob(?), zeroblob(?))",
            *(record, salt, chain),
        )


async def test_the_generated_columns_say_what_the_record_says(tmp_path: Path) -> None:
    path = await made(tmp_path / "net.db")
    for record, *columns in ask(path, "SELECT record, type, subject, at, actor FROM events"):
        read = json.loads(record)
        assert columns == [read["type"], read["subject"], read["at"], read["actor"]]


@pytest.mark.parametrize("column", ["type", "subject", "at", "actor"])
async def test_a_search_by_a_generated_column_uses_its_index(tmp_path: Path, column: str) -> None:
    path = await made(tmp_path / "net.db")
    plan = ask(path, f"EXPLAIN QUERY PLAN SELECT seq FROM events WHERE {column} = 'x'")
    assert f"events_by_{column}" in plan[0][3]


async def test_audit_shows_every_event_readably(tmp_path: Path) -> None:
    path = await made(tmp_path / "net.db")
    columns = [name for _, name, *_ in ask(path, "PRAGMA table_info(audit)")]
    assert columns == ["seq", "at", "actor", "origin", "type", "subject", "data", "request", "chain"]
    assert ask(path, "SELECT * FROM audit WHERE seq = 2") == [
        (
            2,
            "2026-03-01T12:00:00.250000Z",
            "peer:2",
            "10.42.0.2",
            "cidr.created",
            "cidr:3",
            '{"id":3,"name":"humans","range":"10.42.128.0/17","parent":1}',
            "4f1c",
            "02" * 32,
        )
    ]


async def test_every_table_is_strict(tmp_path: Path) -> None:
    path = await made(tmp_path / "net.db")
    tables = ask(path, "SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    ours = {"meta", "events", "commands", "seen", "cidrs", "peers", "associations", "records"}
    assert {name for name, _ in tables} == ours
    assert all(strict for _, strict in tables)


async def test_the_read_models_have_the_columns_that_are_projected(tmp_path: Path) -> None:
    path = await made(tmp_path / "net.db")
    for table, names in COLUMNS.items():
        assert tuple(name for _, name, *_ in ask(path, f"PRAGMA table_info({table})")) == names


async def test_what_was_answered_survives_a_power_cut(tmp_path: Path) -> None:
    path = await made(tmp_path / "net.db")
    assert ask(path, "PRAGMA journal_mode") == [("wal",)]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]
    assert ask(path, "PRAGMA application_id") == [(APPLICATION_ID,)]


def schema(database: sqlite3.Connection) -> dict[str, str]:
    """Everything that was created, by name, without comments and blanks."""
    found = database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {name: " ".join(re.findall(r"[,()]|[^\s,()]+", re.sub(r"--[^\n]*", "", sql))) for name, sql in found}


def test_the_migrations_add_up_to_the_schema() -> None:
    with closing(sqlite3.connect(":memory:")) as wanted, closing(sqlite3.connect(":memory:")) as grown:
        wanted.executescript(SCHEMA.read_text())
        grown.isolation_level = None
        migrate(grown, "memory")
        assert schema(grown) == schema(wanted)
        assert grown.execute("PRAGMA user_version").fetchone() == (len(migrations()),)


def test_migrations_are_numbered_without_gaps() -> None:
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


async def test_a_database_that_is_up_to_date_is_not_written_to(tmp_path: Path) -> None:
    path = await made(tmp_path / "net.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        before = database.execute("PRAGMA data_version").fetchone()
        migrate(database, str(path))
        assert database.total_changes == 0
        assert database.execute("PRAGMA data_version").fetchone() == before
    assert ask(path, "SELECT count(*) FROM events") == [(3,)]
    assert stored(3).record.decode() == ask(path, "SELECT record FROM events WHERE seq = 3")[0][0]
