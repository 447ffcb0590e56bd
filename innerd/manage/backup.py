"""Backups of a network, in one private file: the log and, unless told otherwise, the config with the coordinator's key.

A backup is a log like any other, with one more table. It is made beside whoever serves (SQLite's online backup),
verified, and only then put in place. A restore begins another generation, so that clients know that the log went back.
"""

import asyncio
import os
import secrets
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import tomli_w
from msgspec import Struct

from innerd import config as configuration
from innerd.config import Paths
from innerd.coordinator.replay import load, replayed_rows
from innerd.coordinator.writer import Writer
from innerd.domain.commands import RestoreLog
from innerd.domain.errors import plainly
from innerd.failure import REFUSED, SYSTEM, TRUST, USAGE, Failure, not_found, usage
from innerd.host import files, toml
from innerd.log.anew import made_anew
from innerd.log.codec import UnknownEvent, Who, timestamp
from innerd.log.database import DAMAGED, fault_of, made_private, sync
from innerd.log.projection import Rows, as_rows
from innerd.log.sqlite import SqliteStore
from innerd.log.store import FAULTS, StoreError, StoreNewer, StoreUncertain
from innerd.log.verify import Damaged, NoLog, Tampered, Verified, verify_file
from innerd.serve import heads, unopened

_TABLE = "CREATE TABLE backup (network TEXT NOT NULL, made_at TEXT NOT NULL, config TEXT) STRICT"
_KEY = "private-key"


class Restored(Struct, frozen=True):
    network: str
    events: int
    generation: int


def verified(
    path: Path,
    remembered: tuple[int, str] | None = None,
    asked: Collection[int] = frozenset(),
    *,
    whole: bool = True,
) -> Verified:
    """A log file's head, and its hashes at some revisions. Raises Failure (exit status 7 for a log that is not what was
    written, and, unless not `whole`, for a file that is damaged anywhere)."""
    try:
        return verify_file(path, remembered, asked, whole=whole)
    except FileNotFoundError:
        raise not_found("file_not_found", f"there is no file {path}") from None
    except NoLog as error:
        raise Failure(TRUST, "log_corrupt", str(error), "is it the right file? else restore a backup") from None
    except Tampered as error:
        raise Failure(TRUST, "log_tampered", f"{path}: {error}", "restore a backup from before") from None
    except Damaged as error:
        hint = "innerd rebuild NETWORK makes all but the events anew; innerd restore takes the events of a backup alone"
        raise Failure(TRUST, "log_damaged", str(error), hint) from None


def backup(paths: Paths, target: Path, *, with_keys: bool) -> Verified:
    """Write a backup, consistent and verified. Raises Failure."""
    if target.exists():
        raise usage(f"{target} exists already", "choose another file for the backup", "file_exists")
    if not paths.database.is_file():  # SQLite would make an empty one
        raise not_found("network_not_found", f"there is no database {paths.database}")
    text = paths.config.read_text(encoding="utf-8")
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        made_private(beside)
        _copy(paths.database, beside)  # page by page: a damaged one too, which `verified` finds
        with closing(sqlite3.connect(beside, isolation_level=None)) as made:
            made.execute("PRAGMA journal_mode = DELETE")
            made.execute(_TABLE)
            _forget_seen(made)
            kept = text if with_keys else _without_key(text, paths.config)
            made.execute("INSERT INTO backup VALUES (?, ?, ?)", (paths.network, timestamp(time.time()), kept))
        head = verified(beside)
        sync(beside)
        os.replace(beside, target)
        files.sync_folder(target.parent)
    except OSError as error:
        raise Failure(SYSTEM, "backup_failed", f"{target} can't be written: {error.strerror}") from error
    except DAMAGED as error:
        if fault_of(error) == "corrupt":
            what = f"{paths.database} is damaged: {error}"
            raise Failure(TRUST, "log_damaged", what, FAULTS["corrupt"][1]) from error
        raise Failure(SYSTEM, "backup_failed", f"{target} can't be written: {error}") from error
    finally:
        beside.unlink(missing_ok=True)
    return head


def _forget_seen(made: sqlite3.Connection) -> None:
    """Where people were is no part of the network, and not for who reads its backups. (A log that this release has not
    opened yet has no such table.)"""
    made.execute("PRAGMA secure_delete = ON")
    if made.execute("SELECT 1 FROM sqlite_master WHERE name = 'seen'").fetchone():
        made.execute("DELETE FROM seen")


