"""The start of commands, and of a coordinator with a long log: seconds and memory, in a process of its own.

`python -m benchmarks.start FILE` is that process: it opens and replays a log, and prints seconds and MiB.
"""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import figure, title
from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.log.sqlite import SqliteStore

EVENTS = 1_000_000


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


def run() -> None:
    commands()
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
