"""Every changing verb of `innerd` while nobody serves: what it says and changes, and what it refuses."""

import json
import re
import stat
from pathlib import Path

import pytest

from innerd.admin import invitation
from tests.client.commands import CHANGES, WRITING, Host
from tests.client.conftest import NETWORK, revision


def arguments(verb: str, host: Host) -> list[str]:
    saved = ["--save-config", str(host.folder / "saved.toml")] if verb in WRITING else []
    return [verb, NETWORK, *CHANGES[verb], *saved]


@pytest.mark.parametrize("verb", CHANGES)
def test_a_change_says_what_it_did_in_a_sentence_and_adds_one_event(busy: Host, verb: str) -> None:
    before = revision(busy)
    said = busy.ok(*arguments(verb, busy))
    assert said.rstrip().endswith((".", ".toml"))
    assert revision(busy) == before + 1


@pytest.mark.parametrize("verb", CHANGES)
def test_a_change_in_json_is_one_document_with_what_it_changed_and_the_revision(busy: Host, verb: str) -> None:
    document = busy.json(*arguments(verb, busy))
    assert document["revision"] == revision(busy)
    subjects = {"cidr": "cidr", "association": "association", "endpoint": "endpoint"}
    subject = subjects.get(verb.rpartition("-")[2], "peer")
    assert document[subject]
    if subject == "peer" and not verb.endswith(("-relay", "export")):  # which say whose name, or whose file
        assert {"id", "name", "ip", "cidr", "is_admin", "is_disabled", "is_redeemed"} <= set(document["peer"])


@pytest.mark.parametrize("verb", CHANGES)
def test_a_dry_run_says_what_would_change_and_changes_nothing(busy: Host, verb: str) -> None:
    before = revision(busy)
    given = [argument for argument in arguments(verb, busy) if argument != "--yes"]  # a dry run asks nothing
    document = busy.json(*given, "--dry-run")
    keys = {"pairs_gained", "pairs_lost", "gained", "lost", "names_added", "names_removed", "moved", "happens"}
    assert set(document) == keys
    assert document["happens"]
    assert revision(busy) == before
    assert not (busy.folder / "saved.toml").exists()


def test_a_dry_run_names_the_pairs(host: Host) -> None:
    diff = host.json("add-association", NETWORK, "humans", "ovens", "--dry-run")
    assert (diff["pairs_gained"], sorted(diff["gained"])) == (2, [["mari", "oven"], ["oven", "ryo"]])
    said = host.ok("retire-peer", NETWORK, "--name", "mari", "--dry-run")
    assert "  - mari - ryo\n" in said
    assert "names that would go: mari" in said
    assert said.endswith("nothing was changed\n")


def test_a_dry_run_of_a_new_peer_says_its_address_rights_and_name(host: Host) -> None:
    said = host.ok("add-peer", NETWORK, *CHANGES["add-peer"], "--dry-run")
    assert "peer nami would be added with 10.42.128.3 in humans, as no admin\n" in said
    assert "once it has joined, nami would be its name, and it would see 3 peers\n" in said


def test_a_dry_run_of_what_is_so_already_says_so(host: Host) -> None:
    assert host.ok("enable-peer", NETWORK, "mari", "--dry-run").startswith("it is so already\n")


def test_a_carve_says_who_moves(host: Host) -> None:
    diff = host.json("add-cidr", NETWORK, *CHANGES["add-cidr"], "--dry-run")
    assert {tuple(sorted(m.items())) for m in diff["moved"]} >= {
        (("now", "bakers"), ("peer", "ryo"), ("was", "humans")),
    }


def test_a_carve_that_moves_peers_is_asked_about(host: Host) -> None:
    before = revision(host)
    carve = ["add-cidr", NETWORK, "--name", "bakers", "--cidr", "10.42.128.2/31", "--parent", "humans"]
    done = host(*carve)
    assert (done.status, done.code, done.out) == (2, "missing_flag", "")
    assert "mari (humans to bakers) would move" in done.err
    assert "mari - ryo would lose sight of each other" in done.err
    assert "--yes" in done.err
    assert revision(host) == before
    document = host.json(*carve, "--yes")
    assert document["diff"]["moved"] == [{"peer": "mari", "was": "humans", "now": "bakers"}]
    assert document["diff"]["lost"] == [["mari", "ryo"]]


