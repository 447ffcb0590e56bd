"""`make netlab`, or `python -m tests.netns.netlab [RUNS]`: how long machines behind NATs take to reach each other.

Times go from the commit of what lets two machines know of each other until both devices show a handshake, read from
the devices; after a move, from the new address until a ping is answered. Figures are printed, never judged.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from innerd.domain.values import PublicKey
from innerd.wireguard import keys
from tests.netns import steps
from tests.netns.lab import Failed, Host, wait_for, within
from tests.netns.nat import Internet, Router, internet
from tests.netns.sites import Sites, handshake
from tests.netns.test_nat import EXPECTED, machines
from tests.netns.test_roaming import ATTEMPT, Pings

RUNS = 40
WRONG = 9
STEP = 5.0  # seconds that innernet gives each endpoint of a peer
HAND_RUNS = 3  # each takes up to 50 s
BY_HAND = "byhand"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def figures(name: str, runs: int, times: list[float]) -> None:
    """The distribution of some times in seconds, and how many of the runs had one."""
    if not times:
        say(f"{name:<52} none of {runs}")
        return
    ranked = sorted(times)
    p50, p95 = (ranked[round(share * (len(ranked) - 1))] for share in (0.5, 0.95))
    shown = "  ".join(
        f"{what} {1000 * value:5.0f} ms" for what, value in (("p50", p50), ("p95", p95), ("max", ranked[-1]))
    )
    say(f"{name:<52} {shown}  {len(times)} of {runs}")


def measured(run: Callable[[], float]) -> list[float]:
    """The time of one run, if it ended."""
    try:
        return [run()]
    except Failed:
        return []


# -- the matrix -----------------------------------------------------------------------------------------------------


def matrix(net: Internet) -> None:
    say("each kind with each: the way that is expected, and the time until both have a handshake")
    sites = Sites(net)
    sites.join(dict.fromkeys(name for kinds in EXPECTED for name in machines(kinds)))
    for kinds, expected in EXPECTED.items():
        if expected == "none":
            found = "-"
        else:
            times = measured(partial(sites.meet, *machines(kinds), seconds=12))
            found = f"{1000 * times[0]:6.0f} ms" if times else "not within 12 s"
        say(f"  {' - '.join(kinds):<32} {expected:<8} {found}")


# -- again and again ------------------------------------------------------------------------------------------------


def again_and_again(net: Internet, runs: int) -> None:
    """Three pairs take turns: two that are parted may not meet again at once, as an attempt ends only after a while."""
    sites = Sites(net)
    sites.join(["easy-a", "easy-b", "same-c", "easy-e", "easy-f"])
    mislead(sites, "easy-a", "easy-b")
    sites.meet("easy-e", "easy-f")
    pings = Pings(sites, "easy-f", "easy-e")
    pings.begin()
    times: dict[str, list[float]] = {"easy": [], "same": [], "move": []}
    for number in range(runs):
        time.sleep(ATTEMPT)
        times["easy"] += measured(partial(once, sites, "easy-a", "easy-b"))
        times["same"] += measured(partial(once, sites, "easy-a", "same-c"))
        times["move"] += measured(partial(moved, sites, pings, net.home(f"cafe-{number}", "easy")))
    figures(f"easy x easy, {WRONG} wrong candidates and 1 right", runs, times["easy"])
    figures("LAN neighbours", runs, times["same"])
    figures("a new address on one side, until traffic again", runs, times["move"])


def mislead(sites: Sites, one: str, other: str) -> None:
    """Give two machines addresses that they believe to be reached at, and are not: with that on its LAN, nine of
    each. Back when they try each other there."""
    for name in (one, other):
        for number in range(1, WRONG):
            sites.hosts[name].run("ip", "addr", "add", f"203.0.113.{number}/32", "dev", "eth0")
    wait_for(partial(_try_all, sites, one, other), "nine wrong candidates", 60)


def _try_all(sites: Sites, one: str, other: str) -> bool:
    sites.meet(one, other)
    tried = [len(steps.shown(sites.hosts[host])[peer]["tried"]) for host, peer in ((one, other), (other, one))]
    sites.part(one, other)
    time.sleep(ATTEMPT)
    return tried == [WRONG + 1] * 2


def once(sites: Sites, one: str, other: str) -> float:
    """Two machines meet, and forget each other."""
    try:
        return sites.meet(one, other, 12)
    finally:
        sites.part(one, other)


def moved(sites: Sites, pings: Pings, home: Router) -> float:
    """A machine that is pinged moves to a home where it has not been before."""
    sites.net.move(sites.hosts["easy-e"], home)
    there = time.time()
    return wait_for(lambda: pings.answered(there), "traffic again", 90)[0] - there


# -- as innernet does ----------------------------------------------------------------------------------------------


def by_innernet(net: Internet, runs: int) -> None:
    """The same by hand: both devices are given one endpoint after the other, the right one last, until both have a
    handshake."""
    pair = [net.at_home(f"hand-{letter}", net.home(f"home-hand-{letter}", "easy")) for letter in "ab"]
    private = [keys.generate() for _ in pair]
    public = [keys.public_key(key) for key in private]
    for host, key in zip(pair, private, strict=True):
        host.path("/run/.lab/key").write_text(key)
        host.start("wireguard-go", "-f", BY_HAND)
        wait_for(lambda h=host: h.path(f"/run/wireguard/{BY_HAND}.sock").exists(), "wireguard-go")  # type: ignore[misc]
        host.run("wg", "set", BY_HAND, "private-key", "/run/.lab/key", "listen-port", "51820")
        host.run("ip", "link", "set", BY_HAND, "up")
    times: list[float] = []
    for _ in range(runs):
        times += measured(partial(stepped, net, pair, public))
        for host, key in zip(pair, reversed(public), strict=True):
            host.run("wg", "set", BY_HAND, "peer", key, "remove")
    figures("    by innernet's schedule, the right one last", runs, times)


def stepped(net: Internet, pair: list[Host], public: Sequence[PublicKey]) -> float:
    one, other = pair
    sides = ((one, public[1], net.hosts["home-hand-b"]), (other, public[0], net.hosts["home-hand-a"]))

    def have_met() -> bool:
        return None not in [handshake(host, key, BY_HAND) for host, key, _ in sides]

    began = time.monotonic()
    for number in range(1, WRONG + 2):
        for host, key, home in sides:
            endpoint = home.address if number > WRONG else f"203.0.113.{number}"
            host.run(
                *("wg", "set", BY_HAND, "peer", key, "endpoint", f"{endpoint}:51820"),
                *("allowed-ips", "10.9.0.0/24", "persistent-keepalive", "25"),
            )
        if within(have_met, began + number * STEP - time.monotonic()):
            return time.monotonic() - began
    wait_for(have_met, "a handshake", 2 * STEP)
    return time.monotonic() - began


def main(arguments: list[str]) -> int:
    if not steps.is_root():
        sys.stderr.write("error: netlab makes network namespaces, and needs root [not_root]\n")
        return 6
    runs = int(arguments[0]) if arguments else RUNS
    for part in (partial(again_and_again, runs=runs), partial(by_innernet, runs=min(runs, HAND_RUNS)), matrix):
        with internet() as net:
            part(net)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
