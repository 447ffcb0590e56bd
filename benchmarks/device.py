"""A WireGuard device with 5,000 peers, over each backend that this machine has, beside `wg setconf` (the kernel's also
by `tests/tools/run-in-vm python -m benchmarks device`); and the throughput of a tunnel that `inn` keeps beside one that
was configured by hand with the same backend."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.figures import figure, quantile, say, title
from innerd.domain.values import Endpoint
from innerd.wireguard import daemon
from innerd.wireguard.backend import Backend
from innerd.wireguard.device import Device, DeviceError, DevicePeer, Wanted, WantedPeer, only
from innerd.wireguard.kernel import KernelBackend
from innerd.wireguard.plan import RemovePeer, SetPeer, applied, plan
from innerd.wireguard.userspace import UserspaceBackend
from tests.netns import steps
from tests.netns.lab import Host, lab
from tests.world import key, private_key

T = TypeVar("T")

PEERS = 5_000
NAME = f"bench{os.getpid() % 10_000}"
SECONDS = 5  # of a transfer
RUNS = 6
_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    done = work()
    return time.perf_counter() - began, done


def entry(number: int) -> WantedPeer:
    from ipaddress import ip_address

    return WantedPeer(
        public_key=key(f"peer {number}"),
        allowed_ips=only(ip_address(f"10.42.{number >> 8}.{number & 255}")),
        keepalive=25,
        endpoint=Endpoint(f"203.0.113.9:{number}"),
    )


def many(backend: Backend) -> None:
    wanted = Wanted(private_key=private_key("bench"), peers={p.public_key: p for p in map(entry, range(1, PEERS + 1))})
    by_hand = reference(backend, wanted)
    backend.create(NAME)
    try:
        took, _ = timed(lambda: backend.apply(NAME, plan(backend.get(NAME), wanted)))
        goal = "<= 2 s on hardware" if backend.name == "kernel" else "<= 5 s"
        shown = f"wg setconf {by_hand:.2f} s"
        figure(f"{backend.name}: {PEERS:,} peers from nothing", f"{took:.2f} s", goal, shown, by_hand / took)
        reading, device = timed(lambda: backend.get(NAME))
        if len(device.peers) != PEERS:
            raise AssertionError(f"{len(device.peers)} peers are on the device")
        figure(f"{backend.name}: all of them read", f"{reading:.2f} s")
        figure(f"{backend.name}: compared, nothing to change", f"{1e3 * timed(lambda: plan(device, wanted))[0]:.0f} ms")
        deltas(backend, device)
        gone, _ = timed(lambda: backend.delete(NAME))
        figure(f"{backend.name}: the interface deleted", f"{gone:.2f} s")
    finally:
        backend.delete(NAME)


def deltas(backend: Backend, device: Device) -> None:
    """One peer that comes, changes and goes, on the device as it is remembered."""
    added, changed, removed = [], [], []
    for number in range(PEERS + 1, PEERS + 31):
        peer = entry(number)
        part = Wanted(private_key=device.private_key, peers={peer.public_key: peer})
        added.append(timed(partial(backend.apply, NAME, plan(Device(private_key=device.private_key), part)))[0])
        now = Device(
            private_key=device.private_key,
            peers={peer.public_key: DevicePeer(public_key=peer.public_key, allowed_ips=peer.allowed_ips)},
        )
        change = [c for c in plan(now, part) if isinstance(c, SetPeer)]
        changed.append(timed(partial(backend.apply, NAME, change))[0])
        removed.append(timed(partial(backend.apply, NAME, [RemovePeer(peer.public_key)]))[0])
        applied(now, change)
    for what, took in (("added", added), ("changed", changed), ("removed", removed)):
        shown = f"{1e3 * quantile(took, 0.5):.2f} ms, p95 {1e3 * quantile(took, 0.95):.2f}"
        figure(f"{backend.name}: one peer {what} among {PEERS:,}", shown, "<= 10 ms")


def reference(backend: Backend, wanted: Wanted) -> float:
    """Seconds that `wg setconf` takes for the same."""
    lines = ["[Interface]", f"PrivateKey = {wanted.private_key}"]
    for peer in wanted.peers.values():
        lines += ["[Peer]", f"PublicKey = {peer.public_key}", f"AllowedIPs = {', '.join(peer.allowed_ips)}"]
        lines += [f"Endpoint = {peer.endpoint}", f"PersistentKeepalive = {peer.keepalive}"]
    backend.create(NAME)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        took, _ = timed(lambda: subprocess.run(["wg", "setconf", NAME, file.name], check=True))
    backend.delete(NAME)
    return took


# -- throughput -------------------------------------------------------------------------------------------------------

_SINK = """
import socket, sys
with socket.create_server((sys.argv[1], 5201), family=socket.AF_INET) as server:
    print("ready", flush=True)
    while True:
        taken, _ = server.accept()
        with taken:
            while taken.recv(1 << 20):
                pass
            taken.close()
"""
_SOURCE = """
import socket, sys, time
data = bytes(1 << 20)
with socket.create_connection((sys.argv[1], 5201)) as sink:
    began, sent = time.monotonic(), 0
    while time.monotonic() < began + float(sys.argv[2]):
        sent += sink.send(data)
    print(8 * sent / (time.monotonic() - began) / 1e6)
