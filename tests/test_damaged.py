"""A database that is damaged beside its records: found by whoever looks, and made anew of them."""

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
