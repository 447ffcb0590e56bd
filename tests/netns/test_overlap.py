"""A host that has something of its own where a network's range is: it joins with leave only, is told what it would
lose, and is told so later too."""

import json
from collections.abc import Callable

import pytest

from tests.netns import steps
from tests.netns.conftest import Kermpany
from tests.netns.lab import Host, Lab
from tests.netns.steps import NETWORK

LAN = "ip link add lan type veth peer name plug; ip addr add {} dev lan; ip link set plug up; ip link set lan up"
NO_LAN = "ip link del lan"
RESOLVER = "echo nameserver 10.42.0.53 > /etc/resolv.conf"
# What is done to the host, what undoes it, what is said of it.
OWN = {
    "a LAN inside": (LAN.format("10.42.7.5/24"), NO_LAN, "10.42.7.0/24 is reached by lan: packets for peers there"),
    "a LAN that is the same": (LAN.format("10.42.0.5/16"), NO_LAN, "10.42.0.0/16, which is reached by lan now, is cut"),
    "a LAN around": (LAN.format("10.0.0.5/8"), NO_LAN, "a part of 10.0.0.0/8 which is reached by lan now, is cut off"),
    "an address": (LAN.format("10.42.9.9/32"), NO_LAN, "lan has the address 10.42.9.9"),
    "a route to one address": (
        f"{LAN.format('10.98.0.1/24')}; ip route add 10.42.0.1/32 via 10.98.0.2",
        NO_LAN,
        "10.42.0.1/32 is reached by lan: packets for peers there leave beside the tunnel",
    ),
    "a route of another table": (
        f"{LAN.format('10.98.0.1/24')}; ip route add 10.42.64.0/24 via 10.98.0.2 table 52",
        NO_LAN,
        "10.42.64.0/24 is reached by lan",
    ),
    "a resolver": (
        RESOLVER,
        ": > /etc/resolv.conf",
        "the resolver 10.42.0.53 of this host is looked for in the tunnel",
    ),
}
SSH = ("env", "SSH_CONNECTION=10.42.3.4 50000 10.42.9.9 22", "sh", "-c")
NO_SSH = ("sh", "-c")


@pytest.fixture(scope="module")
def made(make_lab: Callable[[], Lab]) -> Kermpany:
    made = Kermpany(make_lab(), 4)
    made.begin()
    made.lab.host("mari")
    return made


@pytest.fixture(scope="module")
def file(made: Kermpany) -> str:
    return steps.hand_over(made.hosts["mari"], steps.invite(made.coordinator, "innerd", "mari", "humans"))


def refused(host: Host, file: str, said: str, shell: tuple[str, ...] = NO_SSH) -> None:
    """Install ends with what would be lost, and leaves nothing."""
    done = host.ask(*shell, f"inn install {file} --name {NETWORK}; exit $?")
    assert done.returncode == 3, done.stderr
    assert said in done.stderr
    assert "[range_in_use]" in done.stderr
    assert not host.path(f"/etc/inn/{NETWORK}.toml").exists()
    assert host.ask("ip", "link", "show", NETWORK).returncode != 0


@pytest.mark.parametrize(("hurt", "heal", "said"), OWN.values(), ids=OWN)
def test_an_invitation_takes_nothing_that_a_host_has(
    made: Kermpany, file: str, hurt: str, heal: str, said: str
) -> None:
    mari = made.hosts["mari"]
    mari.run("sh", "-ec", hurt)
    refused(mari, file, said)
    mari.run("sh", "-ec", heal)


def test_an_invitation_does_not_cut_who_is_connected(made: Kermpany, file: str) -> None:
    refused(made.hosts["mari"], file, "the SSH connection from 10.42.3.4 is cut", SSH)


@pytest.mark.parametrize(("hurt", "heal", "said"), OWN.values(), ids=OWN)
def test_a_new_network_takes_nothing_that_its_host_has(made: Kermpany, hurt: str, heal: str, said: str) -> None:
    mari = made.hosts["mari"]
    mari.run("sh", "-ec", hurt)
    new = ("innerd", "new", "--network-name", "other", "--network-cidr", "10.42.0.0/16", "--listen-port", "51999")
    done = mari.ask(*new, "--external-endpoint", "192.0.2.1:51999")
    assert (done.returncode, said in done.stderr) == (3, True), done.stderr
    assert not mari.path("/etc/innerd/other.toml").exists()
    mari.run("sh", "-ec", heal)


def told(host: Host) -> tuple[set[str], list[str]]:
    """What doctor and status say of the range."""
    checks = json.loads(host.run("inn", "doctor", "--json", status=None))["checks"]
    warned = {check["text"] for check in checks if check["check"] == "range" and check["state"] == "warning"}
    overlaps = steps.status(host)["overlaps"]
    lines = [line for line in host.run("inn", "status", NETWORK).splitlines() if line.startswith("  RANGE: ")]
    assert lines == [f"  RANGE: {sentence}" for sentence in overlaps]
    return warned, overlaps


def test_with_leave_it_joins_and_what_overlaps_is_named_from_then_on(made: Kermpany, file: str) -> None:
    mari = made.hosts["mari"]
    hurt, heal, said = OWN["a LAN inside"]
    mari.run("sh", "-ec", hurt)
    mari.run("inn", "install", file, "--name", NETWORK, "--accept-overlap")
    for _ in ("from its files", "by its agent"):
        warned, overlaps = told(mari)
        assert [said in text for text in warned] == [said in text for text in overlaps] == [True]
        if not mari.path(f"/run/inn/{NETWORK}.sock").exists():
            steps.agent(mari)
    as_nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    assert said in mari.run(*as_nobody, "inn", "status", NETWORK)
    mari.run("sh", "-ec", heal)
    assert told(mari) == (set(), [])
    mari.run("sh", "-ec", f"{RESOLVER}; echo nameserver 10.42.0.1 >> /etc/resolv.conf")
    warned, overlaps = told(mari)
    assert len(overlaps) == 1, "the coordinator is a peer, and may be a resolver"
    assert "10.42.0.53" in overlaps[0]
