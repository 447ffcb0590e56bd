"""Databases for the tests of the SQLite store: records to put in, and other people's eyes on the file."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from innerd.log import codec
from innerd.log.projection import Rows
from innerd.log.sqlite import SqliteStore
from innerd.log.store import Stored
from tests.log.examples import EVENTS, NOW, WHO


def stored(seq: int) -> Stored:
    """A record as the writer makes them; salt and chain are of the right size."""
    return Stored(seq, codec.encode(EVENTS[2], seq, NOW, WHO), bytes([seq]) * 16, bytes([seq]) * 32)


@asynccontextmanager
async def store_at(path: Path, *, create: bool = False) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(path, create=create)
    try:
        yield store
    finally:
        await store.close()


async def made(path: Path, events: int = 3) -> Path:
    """A database with some events in it, closed."""
    async with store_at(path, create=True) as store:
        await store.append([stored(n) for n in range(1, events + 1)], Rows(), [])
    return path


def ask(path: Path, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """What anybody with sqlite3 sees, or does."""
    with closing(sqlite3.connect(path)) as database, database:
        return database.execute(statement, arguments).fetchall()
