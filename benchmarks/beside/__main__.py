"""`make bench-peers`, or `python -m benchmarks.beside [--rounds N] [--peers N] [adding] [joining] [idle]`."""

import argparse
import sys

from benchmarks.beside import adding, idle, joining
from innerd.host import logs
from tests.netns import steps

PARTS = ("adding", "joining", "idle")


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.beside")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all where none is said")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=int, default=adding.PEERS)
    asked = parser.parse_args()
    if not steps.is_root():
        sys.stderr.write("error: this makes network namespaces, and needs root [not_root]\n")
        return 6
    logs.configure("text", 0)
    for part in asked.parts or PARTS:
        match part:
            case "adding":
                adding.run(asked.rounds, asked.peers)
            case "joining":
                joining.run(asked.rounds)
            case "idle":
                idle.run(asked.rounds)
            case _:
                parser.error(f"there is no {part}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
