"""A log made anew of its records alone: for a restore, and for a database that is damaged elsewhere."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from innerd.log.database import DAMAGED, SEEN, SELECT, UPSERT, connect, failed, fault_of, made_private
from innerd.log.migrate import migrate, migrations
from innerd.log.projection import Rows
from innerd.log.store import StoreCorrupt, StoreNewer
from innerd.log.verify import NoLog, Row, Tampered, Verified, walk

_INSERT = "INSERT INTO events (seq, record, salt, chain) VALUES (?, CAST(? AS TEXT), ?, ?)"
_ANSWERS = "actor, id, digest, status, result, at"


def made_anew(source: Path, target: Path, rows: Rows) -> Verified:
    """A new database with the records of another, byte for byte, their chain checked on the way, and with these rows in
    its read models. Of that other nothing else has to be whole; the answers, and what was seen of peers, come along if
    they can be read. Raises StoreCorrupt where the records are not what was written, StoreNewer, StoreError."""
    made_private(target)
    try:
        with closing(connect(source)) as old, closing(connect(target)) as new:
            version = old.execute("PRAGMA user_version").fetchone()[0]
            if version > migrations()[-1][0]:
                raise StoreNewer(f"{source} was written by a newer release (schema {version})")
            migrate(new, str(target))
            with _transaction(new):
                found = walk(_moved(iter(old.execute(SELECT)), new))
                for table, upserts in rows.upserts.items():
                    new.executemany(UPSERT[table], upserts)
                for table, columns in (("commands", _ANSWERS), ("seen", SEEN)):
                    with suppress(*DAMAGED):
                        _bring(old, new, table, columns)
            return found
    except DAMAGED as error:
        raise failed(source if fault_of(error) in ("corrupt", "not_a_database") else target, error) from error
    except (Tampered, NoLog) as error:
        raise StoreCorrupt(f"{source}: {error}") from error


def _bring(old: sqlite3.Connection, new: sqlite3.Connection, table: str, columns: str) -> None:
    """The rows of a table, so far as an older release's has its columns."""
    there = {row[1] for row in old.execute(f"PRAGMA table_info({table})")}
    names = [name for name in columns.split(", ") if name in there]
    kept = old.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()  # noqa: S608
    marks = ", ".join("?" * len(names))
    new.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", kept)  # noqa: S608


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    yield  # whoever fails closes the connection: nothing was written
    database.execute("COMMIT")


def _moved(rows: Iterator[Row], new: sqlite3.Connection) -> Iterator[Row]:
    for row in rows:
        new.execute(_INSERT, row)
        yield row
