"""DNS: throughput, CPU and latency beside NSD and dnsmasq with the same names; what a network of 65,000 peers costs.

5,000 peers in 20 CIDRs, all servers in one process each on loopback (no tunnel in between), held to one core, dnsperf
held to another. Rounds are interleaved and figures are their medians. How busy the server's core was is said beside a
rate: where it is well below 100 %, dnsperf was the slower one, and the CPU a query says more. Where a reference can't
be had, it is not measured.
"""

import asyncio
import contextlib
import multiprocessing
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path
from statistics import median
from typing import NamedTuple, cast

from benchmarks.figures import figure, quantile, say, title
from innclient.core.netmap import KnownPeer, Netmap
from innclient.names.stub import PORT, Stub
from inndns.records import Host
from inndns.server import DnsServer
from inndns.zone import Zone, empty
from innerd.domain.maps import Map
from innerd.domain.values import Name, PublicKey
from tests.dns import nameservers

PEERS, CLASSES, MANY = 5_000, 20, 65_000
ROUNDS, SECONDS = 5, 2
SUFFIX, NETWORK, BLOCK, TTL = "wg", "bench", "127.42.0.0/16", 5
FIRST = IPv4Address("127.42.0.2")
ASKER = str(FIRST)
SERVER, STUB = ("127.42.0.1", 5354), ("127.42.0.60", PORT)
CORES = sorted(os.sched_getaffinity(0))
SERVING, ASKING = CORES[0], CORES[-1]
TICK = os.sysconf("SC_CLK_TCK")


def hosts(count: int) -> list[Host]:
    return [Host(f"peer{number}", FIRST + number, number % CLASSES) for number in range(count)]


def zone(peers: list[Host]) -> Zone:
    """Everybody sees all classes but the last, which sees itself too."""
    sees = {number: frozenset(range(CLASSES)) - {CLASSES - 1} | {number} for number in range(CLASSES)}
    blank = empty(NETWORK, SUFFIX, ip_network(BLOCK), "innernet-server", TTL, Map())
    return blank.change(1, sees.__getitem__, [], peers)


# -- the servers ------------------------------------------------------------------------------------------------------


