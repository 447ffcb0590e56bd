"""`make flood`, or `python -m benchmarks.flood`: one line a kind, for three and for 64 hostile peers.

make flood KINDS="openapi why" SECONDS=5 HOSTILE="3 64"
"""

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from msgspec import Struct

from benchmarks.figures import quantile, say, title
from benchmarks.flood import coordinator
from benchmarks.flood.coordinator import Coordinator, Spent
from benchmarks.flood.honest import Admin, Asker
from benchmarks.flood.hostile import Hostile
from benchmarks.flood.kinds import KINDS, Kind
from innerd.command.options import raise_file_limit
from innerd.host import logs

_INSIDE = "INNERD_FLOOD_INSIDE"  # set in the namespace
_RAMP = 1.0  # seconds that the hostile have to begin
_AFTER = 1.0  # and that the coordinator has to recover
_ADMIN_GOAL, _DNS_GOAL = 0.1, 0.005  # seconds, p99
_MEMORY_GOAL = 64 * 1024 * 1024  # bytes more than before
_EVENTS_GOAL, _ANSWERS_GOAL, _LINES_GOAL = 10, 100, 10  # of each hostile peer
_BEGIN, _END = "<!-- figures -->", "<!-- end of figures -->"
_CORES = sorted(os.sched_getaffinity(0))


class Result(Struct, frozen=True, kw_only=True):
    """What one kind did to the others. Times in seconds, memory in bytes."""

    kind: str
    what: str
    peers: int
    admin: list[float]
    failed: dict[str, int]
    dns: list[float]
    lost: int
    before: Spent
    peak: int
    after: Spent
    answered: dict[str, int]
    seconds: float
    ran: bool  # to its end

    @property
    def missed(self) -> list[str]:
        """The goals that were not reached."""
        before, after = self.before, self.after
        reached = {
            "it ran on": self.ran,
            "admin": not self.failed and quantile(self.admin, 0.99) <= _ADMIN_GOAL,
            "DNS": quantile(self.dns, 0.99) <= _DNS_GOAL,
            "memory": self.peak - before.memory <= _MEMORY_GOAL,
            "events": after.events - before.events <= _EVENTS_GOAL * self.peers,
            "answers kept": after.answers - before.answers <= _ANSWERS_GOAL * self.peers,
            "journal": after.journal - before.journal <= _LINES_GOAL * (self.peers + 1),
        }
        return [goal for goal, is_reached in reached.items() if not is_reached]


async def _watch(attacked: Coordinator, peak: list[int]) -> None:
    while True:
        peak[0] = max(peak[0], attacked.memory())
        await asyncio.sleep(0.05)


async def _measure(attacked: Coordinator, cidr: int, seconds: float) -> tuple[Admin, Asker, int]:
    """The honest beside whatever else goes on, and the most memory meanwhile."""
    me, asker_peer = coordinator.peers_of("honest", 2)
    admin, asker, peak = Admin(me, attacked.target, cidr), Asker(), [0]
    watching = asyncio.create_task(_watch(attacked, peak))
    await asyncio.sleep(_RAMP)
    until = time.monotonic() + seconds
    await asyncio.gather(admin.run(until), asker.run(asker_peer, until))
    watching.cancel()
    return admin, asker, peak[0]


def attack(kind: Kind | None, peers: int, template: Path, folder: Path, seconds: float) -> Result:
    """One kind, on a coordinator of its own; None is nobody at all."""
    with coordinator.serving(template, folder) as attacked:
        cidr = attacked.spare_cidr()
        time.sleep(0.5)
        before = attacked.spent()
        hostile = None
        if kind is not None:
            attackers = coordinator.peers_of(kind.group, peers)
            hostile = Hostile(kind.attack(attackers, attacked.target))
            hostile.until_all_have_begun()
        admin, asker, peak = uvloop.run(_measure(attacked, cidr, seconds))
        answered, took = hostile.end() if hostile is not None else ({}, seconds)
        time.sleep(_AFTER)
        return Result(
            kind="nobody" if kind is None else kind.name,
            what="nobody is hostile" if kind is None else kind.what,
            peers=peers,
            admin=admin.took,
            failed=dict(admin.failed),
            dns=asker.took,
            lost=asker.lost,
            before=before,
            peak=peak,
            after=attacked.spent(),
            answered=dict(answered),
            seconds=took,
            ran=attacked.memory() > 0,
        )


def _ms(values: list[float]) -> str:
    return f"{1000 * quantile(values, 0.5):.1f} / {1000 * quantile(values, 0.99):.1f}"


