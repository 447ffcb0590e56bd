"""The store in SQLite, through aiosqlite: WAL, synchronous FULL, one connection that writes.

A lock file beside the database keeps a second coordinator out (SQLite's own locks are for transactions, and are
dropped when any descriptor of the file is closed). Readers with their own tools may open the file at any time.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite

from innerd.log.migrate import migrate
from innerd.log.projection import COLUMNS, Rows
from innerd.log.store import Answer, StoreCorrupt, Stored, StoreError, StoreUncertain


class StoreLocked(Exception):
    """Another process holds the database."""


_UPSERT = {
    table: f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608
    for table, names in COLUMNS.items()
}


class SqliteStore:
    """Open with `await SqliteStore.open(path)`; `create=True` for a new network."""

    def __init__(self, path: Path, database: aiosqlite.Connection, lock: int) -> None:
        self.path = path
        self._database = database
        self._lock = lock
        self._writing = asyncio.Lock()  # one transaction at a time: the connection has only one

    @classmethod
    async def open(cls, path: Path, *, create: bool = False) -> "SqliteStore":
        """Raises StoreLocked, StoreCorrupt, StoreError, FileNotFoundError, FileExistsError."""
        if create == path.exists():
            raise FileExistsError(path) if create else FileNotFoundError(path)
        lock = _take_lock(path.with_name(path.name + "-lock"))
        try:
            if create:  # private from its first byte on, whatever the umask
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            await asyncio.to_thread(_prepare, path, create)
            database = await aiosqlite.connect(path, isolation_level=None)
            # FULL: what was answered survives a power cut.
            await database.execute("PRAGMA synchronous = FULL")
            await database.execute("PRAGMA busy_timeout = 5000")
        except BaseException:
            os.close(lock)
            raise
        return cls(path, database, lock)

    async def append(self, batch: Sequence[Stored], rows: Rows, answers: Sequence[Answer]) -> None:
        async with self._transaction():
            await self._database.executemany(
                "INSERT INTO events (seq, record, salt, chain) VALUES (?, ?, ?, ?)",
                [(s.seq, s.record.decode(), s.salt, s.chain) for s in batch],
            )
            await self._write(rows)
            if answers:
                await self._database.executemany(
                    "INSERT OR REPLACE INTO commands (actor, id, digest, status, result, at) VALUES (?, ?, ?, ?, ?, ?)",
                    [(a.actor, a.id, a.digest, a.status, a.result, a.at) for a in answers],
                )

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """All or nothing. Raises StoreError (nothing happened) and StoreUncertain."""
        async with self._writing:
            try:
                await self._database.execute("BEGIN IMMEDIATE")
                yield
            except BaseException as error:
                await self._roll_back()
                if isinstance(error, sqlite3.Error):
                    raise StoreError(f"{self.path}: {error}") from error
                raise
            try:
                await self._database.execute("COMMIT")
            except sqlite3.Error as error:
                # A commit that failed and left the transaction open did not happen; anything else is unknown.
                if not self._database.in_transaction:
                    raise StoreUncertain(f"{self.path}: {error}") from error
                await self._roll_back()
                raise StoreError(f"{self.path}: {error}") from error

    async def _roll_back(self) -> None:
        if self._database.in_transaction:
            try:
                await self._database.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise StoreUncertain(f"{self.path}: {error}") from error

    async def _write(self, rows: Rows) -> None:
        for table, numbers in rows.deletes.items():
            await self._database.executemany(f"DELETE FROM {table} WHERE id = ?", [(n,) for n in numbers])  # noqa: S608
        for table, upserts in rows.upserts.items():
            await self._database.executemany(_UPSERT[table], upserts)

    async def read(self, after: int = 0, limit: int = 10_000) -> AsyncIterator[list[Stored]]:
        statement = "SELECT seq, CAST(record AS BLOB), salt, chain FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        while True:
            found = await self._ask(statement, (after, limit))
            page = [Stored(*row) for row in found]
            if not page:
                return
            yield page
            after = page[-1].seq

    async def answer(self, actor: str, id: str) -> Answer | None:  # noqa: A002
        statement = "SELECT actor, id, digest, status, result, at FROM commands WHERE actor = ? AND id = ?"
        found = await self._ask(statement, (actor, id))
        return Answer(*found[0]) if found else None

    async def _ask(self, statement: str, values: tuple[int | str, ...]) -> list[Any]:
        try:
            return list(await self._database.execute_fetchall(statement, values))
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error

    async def forget_answers(self, before: int) -> None:
        async with self._transaction():
            await self._database.execute("DELETE FROM commands WHERE at < ?", (before,))

    async def probe(self) -> None:
        async with self._transaction():
            await self._database.execute("INSERT OR REPLACE INTO meta VALUES ('probe', hex(randomblob(64)))")

    async def replace_rows(self, rows: Rows) -> None:
        async with self._transaction():
            for table in COLUMNS:
                await self._database.execute(f"DELETE FROM {table}")  # noqa: S608
            await self._write(rows)

    def size(self) -> tuple[int, int]:
        wal = self.path.with_name(self.path.name + "-wal")
        return self.path.stat().st_size, wal.stat().st_size if wal.exists() else 0

    async def close(self) -> None:
        await self._database.close()
        os.close(self._lock)


def _take_lock(path: Path) -> int:
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreLocked(f"{path} is held by another innerd") from None
    return lock


def _prepare(path: Path, create: bool) -> None:
    """Bring the file up to date. WAL stays with it: readers never wait for the writer."""
    if not create and path.is_file() and not path.stat().st_size:
        raise StoreCorrupt(f"{path} is empty: the log that was in it is gone")
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("PRAGMA busy_timeout = 5000")
            migrate(database, str(path))
            database.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreCorrupt(f"{path}: {error}") from error
