"""An invitation is a file from somebody else: it takes a network of its own from a host, and nothing of a terminal."""

import os
import threading
from pathlib import Path

import pytest

from innclient import config
from innerd.admin import invitation
from innerd.failure import INVITATION, USAGE, Failure
from tests.client.commands import Host
from tests.client.support import paths_in
from tests.world import key, private_key

GOOD = f"""\
[interface]
network-name = "kermpany"
address = "10.66.1.5/16"
private-key = "{private_key("temporary")}"

[server]
public-key = "{key("coordinator")}"
external-endpoint = "vpn.example.com:51820"
internal-endpoint = "10.66.0.1:51820"
"""
V6 = GOOD.replace("10.66.1.5/16", "fd42:0:1::8/64").replace("10.66.0.1:51820", "[fd42:0:1::1]:51820")
ESCAPES = "\\u001b]0;owned\\u0007\\u009b2J\\u202egpj"  # as TOML spells them
DEEP = "x = " + "[" * 100_000
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="inn install needs root")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "invitation.toml"


def edited(old: str, new: str, text: str = GOOD) -> str:
    assert old in text
    return text.replace(old, new)


def refused(file: Path) -> Failure:
    with pytest.raises(Failure) as failed:
        invitation.read(file)
    assert (failed.value.status, failed.value.code) == (INVITATION, "invitation_unreadable")
    return failed.value


BAD = {
    "half of all addresses": edited("10.66.1.5/16", "10.66.1.5/1"),
    "all addresses": edited("10.66.1.5/16", "10.66.1.5/0"),
    "wider than 10.0.0.0/8": edited("10.66.1.5/16", "10.66.1.5/7"),
    "all addresses of IPv6": edited("fd42:0:1::8/64", "fd42:0:1::8/0", V6),
    "wider than a provider": edited("fd42:0:1::8/64", "fd42:0:1::8/31", V6),
    "a coordinator elsewhere": edited("10.66.0.1:51820", "192.0.2.9:51820"),
    "a coordinator beside": edited("10.66.0.1:51820", "10.67.0.0:51820"),
    "a coordinator on this host": edited("10.66.0.1:51820", "127.0.0.1:51820"),
    "a coordinator elsewhere in IPv6": edited("[fd42:0:1::1]", "[2001:db8::1]", V6),
    "a coordinator that is oneself": edited("10.66.0.1:51820", "10.66.1.5:51820"),
    "a coordinator that is oneself in IPv6": edited("[fd42:0:1::1]", "[fd42:0:1::8]", V6),
}


def not_loaded(folder: Path, text: str) -> None:
    """A config of the same text is refused too."""
    paths = paths_in(folder)
    paths.config.parent.mkdir()
    paths.config.write_text(text)
    paths.config.chmod(0o600)
    with pytest.raises(Failure) as failed:
        config.load(paths)
    assert (failed.value.status, failed.value.code) == (USAGE, "config_invalid")


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_an_invitation_into_what_is_no_network_of_its_own_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    refused(file)
    not_loaded(file.parent, text)


WIDEST = {"IPv4": edited("/16", "/8"), "IPv6": edited("/64", "/32", V6), "narrow": edited("/16", "/23")}


@pytest.mark.parametrize("text", WIDEST.values(), ids=WIDEST)
def test_a_network_may_be_as_wide_as_private_ranges_are(file: Path, text: str) -> None:
    file.write_text(text)
    assert str(invitation.read(file)[1].address) in text


def is_plain(text: str) -> bool:
    return all(sign.isprintable() or sign == "\n" for sign in text)


SPEAKING = {
    "its address": edited("10.66.1.5/16", f"{ESCAPES}/16"),
    "an address without prefix": edited("10.66.1.5/16", ESCAPES),
    "its prefix length": edited("10.66.1.5/16", f"10.66.1.5/{ESCAPES}"),
    "the coordinator's address": edited("10.66.0.1:51820", f"{ESCAPES}:51820"),
    "the coordinator's port": edited("10.66.0.1:51820", f"10.66.0.1:{ESCAPES}"),
    "the endpoint": edited("vpn.example.com", ESCAPES),
    "a key": edited(key("coordinator"), ESCAPES),
    "the network's name": edited("kermpany", ESCAPES),
}


