"""The connection that writes a log, and its thread.

A transaction is one errand of the thread: were each statement one, the loop would have to come round for each, and when
it is busy a commit of ten statements would take ten of its turns.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from innerd.log.database import DAMAGED, connect, failed
from innerd.log.store import StoreUncertain

# SQLite takes the transaction back by itself: https://sqlite.org/lang_transaction.html, section 3.1.
_UNWRITTEN = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_READONLY)

Work = Callable[[sqlite3.Connection], object]


class Writing:
    """Open with `await Writing.open(path)`."""

    def __init__(self, path: Path, thread: ThreadPoolExecutor, database: sqlite3.Connection) -> None:
        self._path, self._thread, self._database = path, thread, database

    @classmethod
    async def open(cls, path: Path) -> "Writing":
        thread = ThreadPoolExecutor(1, "log")
        try:
            return cls(path, thread, await asyncio.get_running_loop().run_in_executor(thread, _connected, path))
        except BaseException:
            thread.shutdown(wait=False)
            raise

    async def transact(self, work: Work) -> None:
        """Do `work` on the connection: all of it, durably, or nothing, whoever stops waiting for it. Raises StoreError
        (nothing happened) and StoreUncertain."""
        await asyncio.get_running_loop().run_in_executor(self._thread, _transaction, self._path, self._database, work)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self._thread.shutdown()


def _connected(path: Path) -> sqlite3.Connection:
    database = connect(path)
    database.execute("PRAGMA synchronous = FULL")  # what was answered survives a power cut
    return database


def _transaction(path: Path, database: sqlite3.Connection, work: Work) -> None:
    try:
        database.execute("BEGIN IMMEDIATE")
        work(database)
    except BaseException as error:
        _roll_back(path, database)
        if isinstance(error, DAMAGED):
            raise failed(path, error) from error
        raise
    try:
        database.execute("COMMIT")
    except sqlite3.Error as error:
        # A commit that could not be written, or left the transaction open, did not happen. Of anything else
        # (a sync that failed) nobody knows.
        if not database.in_transaction and error.sqlite_errorcode not in _UNWRITTEN:
            raise StoreUncertain(f"{path}: {error}") from error
        _roll_back(path, database)
        raise failed(path, error) from error


def _roll_back(path: Path, database: sqlite3.Connection) -> None:
    if database.in_transaction:
        try:
            database.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise StoreUncertain(f"{path}: {error}") from error