def test_a_carve_that_moves_nobody_is_not_asked_about(host: Host) -> None:
    said = host.ok("add-cidr", NETWORK, "--name", "bakers", "--cidr", "10.42.200.0/24", "--parent", "humans")
    assert said == 'CIDR "bakers" (10.42.200.0/24) added to humans.\n'


def test_a_carve_is_undone_by_a_merge_which_is_asked_about_too(host: Host) -> None:
    peers = host.json("list-peers", NETWORK)["peers"]
    said = host.ok("add-cidr", NETWORK, "--name", "bakers", "--cidr", "10.42.128.2/31", "--parent", "humans", "--yes")
    assert said.splitlines()[1:] == ["mari (humans to bakers) moved.", "mari - ryo lost sight of each other."]
    merge = ["delete-cidr", NETWORK, "--name", "bakers", "--merge"]
    assert host.refused("delete-cidr", NETWORK, "--name", "bakers", "--yes") == (3, "cidr_not_empty")
    assert host.refused(*merge) == (2, "missing_flag")
    said = host.ok(*merge, "--yes")
    assert said.splitlines()[1:] == ["mari (bakers to humans) moved.", "mari - ryo see each other now."]
    assert host.json("list-peers", NETWORK)["peers"] == peers


CONFIRMED = ["delete-cidr", "disable-peer", "delete-peer", "retire-peer", "revoke-admin", "delete-association"]


@pytest.mark.parametrize("verb", CONFIRMED)
def test_what_takes_away_asks_and_without_a_terminal_does_nothing(busy: Host, verb: str) -> None:
    before = revision(busy)
    done = busy(*(argument for argument in arguments(verb, busy) if argument != "--yes"))
    assert (done.status, done.code, done.out) == (2, "missing_flag", "")
    assert "--yes" in done.err
    assert revision(busy) == before


ALREADY = {
    "disable-peer": ["--name", "lost", "--yes"],
    "enable-peer": ["--name", "mari"],
    "grant-admin": ["--name", "ryo"],
    "revoke-admin": ["--name", "mari", "--yes"],
    "rename-peer": ["--name", "mari", "--new-name", "mari"],
    "rename-cidr": ["--name", "humans", "--new-name", "humans"],
    "set-endpoint": ["192.0.2.1:51820"],
    "allow-relay": ["--peer", "innernet-server"],
}


@pytest.mark.parametrize("verb", ALREADY)
def test_what_is_already_so_is_done_and_adds_no_event(busy: Host, verb: str) -> None:
    before = revision(busy)
    busy.ok(verb, NETWORK, *ALREADY[verb])
    assert revision(busy) == before


def test_the_coordinator_relays_until_it_is_told_not_to_and_again(host: Host) -> None:
    before = revision(host)
    assert host.ok("disallow-relay", NETWORK) == "innernet-server relays no more.\n"
    assert host.json("disallow-relay", NETWORK) == {"peer": "innernet-server", "revision": before + 1}
    assert host.ok("allow-relay", NETWORK).startswith("innernet-server relays now")
    assert host.json("allow-relay", NETWORK) == {"peer": "innernet-server", "revision": before + 2}


def test_a_peer_relays_until_it_is_told_not_to(host: Host) -> None:
    said = host.ok("allow-relay", NETWORK, "--peer", "mari")
    assert said.startswith("mari relays now")
    assert said.endswith("if its own config agrees ([relay] serve = true).\n")
    assert host.ok("disallow-relay", NETWORK, "--peer", "mari") == "mari relays no more.\n"


# -- peers and invitations --------------------------------------------------------------------------------------------


def test_an_invitation_is_a_private_file_that_reads_as_one(host: Host) -> None:
    host.ok(*arguments("add-peer", host))
    path = host.folder / "saved.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    read, values = invitation.read(path)
    assert read.interface.network_name == NETWORK
    assert str(values.address) == "10.42.128.3/16"  # the root's prefix length; ryo and mari have the first two
    assert (values.external, f"{values.internal_address}:{values.internal_port}") == (
        "192.0.2.1:51820",
        "10.42.0.1:51820",
    )
    coordinator = next(p for p in host.json("list-peers", NETWORK)["peers"] if p["id"] == 1)
    assert values.server_key == coordinator["public_key"]


