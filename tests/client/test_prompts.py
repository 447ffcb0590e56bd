"""What questions offer: CIDRs that hold no others first, what can be deleted alone, a free address, an answer's check;
and on a terminal that can do nothing, no colours."""

from pathlib import Path

import pytest

from innclient import config
from innerd.admin.several import cidr_choices, deletable
from innerd.command import prompt
from innerd.failure import Failure
from innerd.wire.ours import NetworkJson
from tests.client.commands import Host
from tests.client.conftest import NETWORK
from tests.client.screen import Screen
from tests.client.support import paths_in, write_config

ENTER = b"\r"


def network(host: Host) -> NetworkJson:
    import msgspec

    return msgspec.json.decode(host.ok("show", NETWORK, "--json"), type=NetworkJson)


def test_cidrs_that_hold_no_others_are_offered_first_and_the_root_last(host: Host) -> None:
    host.ok("add-cidr", NETWORK, "kittens", "10.42.3.128/25", "--parent", "cats", "--yes")
    names = [name for name, _ in cidr_choices(network(host))]
    assert names == ["humans", "ovens", "kittens", "cats", NETWORK]


def test_only_what_can_be_deleted_is_offered_for_it(busy: Host) -> None:
    """humans and cats are associated, ovens holds a peer."""
    assert [name for name, _ in deletable(network(busy), merge=False)] == ["empty"]
    assert [name for name, _ in deletable(network(busy), merge=True)] == ["ovens", "empty"]
    for name, _ in deletable(network(busy), merge=True):
        busy.ok("delete-cidr", NETWORK, name, "--merge", "--yes")


def test_where_nothing_can_be_deleted_it_is_said(host: Host) -> None:
    screen = Screen(host, "delete-cidr", NETWORK)
    status, seen = screen.end()
    assert status == 2
    assert "no CIDR can be deleted: each that could be has CIDRs, peers or associations" in seen
    assert "--merge" in seen


def test_who_is_enabled_is_not_offered_to_be(busy: Host) -> None:
    screen = Screen(busy, "enable-peer", NETWORK)
    screen.expect(b"Peer to enable")
    screen.expect(b"lost (10.42.3.2)")
    screen.type(ENTER)
    assert 'Peer "lost" is enabled.' in screen.end()[1]


def test_a_free_address_is_filled_in_and_a_bad_path_is_said_at_once(host: Host, tmp_path: Path) -> None:
    screen = Screen(host, "add-peer", NETWORK, "--name", "nami", "--admin", "false", "--invite-expires", "14d")
    screen.expect(b"CIDR")
    screen.type(ENTER)  # humans
    screen.expect(b"10.42.128.3")  # the first that is free
    screen.type(ENTER)
    screen.expect(b"Save the invitation to")
    screen.type(b"\x15/nowhere/at/all.toml" + ENTER)
    screen.expect(b"there is no folder /nowhere/at")
    screen.type(b"\x15" + str(tmp_path / "nami.toml").encode() + ENTER)
    screen.expect(b"Add peer")
    screen.type(b"y")
    status, seen = screen.end()
    assert status == 0, seen
    assert 'Peer "nami" added with 10.42.128.3 in humans.' in seen
    assert (tmp_path / "nami.toml").exists()


@pytest.mark.parametrize(
    ("path", "said"), [("mari.toml", "one already"), ("no/x.toml", "no folder"), ("", "one already")]
)
def test_a_path_is_checked_when_it_is_given(host: Host, path: str, said: str) -> None:
    with pytest.raises(Failure, match=said):
        prompt.new_file(str(host.folder / path))
    prompt.new_file("-")
    prompt.new_file(str(host.folder / "new.toml"))


@pytest.mark.parametrize("words", [["list-peers"], ["show"], ["audit"], ["list-cidrs", "--tree"]], ids=" ".join)
def test_a_terminal_that_can_do_nothing_is_sent_no_colours(host: Host, words: list[str]) -> None:
    status, seen = Screen(host, *words, TERM="dumb").end()
    assert status == 0
    assert "\x1b" not in seen


def test_help_and_errors_have_no_colours_there_either(host: Host) -> None:
    for words in (["--help"], ["add-peer", "--help"], ["list-peers", "nosuch"]):
        assert "\x1b" not in Screen(host, *words, TERM="dumb").end()[1]


def test_an_endpoint_of_ones_own_is_proposed(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    write_config(paths, "ryo", "127.42.128.1", 1)
    document = config.load(paths).config
    document.interface.listen_port = 51999
    config.save(paths, document)
    screen = Screen(Host(tmp_path, "inn"), "override-endpoint", paths.interface)
    screen.expect(b"Find the public address out (asks 9.9.9.9)?")
    screen.type(b"n")
    screen.expect(b"0.0.0.0:51999")
    screen.type(b"\x03")
    assert screen.end()[0] == 130
