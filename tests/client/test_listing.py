"""What lists share: columns that are asked for, a pager for what is long, again and again, and a terminal's width."""

import re
from pathlib import Path

import pytest

from innclient.core.views import CidrView, NetworkView, PeerView
from innclient.verbs import look, show
from innerd.command import output, screen
from tests.client.commands import Host
from tests.client.conftest import NETWORK, add_peer
from tests.client.screen import Screen

LONG = "a-peer-with-a-name-that-is-as-long-as-a-name-may-be-in-a-network"[:63]
LISTS = [
    *(["list-peers"], ["list-invites"], ["list-cidrs"], ["list-cidrs", "--tree"], ["list-associations"]),
    *(["list-records"], ["convergence"], ["show"], ["status"], ["list-peers", "--columns", "name,ip,key"]),
]


@pytest.fixture
def full(busy: Host) -> Host:
    """With names as long as they may be."""
    add_peer(busy, LONG, "humans")
    busy.ok("add-record", NETWORK, "app.mari", "TXT", "x" * 200)
    return busy


# -- columns ----------------------------------------------------------------------------------------------------------


def test_columns_are_those_that_are_asked_for_in_their_order(host: Host) -> None:
    said = host.ok("list-peers", NETWORK, "--columns", "IP,name").splitlines()
    assert said[0].split() == ["IP", "NAME"]
    assert said[2].split() == ["10.42.3.1", "tama"]
    assert host.ok("list-cidrs", "--columns", "name").splitlines()[:2] == ["NAME", NETWORK]
    assert host.ok("list-invites", "--columns", "name,state") == "NAME  STATE\ntama  invited\n"
    assert host.ok("show", "--columns", "name,cidr").splitlines()[1].split() == ["NAME", "CIDR"]
    assert host.ok("convergence", "--columns", "name").startswith("NAME\n")


def test_some_columns_are_shown_on_request_alone(host: Host) -> None:
    assert "KEY" not in host.ok("list-peers")
    key = next(peer["public_key"] for peer in host.json("list-peers")["peers"] if peer["name"] == "mari")
    assert f"mari             {key}" in host.ok("list-peers", "--columns", "name,key")


@pytest.mark.parametrize("verb", ["list-peers", "list-invites", "list-cidrs", "list-records", "convergence", "show"])
def test_an_unknown_column_is_refused_and_the_known_are_named(host: Host, verb: str) -> None:
    done = host(verb, NETWORK, "--columns", "name,color")
    assert (done.status, done.code, done.out) == (2, "usage", "")
    assert "'color' is no column: they are " in done.err
    assert "name" in done.err.partition("they are")[2]


def test_a_column_of_another_list_is_refused(host: Host) -> None:
    host.ok("retire-peer", "mari", "--yes")
    assert host.ok("list-peers", "--retired", "--columns", "name,by").startswith("NAME  BY\nmari  local:")
    assert host.refused("list-peers", "--retired", "--columns", "endpoint") == (2, "usage")


def test_columns_are_for_people(host: Host) -> None:
    done = host("list-peers", NETWORK, "--columns", "name", "--json")
    assert (done.status, done.out) == (2, "")
    assert "exclude each other" in done.err


def view() -> NetworkView:
    def peer(number: int, name: str, **changes: object) -> PeerView:
        fields: dict = {
            "id": number,
            "name": name,
            "ip": f"10.42.0.{number}",
            "cidr": "humans",
            "is_admin": False,
            "is_disabled": False,
            "is_redeemed": True,
            "is_me": number == 2,
            "public_key": "k" * 44,
            "endpoint": "[2001:db8::ffff:1]:51820",
            "path": "direct",
            "path_since": 1_700_000_000.0,
            "tried": [],
            "path_missing": None,
            "last_handshake": 1_700_000_000.0,
            "rx_bytes": 5000,
            "tx_bytes": 10,
        }
        return PeerView(**fields | changes)

    return NetworkView(
        interface="kermpany",
        network="kermpany",
        is_up=True,
        listen_port=51820,
        revision=9,
        as_of=None,
        peers=[peer(2, "ryo"), peer(3, LONG), peer(4, "mari", path="none", endpoint=None, last_handshake=None)],
        cidrs=[CidrView(id=1, name="humans", cidr="10.42.0.0/16", parent=None)],
    )


def test_show_is_a_table_where_columns_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    from innclient.cli import cli

    with cli.make_context("inn", [], resilient_parsing=True) as context:
        context.meta[output.COLUMNS] = ("name", "path", "received")
        show.as_table(view(), look.COLUMNS, look.ON_REQUEST, named=True)
    head, columns, ryo, _, mari = capsys.readouterr().out.splitlines()
    assert (head, columns.split()) == ("network: kermpany", ["NAME", "PATH", "RECEIVED"])
    assert ryo.split() == ["ryo", "this", "machine", "4.88", "KiB"]
    assert mari.split() == ["mari", "none", "4.88", "KiB"]


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


