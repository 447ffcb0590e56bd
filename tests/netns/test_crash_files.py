"""A log as a power cut, a bad disk, a newer release or a person leaves it: what is served, and what is refused."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from innerd.serve import heads
from tests.log.damage import spoil
from tests.netns import crashing, steps
from tests.netns.crashing import DATABASE, SERVE
from tests.netns.lab import Host, Lab, wait_for
from tests.netns.steps import NETWORK
from tests.netns.test_refusals import refused

FOUNDED, WRITTEN = 5, 5  # events in the checkpointed part, events (each a transaction) that are in the WAL alone
ADD_CIDR = ("innerd", "add-cidr", NETWORK, "--name", "never", "--cidr", "10.42.98.0/24", "--parent", NETWORK)
FRAME = 24 + 4096  # of a WAL: header and page


class Made:
    """A network's files as a kill left them (`torn_off`), and as a clean end leaves them (`whole`)."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self.database = host, crashing.shared(host, folder)
        steps.found(host, "10.42.0.0/16")
        process = steps.serve(host)
        for number in range(WRITTEN):
            name, block = f"cats{number}", f"10.42.{number + 1}.0/24"
            host.run("innerd", "add-cidr", NETWORK, "--name", name, "--cidr", block, "--parent", NETWORK)
        written = crashing.head(self.database)[0]
        wait_for(lambda: (heads.remembered(self.database) or (0,))[0] == written, "the head to be remembered")
        crashing.kill(process)
        self.torn_off = crashing.taken(self.database)
        with closing(sqlite3.connect(self.database)) as log:
            log.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.records = crashing.records(self.database)
        self.head = ":".join(map(str, crashing.head(self.database)))
        self.whole = crashing.taken(self.database)


