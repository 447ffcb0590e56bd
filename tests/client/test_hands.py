"""A verb takes what people type: names in many forms, several at once, a network left out; and says what it missed."""

import re
import shutil
from pathlib import Path

import click
import pytest

import innclient.cli
import innerd.cli
from tests.client.commands import Host, run
from tests.client.conftest import NETWORK, revision

GROUPS = {"innerd": innerd.cli.cli, "inn": innclient.cli.cli}


def singles() -> list[tuple[str, str, str]]:
    """Every option of every verb that takes one value, and every global one."""
    found = []
    for program, group in GROUPS.items():
        for verb, command in [("", group), *group.commands.items()]:
            for option in command.params:
                if not isinstance(option, click.Option) or not option.opts:
                    continue
                if not (option.is_flag or option.count or option.multiple) and option.name != "help":
                    found.append((program, verb, max(option.opts, key=len)))
    return found


@pytest.mark.parametrize(("program", "verb", "option"), singles(), ids=[" ".join(one) for one in singles()])
def test_no_value_is_lost_of_an_option_given_twice(program: str, verb: str, option: str) -> None:
    done = run(program, *([verb] if verb else []), f"{option}=1", f"{option}=2")
    assert (done.status, done.code, done.out) == (2, "usage", "")
    assert f"{option} is given 2 times" in done.err


def test_the_network_is_left_out_where_there_is_one(host: Host) -> None:
    assert host.ok("list-peers") == host.ok("list-peers", NETWORK)
    before = revision(host)
    host.ok("add-association", "humans", "cats")
    host.ok("set-endpoint", "192.0.2.9:1")
    host.ok("disable-peer", "--name", "mari", "--yes")
    assert revision(host) == before + 3


def test_a_word_that_can_be_nothing_else_is_a_network(tmp_path: Path) -> None:
    """And not the port that the verb takes behind it."""
    (tmp_path / f"{NETWORK}.toml").touch()
    done = run("inn", "-c", str(tmp_path), "set-listen-port", "nonesuch", "--listen-port", "52025", "--yes")
    assert (done.status, done.code) == (4, "network_not_found"), done.err


def test_of_two_networks_one_is_named(host: Host) -> None:
    shutil.copy(host.etc / f"{NETWORK}.toml", host.etc / "other.toml")
    done = host("list-peers")
    assert (done.status, done.code) == (2, "usage")
    assert "NETWORK" in done.err


def test_a_near_miss_of_a_network_is_named(host: Host) -> None:
    for typed in (NETWORK.upper(), NETWORK[:-1], f"{NETWORK}s"):
        done = host("list-peers", typed)
        assert (done.status, done.code) == (4, "network_not_found")
        assert f'did you mean "{NETWORK}"?' in done.err


@pytest.mark.parametrize("wait", [["--wait", "5"], ["--wait=5"], ["--wait"]])
def test_wait_takes_its_seconds_either_way(host: Host, wait: list[str]) -> None:
    done = host("disable-peer", NETWORK, "--name", "mari", "--yes", *wait)
    assert (done.status, done.code) == (5, "not_serving"), done  # it is done, and was waited for


def test_all_that_is_missing_is_named_at_once(host: Host) -> None:
    done = host("import-innernet")
    assert done.status == 2
    assert "--config and --database are missing" in done.err
    shutil.copy(host.etc / f"{NETWORK}.toml", host.etc / "other.toml")
    assert "NETWORK and ENDPOINT are missing" in host("set-endpoint").err


FORMS = ["mari", f"mari.{NETWORK}.wg", f"mari.{NETWORK}.wg.", "10.42.128.2", "3", "peer:3"]


@pytest.mark.parametrize("form", FORMS)
def test_a_peer_is_named_in_any_form(host: Host, form: str) -> None:
    assert host.ok("disable-peer", NETWORK, form, "--yes") == 'Peer "mari" is disabled.\n'
    assert host.ok("enable-peer", NETWORK, "--name", form) == 'Peer "mari" is enabled.\n'


@pytest.mark.parametrize("form", FORMS)
def test_why_takes_a_peer_in_any_form_and_one_alone(host: Host, form: str) -> None:
    assert host.ok("why", NETWORK, form, "10.42.128.1").startswith("mari and ryo see each other: ")
    said = host.ok("why", NETWORK, form)
    assert said.startswith("innernet-server and mari see each other: one of them is the coordinator")


@pytest.mark.parametrize("form", ["cats", "10.42.3.0/24", "cidr:5", "5"])
def test_a_cidr_is_named_in_any_form(host: Host, form: str) -> None:
    assert host.json("rename-cidr", NETWORK, form, "felines")["cidr"]["name"] == "felines"


@pytest.mark.parametrize("typed", ["Mari", "mary", "MARI", f"marri.{NETWORK}.wg"])
def test_a_near_miss_of_a_peer_is_named(host: Host, typed: str) -> None:
    done = host("disable-peer", NETWORK, typed, "--yes")
    assert (done.status, done.code) == (4, "peer_not_found")
    assert 'did you mean "mari"?' in done.err


def test_a_near_miss_of_a_cidr_is_named(host: Host) -> None:
    done = host("add-association", NETWORK, "Humans", "cats")
    assert (done.status, done.code) == (4, "cidr_not_found")
    assert 'did you mean "humans"?' in done.err


@pytest.mark.parametrize(
    "several", [["mari", "oven"], ["--name", "mari", "--name", "oven"], ["oven", "--name", "mari"]]
)
def test_several_peers_at_once_are_each_reported(host: Host, several: list[str]) -> None:
    before = revision(host)
    said = host.ok("disable-peer", *several, "--yes")
    assert sorted(said.splitlines()) == ['Peer "mari" is disabled.', 'Peer "oven" is disabled.']
    assert revision(host) == before + 2
    document = host.json("enable-peer", NETWORK, *several)
    assert {peer["name"] for peer in document["peers"]} == {"mari", "oven"}
    assert document["revision"] == revision(host)


