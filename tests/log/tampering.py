"""Logs in files, and people who write to them behind the coordinator's back."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from itertools import count
from pathlib import Path

import msgspec

from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain import commands as c
from innerd.domain.values import Name
from innerd.log.codec import Who
from innerd.log.sqlite import SqliteStore
from tests.log.histories import BEGINNING, FOUNDING

Row = tuple[int, bytes, bytes, bytes]  # seq, record, salt, chain

EVENTS = 9
_UNGUARDED = "CREATE TABLE events (seq INTEGER PRIMARY KEY, record TEXT, salt BLOB, chain BLOB)"
_INSERT = "INSERT INTO events (seq, record, salt, chain) VALUES (?, CAST(? AS TEXT), ?, ?)"


def honest(path: Path) -> list[Row]:
    """A log of nine events in a file: the founding, and a CIDR that is renamed five times; its rows."""
    asyncio.run(_write(path))
    return rows_of(path)


async def _write(path: Path) -> None:
    store = await SqliteStore.open(path, create=True)
    try:
        salts = count(1)
        writer = Writer(store, await load(store), lambda: BEGINNING, print, lambda: bytes([next(salts)]) * 16)
        await writer.submit(FOUNDING, Who("local:root", "innerd new"))
        for number in range(5):
            await writer.submit(c.RenameCidr(1, Name(f"root{number}")), Who("local:root", "socket"))
    finally:
        await store.close()


def rows_of(path: Path) -> list[Row]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT seq, CAST(record AS BLOB), salt, chain FROM events ORDER BY seq").fetchall()


def rewrite(path: Path, rows: Sequence[Row]) -> None:
    """Put other rows in place of the log's, past every guard that SQL has."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript("DROP VIEW audit; DROP TABLE events;" + _UNGUARDED)
        database.executemany(_INSERT, rows)


def flipped(data: bytes, at: int = 0, mask: int = 1) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def forged(rows: Sequence[Row], seq: int) -> list[Row]:
    """A fork: from an event on other records, with salts and a chain that hold."""
    made = list(rows[: seq - 1])
    link = made[-1][3] if made else genesis(rows[0][1])
    for number, record, salt, _ in rows[seq - 1 :]:
        record, salt = record.replace(b"local:root", b"local:evil"), flipped(salt)
        link = linked(link, salt, record)
        made.append((number, record, salt, link))
    return made


# -- the chain once more, from its definition in the documents ---------------------------------------------------


def genesis(first_record: bytes) -> bytes:
    return sha256(b"\x02" + bytes.fromhex(msgspec.json.decode(first_record)["data"]["id"])).digest()


def linked(before: bytes, salt: bytes, record: bytes) -> bytes:
    leaf = sha256(b"\x00" + salt + record).digest()
    return sha256(b"\x01" + before + leaf).digest()


def first_wrong(rows: Sequence[Row]) -> int | None:
    """The first event that is not there or does not fit; None for a log that holds."""
    try:
        link = genesis(rows[0][1]) if rows[0][0] == 1 else b""
    except (ValueError, KeyError, TypeError):  # msgspec.DecodeError is a ValueError: nothing can be read off it
        return 1
    for expected, (seq, record, salt, chain) in enumerate(rows, 1):
        if seq != expected:
            return expected
        link = linked(link, salt, record)
        if link != chain:
            return seq
    return None