@as_root
@pytest.mark.parametrize("text", SPEAKING.values(), ids=SPEAKING)
def test_what_an_invitation_says_reaches_no_terminal_raw(file: Path, text: str, tmp_path: Path) -> None:
    file.write_text(text)
    done = Host(tmp_path, "inn")("install", str(file), "--default-name")
    assert (done.status, done.out) in ((INVITATION, ""), (USAGE, ""))
    assert "error: " in done.err
    assert is_plain(done.err)


@pytest.mark.parametrize("place", ["its address", "the coordinator's address", "the coordinator's port"])
def test_a_message_is_escaped_where_it_is_made(file: Path, place: str) -> None:
    """It goes into logs and JSON too."""
    file.write_text(SPEAKING[place])
    message = refused(file).message
    assert is_plain(message)
    assert "\\x1b]0;owned" in message


def said(*lines: str) -> str:
    return edited('network-name = "kermpany"', "\n".join(['network-name = "kermpany"', *lines]))


GREEDY = {
    "somebody's range": (GOOD.replace("10.66.", "8.8."), "range_public", 3),
    "somebody's range in IPv6": (V6.replace("fd42:", "2001:"), "range_public", 3),
    "the loopback": (GOOD.replace("10.66.", "127.66."), "invalid_range", 2),
    "link-local addresses": (GOOD.replace("10.66.", "169.254."), "invalid_range", 2),
    "multicast": (GOOD.replace("10.66.", "224.66."), "invalid_range", 2),
    "somebody's names": (said('suffix = "com"'), "suffix_public", 3),
    "a suffix that is none": (said('suffix = "a b"'), "invitation_unreadable", INVITATION),
    "the coordinator in its own tunnel": (edited("vpn.example.com", "10.66.9.9"), "range_in_use", 3),
}


@as_root
@pytest.mark.parametrize(("text", "code", "status"), GREEDY.values(), ids=GREEDY)
def test_an_invitation_gets_nothing_of_others_without_leave(
    file: Path, text: str, code: str, status: int, tmp_path: Path
) -> None:
    file.write_text(text)
    host = Host(tmp_path, "inn")
    assert host.refused("install", str(file), "--name", "greedy") == (status, code)
    assert not host.etc.exists()
    assert not host.lib.exists()


@as_root
def test_names_of_another_network_of_this_host_need_leave(file: Path, tmp_path: Path) -> None:
    host, other = Host(tmp_path, "inn"), paths_in(tmp_path, "other")
    other.config_dir.mkdir()
    other.config.write_text(GOOD.replace("10.66.", "10.77."))
    other.config.chmod(0o600)
    file.write_text(GOOD)
    done = host("install", str(file), "--name", "greedy")
    assert (done.status, done.code) == (3, "range_in_use")
    assert 'names of the network "other" end in kermpany.wg too' in done.err


def test_a_file_as_deep_as_a_well_is_no_invitation(file: Path) -> None:
    file.write_text(DEEP)
    refused(file)


def test_a_config_as_deep_as_a_well_is_none(tmp_path: Path) -> None:
    not_loaded(tmp_path, DEEP)


def test_a_folder_is_no_invitation(tmp_path: Path) -> None:
    assert str(tmp_path) in refused(tmp_path).message


@pytest.mark.parametrize("text", ["", "\0", GOOD[:99]], ids=["nothing", "a zero byte", "half"])
def test_a_pipe_is_read_as_a_file_is(file: Path, text: str) -> None:
    os.mkfifo(file)
    writing = threading.Thread(target=file.write_text, args=(text,))
    writing.start()
    refused(file)
    writing.join()
