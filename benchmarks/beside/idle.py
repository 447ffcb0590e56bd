"""Minutes in which nothing happens, in networks of ten machines: CPU, memory and wakeups of what runs on one of them
and on the server. All systems are there at once, in one lab, so that each minute is the same one for all of them.

A tunnel is a process of its own where WireGuard is (the kernel's would be none), and within the daemon elsewhere.
"""

import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from benchmarks.beside.mesh import InnernetMesh, Mesh, OurMesh
from benchmarks.beside.nebula import Nebula
from benchmarks.beside.tailnet import Tailnet
from benchmarks.figures import quantile, say, title
from benchmarks.idle import SECONDS, used
from tests.netns import steps
from tests.netns.lab import Host, Lab, lab, wait_for

PEERS = 10
SETTLED = 100  # seconds after the last ping: innernet's clients ask once a minute


class Watched(NamedTuple):
    """A process of a system, and where it runs."""

    what: str
    host: Host
    pid: int


class Spent(NamedTuple):
    """In a minute."""

    cpu: float  # milliseconds
    wakeups: float  # a second
    memory: float  # MiB


def settled(mesh: Mesh, net: Lab) -> tuple[Host, list[Host]]:
    """A network in which everybody has joined, and one machine knows all others."""
    server = net.host(f"{mesh.name}-server")
    hosts = [net.host(f"{mesh.name}-{number}") for number in range(PEERS)]
    mesh.found(server)
    for host in hosts:
        mesh.invite(server, host)
        mesh.join(host)
        wait_for(partial(_runs, mesh, host), f"{host.name} to join", 60)
    addresses = [mesh.address(host) for host in hosts]
    for address in addresses[:-1]:
        steps.reaches(hosts[-1], address, 120)
    return server, hosts


def _runs(mesh: Mesh, host: Host) -> bool:
    return all(host.pids(pattern) for pattern in mesh.member_processes)


def watched(mesh: Mesh, server: Host, peer: Host) -> Iterator[Watched]:
    for role, host, patterns in (("server", server, mesh.server_processes), ("machine", peer, mesh.member_processes)):
        for number, pattern in enumerate(patterns):
            part = "its tunnel" if number else "itself"
            yield Watched(f"{mesh.name}, {role}: {part}", host, host.pids(pattern)[-1])


def minute(processes: Sequence[Watched]) -> list[Spent]:
    before = [used(one.host, one.pid) for one in processes]
    time.sleep(SECONDS)
    after = [used(one.host, one.pid) for one in processes]
    return [
        Spent((now[0] - then[0]) * 1e3, (now[1] - then[1]) / SECONDS, now[2])
        for now, then in zip(after, before, strict=True)
    ]


def shown(processes: Sequence[Watched], minutes: Sequence[Sequence[Spent]]) -> None:
    say(f"  {'':<34}{'CPU a minute':>16}{'wakeups a second':>20}{'memory':>12}")
    for number, process in enumerate(processes):
        cpu, wakeups, memory = (quantile([one[number][which] for one in minutes], 0.5) for which in range(3))
        say(f"  {process.what:<34}{cpu:>13.0f} ms{wakeups:>20.1f}{memory:>8.0f} MiB")


def run(rounds: int) -> None:
    meshes: list[Mesh] = [OurMesh()]
    for other in (InnernetMesh, Tailnet, Nebula):
        if other.is_here():
            meshes.append(other())
        else:
            say(f"{other.__name__} is not here: .ci/innernet and .ci/peers build the others")
    with lab() as net:
        processes: list[Watched] = []
        for mesh in meshes:
            server, hosts = settled(mesh, net)
            processes += watched(mesh, server, hosts[-1])
        time.sleep(SETTLED)
        title(
            f"Minutes in which nothing happens, {PEERS} machines (medians of {rounds}; load {os.getloadavg()[0]:.1f})"
        )
        minutes = [minute(processes) for _ in range(rounds)]
        shown(processes, minutes)
        say(f"      load at the end {os.getloadavg()[0]:.1f}")