def _cells(result: Result) -> list[str]:
    before, after, mib = result.before, result.after, 1024 * 1024
    failed = ", ".join(f"{count}x {what}" for what, count in sorted(result.failed.items()))
    answered = sum(count for what, count in result.answered.items() if what not in ("connections", "tried"))
    return [
        _ms(result.admin) + (f" ({failed} of {len(result.admin)})" if failed else ""),
        _ms(result.dns) + (f" ({result.lost} of {len(result.dns)} lost)" if result.lost else ""),
        f"{before.memory / mib:.0f}, {result.peak / mib:.0f}, {after.memory / mib:.0f}",
        f"{after.events - before.events} ({(after.event_bytes - before.event_bytes) / 1024:.0f} KiB)",
        f"{after.answers - before.answers}",
        f"{after.journal - before.journal}",
        f"{answered / result.seconds:,.0f}",
    ]


_HEADS = ["admin, ms", "DNS, ms", "memory, MiB", "events", "answers kept", "journal lines", "a second"]


def _tell(result: Result) -> None:
    mark = " ! " if result.missed else "   "
    parts = "   ".join(f"{head} {cell}" for head, cell in zip(_HEADS, _cells(result), strict=True))
    by = sorted(result.answered.items(), key=lambda item: -item[1])[:4]
    said = " ".join(f"{what}:{count}" for what, count in by)
    say(f"{mark}{result.kind:<20} {result.peers:>2}   {parts}   [{said}]   missed: {', '.join(result.missed) or '-'}")


def table(results: list[Result]) -> str:
    """The figures as docs/abuse.md has them."""
    heads = ["What they do", "peers", *_HEADS[:-1], "goals missed"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for result in results:
        cells = [result.what, str(result.peers), *_cells(result)[:-1], ", ".join(result.missed) or "none"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write(page: Path, figures: str) -> None:
    """Put figures in the place of those that the page has."""
    before, begin, rest = page.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise SystemExit(f"{page} has no place for figures: {_BEGIN} … {_END}")
    page.write_text(f"{before}{begin}\n{figures}\n\n{end}{after}")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.flood")
    known = [kind.name for kind in KINDS]
    parser.add_argument("--kinds", nargs="*", choices=known, metavar="KIND", help=f"all by default: {' '.join(known)}")
    parser.add_argument("--hostile", nargs="+", type=int, default=[3, 64], help="how many peers at once")
    parser.add_argument("--seconds", type=float, default=5, help="of each kind")
    parser.add_argument("--folder", default="/var/tmp", help="whose disk the log lies on")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the figures there too: docs/abuse.md")
    return parser.parse_args()


def _enter_namespace() -> None:
    """Become the same program in namespaces of its own: the network and every process in it end with it."""
    os.environ[_INSIDE] = "1"
    command = ["setpriv", "--pdeathsig", "SIGKILL", "unshare", "--net", "--mount", "--propagation", "private"]
    command += ["--pid", "--fork", "--kill-child", "--mount-proc"]
    os.execvp(command[0], [*command, sys.executable, "-m", "benchmarks.flood", *sys.argv[1:]])


def _settle_in() -> None:
    """What the namespace lacks; and the honest go before whatever else runs on their core: what is measured is the
    coordinator, not who gets a turn."""
    for command in ("mount -t sysfs sysfs /sys", "mount -t tmpfs tmpfs /run", "ip link set lo up"):
        subprocess.run(command.split(), check=True)
    raise_file_limit()
    logs.configure("text", 0)
    os.sched_setaffinity(0, {_CORES[-1]})
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def _runs(kinds: list[Kind], counts: list[int]) -> list[tuple[Kind | None, int]]:
    """Nobody first; on the honest administrator's own machine there is one address only."""
    runs: list[tuple[Kind | None, int]] = [(None, 0)]
    for kind in kinds:
        runs += [(kind, count) for count in ([1] if kind.group == "honest" else counts)]
    return runs


def main() -> None:
    asked = _asked()
    if os.geteuid() != 0:
        raise SystemExit("make flood needs root: it makes a network namespace and a tunnel device in it")
    if _INSIDE not in os.environ:
        _enter_namespace()
    _settle_in()
    kinds = [kind for kind in KINDS if not asked.kinds or kind.name in asked.kinds]
    results = []
    with tempfile.TemporaryDirectory(dir=asked.folder) as made:
        folder = Path(made)
        templates = {history: folder / f"network-{int(history)}" for history in {False, *(k.history for k in kinds)}}
        for history, template in templates.items():
            coordinator.make(template, history=history)
        title(f"Hostile peers beside honest ones: p50 / p99, {asked.seconds:.0f} s each ('!': a goal was missed)")
        for kind, peers in _runs(kinds, asked.hostile):
            template = templates[kind is not None and kind.history]
            results.append(attack(kind, peers, template, folder, asked.seconds))
            _tell(results[-1])
    machine = f"{len(_CORES)} cores, Linux {platform.release()}, Python {platform.python_version()}"
    figures = f"{machine}; {asked.seconds:.0f} seconds each.\n\n{table(results)}"
    say("\n" + figures)
    if asked.write:
        write(asked.write, figures)


if __name__ == "__main__":
    main()
