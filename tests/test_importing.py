"""Taking over from innernet-server: the same network, ids and all, or a refusal that names the row."""

from pathlib import Path

import pytest

from innerd.log.verify import verify_file
from tests.client.commands import Host
from tests.innernet_files import LATER, Server, arguments
from tests.keeping import mode, paths, seen
from tests.world import key


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path / "innernet")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "host").mkdir()
    return Host(tmp_path / "host", "innerd")


def taken(host: Host, server: Server) -> dict[str, dict[str, object]]:
    """The peers of the network that was taken over, by name."""
    host.ok(*arguments(server))
    return {peer["name"]: peer for peer in host.json("list-peers", "ferment")["peers"]}


def test_a_network_comes_over_with_its_ids_addresses_and_keys(host: Host, server: Server) -> None:
    peers = taken(host, server)
    assert {name: (peer["id"], peer["ip"], peer["public_key"]) for name, peer in peers.items()} == {
        "innernet-server": (1, "10.42.0.1", key("coordinator")),
        "ryo": (2, "10.42.128.7", key("ryo")),
        "mari": (4, "10.42.128.8", key("mari")),
        "tama": (9, "10.42.3.1", key("tama")),
    }
    cidrs = host.json("list-cidrs", "ferment")["cidrs"]
    assert {c["id"]: (c["name"], c["cidr"], c["parent"]) for c in cidrs} == {
        1: ("ferment", "10.42.0.0/16", None),
        2: ("innernet-server", "10.42.0.1/32", "ferment"),
        3: ("humans", "10.42.128.0/17", "ferment"),
        5: ("cats", "10.42.3.0/24", "ferment"),
    }
    found = host.json("list-associations", "ferment")["associations"]
    assert [(a["id"], {a["cidr1"], a["cidr2"]}) for a in found] == [(3, {"cats", "humans"})]


def test_rights_endpoints_and_open_invitations_come_over(host: Host, server: Server) -> None:
    peers = taken(host, server)
    assert {name for name, peer in peers.items() if peer["is_admin"]} == {"innernet-server", "ryo"}
    assert {name: p["endpoint"] for name, p in peers.items() if p["endpoint"]} == {
        "innernet-server": "192.0.2.1:51820",
        "mari": "198.51.100.9:4000",
    }
    assert (peers["tama"]["is_redeemed"], peers["tama"]["invite_expires"]) == (False, LATER)


def test_ids_go_on_behind_the_highest(host: Host, server: Server) -> None:
    taken(host, server)
    flags = ("--cidr", "humans", "--auto-ip", "--admin", "false", "--invite-expires", "1d", "--save-config", "-")
    assert host.json("add-peer", "ferment", "--name", "nami", *flags)["peer"]["id"] == 10
    made = host.json("add-cidr", "ferment", "--name", "birds", "--cidr", "10.42.5.0/24", "--parent", "ferment")
    assert made["cidr"]["id"] == 6


def test_the_config_comes_over_and_innernets_clients_may_administer(host: Host, server: Server) -> None:
    taken(host, server)
    config = (host.etc / "ferment.toml").read_text()
    for line in server.config.read_text().splitlines():
        assert line in config
    assert 'admin-proof = "optional"' in config
    assert {mode(host.etc / "ferment.toml"), mode(host.lib / "ferment.db")} == {0o600}


def test_the_log_holds_and_says_who_took_it_over(host: Host, server: Server) -> None:
    taken(host, server)
    events = host.json("audit", "ferment")["events"]
    assert {(event["actor"], event["origin"]) for event in events} == {("local:root", "innerd import-innernet")}
    assert events[0]["type"] == "network.created"
    assert verify_file(host.lib / "ferment.db").events == len(events) == 10
    assert "0 rows" in host.ok("rebuild", "ferment")


def test_innernets_files_are_only_read(host: Host, server: Server) -> None:
    before = seen(server.config.parent)
    host.ok(*arguments(server))
    assert seen(server.config.parent) == before


def test_a_dry_run_says_the_same_and_writes_nothing(host: Host, server: Server) -> None:
    dry = host.json(*arguments(server), "--dry-run")
    assert seen(host.folder) == {}
    assert list(host.folder.iterdir()) == []
    assert dry["dry_run"] is True
    assert host.json(*arguments(server)) == dry | {"dry_run": False}


def test_what_is_here_already_stays(host: Host, server: Server) -> None:
    host.ok(*arguments(server))
    before = seen(host.folder)
    again = host(*arguments(server))
    assert (again.status, again.code) == (3, "network_exists")
    assert seen(host.folder) == before
    paths(host).database.unlink()
    again = host(*arguments(server))
    assert (again.status, again.code) == (3, "network_exists"), "the config alone too"


