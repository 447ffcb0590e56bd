"""A page of a log's file that a bad disk spoiled: of an index, of a read model, or of the records themselves."""

import sqlite3
from contextlib import closing
from pathlib import Path


def spoil(path: Path, name: str) -> None:
    """Zeroes over the root page of a table or an index, as a bad disk writes them; nobody may have the file open."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = database.execute("PRAGMA page_size").fetchone()[0]
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))


BESIDE = ("events_by_type", "events_by_actor", "peers", "cidrs", "commands", "commands_by_at", "meta")
