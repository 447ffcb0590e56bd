"""The SQL of docs/audit.md, run as it stands there on a database that the coordinator's writer made."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from innerd.coordinator.history import network_at
from innerd.coordinator.milestones import Milestones
from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain import commands as c
from innerd.domain.network import Network
from innerd.domain.values import Name, parse_endpoint
from innerd.log.codec import Who
from innerd.log.sqlite import SqliteStore
from tests.world import BEGINNING, key

PAGE = (Path(__file__).parent.parent / "docs" / "audit.md").read_text(encoding="utf-8")
QUERIES = dict(re.findall(r"^### ([^\n]*\?)\n(?:(?!^#).)*?^```sql\n(.*?)^```", PAGE, re.M | re.S))

LOCAL = Who("local:root", "socket")
RYO = Who("peer:2", "10.42.128.1", "a request")
DAY = 86_400
HUMANS, OVENS = 3, 4  # CIDRs
RYO_ID, MARI, OVEN, TAMA, LATE, GONE = range(2, 8)

# Who did what, one a day.
STEPS: list[tuple[Who, c.Command]] = [
    (LOCAL, c.AddCidr(Name("humans"), ip_network("10.42.128.0/17"))),
    (LOCAL, c.AddCidr(Name("ovens"), ip_network("10.42.64.0/24"))),
    (LOCAL, c.AddPeer(name=Name("ryo"), cidr=HUMANS, ip=None, public_key=key("ryo invitation"), is_admin=True)),
    (RYO, c.Redeem(RYO_ID, key("ryo"))),
    (RYO, c.AddPeer(name=Name("mari"), cidr=HUMANS, ip=None, public_key=key("mari invitation"))),
    (Who("peer:3", "10.42.128.2"), c.Redeem(MARI, key("mari"))),
    (RYO, c.GrantAdmin(MARI)),
    (RYO, c.AddPeer(name=Name("oven"), cidr=OVENS, ip=None, public_key=key("oven invitation"))),
    (Who("peer:4", "10.42.64.1"), c.Redeem(OVEN, key("oven"))),
    (RYO, c.RenamePeer(OVEN, Name("kiln"))),
    (RYO, c.AddAssociation(OVENS, HUMANS)),
    (LOCAL, c.RevokeAdmin(MARI)),
    (RYO, c.DeleteAssociation(1)),
    (LOCAL, c.RenameCidr(OVENS, Name("kilns"))),
    (RYO, c.AddPeer(name=Name("tama"), cidr=HUMANS, ip=None, public_key=key("tama invitation"))),
    (LOCAL, c.AddAssociation(HUMANS, OVENS)),
    (RYO, c.AddPeer(name=Name("late"), cidr=HUMANS, ip=None, public_key=key("late"), invite_expires=int(BEGINNING))),
    (Who("coordinator"), c.ExpireInvitations()),
    (RYO, c.AddPeer(name=Name("gone"), cidr=HUMANS, ip=None, public_key=key("gone"))),
    (RYO, c.RemovePeer(GONE)),
    (RYO, c.DisablePeer(OVEN)),
    (Who("peer:3", "10.42.128.2"), c.RenamePeer(OVEN, Name("kiln-2"))),
]
GIVEN: dict[str, Any] = {
    "address": "10.42.128.1",
    "peer": "kiln-2",
    "cidr1": "humans",
    "cidr2": "ovens",
    "revision": 14,
}


def day(number: int) -> str:
    """The date on which a step happened (the first is 1)."""
    return str(
        sqlite3.connect(":memory:").execute("SELECT date(?, 'unixepoch')", (BEGINNING + number * DAY,)).fetchone()[0]
    )


async def _write(path: Path) -> list[Network]:
    now = BEGINNING
    store = await SqliteStore.open(path, create=True)
    try:
        writer = Writer(store, await load(store), lambda: now, lambda why: None)
        founding = c.CreateNetwork(
            id=sha256(b"a network").hexdigest()[:32],
            name="kermpany",
            range=ip_network("10.42.0.0/16"),
            public_key=key("coordinator"),
            endpoint=parse_endpoint("192.0.2.1:51820"),
        )
        await writer.submit(founding, Who("local:root", "innerd new"))
        for who, command in STEPS:
            now += DAY
            before = writer.network.revision
            await writer.submit(command, who)
            assert writer.network.revision == before + 1, command
        return [await network_at(store, revision, Milestones()) for revision in range(1, writer.network.revision + 1)]
    finally:
        await store.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Network]]:
    path = tmp_path_factory.mktemp("audit") / "kermpany.db"
    return path, asyncio.run(_write(path))


@pytest.fixture
def database(written: tuple[Path, list[Network]]) -> Iterator[sqlite3.Connection]:
    """As the page says: read-only."""
    with closing(sqlite3.connect(f"file:{written[0]}?mode=ro", uri=True)) as connection:
        yield connection


def ask(database: sqlite3.Connection, question: str, **given: Any) -> list[tuple[Any, ...]]:
    query = next(sql for heading, sql in QUERIES.items() if heading.startswith(question))
    values = {**GIVEN, "since": day(0), **given}
    return database.execute(query, {name: values[name] for name in re.findall(r":([a-z]\w*)", query)}).fetchall()


def test_the_page_has_ten_queries_and_no_sql_that_is_not_run_here() -> None:
    assert len(QUERIES) == PAGE.count("```sql") == 10


@pytest.mark.parametrize("question", QUERIES)
def test_every_query_finds_something(database: sqlite3.Connection, question: str) -> None:
    assert ask(database, question)


def test_the_revision_at_a_time(database: sqlite3.Connection) -> None:
    statement = "SELECT max(seq) FROM events WHERE at <= :time"
    assert statement in PAGE
    assert database.execute(statement, {"time": day(3) + "T23:59:59Z"}).fetchall() == [(7,)]


def test_administrators_now(database: sqlite3.Connection) -> None:
    assert ask(database, "Who is an administrator") == [
        ("innernet-server", "10.42.0.1", 1, 0),
        ("ryo", "10.42.128.1", 1, 0),
    ]


def test_rights_that_were_held_since_a_date(database: sqlite3.Connection) -> None:
    found = ask(database, "Who has had admin rights")
    assert [(name, began[:10], ended and ended[:10], by) for name, _, began, ended, by in found] == [
        ("innernet-server", day(0), None, "local:root"),
        ("ryo", day(3), None, "local:root"),
        ("mari", day(7), day(12), "peer:2"),
    ]
    later = ask(database, "Who has had admin rights", since=day(13))
    assert [row[0] for row in later] == ["innernet-server", "ryo"]


def test_disabled_peers(database: sqlite3.Connection) -> None:
    found = ask(database, "Which peers are disabled")
    assert [(name, at[:10], *rest) for name, at, *rest in found] == [
        ("kiln-2", day(21), "peer:2", "10.42.128.1", "ryo"),
    ]


def test_the_peers_at_every_revision_are_those_that_a_fold_finds(
    database: sqlite3.Connection, written: tuple[Path, list[Network]]
) -> None:
    for revision, network in enumerate(written[1], 1):
        expected = [
            (p.id, p.name, str(p.ip), int(p.is_redeemed), int(p.is_admin), int(p.is_disabled))
            for _, p in sorted(network.peers.items())
        ]
        assert ask(database, "Which peers were there", revision=revision) == expected


def test_invitations_that_nobody_redeemed(database: sqlite3.Connection) -> None:
    found = ask(database, "Which invitations")
    assert [(name, now) for name, _, _, now in found] == [
        ("tama", "open"),
        ("late", "invitation.expired"),
        ("gone", "deleted"),
    ]


def test_everything_from_one_address(database: sqlite3.Connection) -> None:
    found = ask(database, "What came from")
    assert len(found) == sum(who is RYO for who, _ in STEPS)
    assert {actor for _, _, actor, *_ in found} == {"peer:2"}
    assert ask(database, "What came from", address="10.42.64.9") == []


@pytest.mark.parametrize("name", ["oven", "kiln", "kiln-2"])
def test_who_added_a_peer_by_any_of_its_names(database: sqlite3.Connection, name: str) -> None:
    [(at, *rest)] = ask(database, "Who added", peer=name)
    assert at.startswith(day(8))
    assert rest == ["peer:2", "10.42.128.1", "peer:4", "oven", "10.42.64.1"]


def test_the_names_of_a_peer(database: sqlite3.Connection) -> None:
    found = ask(database, "What was this peer called")
    assert [row[1:] for row in found] == [("peer:2", "oven", "kiln"), ("peer:3", "kiln", "kiln-2")]


@pytest.mark.parametrize(("one", "other"), [("humans", "ovens"), ("kilns", "humans")])
def test_associations_that_ever_were(database: sqlite3.Connection, one: str, other: str) -> None:
    found = ask(database, "Were these two", cidr1=one, cidr2=other)
    assert [(began[:10], by, ended and ended[:10], ender) for began, by, ended, ender in found] == [
        (day(11), "peer:2", day(13), "peer:2"),
        (day(16), "local:root", None, None),
    ]
    assert ask(database, "Were these two", cidr1="humans", cidr2="kermpany") == []


def test_who_does_most(database: sqlite3.Connection) -> None:
    found = ask(database, "Who does most")
    assert [(who, count) for who, count, *_ in found] == [
        ("ryo", 12),
        ("local:root", 10),
        ("mari", 2),
        ("coordinator", 1),
        ("kiln-2", 1),
    ]


def test_the_tables_of_the_page_are_those_of_the_database(database: sqlite3.Connection) -> None:
    part = PAGE.partition("\n### Tables\n")[2].partition("\n## ")[0]
    for table in ("peers", "cidrs", "associations"):
        row = next(line for line in part.splitlines() if line.startswith(f"| `{table}`"))
        columns = [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
        for column in columns:
            assert f"`{column}`" in row or column == "changed_seq", column
    view, _, _ = part.partition("The read models")
    for _, column, *_ in database.execute("PRAGMA table_info(audit)"):
        assert f"`{column}`" in view, column
