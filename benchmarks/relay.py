"""The relay, beside plain forwarding through the same host with the same ends, and beside another system's relay in the
same lab: what passes, how much later it comes, and what it costs the host; then how many pairs are held, and what a
handshake costs.

Two machines on links of their own, and between them a host that coordinates. While their firewalls let nothing in but
what comes from that host, they are relayed; then they speak directly, and the same host forwards their packets as a
router: that is the reference. All ends are wireguard-go's, so the ends are mostly the limit: the ratio is what counts.
"""

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.beside.nebula import FOLDER, Nebula
from benchmarks.figures import figure, quantile, title
from tests.netns import steps
from tests.netns.lab import Host, wait_for
from tests.netns.nat import wire
from tests.netns.steps import NETWORK

ROOT = Path(__file__).parents[1]
SECONDS = 8.0
PAIRS = 10_000
_TICK = os.sysconf("SC_CLK_TCK")
_RECEIVE = """
import socket, sys, time
with socket.create_server(("0.0.0.0", 5001)) as door:
    with door.accept()[0] as one:
        began, total = None, 0
        while data := one.recv(1 << 18):
            began = began or time.monotonic()
            total += len(data)
        print(8 * total / (time.monotonic() - began) / 1e6)
"""
_SEND = """
import socket, sys, time
with socket.create_connection((sys.argv[1], 5001), timeout=20) as one:
    ends, chunk = time.monotonic() + float(sys.argv[2]), bytes(1 << 17)
    while time.monotonic() < ends:
        one.sendall(chunk)
"""
_CLOSED = """
table inet closed {{
  chain in {{ type filter hook prerouting priority -300; ip saddr {} drop; }}
}}
"""


_WALL = "table inet wall { chain out { type filter hook output priority 0; udp dport 51820 drop; }; }"


class Between:
    """Two machines, a and b, and a host between them."""

    def __init__(self) -> None:
        self.host, self.a, self.b = Host("between", 250), Host("a", 251), Host("b", 252)
        for number, end in enumerate((self.a, self.b), 1):
            wire(self.host, f"to{number}", end, "eth0")
            self.host.run("ip", "addr", "add", f"192.168.{number}.1/24", "dev", f"to{number}")
            end.address = f"192.168.{number}.2"
            end.run("ip", "addr", "add", f"{end.address}/24", "dev", "eth0")
            end.run("ip", "route", "add", "default", "via", f"192.168.{number}.1")
        self.host.address = "192.168.1.1"
        self.host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")

    def close(self) -> None:
        """Neither takes what comes from the other."""
        for one, other in ((self.a, self.b), (self.b, self.a)):
            one.path("/run/.lab/closed").write_text(_CLOSED.format(other.address))
            one.run("nft", "-f", "/run/.lab/closed")

    def open(self) -> None:
        for one in (self.a, self.b):
            one.run("nft", "delete", "table", "inet", "closed", status=None)

    def end(self) -> None:
        for host in (self.a, self.b, self.host):
            host.end()


def throughput(a: Host, b: Host, target: str) -> float:
    """Mbit/s of TCP from a to b."""
    b.path("/run/.lab/rate").unlink(missing_ok=True)
    receiver = b.start(sys.executable, "-c", _RECEIVE, log="/run/.lab/rate")
    wait_for(lambda: ":5001" in b.run("ss", "-ltn"), "the receiver")
    a.run(sys.executable, "-c", _SEND, target, str(SECONDS), timeout=60)
    receiver.wait(30)
    return float(b.path("/run/.lab/rate").read_text())


def latency(a: Host, target: str) -> float:
    """The median of 200 pings, in milliseconds."""
    found = re.findall(r"time=([0-9.]+)", a.run("ping", "-n", "-c", "200", "-i", "0.005", target))
    return quantile([float(one) for one in found], 0.5)


def spent(host: Host, pattern: str) -> float:
    """Seconds of CPU of the processes whose command line has a pattern."""
    total = 0.0
    for pid in host.pids(pattern):
        fields = host.run("cat", f"/proc/{pid}/stat").rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICK
    return total


def measured(made: Between, target: str, process: str) -> tuple[float, float, float]:
    """Mbit/s, milliseconds, and percent of a core that a process on the host between took."""
    before, began = spent(made.host, process), time.monotonic()
    rate = throughput(made.a, made.b, target)
    share = 100 * (spent(made.host, process) - before) / (time.monotonic() - began)
    return rate, latency(made.a, target), share


def path(one: Host, other: str) -> str:
    return str(steps.shown(one)[other]["path"])


