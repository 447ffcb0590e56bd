"""What a host does to a relay: links that come and go, rules that go, no nftables; and what strangers send it."""

import signal
import sys
from collections.abc import Iterator

import pytest

from tests.netns import steps
from tests.netns.lab import wait_for
from tests.netns.nat import internet, reboot, wire
from tests.netns.sites import Sites
from tests.netns.steps import NETWORK
from tests.netns.test_relay import A_SECOND, ONE, OTHER, pings, relay, way

# Handshakes to nobody, such as a peer could not have sent, data without a session, and bytes that are none of these.
_FLOOD = """
import os, random, socket, sys
target, count = (sys.argv[1], 51820), int(sys.argv[2])
kinds = [b"\\1\\0\\0\\0" + os.urandom(144), b"\\2\\0\\0\\0" + os.urandom(88), b"\\3\\0\\0\\0" + os.urandom(60),
         b"\\4\\0\\0\\0" + os.urandom(1400), b"\\4\\0\\0\\0", b"\\1\\0\\0\\0" + os.urandom(10), os.urandom(200), b""]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
    for number in range(count):
        out.sendto(kinds[number % len(kinds)], target)
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Sites]:
    with internet() as net:
        sites = Sites(net)
        sites.join([ONE, OTHER, "public-c"])
        sites.associate(ONE, OTHER)
        yield sites


@pytest.fixture
def sites(made: Sites) -> Sites:
    made.reaches(ONE, OTHER, 60)
    made.reaches(OTHER, ONE, 60)
    wait_for(lambda: way(made)["path"] == "relayed", "the pair to be relayed")
    return made


def test_a_flood_of_strangers_costs_a_pair_nothing(sites: Sites) -> None:
    stranger = sites.net.public("stranger")
    packets = relay(sites)["packets"]
    with pings(sites) as ping:
        for sender in (stranger, sites.hosts["public-c"]):  # a peer that sees neither of the two
            sender.run(sys.executable, "-c", _FLOOD, sites.coordinator.address, "40000", timeout=120)
        ping.goes_on()
        assert len(ping.lost()) <= 1
        sent = ping.sent()
    assert relay(sites)["packets"] - packets <= 3 * sent, "nothing of it was forwarded"
    assert relay(sites)["pairs"] == 1
    other = sites.hosts[OTHER]
    steps.kill(other, f"inn up -d {NETWORK}", signal.SIGTERM)
    other.run("inn", "down", NETWORK)
    steps.agent(other)
    sites.reaches(ONE, OTHER, 60)


def test_a_link_that_is_renamed_is_found_again(sites: Sites) -> None:
    coordinator = sites.coordinator
    routes = [coordinator.run("ip", version, "route", "show", "default").split() for version in ("-4", "-6")]
    addresses6 = f"{coordinator.address6}/64"
    with pings(sites) as ping:
        coordinator.run("ip", "link", "set", "eth0", "down")
        coordinator.run("ip", "link", "set", "eth0", "name", "uplink")
        coordinator.run("ip", "link", "set", "uplink", "up")
        coordinator.run("ip", "addr", "replace", addresses6, "dev", "uplink", "nodad")
        for version, route in zip(("-4", "-6"), routes, strict=True):
            coordinator.run("ip", version, "route", "replace", "default", "via", route[2], "dev", "uplink")
        ping.goes_on(60)
    wait_for(lambda: 'device "uplink"' in coordinator.run("nft", "list", "ruleset"), "the rules to be on it")
    coordinator.run("ip", "link", "set", "uplink", "down")
    coordinator.run("ip", "link", "set", "uplink", "name", "eth0")
    coordinator.run("ip", "link", "set", "eth0", "up")
    coordinator.run("ip", "addr", "replace", addresses6, "dev", "eth0", "nodad")
    for version, route in zip(("-4", "-6"), routes, strict=True):
        coordinator.run("ip", version, "route", "replace", "default", "via", route[2], "dev", "eth0")


def test_of_two_uplinks_each_peer_is_reached_by_its_own(sites: Sites) -> None:
    coordinator, router = sites.coordinator, sites.net.router
    wire(router, "second", coordinator, "eth1")
    router.run("ip", "addr", "add", "198.18.250.1/24", "dev", "second")
    coordinator.run("ip", "addr", "add", "198.18.250.2/24", "dev", "eth1")
    home = sites.router(f"home-{OTHER}").address
    with pings(sites) as ping:
        coordinator.run("ip", "route", "add", f"{home}/32", "via", "198.18.250.1", "dev", "eth1")
        wait_for(
            lambda: "eth1" in coordinator.run("nft", "list", "map", "netdev", f"innerd-{NETWORK}", "link4"), "it", 60
        )
        ping.goes_on()
        coordinator.run("ip", "link", "del", "eth1")
        ping.goes_on(60)


def test_a_router_that_forgot_everybody(sites: Sites) -> None:
    with pings(sites) as ping:
        reboot(sites.router(f"home-{OTHER}"))
        ping.goes_on(60)
    assert way(sites)["path"] == "relayed"


def test_where_there_is_no_nft_it_relays_all_the_same_and_says_why(sites: Sites) -> None:
    coordinator = sites.coordinator
    steps.kill(coordinator, f"innerd serve {NETWORK}")
    coordinator.run("nft", "delete", "table", "netdev", f"innerd-{NETWORK}")
    coordinator.run("mount", "--bind", "/dev/null", coordinator.run("which", "nft").strip())
    steps.serve(coordinator)
    found = relay(sites)
    assert found["mode"] == "userspace"
    assert "nft" in found["why"]
    with pings(sites) as ping:
        ping.goes_on(60)
        last = ping.sent()
        wait_for(lambda: ping.sent() > last + A_SECOND, "a second of pings")
    assert "relays in user space" in coordinator.ask("innerd", "doctor", NETWORK).stdout
