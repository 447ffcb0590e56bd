"""The numbered SQL files, and bringing a database up to them: each in one transaction with its own record.

`PRAGMA application_id` tells our files from other applications', `PRAGMA user_version` is the number of the last
migration. A file from a newer release is refused and left as it is.
"""

import re
import sqlite3
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from innerd.log.store import StoreCorrupt, StoreNewer

APPLICATION_ID = 0x1EE2D001  # "innerd", as near as hex digits come


def _folder() -> Traversable:
    """Inside the wheel the files lie in the package; in a checkout beside it."""
    packaged = files("innerd") / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations"


def migrations() -> list[tuple[int, str]]:
    """The migrations in order: number and SQL."""
    found = [
        (int(match[1]), file.read_text())
        for file in _folder().iterdir()
        if (match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name))
    ]
    return sorted(found)


def migrate(database: sqlite3.Connection, path: str) -> None:
    """Bring an open database (autocommit mode) up to date. Raises StoreCorrupt for files that are not ours,
    StoreNewer for those of a newer release."""
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID and (application or database.execute("SELECT 1 FROM sqlite_master").fetchone()):
        raise StoreCorrupt(f"{path} is a database of another application")
    newest = migrations()[-1][0]
    if version > newest:
        raise StoreNewer(f"{path} was written by a newer release (schema {version}, this one knows {newest})")
    for number, sql in migrations():
        if number > version:
            database.executescript(
                f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA application_id = {APPLICATION_ID};\n"
                f"PRAGMA user_version = {number};\nCOMMIT;"
            )
