"""Real machines behind real routers (nftables): which kind of way each pair of kinds finds, and in what time. All that
can send UDP reach each other: where there is no other way, by the relay."""

import contextlib
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from msgspec import Struct, field

from tests.netns import steps
from tests.netns.lab import PATIENCE, Failed, Host, wait_for
from tests.netns.nat import Internet, internet
from tests.netns.sites import Sites

# Two machines, each where it is: kinds of routers and hosts as in nat.py, and
#
#   cgnat          in a home behind a carrier's router: two of them behind the same one, an easy one
#   cgnat-hairpin  the same, and the carrier's is a hairpinning one
#   guest          on a Wi-Fi that keeps its guests apart: two of them on the same one
#   hairpin        the same, behind a hairpinning router
#   same           on the LAN of the other
#   twin           in another home, whose LAN has the other's range
#   easy6          in an easy home that has IPv6 beside
EXPECTED = {
    ("public", "public"): "direct",
    ("public", "firewalled"): "direct",
    ("public", "easy"): "punched",
    ("public", "address"): "punched",
    ("public", "hard"): "punched",
    ("public", "cgnat"): "punched",
    ("public", "easy6"): "punched",
    ("public", "dual"): "direct",
    ("public", "public6"): "relayed",
    ("firewalled", "firewalled"): "direct",
    ("firewalled", "easy"): "punched",
    ("firewalled", "address"): "punched",
    ("firewalled", "hard"): "relayed",
    ("firewalled", "cgnat"): "punched",
    ("easy", "easy"): "punched",
    ("easy", "open"): "punched",
    ("easy", "address"): "punched",
    ("easy", "hard"): "relayed",
    ("easy", "cgnat"): "punched",
    ("easy", "twin"): "punched",
    ("easy", "same"): "lan",
    ("easy", "easy6"): "punched",
    ("open", "open"): "punched",
    ("open", "address"): "punched",
    ("open", "hard"): "relayed",
    ("open", "cgnat"): "punched",
    ("address", "address"): "punched",
    ("address", "hard"): "punched",
    ("address", "cgnat"): "punched",
    ("hard", "hard"): "relayed",
    ("hard", "cgnat"): "relayed",
    ("cgnat", "cgnat"): "relayed",
    ("cgnat-hairpin", "cgnat-hairpin"): "punched",
    ("guest", "guest"): "relayed",
    ("hairpin", "hairpin"): "punched",
    ("public6", "public6"): "direct",
    ("public6", "dual"): "direct",
    ("public6", "easy6"): "direct",
    # Last, as a packet to an open router that it did not expect harms the way between the two for some minutes.
    ("public", "open"): "punched",
    ("firewalled", "open"): "punched",
}


# Seconds until a way is found, even if a router took one of the two for a stranger on a machine that was too busy to
# begin in step: it forgets that in a minute or two, and is then tried again (docs/nat.md).
_FOUND = 75


def machines(kinds: tuple[str, str]) -> tuple[str, str]:
    return f"{kinds[0]}-a", f"{kinds[1]}-b"


class Matrix(Struct):
    """What became of each pair: the seconds until they met, if they did, and how each reaches the other."""

    sites: Sites
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    shown: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)


def has_given_up(host: Host, peer: int) -> bool:
    return re.search(rf"no way found.* peer={peer}\b", steps.said(host, "inn.log")) is not None


def ran(sites: Sites) -> Matrix:
    """Let all pairs meet: those that can, one after the other; those that can't have their attempts meanwhile."""
    made = Matrix(sites)
    names = dict.fromkeys(name for kinds in EXPECTED for name in machines(kinds))
    sites.join(sorted(names, key=lambda name: name[-1]))
    for kinds in EXPECTED:
        with contextlib.suppress(Failed):
            made.seconds[kinds] = sites.meet(*machines(kinds), seconds=_FOUND)
            sites.reaches(*machines(kinds))
    for kinds, expected in EXPECTED.items():  # relayed at first, until the better way is found
        with contextlib.suppress(Failed):
            wait_for(partial(is_settled, sites, kinds, expected), "the way to be found", _FOUND / PATIENCE)
    made.shown = {name: steps.shown(sites.hosts[name]) for name in names}
    return made


def is_settled(sites: Sites, kinds: tuple[str, str], expected: str) -> bool:
    one, other = machines(kinds)
    ways = [steps.shown(sites.hosts[host])[peer] for host, peer in ((one, other), (other, one))]
    return [way["path"] for way in ways] == [expected] * 2


@pytest.fixture(scope="module")
def net() -> Iterator[Internet]:
    with internet() as made:
        yield made


@pytest.fixture(scope="module")
def matrix(net: Internet) -> Matrix:
    return ran(Sites(net))


@pytest.mark.parametrize("kinds", [pytest.param(kinds, id="-".join(kinds)) for kinds in EXPECTED])
def test_the_way_between_two_kinds_of_homes(kinds: tuple[str, str], matrix: Matrix) -> None:
    one, other = machines(kinds)
    ways = [matrix.shown[one][other], matrix.shown[other][one]]
    assert [way["path"] for way in ways] == [EXPECTED[kinds]] * 2, ways
    print(f"{'-'.join(kinds)}: {EXPECTED[kinds]}, met after {1000 * matrix.seconds[kinds]:.0f} ms")
    if EXPECTED[kinds] == "relayed":
        for host, way in ((one, ways[0]), (other, ways[1])):
            assert way["tried"], "what was tried is said"
            wait_for(partial(has_given_up, matrix.sites.hosts[host], way["id"]), "the attempt to end")


def test_a_router_that_lets_strangers_in_keeps_the_port_that_its_machine_is_known_by(matrix: Matrix) -> None:
    sites = matrix.sites
    sites.join(["public-c"])
    for letter in "cdefghijkl":  # where keys decided who begins, it would be the one with the higher key
        behind = f"open-{letter}"
        sites.join([behind])
        if sites.keys["public-c"] > sites.keys[behind]:
            break
    sites.meet("public-c", behind)
    sites.reaches("public-c", behind)
    seen = steps.shown(sites.hosts["public-c"])[behind]["endpoint"]
    assert seen == sites.seen_by_the_coordinator(behind)


def test_machines_behind_open_routers_that_know_of_each_other_from_the_start_meet(
    net: Internet, matrix: Matrix
) -> None:
    sites = matrix.sites
    one, other = sites.place("open-x"), sites.place("open-y")
    sites.innerd("add-cidr", "--name", "together", "--cidr", "10.42.200.0/24", "--parent", steps.NETWORK)
    for host in (one, other):
        sites.enrol(host, "together")
    steps.reaches(one, f"{other.name}.{steps.NETWORK}.wg", _FOUND)
