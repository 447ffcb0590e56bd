"""Which addresses of a host are told first, and who counts as near: a host with containers has bridges, numbered before
its LAN's link or behind it, and other hosts have the same ones."""

import json
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from tests.netns.lab import Host

pytestmark = pytest.mark.netns

ASKS = """
import json
from innerd.wireguard.links import host_addresses, host_networks
print(json.dumps([[str(one) for one in host_addresses()], [str(one) for one in host_networks()]]))
"""
LAN = "192.168.1.7"


@pytest.fixture
def host() -> Iterator[Host]:
    """Twelve bridges before the LAN's link: one has a container's end in it, the others nothing."""
    made = Host("docker", 1)
    for number in range(12):
        made.run("ip", "link", "add", f"br-{number}", "type", "bridge")
        made.run("ip", "addr", "add", f"172.{17 + number}.0.1/16", "dev", f"br-{number}")
        made.run("ip", "link", "set", f"br-{number}", "up")
    made.run("ip", "link", "add", "container", "type", "veth", "peer", "name", "inside")
    made.run("ip", "link", "set", "container", "master", "br-3", "up")
    made.run("ip", "link", "set", "inside", "up")
    for number, address in ((1, "10.9.9.9"), (0, LAN)):  # the LAN's last
        made.run("ip", "link", "add", f"eth{number}", "type", "veth", "peer", "name", f"switch{number}")
        made.run("ip", "link", "set", f"switch{number}", "up")
        made.run("ip", "link", "set", f"eth{number}", "up")
        made.run("ip", "addr", "add", f"{address}/24", "dev", f"eth{number}")
    made.run("ip", "route", "add", "default", "via", "192.168.1.1")
    yield made
    made.end()


def asked(host: Host) -> tuple[list[str], list[str]]:
    addresses, networks = json.loads(host.run("python", "-c", ASKS))
    return addresses, networks


def test_the_lan_is_told_first_and_bridges_last(host: Host) -> None:
    addresses, _ = asked(host)
    assert addresses[:2] == [LAN, "10.9.9.9"]
    assert all(ip_address(one) in ip_network("172.16.0.0/12") for one in addresses[2:])


def test_who_has_the_same_bridge_is_not_near(host: Host) -> None:
    assert asked(host)[1] == ["192.168.1.0/24", "10.9.9.0/24"]


def test_a_bridge_by_which_the_internet_is_reached_is_the_lan(host: Host) -> None:
    host.run("ip", "link", "set", "eth0", "master", "br-5")
    host.run("ip", "route", "replace", "default", "via", "172.22.0.9")
    addresses, networks = asked(host)
    assert (addresses[0], networks[0]) == ("172.22.0.1", "172.22.0.0/16")
