"""Config files of both programs: what may stand in them, and what is said of what may not."""

import os
from pathlib import Path

import pytest

from innclient import config
from innerd import config as coordinators
from innerd.admin.invitation import InterfaceSection, ServerSection
from innerd.config import Config, metrics_rule
from innerd.domain.values import parse_address
from innerd.failure import NOT_FOUND, USAGE, Failure
from innerd.host import toml
from tests.client.support import paths_in
from tests.world import key, private_key

CLIENTS = f"""\
[interface]
network-name = "kermpany"
address = "10.42.128.1/16"
private-key = "{private_key("ryo")}"
listen-port = 51820

[server]
public-key = "{key("coordinator")}"
external-endpoint = "192.0.2.1:51820"
internal-endpoint = "10.42.0.1:51820"

[peer-endpoint-overrides]
"10.42.128.2" = "192.168.1.9:51820"

[agent]
exclude-nat-candidates = ["192.168.0.0/16"]
write-hosts = false
"""

COORDINATORS = f"""\
private-key = "{private_key("coordinator")}"
listen-port = 51820
address = "10.42.0.1"
network-cidr-prefix = 16

[dns]
ttl = 30

[metrics]
allow = ["admins", "10.42.7.0/24"]

[names]
write-hosts = false
"""


def load_client(folder: Path, text: str) -> config.Loaded:
    paths = paths_in(folder)
    paths.config_dir.mkdir(exist_ok=True)
    paths.config.write_text(text)
    paths.config.chmod(0o600)
    return config.load(paths)


def load_coordinator(folder: Path, text: str) -> Config:
    (folder / "kermpany.toml").write_text(text)
    (folder / "kermpany.toml").chmod(0o600)
    return coordinators.load(coordinators.Paths("kermpany", folder, folder, folder))


def edited(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def test_a_client_config_says_what_it_says(tmp_path: Path) -> None:
    loaded = load_client(tmp_path, CLIENTS)
    assert loaded.values.listen_port == 51820
    assert loaded.overrides == {parse_address("10.42.128.2"): "192.168.1.9:51820"}
    assert not loaded.config.agent.write_hosts
    assert loaded.config.agent.nat_traversal
    assert loaded.config.agent.hosts_path == "/etc/hosts"


def test_a_client_file_of_innernet_is_a_config_of_ours(tmp_path: Path) -> None:
    assert load_client(tmp_path, CLIENTS[: CLIENTS.index("[agent]")]).values.private_key == private_key("ryo")


BAD_CLIENTS = [
    pytest.param(edited(CLIENTS, "write-hosts", "write-hosst"), 'unknown key "write-hosst" in [agent]', id="typo"),
    pytest.param("colour = 1\n" + CLIENTS, 'unknown key "colour"', id="an unknown key at the top"),
    pytest.param(edited(CLIENTS, "network-name", "netname"), 'unknown key "netname" in [interface]', id="interface"),
    pytest.param(CLIENTS + "[dns]\nx = 1\n", 'unknown key "dns"', id="an unknown section"),
    pytest.param(edited(CLIENTS, "51820\n\n[server]", "0\n\n[server]"), "listen-port 0", id="port 0"),
    pytest.param(edited(CLIENTS, '"10.42.128.2"', '"mari"'), "mari", id="an override for a name"),
    pytest.param(edited(CLIENTS, "192.168.1.9:51820", "192.168.1.9"), "192.168.1.9", id="an override without a port"),
    pytest.param(edited(CLIENTS, "192.168.0.0/16", "192.168"), "192.168", id="an exclusion that is no range"),
    pytest.param(edited(CLIENTS, "= false", '= "no"'), "agent.write-hosts", id="a word where yes or no belongs"),
    pytest.param(edited(CLIENTS, "[agent]", "[agent]\nmtu = 10"), "mtu", id="an MTU that nothing fits in"),
    pytest.param("[interface\n", "is not TOML", id="no TOML"),
    pytest.param(f"[interface]\nlisten-port = {'9' * 5000}\n", "is not TOML", id="a number of 5,000 digits"),
]


@pytest.mark.parametrize(("text", "says"), BAD_CLIENTS)
def test_a_bad_client_config_is_a_usage_error_that_names_file_and_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Failure) as failed:
        load_client(tmp_path, text)
    assert (failed.value.status, failed.value.code) == (USAGE, "config_invalid")
    assert says in failed.value.message
    assert str(tmp_path / "etc" / "kermpany.toml") in failed.value.message


def test_no_config_is_no_network(tmp_path: Path) -> None:
    with pytest.raises(Failure) as failed:
        config.load(paths_in(tmp_path))
    assert (failed.value.status, failed.value.code) == (NOT_FOUND, "network_not_found")
    with pytest.raises(Failure) as failed:
        coordinators.load(coordinators.Paths("kermpany", tmp_path, tmp_path, tmp_path))
    assert (failed.value.status, failed.value.code) == (NOT_FOUND, "network_not_found")


