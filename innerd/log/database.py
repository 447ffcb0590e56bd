"""A connection to a SQLite file as this program wants it, and what SQLite's errors mean.

Cells are looked at before they are used (https://sqlite.org/security.html): a damaged page is an error, not a crash.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from innerd.log.projection import COLUMNS
from innerd.log.store import FAULTS, Fault, StoreCorrupt, StoreError

PRAGMAS = (
    "PRAGMA busy_timeout = 5000",  # milliseconds that another program's lock is waited for
    "PRAGMA foreign_keys = ON",
    "PRAGMA cell_size_check = ON",
)
UPSERT = {
    table: f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608
    for table, names in COLUMNS.items()
}
SEEN = "peer_id, endpoint, handshake, is_proven, applied, applied_at, software"
SELECT = "SELECT seq, CAST(record AS BLOB), salt, chain FROM events ORDER BY seq"

_FAULTS: dict[int, Fault] = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_IOERR: "io",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_PROTOCOL: "locked",
    sqlite3.SQLITE_PERM: "permission",
    sqlite3.SQLITE_AUTH: "permission",
    sqlite3.SQLITE_CANTOPEN: "permission",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "not_a_database",
}


# What reading a file raises that can't be read: SQLite quotes names of a damaged schema, which need not be text.
DAMAGED = (sqlite3.Error, UnicodeDecodeError)


def fault_of(error: sqlite3.Error | UnicodeDecodeError) -> Fault:
    """What kind of trouble an error of SQLite is: the low byte of its code (https://sqlite.org/rescode.html). Text that
    is none is damage."""
    if isinstance(error, UnicodeDecodeError) or str(error).startswith("Could not decode to UTF-8"):
        return "corrupt"
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # absent where Python itself complains
    return _FAULTS.get(code & 0xFF, "other")


def failed(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
    """An error of SQLite as the store says it."""
    fault = fault_of(error)
    kind = StoreCorrupt if fault in ("corrupt", "not_a_database") else StoreError
    return kind(f"{path}: {FAULTS[fault][0]} ({error})", fault)


def connect(path: Path, *, is_shared: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode; `is_shared`: for more than the thread that makes it."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=not is_shared)
    for pragma in PRAGMAS:
        database.execute(pragma)
    return database


def damage_in(database: sqlite3.Connection) -> str | None:
    """What is wrong with the first page, index or row that is damaged; None where all of the file is whole."""
    try:
        found = str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except DAMAGED as error:
        if fault_of(error) != "corrupt":
            raise
        return str(error)
    return None if found == "ok" else " ".join(found.split())


def damage(path: Path) -> str | None:
    """The same of a file, whoever has it open. Raises StoreError where it can't be looked at."""
    try:
        with closing(connect(path)) as database:
            return damage_in(database)
    except DAMAGED as error:
        raise failed(path, error) from error


def made_private(path: Path) -> None:
    """An empty file that is root's alone from its first byte on, whatever the umask."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