def found(made: Between) -> str:
    """innerd, with its two machines; b's address."""
    steps.found(made.host, "10.42.0.0/16")
    with made.host.path(f"/etc/innerd/{NETWORK}.toml").open("a") as config:
        config.write('[relay]\nper-peer = "none"\ntotal = "none"\ntcp = "0.0.0.0:443"\n')
    steps.serve(made.host)
    for end in (made.a, made.b):
        steps.join(end, steps.invite(made.host, "innerd", end.name, NETWORK))
    target = str(steps.status(made.b)["ip"])
    steps.reaches(made.a, target, 30)
    return target


def in_user_space(made: Between) -> None:
    """innerd anew, with its edge in its own process."""
    steps.kill(made.host, f"innerd serve {NETWORK}")
    made.host.run("nft", "delete", "table", "netdev", f"innerd-{NETWORK}")
    config = made.host.path(f"/etc/innerd/{NETWORK}.toml")
    config.write_text(config.read_text().replace("[relay]", '[relay]\nmode = "userspace"'))
    steps.serve(made.host)


def walled(made: Between, target: str, process: str) -> tuple[float, float, float]:
    """The same while a may send nothing by UDP."""
    made.a.run("nft", f"add {_WALL}")
    wait_for(lambda: (found := steps.status(made.a))["tcp"] and found["is_connected"], "a to come by TCP", 60)
    steps.reaches(made.a, target, 60)
    found = measured(made, target, process)
    made.a.run("nft", "delete table inet wall")
    wait_for(lambda: not steps.status(made.a)["tcp"], "a to come by UDP", 120)
    return found


def say(what: str, rate: float, late: float, share: float, reference: tuple[float, float] | None = None) -> None:
    if reference is None:
        figure(what, f"{rate:.0f} Mbit/s", reference=f"{late:.2f} ms, {share:.1f} % of a core")
        return
    more = late - reference[1]
    figure(
        what,
        f"{rate:.0f} Mbit/s",
        "0.9, 0.3 ms, 1 %",
        f"{rate / reference[0]:.2f} of it, {more:+.2f} ms, {share:.1f} %",
    )


@contextlib.contextmanager
def between() -> Iterator[Between]:
    made = Between()
    try:
        yield made
    finally:
        made.end()


def ours() -> None:
    with between() as made:
        made.close()
        target, process = found(made), f"innerd serve {NETWORK}"
        wait_for(lambda: path(made.a, "b") == "relayed", "the pair to be relayed", 30)
        relayed = measured(made, target, process)
        in_user_space(made)
        steps.reaches(made.a, target, 60)
        by_hand = measured(made, target, process)
        by_tcp = walled(made, target, process)
        made.open()
        wait_for(lambda: {path(made.a, "b"), path(made.b, "a")} <= {"direct", "punched"}, "the pair to be direct", 120)
        rate, late, share = measured(made, target, process)
        say("forwarded by the same host, as a router", rate, late, share)
        say("relayed in the kernel", *relayed, (rate, late))
        say("relayed in user space", *by_hand, (rate, late))
        say("one of the two by TCP", *by_tcp, (rate, late))


def nebulas() -> None:
    system = Nebula()
    if not system.is_here():
        figure("Nebula's relay", "it is not here", reference="make peers")
        return
    with between() as made:
        made.close()
        system.found(made.host)
        configured(made.host, {"relay": {"am_relay": True}}, system)
        for end in (made.a, made.b):
            system.invite(made.host, end)
            configured(end, {"relay": {"use_relays": True, "relays": ["10.43.0.1"]}}, system)
        target = system.address(made.b)
        steps.reaches(made.a, target, 60)
        say("Nebula's relay", *measured(made, target, "nebula"))


def configured(host: Host, more: dict[str, object], system: Nebula) -> None:
    at = host.path(f"{FOLDER}/config.json")
    at.write_text(json.dumps(json.loads(at.read_text()) | more))
    system.stop(host)
    system.start(host)


def many() -> None:
    """What pairs cost, in a namespace of their own."""
    host = Host("many", 250)
    try:
        host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        host.run("ip", "link", "set", "eth1", "up")
        host.run("ip", "addr", "add", "10.0.0.1/8", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")
        command = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "benchmarks.pairs", str(PAIRS))
        read: Callable[[str], dict[str, float]] = json.loads
        told = read(host.run(*command, timeout=300).splitlines()[-1])
        figure(f"a handshake, of {PAIRS} pairs", f"{told['handshake_us']:.0f} us", "150 us")
        figure(f"all {PAIRS} pairs anew", f"{told['storm_s']:.1f} s", "15 s")
        figure("memory of a pair", f"{told['pair_kib']:.2f} KiB")
        figure("counting what has passed", f"{1000 * told['count_s']:.0f} ms")
    finally:
        host.end()


def run() -> None:
    title(f"relay: TCP for {SECONDS:.0f} s, 200 pings")
    ours()
    nebulas()
    many()
