"""`innerd new` and `innerd uninstall`: private files, all or nothing, and nothing written over."""

import os
from pathlib import Path

import pytest

from tests.client.commands import Host
from tests.client.conftest import NETWORK

GOOD = {
    "--network-name": NETWORK,
    "--network-cidr": "10.42.0.0/16",
    "--external-endpoint": "192.0.2.1:51820",
    "--listen-port": "51820",
}


def flags(**changes: str | None) -> list[str]:
    given = GOOD | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    return [part for name, value in given.items() if value is not None for part in (name, value)]


@pytest.fixture
def empty(tmp_path: Path) -> Host:
    return Host(tmp_path, "innerd")


def files(host: Host) -> set[str]:
    return {str(path.relative_to(host.folder)) for path in host.folder.rglob("*") if path.is_file()}


def test_a_new_network_has_its_coordinator_its_root_and_the_infra_cidr(empty: Host) -> None:
    assert "10.42.0.1" in empty.ok("new", *flags())
    network = empty.json("show", NETWORK)
    assert [(cidr["id"], cidr["name"], cidr["cidr"]) for cidr in network["cidrs"]] == [
        (1, NETWORK, "10.42.0.0/16"),
        (2, "innernet-server", "10.42.0.1/32"),
    ]
    assert [(p["id"], p["name"], p["ip"], p["endpoint"]) for p in network["peers"]] == [
        (1, "innernet-server", "10.42.0.1", "192.0.2.1:51820")
    ]


def test_a_network_of_ipv6_is_one_too(empty: Host) -> None:
    made = empty.json("new", *flags(network_cidr="fd00:42::/64", external_endpoint="[2001:db8::1]:443"))
    assert made["network"]["address"] == "fd00:42::1"
    assert made["network"]["endpoint"] == "[2001:db8::1]:443"


def test_what_is_made_is_told_in_json(empty: Host) -> None:
    made = empty.json("new", *flags())
    assert made["network"] == {
        "name": NETWORK,
        "cidr": "10.42.0.0/16",
        "endpoint": "192.0.2.1:51820",
        "address": "10.42.0.1",
    }
    assert Path(made["config"]).exists()
    assert Path(made["database"]).exists()


def test_files_with_keys_are_private_whatever_the_umask(empty: Host) -> None:
    before = os.umask(0)
    try:
        empty.ok("new", *flags())
    finally:
        os.umask(before)
    modes = {p.name: p.stat().st_mode & 0o777 for p in empty.folder.rglob("*")}
    assert modes["etc"] == modes["lib"] == 0o700
    assert modes[f"{NETWORK}.toml"] == 0o600
    assert {mode for name, mode in modes.items() if ".db" in name} == {0o600}


def test_an_existing_network_is_not_touched(empty: Host) -> None:
    empty.ok("new", *flags())
    config = empty.etc / f"{NETWORK}.toml"
    before = (config.read_bytes(), empty.json("list-cidrs", NETWORK))
    assert empty.refused("new", *flags(network_cidr="10.43.0.0/16")) == (3, "network_exists")
    assert (config.read_bytes(), empty.json("list-cidrs", NETWORK)) == before


@pytest.mark.parametrize("leftover", ["etc/ferment.toml", "lib/ferment.db"])
def test_half_a_network_is_not_written_over_either(empty: Host, leftover: str) -> None:
    path = empty.folder / leftover
    path.parent.mkdir()
    path.write_bytes(b"precious")
    assert empty.refused("new", *flags()) == (3, "network_exists")
    assert path.read_bytes() == b"precious"
    assert files(empty) == {leftover}


BAD = [
    pytest.param({"network_name": "Kermpany"}, "invalid_name", id="upper case"),
    pytest.param({"network_name": "../kermpany"}, "invalid_name", id="a path"),
    pytest.param({"network_name": "a-name-that-is-too-long"}, "invalid_name", id="no interface has so long a name"),
    pytest.param({"network_cidr": "10.42.0.0"}, "invalid_range", id="no prefix length"),
    pytest.param({"network_cidr": "10.42.0.5/16"}, "invalid_range", id="host bits"),
    pytest.param({"network_cidr": "fd00::5/64"}, "invalid_range", id="host bits of IPv6"),
    pytest.param({"network_cidr": "10.42.0.0/31"}, "invalid_range", id="too small"),
    pytest.param({"network_cidr": "10.42.0.0/33"}, "invalid_range", id="too long"),
    pytest.param({"listen_port": "0"}, "usage", id="port 0"),
    pytest.param({"listen_port": "65536"}, "usage", id="a port too large"),
    pytest.param({"listen_port": "wg"}, "usage", id="a port that is a word"),
    pytest.param({"network_cidr": "224.0.0.0/8"}, "invalid_range", id="multicast"),
    pytest.param({"network_cidr": "0.0.0.0/0"}, "invalid_range", id="everything"),
    pytest.param({"network_cidr": "127.42.0.0/16"}, "invalid_range", id="the loopback"),
    pytest.param({"network_cidr": "169.254.0.0/16"}, "invalid_range", id="link-local"),
    pytest.param({"external_endpoint": "10.42.0.1:51820"}, "invalid_endpoint", id="an endpoint in the network"),
    pytest.param({"external_endpoint": "192.0.2.1"}, "invalid_endpoint", id="an endpoint without a port"),
    pytest.param({"external_endpoint": "192.0.2.1:99999"}, "invalid_endpoint", id="an endpoint's port too large"),
    pytest.param({"external_endpoint": "a b:1"}, "invalid_endpoint", id="an endpoint with a blank"),
]