def _without_key(text: str, path: Path) -> str:
    """The config without the coordinator's key, however it is written there. Raises Failure."""
    document = toml.parse(text, dict[str, Any], str(path))
    return tomli_w.dumps({name: value for name, value in document.items() if name != _KEY})


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as log, closing(sqlite3.connect(target)) as copy:
        log.backup(copy)


def network_of(file: Path) -> tuple[str, str | None]:
    """The network of a backup and its config. Nothing but its records has to be whole. Raises Failure."""
    verified(file, whole=False)
    try:
        with closing(sqlite3.connect(file)) as database:
            network, kept = database.execute("SELECT network, config FROM backup").fetchone()
    except (*DAMAGED, TypeError):
        raise Failure(USAGE, "not_a_backup", f"{file} is a log, but no backup", "innerd backup makes one") from None
    if not isinstance(kept, str | None):
        raise Failure(USAGE, "not_a_backup", f"{file} is no backup of innerd's: its config is no text")
    return str(network), kept


def restore(file: Path, paths: Paths, kept: str | None, user: str) -> Restored:
    """Put a backup in place of nothing, and begin another generation. All or nothing; raises Failure."""
    if paths.database.exists():
        raise Failure(REFUSED, "network_exists", f'the network "{paths.network}" is here already ({paths.database})')
    has_key = kept is not None and _KEY in toml.parse(kept, dict[str, Any], f"the config in {file}")
    if has_key and paths.config.exists():
        raise Failure(REFUSED, "network_exists", f'the network "{paths.network}" has a config here ({paths.config})')
    if not has_key and not paths.config.exists():
        raise Failure(
            REFUSED,
            "backup_without_key",
            f"{file} was made without the coordinator's key, and there is no {paths.config}",
            "put the config with the key there first: a coordinator with another key is nobody to its peers",
        )
    files.make_private(paths.data_dir)
    beside = paths.database.with_name(f"{paths.database.name}.restoring")
    with _removed(beside):
        restored, head = asyncio.run(_begin_generation(file, beside, paths, user))
        if has_key and kept is not None:
            files.make_private(paths.config_dir)
            files.create(paths.config, kept.encode())
        try:
            configuration.load(paths)
            sync(beside)
            _lay_aside(paths.database)
            heads.write(paths.database, head)
            os.replace(beside, paths.database)
        except BaseException:
            if has_key:
                files.remove(paths.config)
            raise
        files.sync_folder(paths.database.parent)
    return restored


def _lay_aside(database: Path) -> None:
    """What SQLite left beside a database that is lost must not be taken for the restored one's."""
    for suffix in ("-wal", "-shm"):
        left = database.with_name(database.name + suffix)
        if left.exists():
            os.replace(left, left.with_name(f"{left.name}.lost"))


@contextmanager
def _removed(path: Path) -> Iterator[None]:
    """Nothing of a file and of what SQLite lays beside it stays; nor was it there, if an earlier try was killed."""
    parts = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-lock")]
    try:
        for part in parts:
            part.unlink(missing_ok=True)
        yield
    except (OSError, *DAMAGED) as error:
        raise Failure(SYSTEM, "restore_failed", f"the backup can't be put in place: {plainly(error)}") from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


async def _begin_generation(file: Path, target: Path, paths: Paths, user: str) -> tuple[Restored, heads.Head]:
    """A log of a backup's records alone, its read models made of them, with the restore as its newest event. What the
    tables of a backup say does not count, and what is damaged of them neither."""
    try:
        made_anew(file, target, Rows())
        store = await SqliteStore.open(target)
        try:
            writer = Writer(store, await load(store), time.time, lambda why: None)
            was = heads.read(paths.database)
            beyond = was.generation if was is not None and was.network == writer.network.id else 0
            await writer.submit(RestoreLog(beyond), Who(f"local:{user}", "innerd restore"))
            await store.replace_rows(as_rows(await replayed_rows(store)))
            network = writer.network
            return Restored(paths.network, network.revision, network.generation), heads.head_of(writer)
        finally:
            await store.close()
    except (StoreError, StoreNewer, StoreUncertain, UnknownEvent) as error:
        raise unopened.failure(error, str(file)) from error
