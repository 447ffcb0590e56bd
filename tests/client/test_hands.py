"""A verb takes what people type: names in many forms, several at once, a network left out; and says what it missed."""

import shutil

import pytest
import rich_click as click

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
