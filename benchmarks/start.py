"""The start of commands, and of a coordinator with a long log: seconds and memory, in a process of its own.

`python -m benchmarks.start FILE` is that process: it opens and replays a log, and prints seconds and MiB.
"""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from ipaddress import ip_address
from pathlib import Path

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


_COMMANDS = {"inn --help": 150, "inn show": 150, "innerd --help": 150}
_COMPLETIONS = {"inn": 100, "innerd": 100}


def quickest(*command: str | Path, **env: str) -> float:
    """Milliseconds that a command takes: the best of ten, which is the machine's least disturbed."""
    spans = []
    for _ in range(10):
        began = time.perf_counter()
        subprocess.run(command, env=os.environ | env, capture_output=True, check=True)
        spans.append(time.perf_counter() - began)
    return min(spans) * 1000


def commands() -> None:
    title("Start of commands (best of ten)")
    folder = Path(sys.executable).parent
    for text, limit in _COMMANDS.items():
        program, *rest = text.split()
        figure(text, f"{quickest(folder / program, *rest):.0f} ms", f"<= {limit} ms")
    for program, limit in _COMPLETIONS.items():
        words = {f"_{program.upper()}_COMPLETE": "bash_complete", "COMP_WORDS": f"{program} add-", "COMP_CWORD": "1"}
        figure(f"a completion of {program}", f"{quickest(folder / program, **words):.0f} ms", f"<= {limit} ms")


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
    commands()
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
