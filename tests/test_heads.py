"""A log that went back is not served: its head is remembered outside of the database."""

import shutil
from pathlib import Path

import pytest

from innerd.serve import heads
from tests import keeping as here
from tests.client.commands import Host
from tests.keeping import NETWORK, mode, paths, query, seen
from tests.log.tampering import forged, rewrite, rows_of


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return here.found(tmp_path_factory.mktemp("heads"))


@pytest.fixture
def host(original: Host, tmp_path: Path) -> Host:
    return here.copied(original, tmp_path / "host")


def head_of(host: Host) -> tuple[int, str]:
    (row,) = query(paths(host).database, "SELECT seq, lower(hex(chain)) FROM events ORDER BY seq DESC LIMIT 1")
    return row  # type: ignore[return-value]


def add(host: Host, number: int) -> None:
    block = f"10.42.{20 + number}.0/24"
    host.ok("add-cidr", NETWORK, "--name", f"c{number}", "--cidr", block, "--parent", NETWORK)


@pytest.fixture
def rewound(host: Host, tmp_path: Path) -> Host:
    """Three events were written since the database was as it is now."""
    shutil.copy(paths(host).database, tmp_path / "before.db")
    for number in range(3):
        add(host, number)
    shutil.copy(tmp_path / "before.db", paths(host).database)
    return host


def test_the_head_is_remembered_after_each_verb_and_private(host: Host) -> None:
    for number in range(2):
        assert heads.remembered(paths(host).database) == head_of(host)
        add(host, number)
    assert mode(heads.path_of(paths(host).database)) == 0o600


def test_looking_writes_nothing(host: Host) -> None:
    before = seen(host.folder)
    host.ok("status", NETWORK)
    host.ok("verify", NETWORK)
    assert seen(host.folder) == before


def test_a_log_that_went_back_is_refused_by_all_that_would_go_on_from_it(rewound: Host) -> None:
    before = seen(rewound.folder)
    for verb in (("serve", NETWORK), ("status", NETWORK), ("rebuild", NETWORK), ("list-peers", NETWORK)):
        done = rewound(*verb)
        assert (done.status, done.code) == (7, "log_rewound"), done
        assert "it ends at 1.8, but 1.11 was written" in done.err
        assert "innerd restore" in done.err
    assert rewound.refused("verify", NETWORK) == (7, "log_tampered")
    assert seen(rewound.folder) == before


def test_the_way_out_is_another_generation_that_goes_on_with_what_is_left(rewound: Host, tmp_path: Path) -> None:
    """As the hint says it."""
    rewound.ok("backup", NETWORK, str(tmp_path / "left.db"))
    aside = tmp_path / "aside"
    aside.mkdir()
    for file in (*rewound.lib.glob(f"{NETWORK}.db*"), paths(rewound).config):
        shutil.move(file, aside)
    assert rewound.json("restore", str(tmp_path / "left.db"))["generation"] == 2
    rewound.ok("status", NETWORK)
    add(rewound, 9)


def test_the_second_restore_of_a_backup_begins_a_generation_that_nobody_has_seen(host: Host, tmp_path: Path) -> None:
    host.ok("backup", NETWORK, str(tmp_path / "b.db"))
    for generation in (2, 3):
        for file in (*host.lib.glob(f"{NETWORK}.db*"), paths(host).config):
            file.unlink()
        assert host.json("restore", str(tmp_path / "b.db"))["generation"] == generation


def test_a_log_of_an_older_generation_is_refused(host: Host, tmp_path: Path) -> None:
    """It was longer when it was lost: the generation counts before the revision."""
    host.ok("backup", NETWORK, str(tmp_path / "b.db"))
    for number in range(3):
        add(host, number)
    shutil.copy(paths(host).database, tmp_path / "longer.db")
    for file in (*host.lib.glob(f"{NETWORK}.db*"), paths(host).config):
        file.unlink()
    host.ok("restore", str(tmp_path / "b.db"))
    shutil.copy(tmp_path / "longer.db", paths(host).database)
    assert host("status", NETWORK).code == "log_rewound"


def test_a_log_of_the_same_length_with_another_chain_is_refused(host: Host) -> None:
    database = paths(host).database
    rewrite(database, forged(rows_of(database), 5))
    assert host("status", NETWORK).code == "log_forked"


def test_a_log_that_goes_on_from_what_is_remembered_is_served(host: Host) -> None:
    """A kill: the file is behind the log."""
    database = paths(host).database
    before = heads.path_of(database).read_bytes()
    add(host, 1)
    heads.path_of(database).write_bytes(before)
    host.ok("status", NETWORK)
    assert heads.remembered(database) == head_of(host)


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"network": 1}', b"\0" * 100])
def test_a_head_that_is_not_there_or_torn_is_no_alarm(host: Host, content: bytes | None) -> None:
    path = heads.path_of(paths(host).database)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert host("status", NETWORK).status == 0
    assert heads.remembered(paths(host).database) == head_of(host)


def test_an_uninstall_takes_it_along(host: Host) -> None:
    host.ok("uninstall", NETWORK, "--yes")
    assert list(host.lib.iterdir()) == []
