"""The stand-alone verifier against ours: they agree on logs that hold, and on the first event that is wrong in others.

It shares no code with innerd, so this also checks that docs/log-format.md says enough to write one.
"""

import asyncio
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path

import pytest

from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain import commands as c
from innerd.domain.values import Name, PublicKey, parse_endpoint
from innerd.log.codec import Who
from innerd.log.sqlite import SqliteStore
from innerd.log.verify import NoLog, Tampered, Verified, verify_file
from tests.world import BEGINNING, key

ROOT = Path(__file__).parent.parent
VERIFIER = ROOT / "deploy" / "verify-log.py"
PAGE = (ROOT / "docs" / "log-format.md").read_text(encoding="utf-8")
EVENTS = 9
LOCAL = Who("local:root", "socket", "a request")

Head = tuple[int, str]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of nine events, made by the writer."""
    path = tmp_path_factory.mktemp("log") / "kermpany.db"
    asyncio.run(_write(path))
    return path


async def _write(path: Path) -> None:
    store = await SqliteStore.open(path, create=True)
    try:
        writer = Writer(store, await load(store), lambda: BEGINNING, lambda why: None)
        founding = c.CreateNetwork(
            id=sha256(b"a network").hexdigest()[:32],
            name="kermpany",
            range=ip_network("10.42.0.0/16"),
            public_key=key("coordinator"),
            endpoint=parse_endpoint("192.0.2.1:51820"),
        )
        await writer.submit(founding, Who("local:root", "innerd new"))
        await writer.submit(c.AddCidr(Name("humans"), ip_network("10.42.128.0/17")), LOCAL)
        added = c.AddPeer(name=Name("mari"), cidr=3, ip=None, public_key=PublicKey(key("an invitation")))
        await writer.submit(added, LOCAL)
        await writer.submit(c.Redeem(2, key("mari")), Who("peer:2", "10.42.128.1"))
        await writer.submit(c.RenamePeer(2, Name("maria")), LOCAL)
        await writer.submit(c.DisablePeer(2), LOCAL)
        assert writer.network.revision == EVENTS
    finally:
        await store.close()


@pytest.fixture
def log(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "kermpany.db"))


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(VERIFIER), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def theirs(path: Path, remembered: Head | None = None) -> Head | int:
    """What the stand-alone verifier finds: the head, or the first bad event."""
    done = run(path, *([f"{remembered[0]}:{remembered[1]}"] if remembered else []))
    if done.returncode == 0:
        found = re.fullmatch(r"(\d+) events\nhead (\d+):([0-9a-f]{64})\n", done.stdout)
        assert found is not None
        assert found[1] == found[2]
        return int(found[2]), found[3]
    assert done.returncode == 7
    assert done.stdout == ""
    found = re.search(r": event (\d+): ", done.stderr)
    assert found is not None, done.stderr
    return int(found[1])


def ours(path: Path, remembered: Head | None = None) -> Head | int:
    try:
        found: Verified = verify_file(path, remembered)
    except Tampered as tampered:
        return tampered.seq
    return found.events, found.head


UNGUARDED = """
DROP VIEW audit;
CREATE TABLE copied (seq INTEGER PRIMARY KEY, record, salt, chain);
INSERT INTO copied SELECT seq, record, salt, chain FROM events;
DROP TABLE events;
ALTER TABLE copied RENAME TO events;
"""


def tamper(path: Path, *statements: str) -> None:
    """Write to a log past its guards, as who owns the file can."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(UNGUARDED)
        for statement in statements:
            database.execute(statement)


def exchanged(columns: str, a: int, b: int) -> Iterator[str]:
    """Statements that exchange some columns of two rows."""
    yield f"CREATE TEMP TABLE kept AS SELECT seq, {columns} FROM events WHERE seq IN ({a}, {b})"
    names = columns.split(", ")
    for seq, other in ((a, b), (b, a)):
        values = ", ".join(f"{name} = (SELECT {name} FROM kept WHERE seq = {other})" for name in names)
        yield f"UPDATE events SET {values} WHERE seq = {seq}"


def at(seq: int, change: str) -> list[str]:
    return [f"UPDATE events SET {change} WHERE seq = {seq}"]


MOVED_UP = [f"UPDATE events SET seq = {seq - 1} WHERE seq = {seq}" for seq in range(5, EVENTS + 1)]
TAMPERED = {
    "a byte of a record": (6, at(6, "record = replace(record, 'mari', 'mara')")),
    "a byte of the first record": (1, at(1, "record = replace(record, 'kermpany', 'kermpani')")),
    "the network's id": (1, at(1, 'record = replace(record, \'"id":"\', \'"id":"00\')')),
    "the first record is no JSON": (1, at(1, "record = 'x'")),
    "a record is no JSON": (4, at(4, "record = substr(record, 2)")),
    "a space more in a record": (5, at(5, "record = record || ' '")),
    "a byte of the last record": (9, at(9, "record = replace(record, 'maria', 'marib')")),
    "a salt": (5, at(5, "salt = zeroblob(16)")),
    "a chain hash": (3, at(3, "chain = zeroblob(32)")),
    "the last chain hash": (9, at(9, "chain = zeroblob(32)")),
    "a row removed": (4, ["DELETE FROM events WHERE seq = 4"]),
    "the first row removed": (1, ["DELETE FROM events WHERE seq = 1"]),
    "a row removed, the others moved up": (4, ["DELETE FROM events WHERE seq = 4", *MOVED_UP]),
    "rows swapped": (5, list(exchanged("record, salt, chain", 5, 6))),
    "records swapped": (5, list(exchanged("record", 5, 6))),
    "records and salts of far rows swapped": (2, list(exchanged("record, salt", 2, 8))),
    "a row repeated at the end": (
        10,
        ["INSERT INTO events (seq, record, salt, chain) SELECT 10, record, salt, chain FROM events WHERE seq = 9"],
    ),
}