"""


def throughput(program: str) -> None:
    """A tunnel of ours beside one by hand, both carried by a wireguard-go."""
    before = os.environ.get(daemon.CHOSEN_BY[0])
    os.environ[daemon.CHOSEN_BY[0]] = program
    try:
        name = ".".join(map(str, daemon.release(program) or ())) or program
        _throughput(f"wireguard-go {name}")
    finally:
        del os.environ[daemon.CHOSEN_BY[0]]
        if before is not None:
            os.environ[daemon.CHOSEN_BY[0]] = before


def _throughput(name: str) -> None:
    with lab() as net:
        coordinator, one, two = (net.host(name) for name in ("coordinator", "one", "two"))
        steps.found(coordinator, "10.42.0.0/16")
        steps.serve(coordinator)
        for host in (one, two):
            steps.join(host, steps.invite(coordinator, "innerd", host.name, steps.NETWORK))
        ours = steps.shown(one)["two"]["ip"]
        steps.reaches(one, ours)
        mtu = json.loads(two.run("ip", "-j", "link", "show", steps.NETWORK))[0]["mtu"]
        is_v6 = steps.shown(one)["two"]["endpoint"].startswith("[")
        by_hand(one, two, mtu, is_v6)
        theirs = "10.77.0.2"
        steps.reaches(one, theirs)
        rates: dict[str, list[float]] = {ours: [], theirs: []}
        spent: dict[str, list[float]] = {ours: [], theirs: []}
        devices = {ours: steps.NETWORK, theirs: "wg0"}
        for address in rates:
            two.start("python3", "-c", _SINK, address, log=f"/run/.lab/sink-{address}")
            steps.wait_for(lambda a=address: "ready" in steps.said(two, f"sink-{a}"), "the sink")  # type: ignore[misc]
        for turn in range(RUNS):  # in turns, as the machine has its moods
            for address in (ours, theirs) if turn % 2 else (theirs, ours):
                before = _cpu(one, devices[address]) + _cpu(two, devices[address])
                rates[address].append(float(one.run("python3", "-c", _SOURCE, address, str(SECONDS))))
                after = _cpu(one, devices[address]) + _cpu(two, devices[address])
                spent[address].append((after - before) / (rates[address][-1] * SECONDS / 8000))
        mine, plain = (quantile(found, 0.5) for found in rates.values())
        shown = f"by hand {plain:.0f} Mbit/s"
        figure(f"throughput, {name}, MTU {mtu}", f"{mine:.0f} Mbit/s", "within 3 %", shown, mine / plain)
        mine, plain = (quantile(found, 0.5) for found in spent.values())
        shown = f"by hand {plain:.2f} s"  # where the machine is busy, this says more than the rate
        figure(f"CPU of both {name}, a gigabyte", f"{mine:.2f} s", "within 3 %", shown, mine / plain)


def _cpu(host: Host, interface: str) -> float:
    """Seconds of CPU that a tunnel's daemon has used (proc(5))."""
    (pid,) = host.pids(f"wireguard-go[^ ]* {interface}$")
    fields = host.run("cat", f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def by_hand(one: Host, two: Host, mtu: int, is_v6: bool) -> None:
    """A tunnel between two hosts, as a person makes it with `wg`, over the same family as ours."""
    secret = {host.name: private_key(f"by hand {host.name}") for host in (one, two)}
    for number, (host, other) in enumerate(((one, two), (two, one)), 1):
        at = f"[{other.address6}]" if is_v6 else other.address
        # In a session of its own, as ours: the scheduler shares out the machine by session (sched(7), autogroup), and
        # who sits in one with the sender and the receiver spends a seventh less, at their pace.
        host.run("setsid", "--wait", daemon.program() or "wireguard-go", "wg0")
        host.path("/run/.lab/wg0").write_text(
            f"[Interface]\nPrivateKey = {secret[host.name]}\nListenPort = 51999\n"
            f"[Peer]\nPublicKey = {key(f'by hand {other.name}')}\nEndpoint = {at}:51999\n"
            f"AllowedIPs = 10.77.0.0/24\nPersistentKeepalive = 25\n"
        )
        host.run("wg", "setconf", "wg0", "/run/.lab/wg0")
        host.run("ip", "addr", "add", f"10.77.0.{number}/24", "dev", "wg0")
        host.run("ip", "link", "set", "wg0", "mtu", str(mtu), "up")


def run() -> None:
    title(f"Devices with {PEERS:,} peers")
    if os.geteuid() != 0:
        say("  not measured: this needs root")
        return
    backends: list[Backend] = [UserspaceBackend()] if Path("/dev/net/tun").exists() else []
    try:
        backends += [KernelBackend()] if KernelBackend().works() else []
    except DeviceError as error:
        say(f"  {error.message}")
    for backend in backends:
        many(backend)
    if not any(backend.name == "kernel" for backend in backends):
        say("  kernel: not here; tests/tools/run-in-vm has one, emulated")
        newest = sorted(Path(__file__).parents[1].glob(f"build/deb/wireguard-go-{_ARCHITECTURE}-*"))  # make deb
        for program in dict.fromkeys(filter(None, (daemon.program(), *map(str, newest[-1:])))):
            throughput(program)