def test_half_a_takeover_is_none(host: Host, server: Server) -> None:
    host.etc.write_text("in the way of the folder")
    status = host(*arguments(server)).status
    assert status not in (0, 1)
    assert seen(host.folder) == {"etc": b"in the way of the folder"}
    host.etc.unlink()
    host.ok(*arguments(server))


def test_without_a_yes_and_a_terminal_nothing_is_done(host: Host, server: Server) -> None:
    assert host(*arguments(server)[:-1]).status == 2
    assert seen(host.folder) == {}


# -- what innernet allows and we can hold ---------------------------------------------------------------------------


def test_host_bits_of_a_range_are_cleared_and_said_so(host: Host, server: Server) -> None:
    server.cidr(6, "odd", "10.42.9.7/24")
    notes = host.json(*arguments(server))["notes"]
    assert [note for note in notes if "odd" in note and "10.42.9.7/24" in note and "10.42.9.0/24" in note] == notes
    assert "10.42.9.0/24" in {c["cidr"] for c in host.json("list-cidrs", "ferment")["cidrs"]}


def test_a_peer_in_an_inner_cidr_belongs_to_the_narrowest_and_that_is_said(host: Host, server: Server) -> None:
    server.cidr(6, "bakers", "10.42.128.0/24", 3)
    server.peer(10, "outer", "10.42.200.1", 3)
    notes = host.json(*arguments(server))["notes"]
    assert sorted(note.split()[1] for note in notes) == ["mari", "ryo"]
    assert all("bakers" in note for note in notes)
    cidrs = {peer["name"]: peer["cidr"] for peer in host.json("list-peers", "ferment")["peers"]}
    assert (cidrs["ryo"], cidrs["mari"], cidrs["outer"]) == ("bakers", "bakers", "humans")


def test_a_deep_tree_comes_over_whatever_the_order_of_its_ids(host: Host, server: Server) -> None:
    server.cidr(7, "inner", "10.42.64.0/20")
    server.set("cidrs", 7, parent=1)
    server.cidr(6, "innermost", "10.42.64.0/28", 7)
    host.ok(*arguments(server))
    parents = {c["name"]: c["parent"] for c in host.json("list-cidrs", "ferment")["cidrs"]}
    assert (parents["inner"], parents["innermost"]) == ("ferment", "inner")


def test_disabled_peers_stay_disabled(host: Host, server: Server) -> None:
    server.set("peers", 4, is_disabled=1)
    server.set("peers", 9, is_disabled=1)
    peers = taken(host, server)
    assert {name for name, peer in peers.items() if peer["is_disabled"]} == {"mari", "tama"}


def test_an_invitation_that_expired_comes_as_one_that_expired(host: Host, server: Server) -> None:
    server.set("peers", 9, invite_expires=1_600_000_000)
    host.ok(*arguments(server))
    (invite,) = host.json("list-invites", "ferment")["invites"]
    assert (invite["name"], invite["expires"], invite["is_expired"]) == ("tama", 1_600_000_000, True)


def test_an_invitation_for_ever_stays_one(host: Host, server: Server) -> None:
    server.set("peers", 9, invite_expires=None)
    assert taken(host, server)["tama"]["invite_expires"] is None


@pytest.mark.parametrize("text", ["nonsense", "10.0.0.1", "", "host:99999", "a b:1"])
def test_an_endpoint_that_can_not_be_read_is_none_as_to_innernet(host: Host, server: Server, text: str) -> None:
    server.set("peers", 4, endpoint=text)
    assert taken(host, server)["mari"]["endpoint"] is None


@pytest.mark.parametrize("columns", [("candidates",), ("candidates", "invite_expires")], ids=["version 1", "version 0"])
def test_an_older_schema_comes_over(host: Host, server: Server, columns: tuple[str, ...]) -> None:
    for column in columns:
        server.drop(column)
    server.do(f"PRAGMA user_version = {2 - len(columns)}")
    peers = taken(host, server)
    assert peers["tama"]["invite_expires"] == (LATER if len(columns) == 1 else None)


def test_a_key_without_its_padding_is_that_key(host: Host, server: Server) -> None:
    server.set("peers", 4, public_key=key("mari").rstrip("="))
    assert taken(host, server)["mari"]["public_key"] == key("mari")


def test_a_folder_with_odd_characters_is_read_all_the_same(host: Host, tmp_path: Path) -> None:
    server = Server(tmp_path / "what? 100%41#1")
    assert set(taken(host, server)) == {"innernet-server", "ryo", "mari", "tama"}
