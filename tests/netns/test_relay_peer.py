"""A peer relays for two that see it and have no other way, while the coordinator does not."""

from collections.abc import Iterator

import pytest

from tests.netns import steps
from tests.netns.lab import wait_for
from tests.netns.nat import internet
from tests.netns.pinging import EVERY, pinging
from tests.netns.sites import Sites
from tests.netns.steps import NETWORK

ONE, OTHER, RELAY = "hard-a", "hard-b", "public-r"


def serve(sites: Sites, *, agrees: bool) -> None:
    """Write whether it agrees into the relay's config, and have its agent read that."""
    config = sites.hosts[RELAY].path(f"/etc/inn/{NETWORK}.toml")
    text = config.read_text().partition("\n[relay]")[0]
    config.write_text(f"{text}\n[relay]\nserve = {str(agrees).lower()}\n")
    steps.kill(sites.hosts[RELAY], f"inn up -d {NETWORK}")
    steps.agent(sites.hosts[RELAY])


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with internet() as net:
        sites = Sites(net)
        sites.innerd("disallow-relay", "--yes")
        sites.join([ONE, OTHER, RELAY])
        for one in (ONE, OTHER):
            sites.associate(one, RELAY)
            sites.reaches(one, RELAY, 60)
        serve(sites, agrees=True)
        sites.associate(ONE, OTHER)
        yield sites


def path(sites: Sites) -> tuple[str, str | None]:
    shown = steps.shown(sites.hosts[ONE])[OTHER]
    return shown["path"], shown["via"]


def mode(sites: Sites) -> str | None:
    found = steps.status(sites.hosts[RELAY])["relaying"]
    return None if found is None else str(found["mode"])


def test_without_leave_it_does_nothing(sites: Sites) -> None:
    assert mode(sites) is None
    assert not steps.pings(sites.hosts[ONE], sites.addresses[OTHER])


def test_with_leave_and_consent_it_carries_what_they_say(sites: Sites) -> None:
    sites.innerd("allow-relay", "--peer", RELAY, "--yes", "--wait")
    sites.reaches(ONE, OTHER, 60)
    sites.reaches(OTHER, ONE, 60)
    assert path(sites) == ("relayed", RELAY)
    assert mode(sites) == "kernel"
    assert "relays for others: in the kernel; 1 pairs" in sites.hosts[RELAY].run("inn", "status", NETWORK)
    assert "relays for others in the kernel" in sites.hosts[RELAY].ask("inn", "doctor", NETWORK).stdout
    assert f"relayed via {RELAY}" in sites.hosts[ONE].run("inn", "show", NETWORK)


def test_who_sees_the_other_no_more_is_relayed_no_more(sites: Sites) -> None:
    sites.reaches(ONE, OTHER, 60)
    with pinging(sites.hosts[ONE], sites.addresses[OTHER]) as ping:
        sites.innerd("delete-association", ONE, OTHER, "--yes", "--wait")
        wait_for(lambda: steps.status(sites.hosts[RELAY])["relaying"]["pairs"] == 0, "no pair to be left", 1)
        answered, sent = ping.answered()[-1], ping.sent()
        wait_for(lambda: ping.sent() > sent + round(1 / EVERY), "a second of pings")
        assert ping.answered()[-1] <= answered + 1
    sites.associate(ONE, OTHER)
    sites.reaches(ONE, OTHER, 60)


def test_its_agent_is_restarted_and_what_it_carries_goes_on(sites: Sites) -> None:
    sites.reaches(ONE, OTHER, 60)
    with pinging(sites.hosts[ONE], sites.addresses[OTHER]) as ping:
        serve(sites, agrees=True)
        ping.goes_on()
        assert len(ping.lost()) <= round(1 / EVERY)


def test_without_consent_it_ends(sites: Sites) -> None:
    serve(sites, agrees=False)
    assert mode(sites) == "off"
    assert "its config does not agree" in sites.hosts[RELAY].run("inn", "status", NETWORK)
    assert "may relay for others, and does not" in sites.hosts[RELAY].ask("inn", "doctor", NETWORK).stdout
    wait_for(lambda: not steps.pings(sites.hosts[ONE], sites.addresses[OTHER]), "nothing to go through any more", 20)
    serve(sites, agrees=True)
    sites.reaches(ONE, OTHER, 60)


def test_who_may_not_any_more_does_not(sites: Sites) -> None:
    sites.reaches(ONE, OTHER, 60)
    sites.innerd("disallow-relay", "--peer", RELAY, "--yes", "--wait")
    wait_for(lambda: mode(sites) is None, "it to relay no more", 5)
    assert not steps.pings(sites.hosts[ONE], sites.addresses[OTHER])
    table = sites.hosts[RELAY].ask("nft", "list", "table", "netdev", f"innerd-{NETWORK}")
    assert table.returncode != 0
