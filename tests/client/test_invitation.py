"""Invitations: innernet's own file is read, ours comes back as written, and anything else ends with status 8."""

import os
from pathlib import Path

import pytest

from innerd.admin import invitation
from innerd.admin.invitation import InterfaceSection, Invitation, ServerSection
from innerd.failure import INVITATION, Failure
from tests.client.commands import Host
from tests.world import key, private_key

INNERNETS = f"""\
# This is an invitation file to an innernet network.
#
# To join, you must install innernet.
# See https://github.com/tonarino/innernet for instructions.
#
# If you have innernet, just run:
#
#   innernet install <this file>
#
# Don't edit the contents below unless you love chaos and dysfunction.
[interface]
network-name = "evilcorp"
address = "10.66.1.5/16"
private-key = "{private_key("temporary")}"

[server]
public-key = "{key("coordinator")}"
external-endpoint = "vpn.example.com:51820"
internal-endpoint = "10.66.0.1:51820"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "invitation.toml"


def test_an_invitation_of_innernet_is_read(file: Path) -> None:
    file.write_text(INNERNETS)
    invited, values = invitation.read(file)
    assert invited.interface.network_name == "evilcorp"
    assert (str(values.address), values.private_key) == ("10.66.1.5/16", private_key("temporary"))
    assert (values.server_key, values.external) == (key("coordinator"), "vpn.example.com:51820")
    assert (str(values.internal_address), values.internal_port) == ("10.66.0.1", 51820)
    assert values.listen_port is None


def test_unknown_keys_and_the_extras_of_a_client_file_are_no_trouble(file: Path) -> None:
    more = INNERNETS.replace("[server]", 'listen-port = 51999\ncolour = "red"\n\n[server]')
    file.write_text(more + '\n[peer-endpoint-overrides]\n"10.66.1.9" = "192.168.1.9:51820"\n')
    assert invitation.read(file)[1].listen_port == 51999


@pytest.mark.parametrize(
    ("address", "internal", "external"),
    [
        pytest.param("10.42.128.1/16", "10.42.0.1:51820", "192.0.2.1:51820", id="IPv4"),
        pytest.param("fd00:42::8/64", "[fd00:42::1]:51820", "[2001:db8::1]:443", id="IPv6"),
        pytest.param("fd00:42::8/64", "[fd00:42::1]:1", "vpn.example.com:65535", id="a domain"),
    ],
)
def test_what_is_written_comes_back(file: Path, address: str, internal: str, external: str) -> None:
    made = Invitation(
        interface=InterfaceSection(network_name="kermpany", address=address, private_key=private_key("temporary")),
        server=ServerSection(public_key=key("coordinator"), external_endpoint=external, internal_endpoint=internal),
    )
    file.write_bytes(invitation.write(made, 1_790_000_000))
    read, values = invitation.read(file)
    assert read == made
    assert str(values.address) == address
    assert f"{values.internal_address}" in internal


def test_a_written_invitation_is_one_that_innernet_reads(file: Path) -> None:
    made = invitation.read(_written(file, INNERNETS))[0]
    lines = invitation.write(made, 1_790_000_000).decode().splitlines()
    assert lines[0] == "# This is an invitation file to an innernet network."
    assert all(line.startswith("#") for line in lines[: lines.index("[interface]")])
    assert not any(line.startswith("listen-port") for line in lines)
    assert any("2026-09-21 14:13 UTC" in line for line in lines)  # for people


def _written(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def edited(old: str, new: str) -> str:
    assert old in INNERNETS
    return INNERNETS.replace(old, new)


BAD = [
    pytest.param(INNERNETS[: INNERNETS.index("[server]") + 30], id="torn"),
    pytest.param("", id="empty"),
    pytest.param("<html>404</html>", id="no TOML"),
    pytest.param(b"\xff\xfe" + INNERNETS.encode("utf-16-le"), id="another encoding"),
    pytest.param(edited('address = "10.66.1.5/16"\n', ""), id="no address"),
    pytest.param(edited("10.66.1.5/16", "10.66.1.5"), id="an address without its prefix length"),
    pytest.param(edited("10.66.1.5/16", "10.66.1.5/33"), id="a prefix length too long"),
    pytest.param(edited("10.66.1.5/16", "10.66.1.555/16"), id="no address at all"),
    pytest.param(edited(private_key("temporary"), private_key("temporary")[:20]), id="half a private key"),
    pytest.param(edited(key("coordinator"), "A" * 43 + "="), id="the zero key"),
    pytest.param(edited("vpn.example.com:51820", "vpn.example.com"), id="no port"),
    pytest.param(edited("vpn.example.com:51820", "vpn\\nexample.com:51820"), id="a newline in a host"),
    pytest.param(edited("10.66.0.1:51820", "coordinator:51820"), id="a name inside the tunnel"),
    pytest.param(edited("10.66.0.1:51820", "10.66.0.1"), id="no port inside the tunnel"),
    pytest.param(edited("10.66.0.1:51820", "10.66.0.1:0"), id="port 0 inside the tunnel"),
    pytest.param(edited("10.66.0.1:51820", "10.66.0.1:http"), id="a port that is a word"),
    pytest.param(edited("10.66.1.5/16", "fd00::8/64"), id="two address families"),
    pytest.param(edited("[server]", "listen-port = 0\n[server]"), id="listen port 0"),
    pytest.param(edited("[server]", "listen-port = 70000\n[server]"), id="a listen port too large"),
]


@pytest.mark.parametrize("text", BAD)
def test_an_invitation_that_is_none_ends_with_status_8(file: Path, text: str | bytes) -> None:
    with pytest.raises(Failure) as failed:
        invitation.read(_written(file, text))
    assert (failed.value.status, failed.value.code) == (INVITATION, "invitation_unreadable")
    assert str(file) in failed.value.message


def test_an_invitation_that_is_not_there_ends_with_status_8(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(Failure) as failed:
            invitation.read(path)
        assert failed.value.status == INVITATION


def test_no_error_shows_the_private_key(file: Path) -> None:
    with pytest.raises(Failure) as failed:
        invitation.read(_written(file, edited(private_key("temporary"), private_key("temporary")[:-4])))
    assert private_key("temporary")[:20] not in failed.value.message


def test_what_is_wrong_with_an_invitation_is_told_to_who_is_not_root_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torn.toml").write_text("[interface]\nnetwork-na")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for name in ("torn.toml", "nosuch.toml"):
        done = Host(tmp_path, "inn")("install", str(tmp_path / name), "--default-name")
        assert (done.status, done.code) == (8, "invitation_unreadable")
