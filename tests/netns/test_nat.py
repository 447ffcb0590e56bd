"""Real hosts behind real routers (nftables): which kind of way each pair of kinds finds, and in what time."""

import time

import pytest

from tests.netns import steps
from tests.netns.lab import Host, wait_for
from tests.netns.nat import Internet, internet

# Two machines, each where it is: `public` has an address of its own, `same` is on the other's LAN.
EXPECTED = {
    ("public", "public"): "direct",
    ("easy", "public"): "punched",
    ("hard", "public"): "punched",
    ("easy", "easy"): "punched",
    ("open", "open"): "punched",
    ("easy", "same"): "lan",
    ("hard", "easy"): "none",
    ("hard", "hard"): "none",
}


def place(net: Internet, name: str, kind: str) -> Host:
    if kind == "public":
        return net.public(name)
    if kind == "same":
        return net.at_home(name, net.hosts["home-one"])
    return net.at_home(name, net.home(f"home-{name}", kind))


def way(host: Host, other: str) -> dict:
    return steps.shown(host).get(other, {"path": "none"})


@pytest.mark.parametrize("kinds", EXPECTED, ids="-".join)
def test_the_way_between_two_kinds_of_homes(kinds: tuple[str, str]) -> None:
    expected = EXPECTED[kinds]
    with internet() as net:
        coordinator = net.public("coordinator")
        steps.found(coordinator, "10.42.0.0/16")
        coordinator.run(
            *("innerd", "add-cidr", steps.NETWORK, "--name", "humans", "--cidr", "10.42.128.0/17"),
            *("--parent", steps.NETWORK),
        )
        steps.serve(coordinator)
        one, two = place(net, "one", kinds[0]), place(net, "two", kinds[1])
        for host in (one, two):
            steps.join(host, steps.invite(coordinator, "innerd", host.name, "humans"))
        began = time.monotonic()
        if expected == "none":
            wait_for(lambda: "no way found" in steps.said(one, "inn.log"), "the attempt to end", 20)
            assert way(one, "two")["path"] == way(two, "one")["path"] == "none"
            assert way(one, "two")["tried"], "and what was tried is said"
            return
        for host, other in ((one, "two"), (two, "one")):
            wait_for(lambda h=host, o=other: way(h, o)["path"] == expected, f"{host.name} to have a way", 20)
        print(f"{kinds}: {expected} within {time.monotonic() - began:.1f} s")
        steps.reaches(one, steps.shown(one)["two"]["ip"])