def test_an_invitation_on_stdout_is_nothing_but_the_invitation(host: Host, tmp_path: Path) -> None:
    out = host.ok("add-peer", NETWORK, *CHANGES["add-peer"], "--save-config", "-")
    (tmp_path / "read.toml").write_text(out)
    assert invitation.read(tmp_path / "read.toml")[0].interface.network_name == NETWORK


def test_a_file_that_is_there_is_not_written_over_and_no_peer_is_made(host: Host) -> None:
    (host.folder / "saved.toml").write_text("precious")
    before = revision(host)
    assert host.refused(*arguments("add-peer", host)) == (2, "file_exists")
    assert (host.folder / "saved.toml").read_text() == "precious"
    assert revision(host) == before


def test_a_file_that_cannot_be_made_makes_no_peer(host: Host) -> None:
    before = revision(host)
    given = ["add-peer", NETWORK, *CHANGES["add-peer"], "--save-config", str(host.folder / "none" / "x.toml")]
    assert host.refused(*given) == (6, "os_error")
    assert revision(host) == before


def test_a_refused_peer_leaves_no_invitation_file(host: Host) -> None:
    given = [a if a != "nami" else "mari" for a in arguments("add-peer", host)]
    assert host.refused(*given) == (3, "name_taken")
    assert not (host.folder / "saved.toml").exists()


def test_a_reissued_invitation_has_another_key(host: Host) -> None:
    host.ok(*arguments("reissue-invite", host))
    old, new = (invitation.read(host.folder / name)[1] for name in ("tama.toml", "saved.toml"))
    assert old.address == new.address
    assert old.private_key != new.private_key


def test_invites_are_listed_with_their_end(host: Host) -> None:
    document = host.json("list-invites", NETWORK)
    (invite,) = document["invites"]
    assert (invite["name"], invite["ip"], invite["cidr"], invite["is_expired"]) == ("tama", "10.42.3.1", "cats", False)
    assert document["revision"] == revision(host)
    assert re.search(r"tama +10\.42\.3\.1 +cats +invited +\d{4}-", host.ok("list-invites", NETWORK))


@pytest.mark.parametrize(
    ("given", "failure"),
    [
        pytest.param(["--ip", "10.42.128.1"], (3, "address_taken"), id="an address taken"),
        pytest.param(["--ip", "10.42.3.9"], (3, "address_outside_cidr"), id="an address outside"),
        pytest.param(["--ip", "10.42.128"], (2, "invalid_address"), id="no address"),
        pytest.param(["--auto-ip", "--ip", "10.42.128.9"], (2, "usage"), id="two ways"),
        pytest.param(["--auto-ip", "--invite-expires", "soon"], (2, "invalid_duration"), id="no time"),
        pytest.param(["--auto-ip", "--name", "Nami"], (2, "invalid_name"), id="no name"),
        pytest.param(["--auto-ip", "--cidr", "nowhere"], (4, "cidr_not_found"), id="an unknown CIDR"),
        pytest.param(["--auto-ip", "--admin", "perhaps"], (2, "usage"), id="neither yes nor no"),
    ],
)
def test_a_peer_that_cannot_be_says_why(host: Host, given: list[str], failure: tuple[int, str]) -> None:
    base = [a for a in arguments("add-peer", host) if a != "--auto-ip"]
    for flag in given[::2] if "--auto-ip" not in given[:1] else given[1::2]:  # in place of the one that is good
        if flag in base:
            del base[base.index(flag) : base.index(flag) + 2]
    assert host.refused(*base, *given) == failure
    assert not (host.folder / "saved.toml").exists()


@pytest.mark.parametrize("flag", ["--name", "--cidr", "--admin", "--invite-expires", "--save-config"])
def test_a_flag_that_add_peer_misses_is_named(host: Host, flag: str) -> None:
    given = arguments("add-peer", host)
    at = given.index(flag)
    done = host(*given[:at], *given[at + 2 :])
    assert (done.status, done.code) == (2, "missing_flag")
    assert flag in done.err


# -- refusals ---------------------------------------------------------------------------------------------------------

