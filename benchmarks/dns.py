"""DNS: CPU of the server's process for one query, under dnsperf, 5,000 peers in 20 CIDRs; no tunnel in between."""

import asyncio
import multiprocessing
import re
import resource
import socket
import subprocess
import tempfile
from ipaddress import IPv4Address, ip_network
from pathlib import Path

from benchmarks.figures import figure, title
from inndns.server import DnsServer
from inndns.zone import Host, Zone, empty

PEERS, CLASSES, SECONDS = 5_000, 20, 4
ASKER = "127.42.0.2"
SERVER = ("127.42.0.1", 5354)


def zone() -> Zone:
    hosts = [
        Host(f"peer{number}", IPv4Address(int(IPv4Address("127.42.0.2")) + number), number % CLASSES)
        for number in range(PEERS)
    ]
    sees = {number: frozenset(range(CLASSES)) - {CLASSES - 1} | {number} for number in range(CLASSES)}
    return empty("bench", "wg", ip_network("127.42.0.0/16"), "innernet-server", 5).change(
        1, sees.__getitem__, [], hosts
    )


def serve(pipe: "multiprocessing.connection.Connection") -> None:
    """In a process of its own: serve until told to stop, then say what it cost."""

    async def main() -> None:
        served = zone()
        server = DnsServer(lambda: served)
        udp, tcp = (socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM))
        for each in (udp, tcp):
            each.bind(SERVER)
            each.setblocking(False)
        tcp.listen()
        await server.listen(udp, tcp)
        pipe.send("ready")
        before = resource.getrusage(resource.RUSAGE_SELF)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        after = resource.getrusage(resource.RUSAGE_SELF)
        await server.close()
        pipe.send((after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, server.counters.seconds))

    asyncio.run(main())


def questions(folder: Path) -> Path:
    """As networks ask: names and addresses there, names not there."""
    lines = []
    for number in range(2_000):
        lines += [f"peer{number}.bench.wg A", f"peer{number}.bench.wg AAAA", f"nobody{number}.bench.wg A"]
        address = IPv4Address(int(IPv4Address("127.42.0.2")) + number)
        lines.append(f"{address.reverse_pointer} PTR")
    file = folder / "questions"
    file.write_text("\n".join(lines) + "\n")
    return file


def run() -> None:
    title(f"DNS ({PEERS} peers, {CLASSES} CIDRs; UDP on loopback, dnsperf on the other core)")
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(theirs,))
    process.start()
    ours.recv()
    with tempfile.TemporaryDirectory() as folder:
        command = ["dnsperf", "-s", SERVER[0], "-p", str(SERVER[1]), "-a", ASKER, "-d", str(questions(Path(folder)))]
        done = subprocess.run(
            [*command, "-l", str(SECONDS), "-c", "8", "-q", "100"], capture_output=True, text=True, check=True
        )
    ours.send("stop")
    cpu, inside = ours.recv()
    process.join()
    completed = int(re.search(r"Queries completed:\s+(\d+)", done.stdout)[1])  # type: ignore[index]
    rate = float(re.search(r"Queries per second:\s+([\d.]+)", done.stdout)[1])  # type: ignore[index]
    lost = re.search(r"Queries lost:\s+(\d+)", done.stdout)[1]  # type: ignore[index]
    figure("CPU a query, system calls included", f"{1e6 * cpu / completed:.1f} us", "<= 15 us")
    figure("of it in parse, look-up and answer", f"{1e6 * inside / completed:.1f} us")
    figure("queries a second, one core", f"{rate:,.0f}/s", reference=f"{lost} lost")
