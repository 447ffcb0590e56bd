"""The start of commands, also in a large network, and of a coordinator with a long log: time and memory.

`python -m benchmarks.start FILE` is that process: it opens and replays a log, and prints seconds and MiB.
"""

import asyncio
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from benchmarks import members
from benchmarks.figures import figure, say, title
from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain import commands as c
from innerd.domain.values import Name
from innerd.log.sqlite import SqliteStore
from tests.netns import steps
from tests.netns.lab import lab, wait_for
from tests.world import LOCAL, key

EVENTS = 1_000_000
PEERS = 1000


async def fill(path: Path) -> None:
    from benchmarks.log import filled  # with the reference library, whose memory is not ours

    await (await filled(path, EVENTS)).close()


async def start(path: Path) -> None:
    began = time.perf_counter()
    store = await SqliteStore.open(path)
    Writer(store, await load(store), time.time, print)
    seconds = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"{seconds} {memory}\n")
    await store.close()


BIN = Path(sys.executable).parent
_COMMANDS = {"inn --help": 100, "inn add-peer --help": 100, "innerd --help": 100, "inn show": 80}
_COMPLETIONS = {"inn add-": 50, "inn show --": 50, "inn show k": 50, "innerd add-": 50}
_OTHERS = {"wg": ["show"], "innernet": ["show"]}  # who does the like, where they are here
_RUNS = 9


def usual(command: Sequence[str | Path], env: dict[str, str]) -> float:
    """Milliseconds that a command takes: the median of some runs."""
    spans = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        subprocess.run(command, env=os.environ | env, capture_output=True, check=True)
        spans.append(time.perf_counter() - began)
    return statistics.median(spans) * 1000


def commands(folder: Path) -> None:
    title(f"Start of commands (medians of {_RUNS}; load {os.getloadavg()[0]:.1f})")
    bare = usual([sys.executable, "-c", "pass"], {})
    figure("python, which does nothing", f"{bare:.0f} ms")
    for name, words in _OTHERS.items():
        if shutil.which(name):
            figure(f"{name} {' '.join(words)}", f"{usual([name, *words], {}):.0f} ms")
    members.settled(folder, peers=10)
    env = members.places(folder)
    with members.serving(folder):
        for text, limit in _COMMANDS.items():
            program, *rest = text.split()
            row(text, usual([BIN / program, *rest], env), bare, limit)
    for text, limit in _COMPLETIONS.items():
        program, *rest = text.split()
        asked = {"COMP_WORDS": text, "COMP_CWORD": str(len(rest)), f"_{program.upper()}_COMPLETE": "bash_complete"}
        row(f"completion of: {text}", usual([BIN / program], env | asked), bare, limit)


def row(what: str, milliseconds: float, bare: float, limit: int) -> None:
    figure(what, f"{milliseconds:.0f} ms, {milliseconds / bare:.1f} x python", f"<= {limit} ms")


def looks(folder: Path) -> None:
    """`inn show` and `inn status` in a large network, with an agent and from the files."""
    title(f"inn in a network of {members.PEERS:,} peers (medians of {_RUNS}; load {os.getloadavg()[0]:.1f})")
    bare = usual([sys.executable, "-c", "pass"], {})
    members.settled(folder)
    env = members.places(folder)
    verbs = (["show"], ["show", "--short"], ["show", "--json"], ["status", members.INTERFACE])
    for verb in verbs:
        row(f"inn {' '.join(verb)}, from the files", usual([BIN / "inn", *verb], env), bare, 200)
    with members.serving(folder):
        for verb in verbs:
            row(f"inn {' '.join(verb)}, of an agent", usual([BIN / "inn", *verb], env), bare, 200)


async def people(path: Path) -> None:
    """Peers with keys into the log of a network that is not served."""
    store = await SqliteStore.open(path)
    writer = Writer(store, await load(store), time.time, lambda _: None)
    first = ip_address("10.42.128.1")
    adding = [
        c.AddPeer(name=Name(f"p{n}"), cidr=1, ip=first + n, public_key=key(f"p{n}"), is_redeemed=True)
        for n in range(PEERS)
    ]
    await asyncio.gather(*(writer.submit(command, LOCAL) for command in adding))
    await store.close()


def serving() -> None:
    title(f"innerd serve, a network of {PEERS:,} peers, with wireguard-go")
    if not steps.is_root():
        say("  not measured: this needs root")
        return
    with lab() as net:
        host = net.host("coordinator")
        steps.found(host, "10.42.0.0/16")
        log = host.path(f"/var/lib/innerd/{steps.NETWORK}.db")
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # SQLite follows no link into another host
            outside = Path(shutil.copy(log, folder))
            asyncio.run(people(outside))
            shutil.copy(outside, log)
        began = time.perf_counter()
        host.start("innerd", "serve", steps.NETWORK, log="/run/.lab/innerd.log")  # as installed, not loaded already
        wait_for(lambda: "serves" in steps.said(host, "innerd.log"), "innerd serve")
        figure("from the command to ready", f"{time.perf_counter() - began:.2f} s", "<= 1 s")


def run() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        commands(Path(folder) / "small")
        looks(Path(folder) / "large")
    serving()
    title(f"Start ({EVENTS:,} events, a third of them peers)")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        path = Path(folder) / "bench.db"
        asyncio.run(fill(path))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.start", path], capture_output=True, text=True, check=True
        )
        seconds, memory = map(float, done.stdout.split())
    figure("from opening the log to serving from it", f"{seconds:.1f} s", "<= 10 s")
    figure("memory at that point", f"{memory:.0f} MiB", "<= 250 MiB")


if __name__ == "__main__":
    asyncio.run(start(Path(sys.argv[1])))
