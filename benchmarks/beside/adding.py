"""`add-peer` over the tunnel, one at a time and many at once: innerd and innernet's own server, in turns.

Both are asked the same by the same program from a machine that was enrolled by hand; ours with a proof in each request.
Each round begins from the same state: a network with an administrator in it, or with many peers beside.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.beside.by_hand import Admin
from benchmarks.beside.systems import Innerd, Innernet, Kept, System, on_disk
from benchmarks.figures import figure, quantile, say, title
from benchmarks.idle import used
from tests.netns.lab import Failed, Host, Lab, lab

PEERS = 2_000
MANY = 16
ALONE, TOGETHER = 200, 800  # peers that are added in a round
GOALS = {1: 1, MANY: 3}
_TRIES = 3


class Bench(NamedTuple):
    """A system that was founded, and is stopped."""

    system: System
    server: Host
    kept: Kept
    admin: Admin
    network_id: str | None
    states: dict[int, Path]  # by how many peers were there before


@contextlib.contextmanager
def prepared(system: System, net: Lab, disk: Path, sizes: Sequence[int]) -> Iterator[Bench]:
    server, host = net.host(system.name), net.host(f"admin-{system.name}")
    with on_disk(system, server, disk) as kept:
        invitation = system.found(server)
        system.serve(server)
        try:
            admin = Admin(host, server, invitation)
            network_id = system.network_id(server)
        finally:
            system.stop(server)
        founded = kept.keep("founded")
        states = {}
        for size in sizes:
            kept.back(founded)
            system.fill(kept.now, size)
            states[size] = kept.keep(str(size))
        yield Bench(system, server, kept, admin, network_id, states)


class Added(NamedTuple):
    rate: float  # peers a second
    cpu: float  # milliseconds of the server for each


Turn = dict[int, Added]  # by how many ask at once


def once(bench: Bench, size: int) -> Turn:
    """A turn is begun again where the server does not answer, or lets go of a connection, and that is said: each
    system does one of them now and then where it gets little of a busy machine."""
    for _ in range(_TRIES):
        with contextlib.suppress(Failed), bench.kept.served(bench.states[size]):
            if bench.admin.reach():
                return {1: added(bench, 1, ALONE, 0), MANY: added(bench, MANY, TOGETHER, ALONE)}
        say(f"      {bench.system.name} did not answer, or not all: begun again")
    raise Failed(f"{bench.system.name} does not answer")


def added(bench: Bench, clients: int, count: int, first: int) -> Added:
    server = bench.server.pids(bench.system.process)[-1]
    before = used(bench.server, server)[0]
    rate = bench.admin.add_peers(bench.network_id, clients=clients, count=count, first=first)
    return Added(rate, (used(bench.server, server)[0] - before) / count * 1e3)


def in_turns(benches: Sequence[Bench], size: int, rounds: int) -> dict[str, list[Turn]]:
    found: dict[str, list[Turn]] = {bench.system.name: [] for bench in benches}
    for number in range(rounds):
        order = benches if number % 2 == 0 else benches[::-1]
        for bench in order:
            found[bench.system.name].append(once(bench, size))
    return found


def shown(found: dict[str, list[Turn]]) -> None:
    for clients, goal in GOALS.items():
        what = "one at a time" if clients == 1 else f"{clients} at once"
        rates = {name: [one[clients].rate for one in rounds] for name, rounds in found.items()}
        cpu = {name: quantile([one[clients].cpu for one in rounds], 0.5) for name, rounds in found.items()}
        usual = {name: quantile(of, 0.5) for name, of in rates.items()}
        ours, theirs = usual[Innerd.name], usual.get(Innernet.name)
        reference = "" if theirs is None else f"{Innernet.name} {theirs:,.0f}/s"
        figure(
            f"add-peer over the tunnel, {what}",
            f"{ours:,.0f}/s",
            f">= {goal}x",
            reference,
            None if theirs is None else ours / theirs,
        )
        for name, of in rates.items():
            each = " ".join(f"{one:,.0f}" for one in of)
            say(f"      {name:<10} {each}; {cpu[name]:.2f} ms of the server's CPU for each")


def run(rounds: int, peers: int) -> None:
    systems: list[System] = [Innerd()]
    if Innernet.is_here():
        systems.append(Innernet())
    else:
        say("innernet is not here: make interop fetches it")
    sizes = [0, peers]
    with contextlib.ExitStack() as stack:
        net = stack.enter_context(lab())
        benches = []
        for system in systems:
            disk = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp")))
            benches.append(stack.enter_context(prepared(system, net, disk, sizes)))
        for size in sizes:
            network = "an empty network" if size == 0 else f"a network of {size:,} peers"
            title(f"Adding peers to {network} (medians of {rounds}; load {os.getloadavg()[0]:.1f})")
            shown(in_turns(benches, size, rounds))
            say(f"      load at the end {os.getloadavg()[0]:.1f}")
