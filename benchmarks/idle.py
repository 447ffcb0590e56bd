"""What a network costs while nothing happens: CPU, memory, wakeups and packets of the coordinator and of one peer, over
a minute of a network of eleven. Read from proc(5), of processes that were started as installed."""

import time

from benchmarks.figures import figure, title
from tests.netns import steps
from tests.netns.lab import Host, lab, wait_for
from tests.netns.steps import NETWORK

PEERS = 10
SECONDS = 60.0


def run() -> None:
    title(f"A minute in which nothing happens, {PEERS} peers")
    with lab() as net:
        coordinator = net.host("coordinator")
        hosts = [net.host(f"host{number}") for number in range(PEERS)]
        steps.found(coordinator, "10.42.0.0/16")
        coordinator.start("innerd", "serve", NETWORK, log="/run/.lab/innerd.log")
        wait_for(lambda: f'serves "{NETWORK}"' in steps.said(coordinator, "innerd.log"), "the coordinator")
        for host in hosts:
            path = steps.hand_over(host, steps.invite(coordinator, "innerd", host.name, NETWORK))
            host.run("inn", "install", path, "--name", NETWORK, "-d")
        for host in hosts:
            host.start("inn", "up", "-d", NETWORK, log="/run/.lab/inn.log")
        steps.converged(coordinator)
        # Until all pairs of the peer have met: who has not is looked for.
        steps.everybody_reaches(hosts[-1:], [host.name + f".{NETWORK}.wg" for host in hosts[:-1]])
        time.sleep(60)
        peer = hosts[-1]
        serving, agent = coordinator.pids(f"innerd serve {NETWORK}")[-1], peer.pids(f"inn up -d {NETWORK}")[-1]
        watched = {
            "coordinator": (coordinator, serving, "<= 50 ms"),
            "agent": (peer, agent, "<= 15 ms"),
            "wireguard-go of the coordinator": (coordinator, coordinator.pids(f"wireguard-go {NETWORK}")[0], ""),
            "wireguard-go of a peer": (peer, peer.pids(f"wireguard-go {NETWORK}")[0], ""),
        }
        before, sent = {what: used(host, pid) for what, (host, pid, _) in watched.items()}, packets(peer)
        time.sleep(SECONDS)
        after, sent = {what: used(host, pid) for what, (host, pid, _) in watched.items()}, packets(peer) - sent
        for what, (_, _, goal) in watched.items():
            cpu, wakeups = (now - then for now, then in zip(after[what][:2], before[what][:2], strict=True))
            figure(f"{what}: CPU", f"{1e3 * cpu:.0f} ms", goal)
            figure(f"{what}: wakeups", f"{wakeups / SECONDS:.1f} a second", "<= 1" if what == "agent" else "")
        figure("coordinator: memory", f"{after['coordinator'][2]:.0f} MiB")
        figure("agent: memory", f"{after['agent'][2]:.0f} MiB", "<= 35 MiB")
        figure("a peer sends", f"{sent} packets", "<= 70")


_READ = """
import os, sys
tasks = f"/proc/{sys.argv[1]}/task"
cpu = wakeups = 0
for task in os.listdir(tasks):
    cpu += int(open(f"{tasks}/{task}/schedstat").read().split()[0])
    lines = open(f"{tasks}/{task}/status").read().splitlines()
    wakeups += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))
memory = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
print(cpu / 1e9, wakeups, memory / 1024)
"""


def used(host: Host, pid: int) -> tuple[float, float, float]:
    """Seconds of CPU, how often a thread of a process began to wait, and MiB of memory (proc(5))."""
    cpu, wakeups, memory = map(float, host.run("python3", "-c", _READ, str(pid)).split())
    return cpu, wakeups, memory


def packets(host: Host) -> int:
    """UDP datagrams that a host has sent outside (proc(5), snmp)."""
    rows = [line.split() for line in host.run("cat", "/proc/net/snmp").splitlines() if line.startswith("Udp:")]
    return int(rows[1][rows[0].index("OutDatagrams")])


if __name__ == "__main__":
    run()
