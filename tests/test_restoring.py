"""Restores: in place of nothing, all or nothing, as another generation; a damaged backup is refused."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from innerd.coordinator.replay import load
from innerd.domain.network import Network
from innerd.failure import Failure
from innerd.log.sqlite import SqliteStore
from innerd.log.verify import verify_file
from innerd.manage import backup as backups
from tests import keeping as here
from tests.client.commands import Host
from tests.keeping import NETWORK, mode, paths, query, seen
from tests.log.tampering import rows_of


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host with a network, and two backups of it: all.db, and keyless.db without the key."""
    host = here.found(tmp_path_factory.mktemp("restoring"))
    host.ok("backup", NETWORK, str(host.folder / "all.db"))
    host.ok("backup", NETWORK, str(host.folder / "keyless.db"), "--without-keys")
    return host


@pytest.fixture
def backup(original: Host, tmp_path: Path) -> Path:
    return Path(shutil.copy(original.folder / "all.db", tmp_path / "all.db"))


@pytest.fixture
def new(tmp_path: Path) -> Host:
    """A host with nothing on it."""
    (tmp_path / "new").mkdir()
    return Host(tmp_path / "new", "innerd")


def network_of(host: Host) -> Network:
    async def read() -> Network:
        store = await SqliteStore.open(paths(host).database)
        try:
            return (await load(store)).network
        finally:
            await store.close()

    return asyncio.run(read())


def test_what_an_older_release_saw_of_peers_is_restored_with_its_backup(backup, new) -> None:
    """It lacks the column that says what they run."""
    query(backup, "INSERT OR REPLACE INTO seen (peer_id, is_proven, handshake) VALUES (2, 1, 5.5)")
    query(backup, "ALTER TABLE seen DROP COLUMN software")
    query(backup, "PRAGMA user_version = 3")
    new.ok("restore", str(backup))
    assert query(paths(new).database, "SELECT peer_id, is_proven, handshake, software FROM seen") == [(2, 1, 5.5, None)]


def test_a_restored_network_is_the_one_that_was_kept_in_another_generation(original, backup, new) -> None:
    was = network_of(original)
    restored = new.json("restore", str(backup))
    assert restored == {"network": NETWORK, "events": was.revision + 1, "generation": 2}
    now = network_of(new)
    assert (now.peers, now.cidrs, now.id, now.generation) == (was.peers, was.cidrs, was.id, was.generation + 1)
    assert rows_of(paths(new).database)[:-1] == rows_of(paths(original).database)
    assert paths(new).config.read_text() == paths(original).config.read_text()


def test_the_restore_itself_is_in_the_log(original: Host, backup: Path, new: Host) -> None:
    new.ok("restore", str(backup))
    (last,) = new.json("audit", NETWORK, "--limit", "1")["events"]
    kept = verify_file(backup).events
    assert (last["seq"], last["type"], last["actor"]) == (kept + 1, "log.restored", "local:root")
    assert last["data"] == {"generation": 2, "from_revision": kept}
    assert verify_file(paths(new).database, (kept, verify_file(backup).head)).events == kept + 1


def test_what_the_tables_of_a_backup_say_does_not_count(backup: Path, new: Host) -> None:
    query(backup, "UPDATE peers SET is_admin = 1 - is_admin")
    new.ok("restore", str(backup))
    assert new.json("rebuild", NETWORK)["differing"] == 0


def test_a_restored_host_works_and_its_files_are_private(backup: Path, new: Host) -> None:
    new.ok("restore", str(backup))
    new.ok("rename-cidr", NETWORK, "--name", "cats", "--new-name", "felines")
    assert "0 rows" in new.ok("rebuild", NETWORK)
    assert {mode(paths(new).database), mode(paths(new).config)} == {0o600}
    assert {mode(new.etc), mode(new.lib)} == {0o700}
    leftovers = {path.name for path in new.lib.iterdir()} - {f"{NETWORK}.db", f"{NETWORK}.head", f"{NETWORK}.db-lock"}
    assert leftovers == set()
    assert query(paths(new).database, "SELECT name FROM sqlite_master WHERE name = 'backup'") == []


def test_generations_count_on_over_several_restores(original: Host, backup: Path, tmp_path: Path) -> None:
    for number in (2, 3):
        host = Host(tmp_path / f"host{number}", "innerd")
        assert host.json("restore", str(backup))["generation"] == number
        backup = tmp_path / f"again{number}.db"
        host.ok("backup", NETWORK, str(backup))


def test_nothing_that_is_there_is_overwritten(original: Host, backup: Path, tmp_path: Path) -> None:
    host = here.copied(original, tmp_path / "host")
    before = seen(host.folder)
    assert host.refused("restore", str(backup)) == (3, "network_exists")
    paths(host).database.unlink()
    assert host.refused("restore", str(backup)) == (3, "network_exists"), "the config alone is somebody's too"
    paths(host).config.unlink()
    host.ok("restore", str(backup))
    assert set(before) == set(seen(host.folder))


