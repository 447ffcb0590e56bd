"""Backups: consistent while somebody writes, verified, private, never over anything; and without the key, really."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain import commands as c
from innerd.domain.values import Name
from innerd.failure import Failure
from innerd.log.codec import Who
from innerd.log.sqlite import SqliteStore
from innerd.log.verify import verify_file
from innerd.manage import backup
from tests import keeping as here
from tests.client.commands import Host
from tests.keeping import NETWORK, mode, paths, private_key, query, seen
from tests.log.tampering import flipped, rewrite, rows_of


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return here.found(tmp_path_factory.mktemp("keeping"))


@pytest.fixture
def host(original: Host, tmp_path: Path) -> Host:
    return here.copied(original, tmp_path / "host")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept" / "backup.db"


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_backup_says_its_head_and_holds_the_log_and_the_config(host: Host, target: Path) -> None:
    made = host.json("backup", NETWORK, str(target))
    log = verify_file(paths(host).database)
    assert made == {"file": str(target), "events": log.events, "head": log.head, "with_keys": True}
    assert rows_of(target) == rows_of(paths(host).database)
    assert query(target, "SELECT network, config FROM backup") == [(NETWORK, paths(host).config.read_text())]


def test_a_backup_can_be_verified_like_a_log(host: Host, target: Path) -> None:
    made = host.json("backup", NETWORK, str(target))
    found = host.json("verify", NETWORK, "--file", str(target), "--remembered", f"{made['events']}:{made['head']}")
    assert (found["head"], found["file"]) == (made["head"], str(target))


@pytest.mark.usefixtures("open_umask")
def test_a_backup_is_one_private_file_whatever_the_umask(host: Host, target: Path) -> None:
    host.ok("backup", NETWORK, str(target))
    assert {path.name: mode(path) for path in target.parent.iterdir()} == {"backup.db": 0o600}


def test_a_backup_leaves_the_network_as_it_was(host: Host, target: Path) -> None:
    before = seen(host.folder)
    host.ok("backup", NETWORK, str(target))
    assert seen(host.folder) == before


def test_nothing_is_ever_overwritten(host: Host, target: Path) -> None:
    target.write_text("precious")
    assert host.refused("backup", NETWORK, str(target)) == (2, "file_exists")
    assert seen(target.parent) == {"backup.db": b"precious"}


def test_a_backup_into_a_folder_that_is_not_there_is_a_systems_failure(host: Host, target: Path) -> None:
    assert host.refused("backup", NETWORK, str(target.parent / "nowhere" / "b.db")) == (6, "backup_failed")
    assert host.refused("backup", NETWORK, "/proc/nowhere.db") == (6, "backup_failed")


def test_a_backup_of_no_network_is_not_found(host: Host, target: Path) -> None:
    assert host.refused("backup", "nobody", str(target)) == (4, "network_not_found")
    assert seen(target.parent) == {}


def test_a_network_without_its_log_is_not_backed_up_and_gets_no_empty_one(host: Host, target: Path) -> None:
    paths(host).database.unlink()
    before = seen(host.folder)
    status, _ = host.refused("backup", NETWORK, str(target))
    assert status != 1
    assert seen(target.parent) == {}
    assert seen(host.folder) == before


def test_a_log_that_does_not_hold_is_not_backed_up(host: Host, target: Path) -> None:
    database = paths(host).database
    rows = rows_of(database)
    rewrite(database, [*rows[:3], (4, rows[3][1], flipped(rows[3][2]), rows[3][3]), *rows[4:]])
    assert host.refused("backup", NETWORK, str(target)) == (7, "log_tampered")
    assert seen(target.parent) == {}


async def test_a_backup_beside_a_writer_is_one_moment_of_the_log(host: Host, target: Path) -> None:
    """The writer is never locked out, and no half of a command is in the backup: they come in pairs here."""
    store = await SqliteStore.open(paths(host).database)
    writer = Writer(store, await load(store), time.time, pytest.fail)
    first, peer = writer.network.revision, writer.network.names["tama"]
    done = asyncio.Event()

    async def write() -> None:
        number = 0
        while not done.is_set() or number < 20:
            number += 1
            change = c.ChangePeer(id=peer, name=Name(f"tama-{number}"), is_admin=bool(number % 2))
            await writer.submit(change, Who("local:root", "socket"))

    writing = asyncio.create_task(write())
    heads = []
    for number in range(8):
        beside = target.with_name(f"{number}.db")
        made = await asyncio.to_thread(backup.backup, paths(host), beside, with_keys=True)
        heads.append((made.events, made.head))
        assert verify_file(beside) == made
        assert (made.events - first) % 2 == 0
        changed = query(beside, "SELECT name, changed_seq FROM peers WHERE id = 2")
        assert changed[0][1] == made.events or made.events == first, "the tables are of the same moment as the log"
    done.set()
    await writing
    end = writer.network.revision
    await store.close()
    assert len({events for events, _ in heads}) > 1, "it went on while backups were made"
    for head in heads:
        assert verify_file(paths(host).database, head).events == end


# -- without keys ---------------------------------------------------------------------------------------------------


def test_a_backup_without_keys_has_no_key_in_any_byte(host: Host, target: Path) -> None:
    key = private_key(host)
    host.ok("backup", NETWORK, str(target), "--without-keys")
    assert key.rstrip("=").encode() not in target.read_bytes()
    ((kept,),) = query(target, "SELECT config FROM backup")
    assert [line for line in str(kept).splitlines() if "private-key" in line] == []
    assert "listen-port = 51820" in str(kept)
    assert verify_file(target) == verify_file(paths(host).database)


SPELLINGS = {
    "indented": '  private-key = "{}"',
    "a tab before it": '\tprivate-key = "{}"',
    "quoted": '"private-key" = "{}"',
    "literal": "'private-key' = '{}'",
    "no blanks": 'private-key="{}"',
    "with a comment": 'private-key = "{}" # keep it safe',
    "over lines": 'private-key = """\\\n{}"""',
    "escaped": '"private\\u002dkey" = "{}"',
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_the_key_is_left_out_however_the_config_spells_it(host: Host, target: Path, spelling: str) -> None:
    key, config = private_key(host), paths(host).config
    config.write_text(config.read_text().replace(f'private-key = "{key}"', spelling.format(key)))
    host.ok("status", NETWORK)  # it is a good config
    host.ok("backup", NETWORK, str(target), "--without-keys")
    assert key.rstrip("=").encode() not in target.read_bytes()


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_backup_with_keys_is_restored_however_the_config_spells_it(host, target, tmp_path, spelling) -> None:
    key, config = private_key(host), paths(host).config
    config.write_text(config.read_text().replace(f'private-key = "{key}"', spelling.format(key)))
    host.ok("backup", NETWORK, str(target))
    new = Host(tmp_path / "new", "innerd")
    new.ok("restore", str(target))
    assert paths(new).config.read_text() == config.read_text()


def test_a_failed_backup_leaves_nothing_behind(host: Host, tmp_path: Path) -> None:
    log = paths(host).database
    log.write_bytes(log.read_bytes()[:6000])
    target = tmp_path / "b.db"
    with pytest.raises(Failure):
        backup.backup(paths(host), target, with_keys=True)
    assert [path.name for path in tmp_path.iterdir()] == ["host"]