def test_both_accept_a_log_that_holds_with_the_same_head(log: Path) -> None:
    head = ours(log)
    assert isinstance(head, tuple)
    assert head[0] == EVENTS
    assert theirs(log) == head
    assert theirs(log, head) == head == ours(log, head)
    assert theirs(log, (head[0], head[1].upper())) == head


@pytest.mark.parametrize("what", TAMPERED)
def test_both_name_the_first_bad_event(log: Path, what: str) -> None:
    seq, statements = TAMPERED[what]
    tamper(log, *statements)
    assert theirs(log) == seq
    assert ours(log) == seq


def test_a_tail_that_was_cut_is_missed_only_by_who_remembers_the_head(log: Path) -> None:
    head = ours(log)
    assert isinstance(head, tuple)
    tamper(log, "DELETE FROM events WHERE seq > 7")
    shorter = theirs(log)
    assert shorter == ours(log)
    assert isinstance(shorter, tuple)
    assert shorter[0] == 7
    assert theirs(log, head) == ours(log, head) == 8


def test_a_chain_that_was_made_anew_is_seen_only_by_who_remembers_a_hash_behind_it(log: Path) -> None:
    head = ours(log)
    assert isinstance(head, tuple)
    early = (4, _rows(log)[3][3].hex())
    _forge(log, 6)
    forged = theirs(log)
    assert forged == ours(log)
    assert forged != head
    assert theirs(log, early) == ours(log, early) == forged
    assert theirs(log, head) == ours(log, head) == EVENTS


def _rows(path: Path) -> list[tuple[int, bytes, bytes, bytes]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT seq, CAST(record AS BLOB), salt, chain FROM events ORDER BY seq").fetchall()


def _forge(path: Path, since: int) -> None:
    """Change a record, and all that follows from it, as who knows the format can."""
    rows = _rows(path)
    link, statements = rows[since - 2][3], []
    for seq, record, salt, _ in rows[since - 1 :]:
        record = record.replace(b"mari", b"mara")
        link = sha256(b"\x01" + link + sha256(b"\x00" + salt + record).digest()).digest()
        statements += at(seq, f"record = CAST(x'{record.hex()}' AS TEXT), chain = x'{link.hex()}'")
    tamper(path, *statements)


def test_bytes_moved_between_salt_and_record_are_seen(log: Path) -> None:
    """The hash alone can't tell them apart: it is of salt and record in a row."""
    tamper(log, *at(4, "salt = CAST(salt || substr(record, 1, 1) AS BLOB), record = substr(record, 2)"))
    assert theirs(log) == 4


def test_other_files_are_refused(tmp_path: Path, log: Path) -> None:
    text, other = tmp_path / "text", tmp_path / "other.db"
    text.write_text("no database, but long enough for its header to be looked at" * 20)
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE events (seq, record, salt, chain)")
    for file in (text, other):
        assert run(file).returncode == 7
        with pytest.raises(NoLog):
            verify_file(file)


@pytest.mark.parametrize("remembered", ["9", "9:abc", "0:" + 64 * "0", "x:" + 64 * "0", "9:" + 64 * "g"])
def test_usage(log: Path, tmp_path: Path, remembered: str) -> None:
    assert run(log, remembered).returncode == 2
    assert run().returncode == run(log, "1:" + 64 * "0", "x").returncode == run(tmp_path / "none.db").returncode == 2


def test_it_leaves_a_log_as_it_was(log: Path) -> None:
    before = log.read_bytes()
    theirs(log)
    assert log.read_bytes() == before


def test_the_example_of_the_page_can_be_recomputed() -> None:
    part = PAGE.partition("\n## A worked example\n")[2].partition("\n## ")[0]
    records = re.findall(r"^    (\{.*\})$", part, re.M)
    hashes = dict(re.findall(r"^    (\w+) += ([0-9a-f]+)$", part, re.M))
    link = sha256(b"\x02" + bytes.fromhex(hashes["id"])).digest()
    assert link.hex() == hashes["chain_0"]
    assert len(records) == 2
    for number, record in enumerate(records, 1):
        leaf = sha256(b"\x00" + bytes.fromhex(hashes[f"salt_{number}"]) + record.encode()).digest()
        link = sha256(b"\x01" + link + leaf).digest()
        assert (leaf.hex(), link.hex()) == (hashes[f"leaf_{number}"], hashes[f"chain_{number}"])
