"""What must go on, or come back, when the ground moves: addresses, routers' memories, the coordinator, packets."""

import contextlib
import itertools
import re
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.netns import steps
from tests.netns.lab import Host, wait_for
from tests.netns.nat import internet, lossy, reboot
from tests.netns.sites import Sites
from tests.netns.steps import NETWORK

pytestmark = pytest.mark.slow  # minutes, most of which are waits for WireGuard's own timers

ONE, OTHER = "easy-a", "easy-b"
ATTEMPT = 6.5  # seconds
_EVERY = 0.1  # seconds between two pings
_REPLY = re.compile(r"^\[([0-9.]+)\] \d+ bytes from", re.MULTILINE)


@pytest.fixture(scope="module")
def made() -> Iterator[Sites]:
    """Two machines in homes of their own, who see each other."""
    with internet() as net:
        sites = Sites(net)
        sites.join([ONE, OTHER])
        sites.meet(ONE, OTHER)
        yield sites


@pytest.fixture
def sites(made: Sites) -> Sites:
    """The network as every test finds it: both connected, in reach, and no attempt under way."""
    made.reaches(ONE, OTHER, 60)
    made.reaches(OTHER, ONE, 60)
    for name in (ONE, OTHER):
        wait_for(partial(is_connected, made.hosts[name]), f"{name} to be connected", 60)
    settle()
    return made


def settle() -> None:
    """An attempt is over six seconds after it began, and until then the agents begin no other for the pair."""
    time.sleep(ATTEMPT)


class Pings:
    """Pings without end from one machine to another, and when they were answered."""

    def __init__(self, sites: Sites, one: str, other: str) -> None:
        self._host = sites.hosts[one]
        self._target = sites.addresses[other]
        self._log = "pings"
        self.began = time.time()

    def begin(self) -> None:
        self._host.path(f"/run/.lab/{self._log}").write_text("")
        self._host.start("ping", "-D", "-i", str(_EVERY), self._target, log=f"/run/.lab/{self._log}")
        wait_for(self.answered, "a ping to be answered")

    def end(self) -> None:
        steps.kill(self._host, f"ping -D -i {_EVERY}")

    def answered(self, since: float = 0.0) -> list[float]:
        """The times of answers after one."""
        at = [float(text) for text in _REPLY.findall(steps.said(self._host, self._log))]
        return [time for time in at if time > since]

    def longest_silence(self) -> float:
        at = [*self.answered(), time.time()]
        return max(after - before for before, after in itertools.pairwise(at))


@contextlib.contextmanager
def pinging(sites: Sites) -> Iterator[Pings]:
    pings = Pings(sites, ONE, OTHER)
    pings.begin()
    try:
        yield pings
    finally:
        pings.end()


def is_connected(host: Host, since: float = 0.0) -> bool:
    """Whether an agent has a connection to the coordinator, made after a moment."""
    return float(steps.status(host)["connected_since"] or 0.0) > since


def test_a_machine_that_moves_to_another_lan_is_reached_again(sites: Sites) -> None:
    elsewhere = sites.net.home("cafe", "easy")
    with pinging(sites) as pings:
        sites.net.move(sites.hosts[ONE], elsewhere)
        moved = time.time()
        back = wait_for(lambda: pings.answered(moved), "traffic again", 20)[0]
    print(f"traffic again {1000 * (back - moved):.0f} ms after the new address")
    wait_for(partial(is_connected, sites.hosts[ONE]), "the coordinator to be reached too")


def test_a_machine_that_comes_to_the_lan_of_a_peer_is_a_neighbour_and_none_when_it_leaves(sites: Sites) -> None:
    def is_reached_by(path: str) -> bool:
        return bool(steps.shown(sites.hosts[OTHER])[ONE]["path"] == path)

    for home, expected in ((f"home-{OTHER}", "lan"), (f"home-{ONE}", "punched")):
        with pinging(sites) as pings:
            sites.net.move(sites.hosts[ONE], sites.router(home))
            moved = time.time()
            back = wait_for(partial(pings.answered, moved), f"traffic again at {home}", 60)[0]
        print(f"at {home}: traffic again {1000 * (back - moved):.0f} ms after the new address")
        wait_for(partial(is_reached_by, expected), f"the path to be {expected}", 60)


def test_a_machine_that_moves_again_at_once_is_reached_again(sites: Sites) -> None:
    homes = [sites.net.home(f"hotel-{number}", "easy") for number in (1, 2)]  # no router knows them yet
    with pinging(sites) as pings:
        for home in homes:
            sites.net.move(sites.hosts[ONE], home)
            moved = time.time()
            wait_for(partial(pings.answered, moved), f"traffic again at {home.name}", 12)


def test_a_router_that_forgets_who_spoke_to_whom_and_gives_other_ports(sites: Sites) -> None:
    with pinging(sites) as pings:
        reboot(sites.router(f"home-{OTHER}"))
        rebooted = time.time()
        back = wait_for(lambda: pings.answered(rebooted), "traffic again", 120)[0]
    print(f"traffic again {back - rebooted:.1f} s after the router's reboot")


def test_peers_reach_each_other_while_the_coordinator_is_restarted(sites: Sites) -> None:
    with pinging(sites) as pings:
        steps.kill(sites.coordinator, "innerd serve")
        restarted = time.time()
        steps.serve(sites.coordinator)
        for name in (ONE, OTHER):
            wait_for(partial(is_connected, sites.hosts[name], restarted), f"{name} to be connected again", 40)
        assert pings.longest_silence() < 1.5


def test_peers_reach_each_other_while_the_coordinator_moves_to_another_address(sites: Sites) -> None:
    there = f"{sites.net.next_address}:51820"
    key = steps.own_key_of_coordinator(sites.coordinator)

    def is_there(host: Host) -> bool:
        endpoints = dict(line.split() for line in host.run("wg", "show", NETWORK, "endpoints").splitlines())
        return endpoints[key] == there and steps.status(host)["last_contact"] > moved  # its stream may have lived on

    with pinging(sites) as pings:
        sites.innerd("set-endpoint", there, "--yes")
        sites.net.move(sites.coordinator, None)
        moved = time.time()
        for name in (ONE, OTHER):
            wait_for(partial(is_there, sites.hosts[name]), f"{name} to be connected to the coordinator there", 60)
            print(f"{name} is connected there after {time.time() - moved:.1f} s")
        assert pings.longest_silence() < 1.5


def test_machines_join_and_meet_where_three_packets_in_ten_are_lost() -> None:
    with internet() as net:
        sites = Sites(net)
        lossy(net.router, 30)
        for name in (ONE, OTHER):
            sites.enrol_patiently(sites.place(name))
        sites.associate(ONE, OTHER)
        began = time.time()
        sites.reaches(ONE, OTHER, 60)  # what confirms a handshake may get lost too, and then traffic does
        print(f"reached after {time.time() - began:.1f} s")
        assert steps.shown(sites.hosts[ONE])[OTHER]["path"] == "punched"