def test_of_several_none_is_touched_where_one_is_not_there(host: Host) -> None:
    before = revision(host)
    assert host.refused("disable-peer", NETWORK, "mari", "nobody", "--yes") == (4, "peer_not_found")
    assert revision(host) == before


def test_of_several_the_first_refusal_ends_it_and_says_what_was_done(host: Host) -> None:
    done = host("disable-peer", NETWORK, "mari", "1", "oven", "--yes")
    assert (done.status, done.code) == (3, "coordinator_protected")
    assert "done before: mari; not tried: oven" in done.err
    assert done.out == 'Peer "mari" is disabled.\n'


def test_a_dry_run_of_several_is_one_document(host: Host) -> None:
    before = revision(host)
    assert len(host.json("disable-peer", NETWORK, "mari", "oven", "--dry-run")["changes"]) == 2
    assert revision(host) == before


def test_a_verb_asks_for_all_that_it_misses_at_once(host: Host) -> None:
    done = host("add-peer", NETWORK, "--cidr", "humans")
    assert (done.status, done.code) == (2, "missing_flag")
    for flag in ("--name", "--ip or --auto-ip", "--admin", "--invite-expires", "--save-config"):
        assert flag in done.err


def test_a_value_given_as_a_word_and_by_its_flag_is_refused(host: Host) -> None:
    assert host.refused("rename-peer", NETWORK, "mari", "leo", "--name", "ryo") == (2, "usage")


def test_an_ambiguous_record_is_not_called_missing(host: Host) -> None:
    host.ok("add-record", "app.mari", "TXT", "one")
    host.ok("add-record", "app.mari", "TXT", "two")
    assert host.refused("delete-record", NETWORK, "app.mari", "--yes") == (2, "record_ambiguous")


def test_lists_of_nothing_say_so(host: Host) -> None:
    assert host.ok("list-records") == "There are no records beside the names of peers.\n"
    assert host.ok("list-associations") == "No CIDRs are associated.\n"


def test_peers_are_narrowed_sorted_and_summed_up(host: Host) -> None:
    said = host.ok("list-peers", "--cidr", "humans", "--sort", "name").splitlines()
    assert [line.split()[0] for line in said] == ["NAME", "mari", "ryo", "2"]
    assert said[-1] == "2 peers: 2 offline"
    assert host.ok("list-peers", "--cidr", "cats").splitlines()[-1] == "1 peer: 1 invited"
    everybody = {peer["name"] for peer in host.json("list-peers", "--cidr", NETWORK)["peers"]}
    assert everybody == {peer["name"] for peer in host.json("list-peers")["peers"]}
    silent = {peer["name"] for peer in host.json("list-peers", "--offline-for", "30d")["peers"]}
    assert silent == {"ryo", "mari", "oven"}, "neither the invited nor the coordinator are missed"
    assert host.ok("list-peers", "--cidr", "innernet-server", "--offline-for", "1d") == "No peer is like that.\n"


def test_retired_peers_are_listed_on_request(host: Host) -> None:
    assert host.ok("list-peers", "--retired") == "No peer was retired.\n"
    host.ok("retire-peer", "mari", "--yes")
    (gone,) = host.json("list-peers", "--retired")["retired"]
    assert (gone["name"], gone["ip"]) == ("mari", "10.42.128.2")
    assert "mari  10.42.128.2" in host.ok("list-peers", "--retired")


def test_the_audit_takes_names_and_says_dates(host: Host) -> None:
    by_name = host.json("audit", "--subject", "mari")["events"]
    assert [event["type"] for event in by_name] == ["peer.added", "key.pinned"]
    assert host.json("audit", "--subject", "humans")["events"][0]["type"] == "cidr.created"
    assert "invite_expires=20" in host.ok("audit", "--subject", "mari", "--type", "peer.")
    assert host.refused("audit", "--subject", "nobody")[1] == "peer_not_found"


def test_a_filter_that_can_match_nothing_says_so(host: Host) -> None:
    done = host("audit", "--type", "peer.aded")
    assert (done.status, done.out) == (0, "")
    assert 'no type of event begins with "peer.aded"; did you mean "peer.added"?' in done.err


def test_the_audit_is_in_words(host: Host) -> None:
    host.ok("rename-peer", "oven", "stove")
    host.ok("add-record", "app.stove", "TXT", "x")
    host.ok("retire-peer", "mari", "--yes")
    said = host.ok("audit")
    assert "peer.renamed  stove (peer:4)  oven -> stove" in said
    assert "record.added  app.stove (record:1)  of stove " in said
    assert f"cidr.created  humans (cidr:3)  range=10.42.128.0/17 parent={NETWORK}\n" in said
    assert not re.search(r"[^(]peer:\d", said), said


@pytest.mark.parametrize("form", ["mari", f"mari.{NETWORK}.wg", "10.42.128.2", "3", "peer:3"])
def test_the_audit_of_an_actor_takes_any_form(host: Host, form: str) -> None:
    (event,) = host.json("audit", "--actor", form)["events"]
    assert (event["type"], event["actor_name"]) == ("key.pinned", "mari")


def test_the_audit_of_an_actor_who_is_gone_takes_its_last_name(host: Host) -> None:
    host.ok("retire-peer", "mari", "--yes")
    assert [event["type"] for event in host.json("audit", "--actor", "mari")["events"]] == ["key.pinned"]