REFUSED = [
    pytest.param(["delete-peer", "--name", "mari", "--yes"], (3, "peer_redeemed"), id="delete a redeemed peer"),
    pytest.param(["retire-peer", "--name", "tama", "--yes"], (3, "peer_not_redeemed"), id="retire an invited peer"),
    pytest.param(["disable-peer", "--name", "innernet-server", "--yes"], (3, "coordinator_protected"), id="itself"),
    pytest.param(
        ["reissue-invite", "--name", "mari", "--invite-expires", "1d", "--save-config", "-"],
        (3, "peer_redeemed"),
        id="reissue",
    ),
    pytest.param(["allow-relay", "--peer", "tama"], (3, "peer_not_redeemed"), id="an invited peer that is to relay"),
    pytest.param(["export", "mari"], (3, "peer_not_plain"), id="the file of a peer with inn"),
    pytest.param(["export", "nobody"], (4, "peer_not_found"), id="the file of nobody"),
    pytest.param(["rename-peer", "--name", "mari", "--new-name", "ryo"], (3, "name_taken"), id="a name taken"),
    pytest.param(["rename-peer", "--name", "mari", "--new-name", "Ma ri"], (2, "invalid_name"), id="no name"),
    pytest.param(["rename-peer", "--name", "nobody", "--new-name", "x"], (4, "peer_not_found"), id="an unknown peer"),
    pytest.param(["delete-cidr", "--name", "humans", "--yes"], (3, "cidr_not_empty"), id="a CIDR with peers"),
    pytest.param(["delete-cidr", "--name", NETWORK, "--yes"], (3, "cidr_reserved"), id="the root"),
    pytest.param(["rename-cidr", "--name", "nowhere", "--new-name", "x"], (4, "cidr_not_found"), id="an unknown CIDR"),
    pytest.param(["add-association", "humans", "humans"], (3, "association_with_itself"), id="with itself"),
    pytest.param(["add-association", "humans", "nowhere"], (4, "cidr_not_found"), id="with an unknown CIDR"),
    pytest.param(["delete-association", "humans", "ovens", "--yes"], (4, "association_not_found"), id="no association"),
    pytest.param(
        ["add-cidr", "--name", "x", "--cidr", "10.99.0.0/24", "--parent", "humans"],
        (3, "cidr_outside_parent"),
        id="outside its parent",
    ),
    pytest.param(
        ["add-cidr", "--name", "x", "--cidr", "10.42", "--parent", "humans"], (2, "invalid_range"), id="no range"
    ),
    pytest.param(["set-endpoint", "here"], (2, "invalid_endpoint"), id="no endpoint"),
]


@pytest.mark.parametrize(("given", "failure"), REFUSED)
def test_a_refusal_has_its_code_and_status_and_changes_nothing(
    host: Host, given: list[str], failure: tuple[int, str]
) -> None:
    before = revision(host)
    assert host.refused(given[0], NETWORK, *given[1:]) == failure
    assert revision(host) == before


def test_an_association_that_is_there_already_is_no_error_either_way_round(host: Host) -> None:
    host.ok("add-association", NETWORK, "humans", "ovens")
    assert "associated already" in host.ok("add-association", NETWORK, "ovens", "humans")
    assert len(host.json("list-associations", NETWORK)["associations"]) == 1
    host.ok("delete-association", NETWORK, "ovens", "humans", "--yes")
    assert host.json("list-associations", NETWORK)["associations"] == []


def test_an_error_in_json_is_one_document_on_stderr(host: Host) -> None:
    done = host("delete-cidr", NETWORK, "--name", "humans", "--yes", "--json")
    assert (done.status, done.out) == (3, "")
    error = json.loads(done.err)["error"]
    assert error["code"] == "cidr_not_empty"
    assert "humans" in error["message"]
    assert set(error) == {"code", "message", "hint"}


@pytest.mark.parametrize("verb", ["list-peers", "show", "status", "audit", "list-cidrs", "disable-peer"])
def test_an_unknown_network_is_not_found(host: Host, verb: str) -> None:
    missing = "peer_not_found" if verb == "disable-peer" else "network_not_found"  # the one network is put in
    assert host.refused(verb, "nowhere") == (4, missing)
    assert host.refused(verb, "no/where") == ((4, missing) if verb == "disable-peer" else (2, "invalid_name"))
