"""The store in SQLite: WAL, synchronous FULL, one connection that writes, others (through aiosqlite) that read.

A lock (`innerd.log.lock`) keeps a second coordinator out. Readers with their own tools may open the file at any time.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
from msgspec.structs import astuple

from innerd.log.anew import made_anew
from innerd.log.database import DAMAGED, PRAGMAS, SEEN, UPSERT, connect, damage, failed, made_private, sync
from innerd.log.lock import take
from innerd.log.migrate import migrate
from innerd.log.projection import COLUMNS, Rows, Tables, no_tables
from innerd.log.store import KeptAnswer, Query, Seen, StoreCorrupt, Stored, StoreError, StoreUncertain
from innerd.log.writing import Writing


class SqliteStore:
    """Open with `await SqliteStore.open(path)`; `create=True` for a new network."""

    def __init__(self, path: Path, connections: "_Connections", lock: int) -> None:
        self.path = path
        # See what is committed, and never keep the writer waiting; searches may take long and keep nobody else waiting.
        self._writer, self._reader, self._searcher, self._answered = connections
        self._lock = lock
        self.busy = 0  # transactions that another program's lock kept out
        self._writing = asyncio.Lock()  # one transaction at a time: the connection has only one
        self._there = asyncio.Event()  # not while the file is exchanged
        self._there.set()

    @classmethod
    async def open(cls, path: Path, *, create: bool = False, lock: int | None = None) -> "SqliteStore":
        """`lock`: where it is taken already; it is the store's from here on. Raises StoreLocked, StoreCorrupt,
        StoreNewer, StoreError, FileNotFoundError, FileExistsError."""
        if create == path.exists():
            raise FileExistsError(path) if create else FileNotFoundError(path)
        if lock is None:
            lock = take(path)
        try:
            if create:
                made_private(path)
            await asyncio.to_thread(_prepare, path, create)
            return cls(path, await _connections(path), lock)
        except BaseException:
            os.close(lock)
            raise

    async def append(self, batch: Sequence[Stored], rows: Rows, answers: Sequence[KeptAnswer]) -> None:
        def write(database: sqlite3.Connection) -> None:
            database.executemany(
                "INSERT INTO events (seq, record, salt, chain) VALUES (?, ?, ?, ?)",
                [(s.seq, s.record.decode(), s.salt, s.chain) for s in batch],
            )
            _write(database, rows)
            database.executemany(
                "INSERT OR REPLACE INTO commands (actor, id, digest, status, result, at) VALUES (?, ?, ?, ?, ?, ?)",
                [(a.actor, a.id, a.digest, a.status, a.result, a.at) for a in answers],
            )

        if self._answered is not None:  # before: one too many costs a look, one too few would do a command twice
            self._answered |= {hash((answer.actor, answer.id)) for answer in answers}
        await self._transact(write)

    async def _transact(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """All or nothing. Raises StoreError (nothing happened) and StoreUncertain."""
        async with self._writing:
            try:
                await self._writer.transact(work)
            except StoreError as error:
                self.busy += error.fault == "locked"
                raise

    async def read(self, after: int = 0, limit: int = 10_000) -> AsyncIterator[list[Stored]]:
        statement = "SELECT seq, CAST(record AS BLOB), salt, chain FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        while True:
            found = await self._ask(statement, (after, limit))
            page = [Stored(*row) for row in found]
            if not page:
                return
            yield page
            after = page[-1].seq

    async def find(self, query: Query, limit: int) -> list[Stored]:
        first, last = query.after + 1, _LAST if query.upto is None else query.upto
        if query.since is not None:
            first = max(first, await self._first_seq(">=", query.since))
        if query.until is not None:
            last = min(last, await self._first_seq(">", query.until) - 1)
        found: list[Stored] = []
        types = await self._types(query.type) if query.type or query.actors else []
        for statement, values in _searches(query, types, first, last, limit):
            found += [Stored(*row) for row in await self._ask(statement, values, search=True)]
            found.sort(key=lambda stored: stored.seq)
            found = found[-limit:] if query.newest else found[:limit]
        return found

    async def _first_seq(self, comparison: str, time: str) -> int:
        """The first record at (`>=`) or behind (`>`) a time; times never run backwards in the log."""
        statement = f"SELECT seq FROM events WHERE at {comparison} ? ORDER BY at, seq LIMIT 1"  # noqa: S608
        found = await self._ask(statement, (time,), search=True)
        return int(found[0][0]) if found else _LAST

    async def _types(self, prefix: str | tuple[str, ...]) -> list[str]:
        """The types that there are, by hopping over the index from one to the next."""
        return [row[0] for row in await self._ask(_DISTINCT_TYPES, (), search=True) if row[0].startswith(prefix)]

    async def answer(self, actor: str, id: str) -> KeptAnswer | None:  # noqa: A002
        if self._answered is not None and hash((actor, id)) not in self._answered:  # nearly always: no need of the disk
            return None
        statement = "SELECT actor, id, digest, status, result, at FROM commands WHERE actor = ? AND id = ?"
        found = await self._ask(statement, (actor, id))
        return KeptAnswer(*found[0]) if found else None

    async def _ask(self, statement: str, values: tuple[int | str, ...], *, search: bool = False) -> list[Any]:
        await self._there.wait()
        try:
            reader = self._searcher if search else self._reader
            return list(await reader.execute_fetchall(statement, values))
        except DAMAGED as error:
            raise failed(self.path, error) from error

    async def forget_answers(self, before: int) -> None:
        await self._transact(lambda database: database.execute("DELETE FROM commands WHERE at < ?", (before,)))

    async def seen(self) -> list[Seen]:
        found = await self._ask(f"SELECT {SEEN} FROM seen ORDER BY peer_id", ())  # noqa: S608
        return [Seen(peer, at, then, bool(proven), *more) for peer, at, then, proven, *more in found]

    async def remember(self, seen: Sequence[Seen], gone: Collection[int] = ()) -> None:
        def write(database: sqlite3.Connection) -> None:
            database.executemany(
                f"INSERT OR REPLACE INTO seen ({SEEN}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                [astuple(each) for each in seen],
            )
            database.executemany("DELETE FROM seen WHERE peer_id = ?", [(number,) for number in gone])

        await self._transact(write)

    async def probe(self, *, write: bool = True) -> None:
        probing = "INSERT OR REPLACE INTO meta VALUES ('probe', hex(randomblob(64)))"
        await self._transact(lambda database: database.execute(probing) if write else None)

    async def damage(self) -> str | None:
        return await asyncio.to_thread(damage, self.path)

    async def rows(self) -> Tables:
        tables = no_tables()
        for table, names in COLUMNS.items():
            for row in await self._ask(f"SELECT {', '.join(names)} FROM {table}", ()):  # noqa: S608
                tables[table][row[0]] = tuple(row)
        return tables

    async def replace_rows(self, rows: Rows) -> None:
        def write(database: sqlite3.Connection) -> None:
            for table in COLUMNS:
                database.execute(f"DELETE FROM {table}")  # noqa: S608
            _write(database, rows)

        await self._transact(write)

    async def renew(self, rows: Rows) -> None:
        beside = self.path.with_name(f"{self.path.name}.renewing")
        async with self._writing:
            try:
                beside.unlink(missing_ok=True)  # what a renewal left that was killed
                await asyncio.to_thread(made_anew, self.path, beside, rows)
                await self._exchange(beside)
            except OSError as error:
                raise StoreError(f"{self.path}: {error}") from error
            finally:
                for suffix in ("", "-journal"):
                    beside.with_name(beside.name + suffix).unlink(missing_ok=True)

    async def _exchange(self, fresh: Path) -> None:
        """Put another file in the database's place. The old one's write-ahead log must not be taken for the new one's:
        nobody may have the old one open when the new one is opened."""
        await asyncio.to_thread(sync, fresh)
        self._there.clear()
        await self._close()
        try:
            os.replace(fresh, self.path)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            await asyncio.to_thread(_prepare, self.path, False)
            self._writer, self._reader, self._searcher, self._answered = await _connections(self.path)
        except (OSError, *DAMAGED, StoreError) as error:
            raise StoreUncertain(f"{self.path}: {error}") from error
        self._there.set()

    def size(self) -> tuple[int, int]:
        wal = self.path.with_name(self.path.name + "-wal")
        return self.path.stat().st_size, wal.stat().st_size if wal.exists() else 0

    async def close(self) -> None:
        await self._close()
        os.close(self._lock)

    async def _close(self) -> None:
        for connection in (self._reader, self._searcher, self._writer):
            await connection.close()


_LAST = 2**63 - 1
_DISTINCT_TYPES = """
WITH RECURSIVE hop(type) AS (
  SELECT min(type) FROM events
  UNION ALL
  SELECT (SELECT min(type) FROM events WHERE type > hop.type) FROM hop WHERE hop.type IS NOT NULL
) SELECT type FROM hop WHERE type IS NOT NULL"""


_Statement = tuple[str, tuple[int | str, ...]]
_TOGETHER = 100  # selects in one statement; SQLite takes 500


def _searches(query: Query, types: list[str], first: int, last: int, limit: int) -> Iterator[_Statement]:
    """The statements of a query: what it asks for is the first (or last) of what they find.

    One select for each type (and actor) that runs along an index in the order of the log and stops at the limit, so
    that a page costs the same whatever the log's size.
    """
    if query.subject is None and not query.type and not query.actors:
        keys: list[tuple[str, tuple[str, ...]]] = [("", ())]
    elif query.subject is not None:
        marks = [f"+type IN ({', '.join('?' * len(types))})"] if query.type else []
        marks += [f"+actor IN ({', '.join('?' * len(query.actors))})"] if query.actors else []
        where = "".join(f" AND {mark}" for mark in ("subject = ?", *marks))
        keys = [(where, (query.subject, *(types if query.type else ()), *query.actors))]
    elif query.actors:
        keys = [(" AND actor = ? AND type = ?", (actor, type_)) for actor in query.actors for type_ in types]
    else:
        keys = [(" AND type = ?", (type_,)) for type_ in types]
    if query.type and not types:
        return
    for at in range(0, len(keys), _TOGETHER):
        yield _search(keys[at : at + _TOGETHER], query.newest, first, last, limit)


def _search(keys: list[tuple[str, tuple[str, ...]]], newest: bool, first: int, last: int, limit: int) -> _Statement:
    order = "DESC" if newest else "ASC"
    columns = "SELECT seq, CAST(record AS BLOB) AS record, salt, chain FROM events"
    pages = [f"{columns} WHERE seq BETWEEN ? AND ?{w} ORDER BY seq {order} LIMIT ?" for w, _ in keys]
    values: list[int | str] = []
    for _, given in keys:
        values += [first, last, *given, limit]
    if len(pages) == 1:
        return pages[0], tuple(values)
    selects = [f"SELECT * FROM ({page})" for page in pages]  # noqa: S608
    return f"SELECT * FROM ({' UNION ALL '.join(selects)}) ORDER BY seq {order} LIMIT ?", (*values, limit)  # noqa: S608


_Connections = tuple[Writing, aiosqlite.Connection, aiosqlite.Connection, set[int] | None]


def _write(database: sqlite3.Connection, rows: Rows) -> None:
    for table, numbers in rows.deletes.items():
        database.executemany(f"DELETE FROM {table} WHERE id = ?", [(n,) for n in numbers])  # noqa: S608
    for table, upserts in rows.upserts.items():
        database.executemany(UPSERT[table], upserts)


async def _connections(path: Path) -> _Connections:
    """One that writes, one that reads, one that searches; and the hashes of what answers are kept for."""
    opened: list[Writing | aiosqlite.Connection] = []
    try:
        opened.append(writing := await Writing.open(path))
        opened.append(reader := await _reading(path))
        opened.append(searcher := await _reading(path))
        return writing, reader, searcher, await _answered(reader)
    except BaseException:
        for connection in opened:  # else their threads keep the process from ending
            await connection.close()
        raise


async def _reading(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None)
    try:
        for pragma in (*PRAGMAS, "PRAGMA query_only = ON"):
            await connection.execute(pragma)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _answered(reader: aiosqlite.Connection) -> set[int] | None:
    """None where that can't be read: then each answer is looked for, and what is damaged is said where it is met."""
    try:
        return {hash((row[0], row[1])) for row in await reader.execute_fetchall("SELECT actor, id FROM commands")}
    except DAMAGED:
        return None


def _prepare(path: Path, create: bool) -> None:
    """Bring the file up to date. WAL stays with it: readers never wait for the writer."""
    if not create and path.is_file() and not path.stat().st_size:
        raise StoreCorrupt(f"{path} is empty: the log that was in it is gone")
    try:
        with closing(connect(path)) as database:
            migrate(database, str(path))
            database.execute("PRAGMA journal_mode = WAL")
    except DAMAGED as error:
        raise failed(path, error) from error
