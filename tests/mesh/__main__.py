"""`make sim PEERS=1000 MINUTES=10 SEED=7`, or `python -m tests.mesh PEERS MINUTES SEED`."""

import sys
import time

from benchmarks.figures import quantile
from innerd.host import logs
from tests.mesh import clock
from tests.mesh.life import Life, Wrong, lived


def say(life: Life) -> None:
    print(
        f"  {life.time() / 60:6.1f} min  {len(life.machines)} machines  {sum(life.happened.values())} happenings",
        flush=True,
    )


def main(peers: int, minutes: float, seed: int) -> None:
    print(f"seed {seed}: {peers} machines, {minutes:g} minutes")
    logs.configure("text", 0)
    began = time.monotonic()
    try:
        life: Life = clock.lived(lived(seed, peers, minutes, say))
    except (Wrong, ExceptionGroup) as error:
        print(f"WRONG: {error}")
        print(f"again: make sim PEERS={peers} MINUTES={minutes:g} SEED={seed}")
        sys.exit(1)
    print("  " + ", ".join(f"{count} x {what}" for what, count in sorted(life.happened.items())))
    print("  checked: " + ", ".join(f"{count} {what}" for what, count in sorted(life.checks.items())))
    took = [1000 * seconds for seconds in life.took]
    percentiles = ", ".join(f"p{round(100 * q)} {quantile(took, q):.0f} ms" for q in (0.5, 0.9, 0.99))
    print(f"  change -> receipt, {len(took)} times: {percentiles}, max {max(took):.0f} ms (ways of 1 to 40 ms)")
    print(f"  trace {life.trace}, {time.monotonic() - began:.1f} s")


main(
    int(sys.argv[1]),
    float(sys.argv[2]),
    int(sys.argv[3]) if len(sys.argv) > 3 and sys.argv[3] else time.time_ns() % 10**9,
)
