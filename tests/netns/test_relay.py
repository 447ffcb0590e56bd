"""Two machines between whom no way leads but by the relay: each behind a router that gives every destination another
port. In the kernel and in user space alike."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.netns import steps
from tests.netns.lab import wait_for
from tests.netns.nat import internet
from tests.netns.pinging import EVERY, pinging
from tests.netns.sites import Sites
from tests.netns.steps import NETWORK

ONE, OTHER = "hard-a", "hard-b"
A_SECOND = round(1 / EVERY)  # pings
TABLE = f"innerd-{NETWORK}"


@pytest.fixture(scope="module", params=["auto", "userspace"])
def made(request: pytest.FixtureRequest) -> Iterator[Sites]:
    with internet() as net:
        sites = Sites(net, relay=request.param)
        sites.join([ONE, OTHER])
        sites.associate(ONE, OTHER)
        yield sites


@pytest.fixture
def sites(made: Sites) -> Sites:
    """The network as every test finds it: the two reach each other."""
    made.reaches(ONE, OTHER, 60)
    made.reaches(OTHER, ONE, 60)
    return made


def relay(sites: Sites) -> dict[str, Any]:
    found: dict[str, Any] = steps.asked(sites.coordinator, "innerd", "status", NETWORK)["relay"]
    return found


def way(sites: Sites, one: str = ONE, other: str = OTHER) -> dict[str, Any]:
    return steps.shown(sites.hosts[one])[other]


def pings(sites: Sites) -> Any:
    return pinging(sites.hosts[ONE], sites.addresses[OTHER])


def in_kernel(sites: Sites) -> bool:
    return relay(sites)["mode"] == "kernel"


def forwarded(sites: Sites) -> int:
    return int(relay(sites)["packets"])


def test_how_they_reach_each_other_is_said_on_both_ends_and_by_the_coordinator(sites: Sites) -> None:
    for one, other in ((ONE, OTHER), (OTHER, ONE)):
        shown = way(sites, one, other)
        assert (shown["path"], shown["via"]) == ("relayed", "innernet-server")
        wait_for(lambda one=one, other=other: way(sites, one, other)["path_since"], "since when to be said")  # type: ignore[misc]
        assert "relayed via innernet-server" in sites.hosts[one].run("inn", "show", NETWORK)
    wait_for(lambda: "every destination another" in (way(sites)["path_missing"] or ""), "why there is no other way")
    assert "path: relayed via innernet-server" in sites.hosts[ONE].run("inn", "why", NETWORK, OTHER)
    assert relay(sites)["pairs"] == 1
    assert "1 pair" in sites.innerd("status")


def test_only_handshakes_pass_by_our_process(sites: Sites) -> None:
    before, packets = relay(sites)["handshakes"], forwarded(sites)
    sites.hosts[ONE].run("ping", "-q", "-c", "100", "-i", "0.01", "-s", "1392", "-M", "do", sites.addresses[OTHER])
    assert forwarded(sites) - packets >= 200
    assert relay(sites)["handshakes"] - before <= 4


def test_who_sees_the_other_no_more_is_relayed_no_more(sites: Sites) -> None:
    with pings(sites) as ping:
        sites.innerd("delete-association", ONE, OTHER, "--yes", "--wait")
        assert relay(sites)["pairs"] == 0
        packets = forwarded(sites)
        answered = ping.answered()[-1]
        wait_for(lambda: ping.sent() > answered + A_SECOND, "a second of pings")
        assert forwarded(sites) == packets
        assert ping.answered()[-1] == answered
    if in_kernel(sites):
        assert "elements" not in sites.coordinator.run("nft", "list", "map", "netdev", TABLE, "index4")
    sites.associate(ONE, OTHER)


def test_it_goes_on_without_our_process_and_with_the_next_one(sites: Sites) -> None:
    if not in_kernel(sites):
        pytest.skip("in user space nothing goes on without it")
    with pings(sites) as ping:
        steps.kill(sites.coordinator, f"innerd serve {NETWORK}")
        ping.goes_on()
        steps.serve(sites.coordinator)
        wait_for(lambda: relay(sites)["pairs"] == 1, "the pair to be known again")
        ping.goes_on()
        assert len(ping.lost()) <= 1


def test_a_table_that_is_taken_away_is_back_at_once_and_that_is_said(sites: Sites) -> None:
    if not in_kernel(sites):
        pytest.skip("there is no table")
    before = relay(sites)["repairs"]
    with pings(sites) as ping:
        sites.coordinator.run("nft", "flush", "ruleset")
        wait_for(lambda: relay(sites)["repairs"] == before + 1, "the table to be made anew")
        ping.goes_on()
        assert len(ping.lost()) <= A_SECOND
    assert "it is made anew" in steps.said(sites.coordinator, "innerd.log")


def test_other_rules_of_the_host_are_nobodys_business(sites: Sites) -> None:
    before = relay(sites)["repairs"]
    sites.coordinator.run("nft", "add table inet others; delete table inet others")
    with pings(sites) as ping:
        ping.goes_on()
    assert relay(sites)["repairs"] == before


def test_who_may_not_relay_does_not(sites: Sites) -> None:
    with pings(sites) as ping:
        sites.innerd("disallow-relay", "--yes")
        wait_for(lambda: relay(sites)["mode"] == "off", "the relay to be off")
        last = ping.sent()
        wait_for(lambda: ping.sent() > last + A_SECOND, "a second of pings")
        assert ping.answered()[-1] <= last + 1
        assert TABLE not in sites.coordinator.run("nft", "list", "tables")
        sites.innerd("allow-relay", "--wait")
        ping.goes_on(60)


def test_a_peer_that_wants_none_is_relayed_to_nobody_by_itself(sites: Sites) -> None:
    for name in (ONE, OTHER):
        steps.kill(sites.hosts[name], f"inn up -d {NETWORK}", signal.SIGTERM)
        sites.hosts[name].run("inn", "down", NETWORK)
        steps.agent(sites.hosts[name], "--no-relay")
    wait_for(lambda: way(sites)["tried"], "another way to be looked for")
    assert way(sites)["path"] == "none"
    for name in (ONE, OTHER):
        steps.kill(sites.hosts[name], f"inn up -d {NETWORK}", signal.SIGTERM)
        sites.hosts[name].run("inn", "down", NETWORK)
        steps.agent(sites.hosts[name])
    sites.reaches(ONE, OTHER, 30)


def test_one_that_starts_anew_is_relayed_again(sites: Sites) -> None:
    other = sites.hosts[OTHER]
    with pings(sites) as ping:
        steps.kill(other, f"inn up -d {NETWORK}", signal.SIGTERM)
        other.run("inn", "down", NETWORK)
        steps.agent(other)
        ping.goes_on(60)


def test_a_direct_way_is_taken_as_soon_as_there_is_one(sites: Sites) -> None:
    """A port is forwarded to one of them, which says so: the relay is left with at most one ping lost."""
    other, router = sites.hosts[OTHER], sites.router(f"home-{OTHER}")
    other.run("inn", "set-listen-port", NETWORK, "--listen-port", "51822", "--yes")
    sites.reaches(ONE, OTHER, 60)
    forward = f'iifname "wan" udp dport 51999 dnat to {other.address}:51822'
    router.run("nft", "add", "rule", "ip", "home", "back", *forward.split())
    with pings(sites) as ping:
        other.run("inn", "override-endpoint", NETWORK, "--endpoint", "0.0.0.0:51999", "--yes")
        wait_for(lambda: way(sites)["path"] == "punched", "a direct way", 60)
        wait_for(lambda: way(sites, OTHER, ONE)["path"] == "punched", "a direct way back", 60)
        ping.goes_on()
        assert len(ping.lost()) <= 1


def test_what_is_above_the_limit_is_held_back_and_counted() -> None:
    with internet() as net:
        sites = Sites(net, per_peer="800 kbit/s")
        sites.join([ONE, OTHER])
        sites.associate(ONE, OTHER)
        sites.reaches(ONE, OTHER, 60)
        assert relay(sites)["held"] == 0
        flood = ("ping", "-q", "-f", "-c", "2000", "-s", "1300", sites.addresses[OTHER])
        sites.hosts[ONE].run(*flood, status=None)
        held = relay(sites)["held"]
        assert held > 500
        assert f"{held} packets held back" in sites.innerd("status")