class Served(NamedTuple):
    name: str
    at: tuple[str, int]
    pid: int
    asker: str = ASKER


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """All that is started meanwhile stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def serve(pipe: "multiprocessing.connection.Connection") -> None:
    """In a process of its own: serve until told to stop."""

    async def main() -> None:
        served = zone(hosts(PEERS))
        server = DnsServer(lambda: served)
        udp, tcp = (socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for each in (udp, tcp):
            each.bind(SERVER)
            each.setblocking(False)
        tcp.listen()
        await server.listen(udp, tcp)
        pipe.send("ready")
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        await server.close()

    asyncio.run(main())


def serve_stub(pipe: "multiprocessing.connection.Connection") -> None:
    """The same names as an agent answers them on its own host."""

    async def main() -> None:
        stub = Stub(FIRST, "lo")
        told = [_known(number, host) for number, host in enumerate(hosts(PEERS))]
        stub.update(Netmap(network=NETWORK, suffix=SUFFIX, revision=1, block=ip_network(BLOCK)), told, None)
        await stub.listen(STUB[0], on_tunnel=False)
        pipe.send("ready" if stub.trouble is None else stub.trouble)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        await stub.close()

    asyncio.run(main())


def _known(number: int, host: Host) -> KnownPeer:
    return KnownPeer(
        id=number,
        name=Name(host.name),
        ip=ip_address(host.address),
        cidr_id=1,
        public_key=PublicKey(""),
        endpoint=None,
        is_admin=False,
    )


@contextlib.contextmanager
def ours() -> Iterator[Served]:
    with process_of(serve) as (pid, _):
        yield Served("ours", SERVER, pid)


@contextlib.contextmanager
def process_of(served: Callable[..., None]) -> Iterator[tuple[int, str]]:
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=served, args=(theirs,))
    process.start()
    said = cast(str, mine.recv())
    assert process.pid is not None
    try:
        yield process.pid, said
    finally:
        mine.send("stop")
        process.join()


@contextlib.contextmanager
def references(folder: Path) -> Iterator[list[Served]]:
    """NSD and dnsmasq, as far as they can be had."""
    peers = hosts(PEERS)
    domain = f"{NETWORK}.{SUFFIX}"
    with contextlib.ExitStack() as stack:
        found = []
        if nameservers.program("nsd") is not None:
            coordinator = Host("innernet-server", IPv4Address(SERVER[0]), None)
            zones = nameservers.zone_files(domain, BLOCK, [coordinator, *peers], ttl=TTL, serial=1)
            found.append(Served("NSD", *stack.enter_context(nameservers.nsd(folder, zones))))
        if nameservers.program("dnsmasq") is not None:
            found.append(Served("dnsmasq", *stack.enter_context(nameservers.dnsmasq(folder, domain, peers))))
        yield found


def cpu(pid: int) -> float:
    """The CPU seconds of a process and of all below it."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            number = int(stat.parent.name)
            parents[number], ticks[number] = int(fields[1]), int(fields[11]) + int(fields[12])
    family = {pid}
    while more := {number for number, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(ticks[number] for number in family) / TICK


# -- asking them ------------------------------------------------------------------------------------------------------


KINDS: dict[str, Callable[[int], str]] = {
    "a name's address": lambda number: f"peer{number}.bench.wg A",
    "a name's other type": lambda number: f"peer{number}.bench.wg AAAA",
    "a name that is not there": lambda number: f"nobody{number}.bench.wg A",
    "an address's name": lambda number: f"{(FIRST + number).reverse_pointer} PTR",
}


def questions(folder: Path, *kinds: str) -> Path:
    """As networks ask: names and addresses there, names not there; or some of these alone."""
    file = folder / "questions"
    file.write_text("".join(f"{KINDS[kind](number)}\n" for number in range(2_000) for kind in kinds or KINDS))
    return file


class Run(NamedTuple):
    rate: float  # answers a second
    cpu: float  # seconds for each
    busy: float  # the share of the time that the server had a core
    lost: int
    latencies: list[float]  # seconds, where they were asked for


def asked(served: Served, file: Path, *options: str) -> Run:
    command = ["dnsperf", "-s", served.at[0], "-p", str(served.at[1]), "-a", served.asker]
    command += ["-d", str(file), "-c", "8"]
    with tempfile.TemporaryFile("w+") as told:
        before = cpu(served.pid)
        subprocess.run([*command, "-l", str(SECONDS), *options], stdout=told, stderr=subprocess.STDOUT, check=True)
        spent = cpu(served.pid) - before
        told.seek(0)
        said = told.read()

    def number(what: str) -> float:
        found = re.search(rf"{what}:\s+([\d.]+)", said)
        assert found is not None, said
        return float(found[1])

    latencies = [float(seconds) for seconds in re.findall(r"^> .* ([\d.]+)$", said, re.MULTILINE)]
    return Run(
        number("Queries per second"),
        spent / number("Queries completed"),
        spent / number(r"Run time \(s\)"),
        int(number("Queries lost")),
        latencies,
    )


def rounds(all_: list[Served], file: Path, *options: str, count: int = ROUNDS) -> dict[str, list[Run]]:
    """Interleaved, so that a busy moment of the machine meets everybody."""
    found: dict[str, list[Run]] = {served.name: [] for served in all_}
    for _ in range(count):
        for served in all_:
            found[served.name].append(asked(served, file, *options))
    return found


def middle(runs: list[Run], field: str) -> float:
    return float(median(getattr(run, field) for run in runs))


def throughput(all_: list[Served], file: Path) -> float:
    found = rounds(all_, file, "-q", "100")
    own = middle(found["ours"], "rate")
    lost = sum(run.lost for run in found["ours"])
    figure(
        "queries a second over UDP, one core", f"{own:,.0f}/s", ">= 60,000/s", f"{_busy(found['ours'])}, {lost} lost"
    )
    for name, goal in (("NSD", ">= 0.5x"), ("dnsmasq", "> 1x")):
        beside(name, found, goal)
    spent = 1e6 * middle(found["ours"], "cpu")
    others = ", ".join(f"{name} {1e6 * middle(runs, 'cpu'):.1f}" for name, runs in found.items() if name != "ours")
    figure("CPU a query, system calls included", f"{spent:.1f} us", "<= 15 us", others)
    return own


def _busy(runs: list[Run]) -> str:
    return f"its core {100 * middle(runs, 'busy'):.0f} % busy"


def beside(name: str, found: dict[str, list[Run]], goal: str, what: str = "") -> None:
    """Our rate as a share of another's, and its CPU a query as a share of ours."""
    if name not in found:
        say(f"  {name}: not measured (tests/tools/dns-fetch {name.lower()} brings it)")
        return
    own, other = found["ours"], found[name]
    rate, by_cpu = middle(own, "rate") / middle(other, "rate"), middle(other, "cpu") / middle(own, "cpu")
    told = f"by CPU {by_cpu:.2f}x; {name} {middle(other, 'rate'):,.0f}/s, {_busy(other)}"
    figure(f"  against {name}" + (f": {what}" if what else ""), f"{rate:.2f}x", goal, told)


def by_kind(all_: list[Served], folder: Path, *options: str) -> None:
    """No kind of question may hide behind the others."""
    two = [served for served in all_ if served.name != "dnsmasq"]
    for kind in KINDS:
        beside("NSD", rounds(two, questions(folder, kind), "-q", "100", *options, count=2), ">= 0.5x", kind)


def over_tcp(all_: list[Served], file: Path) -> None:
    """dnsmasq forks for each connection: no reference here."""
    found = rounds([served for served in all_ if served.name != "dnsmasq"], file, "-m", "tcp", "-q", "100", count=3)
    figure(
        "queries a second over TCP, 8 connections",
        f"{middle(found['ours'], 'rate'):,.0f}/s",
        ">= 60,000/s",
        f"{_busy(found['ours'])}, {1e6 * middle(found['ours'], 'cpu'):.1f} us each",
    )
    beside("NSD", found, ">= 0.5x")


def latency(all_: list[Served], file: Path, full: float) -> None:
    for what, rate, share, goal in (
        (f"p99 at half of that load ({full / 2:,.0f}/s)", full / 2, 0.99, "<= 1 ms"),
        ("p50 unloaded (500/s)", 500, 0.5, "<= 0.2 ms"),
    ):
        found = rounds(all_, file, "-v", "-Q", f"{rate:.0f}", "-q", "100", count=3)
        of = {name: 1e3 * median(quantile(run.latencies, share) for run in runs) for name, runs in found.items()}
        others = ", ".join(f"{name} {value:.2f}" for name, value in of.items() if name != "ours")
        figure(what, f"{of['ours']:.2f} ms", goal, others)


def stub_latency(file: Path) -> None:
    with contextlib.ExitStack() as stack:
        with on_core(SERVING):
            pid, said = stack.enter_context(process_of(serve_stub))
        if said != "ready":
            say(f"  an agent's own answers: not measured ({said})")
            return
        served = Served("stub", STUB, pid, "127.0.0.1")
        runs = [asked(served, file, "-v", "-Q", "500", "-q", "100") for _ in range(3)]
    p50, p99 = (1e3 * median(quantile(run.latencies, share) for run in runs) for share in (0.5, 0.99))
    figure("p50 of an agent's own answers (500/s)", f"{p50:.2f} ms", "<= 0.2 ms", f"p99 {p99:.2f} ms")


def large() -> None:
    """A network of 65,000 peers: made at once, then followed change by change. All in one CIDR is the worst case."""
    peers = hosts(MANY)
    for what, each in (
        (f"{MANY:,} peers", peers),
        (f"{MANY:,} peers in one CIDR", [Host(peer.name, peer.address, 0) for peer in peers]),
    ):
        began = time.perf_counter()
        followed = zone(each)
        figure(f"a zone of {what} compiled", f"{time.perf_counter() - began:.2f} s", "<= 1 s")
        times = []
        for serial, place in enumerate(range(0, MANY, MANY // 200), 2):
            renamed = Host(f"renamed{place}", each[place].address, each[place].class_)
            began = time.perf_counter()
            followed = followed.change(serial, followed.sees, [each[place]], [renamed])
            times.append(time.perf_counter() - began)
        p50, p99 = (f"{1e3 * quantile(times, share):.2f}" for share in (0.5, 0.99))
        figure(f"one peer changed among {what}", f"{p50} ms", "<= 1 ms", f"p99 {p99} ms")


def run() -> None:
    title(f"DNS ({PEERS} peers, {CLASSES} CIDRs; one process each on loopback, on one core; dnsperf on the other)")
    if SERVING == ASKING:
        say("  one core only: servers and dnsperf take it from each other")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        with on_core(SERVING):
            all_ = [stack.enter_context(ours()), *stack.enter_context(references(folder))]
        with on_core(ASKING):
            full = throughput(all_, questions(folder))
            by_kind(all_, folder)
            over_tcp(all_, questions(folder))
            by_kind(all_, folder, "-m", "tcp")
            latency(all_, questions(folder), full)
            stub_latency(questions(folder))
    large()