@pytest.mark.parametrize(("changes", "code"), BAD)
def test_a_value_that_is_none_is_a_usage_error_and_nothing_is_made(
    empty: Host, changes: dict[str, str], code: str
) -> None:
    assert empty.refused("new", *flags(**changes)) == (2, code)
    assert files(empty) == set()


def test_a_range_of_others_needs_leave(empty: Host) -> None:
    assert empty.refused("new", *flags(network_cidr="8.8.0.0/16")) == (3, "range_public")
    assert files(empty) == set()
    empty.ok("new", *flags(network_cidr="8.8.0.0/16"), "--public-range")


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"network_cidr": "10.0.0.0/8", "listen_port": "51821"}, "10.42.0.0/16"),
        ({"network_cidr": "10.42.7.0/24", "listen_port": "51821"}, "10.42.0.0/16"),
        ({"network_cidr": "10.43.0.0/16"}, "UDP port 51820"),
    ],
    ids=["a range around", "a range within", "the port"],
)
def test_what_another_network_of_this_host_has_needs_leave(empty: Host, changes: dict[str, str], names: str) -> None:
    empty.ok("new", *flags())
    other = flags(network_name="other", external_endpoint="192.0.2.1:51820", **changes)
    done = empty("new", *other)
    assert (done.status, done.code) == (3, "range_in_use")
    assert f'the network "{NETWORK}" has' in done.err
    assert names in done.err
    assert not any("other" in file for file in files(empty))
    empty.ok("new", *other, "--accept-overlap")


@pytest.mark.parametrize("flag", ["network-name", "network-cidr", "listen-port", "external-endpoint"])
def test_without_a_terminal_a_missing_flag_is_named(empty: Host, flag: str) -> None:
    done = empty("new", *flags(**{flag.replace("-", "_"): None}))
    assert (done.status, done.code) == (2, "missing_flag")
    assert f"--{flag}" in done.err
    assert files(empty) == set()


def test_two_ways_to_an_endpoint_exclude_each_other(empty: Host) -> None:
    assert empty.refused("new", *flags(), "--auto-external-endpoint") == (2, "usage")


def test_a_config_that_cannot_be_written_leaves_no_database_behind(empty: Host) -> None:
    (empty.folder / "file").write_bytes(b"")
    empty.etc = empty.folder / "file" / "etc"  # no folder can be made there
    assert empty.refused("new", *flags())[0] == 6
    assert files(empty) == {"file"}


# -- uninstall ------------------------------------------------------------------------------------------------------


def installed(host: Host) -> Path:
    """A network whose names go to a hosts file of the test."""
    hosts = host.folder / "hosts"
    block = f"# DO NOT EDIT innernet {NETWORK} BEGIN\n10.42.0.1 x\n# DO NOT EDIT innernet {NETWORK} END\n"
    hosts.write_text(f"127.0.0.1 localhost\n\n{block}")
    with (host.etc / f"{NETWORK}.toml").open("a") as config:
        config.write(f'\n[names]\nhosts-path = "{hosts}"\n')
    return hosts


def test_uninstall_takes_files_and_names_away(host: Host) -> None:
    hosts = installed(host)
    host.ok("uninstall", NETWORK, "--yes")
    assert list(host.etc.iterdir()) == list(host.lib.iterdir()) == []
    assert hosts.read_text() == "127.0.0.1 localhost\n"
    assert host.refused("uninstall", NETWORK, "--yes") == (4, "network_not_found")


def test_uninstall_finishes_what_can_be_done_where_the_hosts_file_is_broken(host: Host) -> None:
    hosts = installed(host)
    hosts.write_text(f"127.0.0.1 localhost\n# DO NOT EDIT innernet {NETWORK} BEGIN\n")
    assert host.refused("uninstall", NETWORK, "--yes") == (6, "hosts_markers")
    assert list(host.etc.iterdir()) == list(host.lib.iterdir()) == []


def test_uninstall_asks_first_and_without_a_terminal_does_nothing(host: Host) -> None:
    installed(host)
    done = host("uninstall", NETWORK)
    assert (done.status, done.code) == (2, "missing_flag")
    assert "--yes" in done.err
    assert host.json("list-peers", NETWORK)["peers"]
