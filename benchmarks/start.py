"""The start of a coordinator with a long log: seconds and memory, in a process of its own.

`python -m benchmarks.start FILE` is that process: it opens and replays a log, and prints seconds and MiB.
"""

import asyncio
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


def run() -> None:
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
