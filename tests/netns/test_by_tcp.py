"""Machines behind firewalls that let no UDP through, or stop doing so: all of it goes by TCP, and back by itself."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from innerd.domain.values import BY_TCP
from tests.netns import steps
from tests.netns.lab import wait_for
from tests.netns.nat import internet
from tests.netns.pinging import EVERY, pinging
from tests.netns.sites import Sites
from tests.netns.steps import NETWORK

WALLED, OTHER, LATER = "easy-a", "hard-b", "easy-c"
WALL = "table inet wall { chain forward { type filter hook forward priority -5; meta l4proto udp drop; }; }"


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with internet() as net:
        sites = Sites(net, tcp="0.0.0.0:443")
        sites.join([WALLED, OTHER])
        sites.associate(WALLED, OTHER)
        sites.reaches(WALLED, OTHER, 60)
        yield sites


@contextlib.contextmanager
def wall(sites: Sites, name: str = WALLED) -> Iterator[None]:
    """No UDP goes through the router in front of a machine, either way."""
    sites.router(f"home-{name}").run("nft", f"add {WALL}")
    try:
        yield
    finally:
        open_again(sites, name)


def open_again(sites: Sites, name: str = WALLED) -> None:
    sites.router(f"home-{name}").run("nft", "add table inet wall; delete table inet wall")


def by_tcp(sites: Sites) -> list[str]:
    relay: dict[str, Any] = steps.asked(sites.coordinator, "innerd", "status", NETWORK)["relay"]
    return [one["peer"] for one in relay["tcp"]["peers"]]


def is_by_tcp(sites: Sites) -> bool:
    status = steps.status(sites.hosts[WALLED])
    return bool(status["tcp"]) and status["is_connected"]


def comes_by_tcp(sites: Sites) -> None:
    wait_for(lambda: is_by_tcp(sites) and by_tcp(sites) == [WALLED], f"{WALLED} to come by TCP", 60)


def comes_by_udp(sites: Sites) -> None:
    wait_for(lambda: not steps.status(sites.hosts[WALLED])["tcp"], f"{WALLED} to come by UDP again", 90)


def test_all_of_it_goes_by_tcp_and_back_by_itself(sites: Sites) -> None:
    walled, other = sites.hosts[WALLED], sites.hosts[OTHER]
    with wall(sites):
        comes_by_tcp(sites)
        sites.reaches(WALLED, OTHER, 60)
        sites.reaches(OTHER, WALLED, 60)
        shown = steps.shown(walled)
        assert shown["innernet-server"]["path"] == "tcp"
        assert shown["innernet-server"]["endpoint"].endswith(":443")
        assert shown[OTHER]["path"] == "relayed"
        assert BY_TCP not in walled.run("inn", "show", NETWORK)
        assert "BY TCP" in walled.run("inn", "status", NETWORK)
        assert "it is reached by TCP, at" in walled.ask("inn", "doctor", NETWORK).stdout
        assert f"{WALLED}: from" in sites.innerd("status")
        assert BY_TCP not in sites.innerd("list-peers", "--json") + other.run("inn", "show", NETWORK, "--json")
        assert "comes by TCP" in sites.coordinator.ask("innerd", "doctor", NETWORK).stdout
        assert steps.resolves(walled, f"{OTHER}.{NETWORK}.wg") == sites.addresses[OTHER]
        sites.innerd("rename-peer", OTHER, "renamed", "--yes", "--wait")
        sites.innerd("rename-peer", "renamed", OTHER, "--yes", "--wait")
        walled.run("ping", "-q", "-c", "20", "-i", "0.01", "-s", "1392", "-M", "do", sites.addresses[OTHER])
        with pinging(walled, sites.addresses[OTHER]) as ping:
            open_again(sites)
            comes_by_udp(sites)
            ping.goes_on()
            assert len(ping.lost()) <= round(0.5 / EVERY)
    wait_for(lambda: by_tcp(sites) == [], "nobody to be there by TCP", 60)
    sites.reaches(WALLED, OTHER, 60)
    assert steps.shown(walled)[OTHER]["path"] == "relayed"


def test_a_coordinator_that_starts_anew_has_it_back(sites: Sites) -> None:
    with wall(sites):
        comes_by_tcp(sites)
        steps.kill(sites.coordinator, f"innerd serve {NETWORK}")
        steps.serve(sites.coordinator)
        comes_by_tcp(sites)
        sites.reaches(WALLED, OTHER, 60)
    comes_by_udp(sites)


def test_who_is_shut_out_is_carried_no_more(sites: Sites) -> None:
    with wall(sites):
        comes_by_tcp(sites)
        sites.reaches(WALLED, OTHER, 60)
        with pinging(sites.hosts[WALLED], sites.addresses[OTHER]) as ping:
            sites.innerd("disable-peer", WALLED, "--yes", "--wait")
            assert by_tcp(sites) == []
            last, sent = ping.answered()[-1], ping.sent()
            wait_for(lambda: ping.sent() > sent + round(1 / EVERY), "a second of pings")
            assert ping.answered()[-1] <= last + 1
        sites.innerd("enable-peer", WALLED, "--yes")
        comes_by_tcp(sites)
    comes_by_udp(sites)


def test_a_machine_that_never_had_udp_joins(sites: Sites) -> None:
    host = sites.place(LATER)
    sites.introduce(host)
    invitation = steps.hand_over(host, steps.invite(sites.coordinator, "innerd", LATER, OTHER))
    with wall(sites, LATER):
        said = host.ask("inn", "install", invitation, "--name", NETWORK, status=0)
        assert "UDP is blocked: by TCP, at" in said.stderr
        steps.agent(host)
        wait_for(lambda: steps.status(host)["is_connected"], "it to be connected", 60)
        assert by_tcp(sites) == [LATER]
        steps.reaches(host, sites.addresses[OTHER], 60)
