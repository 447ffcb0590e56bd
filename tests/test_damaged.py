"""A database that is damaged beside its records: found by whoever looks, and made anew of them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests import keeping as here
from tests.client.commands import Host
from tests.keeping import NETWORK, mode, paths, query, seen
from tests.log.damage import BESIDE, spoil
from tests.log.tampering import rows_of

ADD = ("add-cidr", NETWORK, "--name", "later", "--cidr", "10.42.9.0/24", "--parent", NETWORK)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return here.found(tmp_path_factory.mktemp("damaged"))


@pytest.fixture
def host(original: Host, tmp_path: Path) -> Host:
    return here.copied(original, tmp_path / "host")


@pytest.mark.parametrize("page", BESIDE)
def test_verify_and_backup_look_at_every_page(host: Host, tmp_path: Path, page: str) -> None:
    spoil(paths(host).database, page)
    before = seen(host.folder)
    assert host.refused("verify", NETWORK) == (7, "log_damaged")
    assert host.refused("backup", NETWORK, str(tmp_path / "b.db")) == (7, "log_damaged")
    assert not (tmp_path / "b.db").exists()
    assert seen(host.folder) == before


@pytest.mark.parametrize("page", BESIDE)
def test_a_rebuild_needs_the_records_alone(original: Host, host: Host, page: str) -> None:
    database = paths(host).database
    spoil(database, page)
    assert host("rebuild", NETWORK, "--json").json["damage"]
    assert rows_of(database) == rows_of(paths(original).database)
    assert mode(database) == 0o600
    assert host.json("verify", NETWORK)["events"] == len(rows_of(database))
    assert host.json("rebuild", NETWORK) == {"differing": 0, "damage": None, "revision": len(rows_of(database))}
    host.ok(*ADD)
    assert {path.name for path in host.lib.iterdir()} == {f"{NETWORK}.db", f"{NETWORK}.db-lock", f"{NETWORK}.head"}


@pytest.mark.parametrize("page", BESIDE)
def test_a_restore_needs_the_records_alone(original: Host, tmp_path: Path, page: str) -> None:
    kept, new = tmp_path / "all.db", Host(tmp_path / "new", "innerd")
    original.ok("backup", NETWORK, str(kept))
    spoil(kept, page)
    assert original.refused("verify", NETWORK, "--file", str(kept)) == (7, "log_damaged")
    new.ok("restore", str(kept))
    assert rows_of(paths(new).database)[:-1] == rows_of(paths(original).database)
    new.ok("verify", NETWORK)
    assert new.json("rebuild", NETWORK)["differing"] == 0


def test_answers_that_can_be_read_outlive_a_rebuild(host: Host) -> None:
    database = paths(host).database
    query(database, "INSERT INTO commands VALUES ('local:root', 'once', x'00', 204, x'', 1)")
    spoil(database, "peers")
    answers = query(database, "SELECT * FROM commands")
    assert host("rebuild", NETWORK).status == 0
    assert query(database, "SELECT * FROM commands") == answers


def test_damaged_records_are_neither_a_full_disk_nor_rebuilt(host: Host) -> None:
    spoil(paths(host).database, "events")
    before = seen(host.folder)
    for verb in (("status", NETWORK), ("rebuild", NETWORK), ADD, ("serve", NETWORK)):
        done = host(*verb)
        assert (done.status, done.code) == (7, "log_corrupt"), done
        assert "restore a backup" in done.err
        assert "full" not in done.err
    assert seen(host.folder) == before


def test_a_change_that_meets_damage_says_so_and_how_to_mend_it(host: Host) -> None:
    spoil(paths(host).database, "events_by_type")
    done = host(*ADD)
    assert (done.status, done.code) == (7, "log_corrupt"), done
    assert "innerd rebuild" in done.err
    assert host("rebuild", NETWORK).status == 0
    host.ok(*ADD)


def test_a_rebuild_that_was_killed_is_in_nobodys_way(host: Host) -> None:
    database = paths(host).database
    spoil(database, "peers")
    database.with_name(f"{database.name}.renewing").write_bytes(b"half of it")
    assert host("rebuild", NETWORK).status == 0
    host.ok("verify", NETWORK)


NO_TEXT = "CAST(x'ff41' AS TEXT)"
BAD_SCHEMA = f"UPDATE sqlite_master SET name = {NO_TEXT}, tbl_name = {NO_TEXT}, sql = {NO_TEXT} WHERE name = 'peers'"


def with_a_bad_schema(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as spoiled:
        spoiled.execute("PRAGMA writable_schema = ON")
        spoiled.execute(BAD_SCHEMA)


def test_text_that_is_none_is_damage_beside_the_records(host: Host) -> None:
    database = paths(host).database
    query(database, f"UPDATE cidrs SET name = {NO_TEXT} WHERE id = 1")
    assert host("rebuild", NETWORK).status == 0
    host.ok("verify", NETWORK)
    assert query(database, "SELECT name FROM cidrs WHERE id = 1") == [(NETWORK,)]


@pytest.mark.parametrize("verb", ["status", "rebuild", "verify", "backup", "list-peers"])
def test_a_schema_that_can_not_be_read_is_damage(host: Host, tmp_path: Path, verb: str) -> None:
    with_a_bad_schema(paths(host).database)
    done = host(verb, NETWORK, *((str(tmp_path / "kept.db"),) if verb == "backup" else ()))
    assert done.status == 7, done
    assert "Traceback" not in done.err


def test_a_backup_whose_schema_can_not_be_read_is_damaged(original: Host, tmp_path: Path) -> None:
    kept, new = tmp_path / "all.db", Host(tmp_path / "new", "innerd")
    original.ok("backup", NETWORK, str(kept))
    with_a_bad_schema(kept)
    done = new("restore", str(kept))
    assert done.status in (2, 7), done
    assert "Traceback" not in done.err


def test_a_backup_with_a_config_that_is_no_toml_is_refused_before_anything_is_written(
    original: Host, tmp_path: Path
) -> None:
    kept, new = tmp_path / "all.db", Host(tmp_path / "new", "innerd")
    original.ok("backup", NETWORK, str(kept))
    query(kept, "UPDATE backup SET config = 'private-key = = 1'")
    done = new("restore", str(kept))
    assert (done.status, done.code) == (2, "config_invalid"), done
    assert not paths(new).database.exists()
