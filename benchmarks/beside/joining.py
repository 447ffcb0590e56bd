"""From the start of a command to the first ping that is answered, each system on a small internet of its own, in turns:

- a machine that was invited joins, and pings one that has joined before (both have addresses of their own);
- two machines behind two easy NATs, which have joined before and were switched off, are switched on at once.
"""

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.beside.mesh import Mesh, OurMesh
from benchmarks.beside.nebula import Nebula
from benchmarks.beside.tailnet import Tailnet
from benchmarks.figures import figure, quantile, say, title
from tests.netns import steps
from tests.netns.lab import Host, wait_for
from tests.netns.nat import Internet, Router, internet

ROOT = Path(__file__).parents[2]
PATIENCE = 90  # seconds, before it counts as not at all
# There is no conntrack(8) everywhere; this is its -F.
_FLUSH = "from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket; NFCTSocket().flush()"


class Net(NamedTuple):
    """A network of a system: one machine in the open, two behind NATs."""

    mesh: Mesh
    internet: Internet
    server: Host
    known: Host
    pair: tuple[Host, Host]
    routers: tuple[Router, Router]


def until_ping(host: Host, address: str, begin: Callable[[], None]) -> float:
    """Seconds from the beginning of something to the first answer."""
    host.path("/run/.lab/first").unlink(missing_ok=True)
    command = (sys.executable, "-m", "benchmarks.beside.first_ping", address, str(PATIENCE))
    with host.start("env", f"PYTHONPATH={ROOT}", *command, log="/run/.lab/first") as pinging:
        wait_for(lambda: "pings" in steps.said(host, "first"), "the pings to begin")
        began = time.time()
        begin()
        pinging.wait()
    found = steps.said(host, "first").split()[1]
    return math.inf if found == "never" else float(found) - began


def made(mesh: Mesh, net: Internet) -> Net:
    server, known = net.public("server"), net.public("known")
    routers = net.home("home-a", "easy"), net.home("home-b", "easy")
    pair = net.at_home("a", routers[0]), net.at_home("b", routers[1])
    mesh.found(server)
    for host in (known, *pair):
        mesh.invite(server, host)
        mesh.join(host)
    for host in pair:
        steps.reaches(host, mesh.address(known), 60)
    steps.reaches(pair[0], mesh.address(pair[1]), 60)
    return Net(mesh, net, server, known, pair, routers)


def joined(net: Net, number: int) -> float:
    host = net.internet.public(f"new{number}")
    net.mesh.invite(net.server, host)
    return until_ping(host, net.mesh.address(net.known), lambda: net.mesh.join(host))


def switched_on(net: Net) -> float:
    target = net.mesh.address(net.pair[1])
    for host in net.pair:
        net.mesh.stop(host)
    for router in net.routers:
        router.run(sys.executable, "-c", _FLUSH)

    def begin() -> None:
        for host in net.pair:
            net.mesh.start(host)

    return until_ping(net.pair[0], target, begin)


def shown(what: str, found: dict[str, list[float]]) -> None:
    usual = {name: quantile(times, 0.5) for name, times in found.items()}
    for name, times in found.items():
        ours = usual[OurMesh().name]
        ratio = "" if usual[name] == ours else f"innerd {ours:.2f} s"
        figure(f"{what}: {name}", f"{usual[name]:.2f} s", "", ratio, usual[name] / ours if ratio else None)
        say(f"      {' '.join(f'{one:.2f}' for one in times)}")


def run(rounds: int) -> None:
    meshes: list[Mesh] = [OurMesh()]
    for other in (Tailnet, Nebula):
        if other.is_here():
            meshes.append(other())
        else:
            say(f"{other.name} is not here: .ci/peers builds it")
    title(f"Joining (medians of {rounds}; load {os.getloadavg()[0]:.1f})")
    with contextlib.ExitStack() as stack:
        nets = [made(mesh, stack.enter_context(internet())) for mesh in meshes]
        shown("joining, to the first ping", in_turns(nets, rounds, joined))
        shown("two behind easy NATs, to the first ping", in_turns(nets, rounds, lambda net, _: switched_on(net)))
    say(f"      load at the end {os.getloadavg()[0]:.1f}")


def in_turns(nets: Sequence[Net], rounds: int, once: Callable[[Net, int], float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {net.mesh.name: [] for net in nets}
    for number in range(rounds):
        for net in nets if number % 2 == 0 else nets[::-1]:
            found[net.mesh.name].append(once(net, number))
    return found