# -- a terminal's width -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_no_line_of_a_list_is_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, full: Host, words: list[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    seen = full.seen(*words, "--no-pager")
    lines = seen.splitlines()
    assert lines
    assert max(map(len, lines)) <= columns, seen
    if columns == 200 and words == ["list-peers"]:
        assert LONG in seen, "where there is room nothing is cut"


_WHOLE = """\
NAME             IP           CIDR             STATE    RIGHTS  ENDPOINT
innernet-server  10.42.0.1    innernet-server  active   admin   192.0.2.1:51820
tama             10.42.3.1    cats             invited
oven             10.42.64.1   ovens            active
ryo              10.42.128.1  humans           active   admin
mari             10.42.128.2  humans           active
5 peers: 4 offline, 1 invited
"""
_NARROW = """\
NAME      IP           CIDR       STATE    RIGHTS  ENDPOINT
innerne…  10.42.0.1    innernet…  active   admin   192.0.2.…
tama      10.42.3.1    cats       invited
oven      10.42.64.1   ovens      active
ryo       10.42.128.1  humans     active   admin
mari      10.42.128.2  humans     active
5 peers: 4 offline, 1 invited
"""
PEERS = {60: _NARROW, 80: _WHOLE, 200: _WHOLE}


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_list_of_peers_as_it_is_seen(monkeypatch: pytest.MonkeyPatch, host: Host, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert host.seen("list-peers", "--no-pager") == PEERS[columns]


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("how", ["short", "tree", "table"])
def test_show_of_a_peer_keeps_to_the_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int, how: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    if how == "table":
        show.as_table(view(), look.COLUMNS, look.ON_REQUEST, named=False)
    else:
        show.as_text(view(), short=how == "short", tree=how == "tree", whole_keys=True)
    lines = _plain(capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= columns


# -- a pager ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pager(tmp_path: Path) -> Path:
    """A pager that keeps what it was given."""
    made = tmp_path / "pager"
    made.write_text(f"#!/bin/sh\ncat > {tmp_path}/paged\necho PAGED\n")
    made.chmod(0o755)
    return made


@pytest.mark.parametrize("words", [["audit"], ["list-peers"], ["show"]], ids=" ".join)
def test_what_is_longer_than_the_screen_goes_through_the_pager(host: Host, pager: Path, words: list[str]) -> None:
    status, seen = Screen(host, *words, lines=4, PAGER=str(pager)).end()
    assert (status, seen) == (0, "PAGED\n")
    assert "mari" in (pager.parent / "paged").read_text()


@pytest.mark.parametrize(
    ("more", "env"),
    [
        (["--no-pager"], {}),
        ([], {"LINES": "200"}),
        ([], {"PAGER": ""}),
        ([], {"PAGER": "cat"}),
        ([], {"PAGER": "/nowhere/less"}),
        ([], {"PAGER": "'"}),
        ([], {"TERM": "dumb"}),
    ],
    ids=["told", "short", "empty", "cat", "missing", "broken", "dumb"],
)
def test_there_is_no_pager_where_none_is_wanted(host: Host, pager: Path, more: list[str], env: dict[str, str]) -> None:
    known = {"PAGER": str(pager), "LINES": "4"} | env
    screen = Screen(host, "audit", *more, **{"lines": 4} | known)  # type: ignore[arg-type]
    status, seen = screen.end()
    assert status == 0
    assert "PAGED" not in seen
    assert "network.created" in seen


def test_what_nobody_looks_at_goes_through_no_pager(host: Host, pager: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", str(pager))
    monkeypatch.setenv("LINES", "4")
    assert "network.created" in host.ok("audit")
    assert not (pager.parent / "paged").exists()


def test_less_ends_by_itself_and_keeps_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert screen._LESS == "FRX"


# -- again and again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["list-peers", "--watch=1"], ["show", "--watch"]], ids=" ".join)
def test_what_is_watched_is_shown_again_until_it_is_interrupted(host: Host, words: list[str]) -> None:
    screen = Screen(host, *words)
    for _ in range(2):
        screen.expect(b"\x1b[H\x1b[2J")
        screen.expect(b"until Ctrl-C")
    screen.type(b"\x03")
    status, seen = screen.end()
    assert status == 130
    assert "Traceback" not in seen
    assert "interrupted" in seen


def test_what_is_watched_is_no_longer_than_the_screen(host: Host) -> None:
    screen = Screen(host, "audit", "--watch=1", lines=8)
    screen.expect(b"until Ctrl-C")
    screen.expect(b"lines more")
    screen.expect(b"\x1b[H\x1b[2J")
    screen.type(b"\x03")
    assert screen.end()[0] == 130


def test_who_follows_does_not_watch(host: Host) -> None:
    assert host.refused("audit", NETWORK, "--follow", "--watch") == (2, "usage")