def test_a_backup_without_the_key_needs_the_config(original: Host, new: Host) -> None:
    keyless = original.folder / "keyless.db"
    assert new.refused("restore", str(keyless)) == (3, "backup_without_key")
    assert seen(new.folder) == {}
    new.etc.mkdir(mode=0o700)
    shutil.copy(paths(original).config, paths(new).config)
    before = paths(new).config.read_bytes()
    assert new.json("restore", str(keyless))["generation"] == 2
    assert paths(new).config.read_bytes() == before


def test_a_log_is_no_backup(original: Host, new: Host) -> None:
    assert new.refused("restore", str(paths(original).database)) == (2, "not_a_backup")
    assert new.refused("restore", str(new.folder / "nothing.db")) == (4, "file_not_found")
    assert seen(new.folder) == {}


# -- all or nothing -------------------------------------------------------------------------------------------------


def newer_config(backup: Path, new: Host) -> None:
    """From a release with a setting that this one does not know."""
    with closing(sqlite3.connect(backup)) as database, database:
        database.execute("UPDATE backup SET config = 'colour = \"blue\"' || char(10) || config")


def config_folder_is_a_file(backup: Path, new: Host) -> None:
    new.etc.write_text("")


def data_folder_is_a_file(backup: Path, new: Host) -> None:
    new.lib.write_text("")


def newer_schema(backup: Path, new: Host) -> None:
    query(backup, "PRAGMA user_version = 99")


FAILURES = [newer_config, config_folder_is_a_file, data_folder_is_a_file, newer_schema]


@pytest.mark.parametrize("spoil", FAILURES, ids=lambda spoil: spoil.__name__.replace("_", " "))
def test_a_restore_that_fails_leaves_nothing_behind(backup, new, spoil) -> None:
    spoil(backup, new)
    before, kept = seen(new.folder), backup.read_bytes()
    status, _ = new.refused("restore", str(backup))
    assert status not in (0, 1)
    assert seen(new.folder) == before
    assert backup.read_bytes() == kept


def test_what_a_killed_restore_left_is_in_nobodys_way(backup: Path, new: Host) -> None:
    new.lib.mkdir(mode=0o700)
    (new.lib / f"{NETWORK}.db.restoring").write_bytes(b"half of it")
    assert new.json("restore", str(backup))["generation"] == 2


async def test_the_write_ahead_log_of_a_lost_database_is_not_played_into_the_restored_one(original, backup, new):
    """A coordinator was killed, its database was deleted, `-wal` was forgotten."""
    await asyncio.to_thread(shutil.copytree, original.folder, new.folder / "lost")
    lost = new.folder / "lost" / "lib" / f"{NETWORK}.db"
    store = await SqliteStore.open(lost)
    await store.probe()
    await store.probe()
    wal = lost.with_name(lost.name + "-wal").read_bytes()
    await store.close()
    assert wal
    new.lib.mkdir(mode=0o700)
    paths(new).database.with_name(f"{NETWORK}.db-wal").write_bytes(wal)
    await asyncio.to_thread(new.ok, "restore", str(backup))
    assert query(paths(new).database, "PRAGMA integrity_check") == [("ok",)]
    assert verify_file(paths(new).database).events == verify_file(backup).events + 1


# -- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["record", "salt", "chain"])
def test_a_flipped_byte_of_an_event_is_refused(backup: Path, new: Host, what: str) -> None:
    row = rows_of(backup)[4]
    needle = {"record": row[1], "salt": row[2], "chain": row[3]}[what]
    data = bytearray(backup.read_bytes())
    at = data.index(needle) + len(needle) // 2
    data[at] ^= 1
    backup.write_bytes(data)
    assert new.refused("restore", str(backup)) == (7, "log_tampered")
    assert new.refused("verify", NETWORK, "--file", str(backup)) == (7, "log_tampered")
    assert seen(new.folder) == {}


def test_no_flipped_byte_anywhere_is_a_bug_of_ours_or_passes_for_another_log(backup: Path, new: Host) -> None:
    """Every 97th byte of the whole file: either the log is refused, or it is the log that was kept."""
    good, head = backup.read_bytes(), verify_file(backup).head
    outcomes = set()
    for at in range(0, len(good), 97):
        backup.write_bytes(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :])
        try:
            backups.network_of(backup)
            outcomes.add(0)
            assert verify_file(backup, whole=False).head == head
        except Failure as failure:
            outcomes.add(failure.status)
    assert outcomes <= {0, 2, 7}
    assert 7 in outcomes


def test_half_a_backup_is_refused(backup: Path, new: Host) -> None:
    backup.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
    assert new.refused("restore", str(backup))[0] == 7
    assert seen(new.folder) == {}