def test_a_config_made_of_an_invitation_comes_back_private(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    interface = InterfaceSection(network_name="kermpany", address="fd00::8/64", private_key=private_key("temporary"))
    server = ServerSection(
        public_key=key("coordinator"), external_endpoint="vpn.example.com:1", internal_endpoint="[fd00::1]:51820"
    )
    config.save(paths, config.document(interface, server, private_key("ryo")))
    loaded = config.load(paths)
    assert loaded.values.private_key == private_key("ryo")
    assert loaded.values.internal_port == 51820
    assert paths.config.stat().st_mode & 0o777 == 0o600
    assert paths.config_dir.stat().st_mode & 0o777 == 0o700
    assert private_key("temporary") not in paths.config.read_text()


# -- the coordinator's --------------------------------------------------------------------------------------------


def test_a_coordinators_config_says_what_it_says(tmp_path: Path) -> None:
    read = load_coordinator(tmp_path, COORDINATORS)
    assert (read.listen_port, read.address, read.network_cidr_prefix) == (51820, "10.42.0.1", 16)
    assert (read.admin_proof, read.dns.enabled, read.dns.suffix, read.dns.ttl) == ("required", True, "wg", 30)
    assert read.metrics.listen is None
    rule = metrics_rule(read.metrics)
    assert (rule.admins, rule.infra, [str(block) for block in rule.ranges]) == (True, False, ["10.42.7.0/24"])


def test_a_server_file_of_innernet_is_a_config_of_ours(tmp_path: Path) -> None:
    read = load_coordinator(tmp_path, COORDINATORS[: COORDINATORS.index("[dns]")])
    assert (read.metrics.allow, read.names.write_hosts) == (["admins", "infra"], True)


def test_a_config_does_not_show_its_key_in_a_log(tmp_path: Path) -> None:
    assert private_key("coordinator") not in repr(load_coordinator(tmp_path, COORDINATORS))


BAD_COORDINATORS = [
    pytest.param(edited(COORDINATORS, "ttl", "tttl"), 'unknown key "tttl" in [dns]', id="typo"),
    pytest.param("colour = 1\n" + COORDINATORS, 'unknown key "colour"', id="an unknown key at the top"),
    pytest.param(edited(COORDINATORS, "listen-port = 51820", "listen-port = 0"), "listen-port", id="port 0"),
    pytest.param(edited(COORDINATORS, "= 16", "= 129"), "network-cidr-prefix", id="a prefix length of no family"),
    pytest.param(edited(COORDINATORS, "= 16", "= 33"), "network-cidr-prefix", id="a prefix length of the other family"),
    pytest.param(edited(COORDINATORS, "10.42.0.1", "10.42.0"), "10.42.0", id="no address"),
    pytest.param(edited(COORDINATORS, private_key("coordinator"), "secret"), "private-key", id="no key"),
    pytest.param(edited(COORDINATORS, "ttl = 30", "ttl = -1"), "dns.ttl", id="a negative time"),
    pytest.param(edited(COORDINATORS, "ttl = 30", 'suffix = "a b"'), "suffix", id="a suffix that is no domain"),
    pytest.param(edited(COORDINATORS, "10.42.7.0/24", "everybody"), "everybody", id="nobody's word for metrics"),
    pytest.param(
        edited(COORDINATORS, "[metrics]", '[metrics]\nlisten = "9586"'), "listen", id="no address for metrics"
    ),
    pytest.param('admin-proof = "never"\n' + COORDINATORS, "admin-proof", id="no such policy"),
]


@pytest.mark.parametrize(("text", "says"), BAD_COORDINATORS)
def test_a_bad_coordinators_config_is_a_usage_error_that_names_the_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Failure) as failed:
        load_coordinator(tmp_path, text)
    assert (failed.value.status, failed.value.code) == (USAGE, "config_invalid")
    assert says in failed.value.message
    assert private_key("coordinator") not in failed.value.message


def test_what_is_not_utf8_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b'a = "\xff"')
    with pytest.raises(Failure, match="not UTF-8"):
        toml.read(tmp_path / "x.toml", Config)


LINES = [
    pytest.param("colour = 1\n" + COORDINATORS, 1, id="an unknown key at the top"),
    pytest.param(edited(COORDINATORS, "ttl", "tttl"), 7, id="a typo in a section"),
    pytest.param(edited(COORDINATORS, "ttl = 30", "ttl = -1"), 7, id="a value out of range"),
    pytest.param(edited(COORDINATORS, "listen-port = 51820", 'listen-port = "x"'), 2, id="a value of another type"),
    pytest.param(edited(COORDINATORS, '"admins", ', "7, "), 10, id="one of a list"),
    pytest.param(COORDINATORS + "[dsn]\nttl = 1\n", 14, id="an unknown section"),
    pytest.param(edited(COORDINATORS, "ttl = 30", "ttl ="), 7, id="no TOML"),
]


@pytest.mark.parametrize(("text", "line"), LINES)
def test_what_is_wrong_in_a_config_is_said_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(Failure) as failed:
        load_coordinator(tmp_path, text.lstrip("\n"))
    assert f"line {line}" in failed.value.message


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_config_that_others_may_read_or_write_is_refused_with_the_fix(tmp_path: Path, mode: int) -> None:
    paths = paths_in(tmp_path)
    load_client(tmp_path, CLIENTS)
    load_coordinator(tmp_path, COORDINATORS)
    there = coordinators.Paths("kermpany", tmp_path, tmp_path, tmp_path)
    for path, load in ((paths.config, lambda: config.load(paths)), (there.config, lambda: coordinators.load(there))):
        path.chmod(mode)
        with pytest.raises(Failure) as failed:
            load()
        assert (failed.value.status, failed.value.code) == (USAGE, "config_mode")
        assert failed.value.hint == f"chmod go= {path}"


def test_a_config_of_another_user_is_refused_with_the_fix(tmp_path: Path) -> None:
    load_coordinator(tmp_path, COORDINATORS)
    os.chown(tmp_path / "kermpany.toml", 4711, 0)
    with pytest.raises(Failure) as failed:
        coordinators.load(coordinators.Paths("kermpany", tmp_path, tmp_path, tmp_path))
    assert (failed.value.code, failed.value.hint) == ("config_mode", f"chown root {tmp_path}/kermpany.toml")
