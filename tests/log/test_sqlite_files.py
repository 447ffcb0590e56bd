"""The file of a log: who may hold it, who may read it, and files that are none of ours stay as they are."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from innerd.log.lock import StoreLocked
from innerd.log.migrate import APPLICATION_ID, migrations
from innerd.log.projection import Rows
from innerd.log.sqlite import SqliteStore
from innerd.log.store import StoreCorrupt, StoreError, StoreNewer
from tests.log.databases import ask, made, store_at, stored

ROOT = Path(__file__).parents[2]
OPEN = """
import asyncio, sys
from pathlib import Path
from innerd.log.sqlite import SqliteStore
store = asyncio.run(SqliteStore.open(Path(sys.argv[1])))
"""


async def python(code: str, path: Path) -> tuple[int, str]:
    """Run code in another process: its exit status and what it wrote to stderr."""
    command = [sys.executable, "-c", code, str(path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=ROOT, check=False)
    return done.returncode, done.stderr


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


async def test_a_second_open_is_refused_while_the_first_lasts(tmp_path: Path) -> None:
    path = await made(tmp_path / "net.db")
    async with store_at(path) as first:
        with pytest.raises(StoreLocked, match=r"net\.db"):
            await SqliteStore.open(path)
        await first.append([stored(4)], Rows(), [])  # the refusal did not take the first one's lock away
        with pytest.raises(StoreLocked):
            await SqliteStore.open(path)
    async with store_at(path) as second:
        assert [s.seq async for page in second.read() for s in page] == [1, 2, 3, 4]


async def test_another_process_is_refused_as_well(tmp_path: Path) -> None:
    path = await made(tmp_path / "net.db")
    async with store_at(path):
        status, errors = await python(OPEN, path)
    assert status == 1
    assert "StoreLocked" in errors.splitlines()[-1]


async def test_the_lock_of_a_killed_process_is_gone(tmp_path: Path) -> None:
    path = await made(tmp_path / "net.db")
    assert await python(OPEN + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", path) == (-9, "")
    async with store_at(path) as store:
        assert store.size()[0] > 0


async def test_readers_with_their_own_tools_may_look_at_any_time(tmp_path: Path) -> None:
    path = await made(tmp_path / "net.db")
    async with store_at(path) as store:
        assert ask(path, "SELECT count(*) FROM audit") == [(3,)]
        await store.append([stored(4)], Rows(), [])
        assert ask(path, "SELECT count(*) FROM audit") == [(4,)]


@pytest.mark.usefixtures("open_umask")
async def test_only_root_reads_the_files_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "net.db"
    async with store_at(path, create=True) as store:
        await store.append([stored(1)], Rows(), [])
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {"net.db": 0o600, "net.db-wal": 0o600, "net.db-shm": 0o600, "net.db-lock": 0o600}


async def test_opening_what_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await SqliteStore.open(tmp_path / "net.db")
    assert list(tmp_path.iterdir()) == []


async def test_creating_over_something_touches_nothing(tmp_path: Path) -> None:
    path = await made(tmp_path / "net.db")
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        await SqliteStore.open(path, create=True)
    assert path.read_bytes() == before


def other_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript("PRAGMA application_id = 0x42; CREATE TABLE songs (title TEXT);")


def nameless_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript("CREATE TABLE songs (title TEXT);")


def newer_release(path: Path) -> None:
    newest = "\n".join(sql for _, sql in migrations())
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"{newest}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 99;")


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all\n" * 400)


def torn(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"{migrations()[0][1]}; PRAGMA application_id = {APPLICATION_ID};")
    path.write_bytes(path.read_bytes()[:90])


def half_a_migration(path: Path) -> None:
    """As if statements had been committed one by one: tables are there, the version is not."""
    tables = migrations()[0][1].partition("CREATE INDEX events_by_type")[0]
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"{tables}; PRAGMA application_id = {APPLICATION_ID};")


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (other_application, StoreCorrupt, "another application"),
        (nameless_application, StoreCorrupt, "another application"),
        (newer_release, StoreNewer, "newer release .schema 99"),
        (garbage, StoreCorrupt, "not a database"),
        (torn, StoreCorrupt, "malformed|not a database"),
        (half_a_migration, StoreError, "already exists"),
    ],
    ids=["other application", "nameless application", "newer release", "garbage", "torn", "half a migration"],
)
async def test_a_file_that_is_not_ours_is_refused_and_left_alone(tmp_path, make, error, says) -> None:
    path = tmp_path / "net.db"
    make(path)
    before = path.read_bytes()
    for _ in range(2):  # the second time too: the refusal let go of the lock
        with pytest.raises(error, match=says) as refused:
            await SqliteStore.open(path)
        assert str(path) in str(refused.value)
    assert path.read_bytes() == before


async def test_an_emptied_file_is_not_taken_for_a_new_network(tmp_path: Path) -> None:
    """A log cut to nothing is a lost log: only `create` may make one."""
    path = tmp_path / "net.db"
    path.touch(0o600)
    with pytest.raises((StoreCorrupt, StoreError)):
        await _opened_and_closed(path)
    assert path.read_bytes() == b""


async def _opened_and_closed(path: Path) -> None:
    async with store_at(path):
        """Open is all that is asked."""


async def test_a_folder_in_the_place_of_the_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "net.db").mkdir()
    with pytest.raises(StoreError, match=r"net\.db"):
        await SqliteStore.open(tmp_path / "net.db")


HALF = """
import os, signal, sqlite3, sys
from innerd.log.migrate import migrations
os.close(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o600))
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")  # spills half-done pages into the file at once
database.executescript("BEGIN IMMEDIATE;" + migrations()[0][1])
database.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
                 " INSERT INTO meta SELECT i, hex(randomblob(64)) FROM n")
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_migration_cut_in_half_by_a_kill_never_happened(tmp_path: Path) -> None:
    path = tmp_path / "net.db"
    assert await python(HALF, path) == (-9, "")
    assert path.stat().st_size > 4096, "half of it reached the disk"
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        assert database.execute("PRAGMA user_version").fetchone() == (0,)


async def test_a_failing_migration_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "net.db"
    with closing(sqlite3.connect(path)) as database:  # the last statement of the migration will fail
        database.executescript(f"CREATE TABLE audit (x); PRAGMA application_id = {APPLICATION_ID};")
    with pytest.raises(StoreError, match="audit"):
        await SqliteStore.open(path)
    assert ask(path, "SELECT name FROM sqlite_master") == [("audit",)]
    assert ask(path, "PRAGMA user_version") == [(0,)]