@pytest.fixture(scope="module")
def shared(make_lab: Callable[[], Lab], tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(make_lab().host("coordinator"), tmp_path_factory.mktemp("log"))


@pytest.fixture
def made(shared: Made) -> Made:
    """As every test finds it: a whole log."""
    crashing.put_back(shared.database, shared.whole)
    return shared


def commits(wal: bytes) -> list[int]:
    """Where in a WAL the transactions end: a frame's header says the size of the database after a commit, else 0."""
    ends = [at + FRAME for at in range(32, len(wal) - FRAME + 1, FRAME) if any(wal[at + 4 : at + 8])]
    assert len(ends) >= WRITTEN
    return ends


def whole(wal: bytes) -> bytes:
    return wal


def garbage_behind(wal: bytes) -> bytes:
    return wal + os.urandom(2 * FRAME + 77)


def an_old_frame_behind(wal: bytes) -> bytes:
    return wal + wal[32 : 32 + FRAME]


def last_byte_cut(wal: bytes) -> bytes:
    return wal[: commits(wal)[-1] - 1]


def last_frame_cut(wal: bytes) -> bytes:
    return wal[: commits(wal)[-1] - FRAME]


def last_bytes_garbage(wal: bytes) -> bytes:
    end = commits(wal)[-1]
    return wal[: end - 100] + os.urandom(100)


def torn_in_the_last_but_one(wal: bytes) -> bytes:
    return wal[: commits(wal)[-2] - 10]


def header_cut(wal: bytes) -> bytes:
    return wal[:10]


def nothing_left(wal: bytes) -> bytes:
    return b""


@pytest.mark.parametrize(
    ("tear", "lost"),
    [
        (whole, 0),
        (garbage_behind, 0),
        (an_old_frame_behind, 0),
        (last_byte_cut, 1),
        (last_frame_cut, 1),
        (last_bytes_garbage, 1),
        (torn_in_the_last_but_one, 2),
        (header_cut, WRITTEN),
        (nothing_left, WRITTEN),
    ],
)
def test_a_torn_wal_costs_the_transactions_it_tore_and_no_more(made: Made, tear, lost: int) -> None:
    crashing.put_back(made.database, made.torn_off | {".db-wal": tear(made.torn_off[".db-wal"])})
    if lost:
        assert refused(made.host, *SERVE) == (7, "log_rewound"), "what was acknowledged is gone: nobody is told less"
        made.database.with_suffix(".head").unlink()  # who knows no more than the log goes on with it
    process = steps.serve(made.host)
    kept = made.records[: len(made.records) - lost]
    assert crashing.records(made.database) == kept
    assert steps.revision(made.host) == len(kept)
    remembered = made.host.ask("innerd", "verify", NETWORK, "--remembered", made.head)
    assert remembered.returncode == (7 if lost else 0), "who remembers the head must see that the log went back"
    assert (f"event {len(kept) + 1}: it was seen and is gone" in remembered.stderr) == bool(lost)
    crashing.kill(process)
    crashing.serves_and_writes(made.host, "after", "10.42.99.0/24")
    assert crashing.records(made.database)[:-1] == kept
    assert "Traceback" not in steps.said(made.host, "innerd.log")


def flip(made: Made, found: bytes, at: int = 0) -> None:
    """Another byte in place of one of the file, where nothing but the log has these bytes."""
    content = made.whole[".db"]
    assert content.count(found) == 1, content.count(found)
    place = content.index(found) + at
    made.database.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def of_event(made: Made, column: str, seq: int) -> bytes:
    with closing(sqlite3.connect(made.database)) as log:
        found = log.execute(f"SELECT CAST({column} AS BLOB) FROM events WHERE seq = ?", (seq,)).fetchone()[0]
    crashing.put_back(made.database, made.whole)
    return bytes(found)


@pytest.mark.parametrize(
    ("column", "at", "seq"),
    [
        ("record", 0, 1),
        ("record", 12, 3),
        ("record", -5, 1),
        ("record", -5, FOUNDED + 2),
        ("record", -5, FOUNDED + WRITTEN),
        ("salt", 7, FOUNDED + 2),
        ("chain", 31, FOUNDED + 2),
        ("chain", 0, FOUNDED + WRITTEN),
    ],
    ids=["first brace", "type", "id of the network", "data", "last data", "salt", "chain", "last chain"],
)
def test_a_flipped_byte_in_a_record_is_named(made: Made, column: str, at: int, seq: int) -> None:
    text = of_event(made, column, seq)
    flip(made, text, at if at >= 0 else len(text) + at)
    before = made.database.read_bytes()
    for command, code in ((SERVE, "log_corrupt"), (("innerd", "verify", NETWORK), "log_tampered")):
        done = made.host.ask(*command)
        assert (done.returncode, done.stderr.count(f"[{code}]")) == (7, 1), done.stderr
        assert f"event {seq}" in done.stderr
    assert made.database.read_bytes() == before


def newer_type(path: Path) -> None:
    crashing.append(path, "peer.teleported", {"id": 1, "where": "moon"})


def newer_version(path: Path) -> None:
    crashing.append(path, "cidr.created", {"id": 9, "name": "x", "range": "10.42.90.0/24", "parent": 1}, version=2)


def version_zero(path: Path) -> None:
    crashing.append(path, "cidr.created", {"id": 9, "name": "x", "range": "10.42.90.0/24", "parent": 1}, version=0)


def no_data(path: Path) -> None:
    crashing.append(path, "cidr.created", {})


def of_nobody(path: Path) -> None:
    crashing.append(path, "peer.renamed", {"id": 99, "name": "x", "was": "y"})


def newer_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as log:
        log.execute("PRAGMA user_version = 99")


def another_application(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.executescript("PRAGMA application_id = 66; CREATE TABLE songs (title TEXT); PRAGMA journal_mode = WAL;")


def without_events(path: Path) -> None:
    with closing(sqlite3.connect(path)) as log:
        log.executescript("DROP TRIGGER events_never_vanish; DELETE FROM events;")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def noise(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


NEXT = FOUNDED + WRITTEN + 1
CORRUPT, NEWER = (7, "log_corrupt"), (6, "log_newer")


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (newer_type, NEWER, f"event {NEXT} is a peer.teleported of version 1, which this release does not know"),
        (newer_version, NEWER, f"event {NEXT} is a cidr.created of version 2, which this release does not know"),
        (version_zero, NEWER, f"event {NEXT} is a cidr.created of version 0, which this release does not know"),
        (no_data, CORRUPT, f"event {NEXT}"),
        (of_nobody, CORRUPT, f"event {NEXT}"),
        (newer_schema, NEWER, "was written by a newer release (schema 99"),
        (another_application, CORRUPT, "is a database of another application"),
        (without_events, CORRUPT, "holds no events"),
        (empty, CORRUPT, "is empty"),
        (half, CORRUPT, DATABASE),
        (noise, CORRUPT, "not a database"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_log_that_this_release_cannot_read_is_refused_and_left_as_it_is(
    made: Made, make, error: tuple[int, str], says: str
) -> None:
    make(made.database)
    before = made.database.read_bytes()
    done = made.host.ask(*SERVE)
    assert (done.returncode, done.stderr.count(f"[{error[1]}]")) == (error[0], 1), done.stderr
    assert says in done.stderr
    assert made.database.read_bytes() == before
    assert not made.database.with_name(made.database.name + "-wal").exists()


def test_a_verb_without_a_coordinator_refuses_it_too(made: Made) -> None:
    newer_type(made.database)
    before = made.database.read_bytes()
    for command in (("list-peers",), ("add-cidr", "--name", "x", "--cidr", "10.42.90.0/24", "--parent", NETWORK)):
        assert refused(made.host, "innerd", command[0], NETWORK, *command[1:]) == NEWER
    made.host.run("innerd", "verify", NETWORK)  # the chain holds: nobody changed what was written
    assert made.database.read_bytes() == before


def test_the_log_of_another_network_is_not_served_with_this_ones_key(made: Made, empty_lab: Lab) -> None:
    other = empty_lab.host("other")
    steps.found(other, "10.42.0.0/16")
    content = other.path(DATABASE).read_bytes()
    crashing.put_back(made.database, {".db": content})
    assert refused(made.host, *SERVE) == (2, "config_invalid")
    assert "private-key is not the one that the peers of this network know" in made.host.ask(*SERVE).stderr
    assert made.database.read_bytes() == content


def test_a_second_serve_leaves_the_first_one_alone(made: Made) -> None:
    process = steps.serve(made.host)
    before = crashing.taken(made.database)
    for _ in range(2):
        assert refused(made.host, *SERVE) == (6, "already_running")
    assert crashing.taken(made.database) == before
    assert steps.revision(made.host) == len(made.records)
    crashing.kill(process)


def test_a_log_that_went_away_is_not_made_anew(made: Made) -> None:
    shutil.copy(made.database, aside := made.database.with_name("aside.db"))
    made.database.unlink()
    assert refused(made.host, *SERVE) == (4, "network_not_found")
    assert not made.database.exists()
    aside.rename(made.database)
    crashing.serves_and_writes(made.host, "after", "10.42.99.0/24")


def test_a_lost_wal_is_not_served_in_silence_and_the_way_out_works(made: Made, tmp_path: Path) -> None:
    """What the hint says, typed."""
    crashing.put_back(made.database, {name: data for name, data in made.torn_off.items() if name in (".db", ".head")})
    done = made.host.ask(*SERVE)
    assert (done.returncode, done.stderr.count("[log_rewound]")) == (7, 1), done.stderr
    assert f"but 1.{len(made.records)} was written" in done.stderr
    made.host.run("innerd", "backup", NETWORK, "/run/.lab/left.db")
    config = f"/etc/innerd/{NETWORK}.toml"
    kept = made.host.path(config).read_bytes()
    made.database.unlink()
    made.host.run("rm", config)
    made.host.run("innerd", "restore", "/run/.lab/left.db")
    made.host.run("rm", "/run/.lab/left.db")
    assert made.host.path(config).read_bytes() == kept
    crashing.serves_and_writes(made.host, "after", "10.42.99.0/24")


@pytest.mark.parametrize("page", ["events_by_type", "peers"])
def test_damage_is_said_while_it_serves_and_mended_without_a_restart(made: Made, page: str) -> None:
    spoil(made.database, page)
    process = steps.serve(made.host)
    said = lambda: steps.asked(made.host, "innerd", "status", NETWORK)["troubles"]  # noqa: E731
    wait_for(lambda: [(one["kind"], one["code"]) for one in said()] == [("log", "log_corrupt")], "it to be said")
    doctor = made.host.ask("innerd", "doctor", NETWORK, "--json")
    checks = {(one["check"], one["state"], one["status"]) for one in json.loads(doctor.stdout)["checks"]}
    assert ("log", "failed", 7) in checks
    assert refused(made.host, *ADD_CIDR) == (7, "log_corrupt")
    made.host.run("innerd", "rebuild", NETWORK)
    assert said() == []
    made.host.run(*ADD_CIDR)
    made.host.run("innerd", "verify", NETWORK)
    crashing.kill(process)
    assert crashing.records(made.database)[:-1] == made.records


def test_a_lock_of_another_program_is_said_before_anybody_wants_to_change_something(made: Made) -> None:
    process = steps.serve(made.host)
    said = lambda: steps.asked(made.host, "innerd", "status", NETWORK)["troubles"]  # noqa: E731
    with closing(sqlite3.connect(made.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        wait_for(lambda: [one["code"] for one in said()] == ["store_unavailable"], "the lock to be said", 40)
        assert "another program holds a lock" in said()[0]["text"]
        other.execute("ROLLBACK")
    wait_for(lambda: said() == [], "it to be well again", 40)
    crashing.kill(process)
