"""Thousands of event streams over loopback: how fast a change reaches the last of them, and comes back applied.

The clients are bare sockets in this process (each from its peer's own address), the server is the real one in another.
"""

import contextlib
import http.client
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import streaming
from benchmarks.figures import figure, quantile, spread, title
from benchmarks.herd import PORT, Client, Coordinator, Herd, addresses
from benchmarks.whole import Prompt, Whole
from innerd.command.options import raise_file_limit
from innerd.serve.coordinator import spare_the_collector

ROUNDS = 20


def last_of_changes(coordinator: Coordinator, herd: Herd, what: str) -> list[float]:
    """Seconds from the commit to the last stream, for each round."""
    took = []
    for number in range(ROUNDS):
        name = f"{what}-{number}"
        wanted = f'"name":"{name}"'.encode()
        herd.listen(wanted)
        coordinator.tell("rename", name)
        heard = herd.until(wanted)
        committed = float(coordinator.heard()[0])
        took.append(max(heard) - committed)
    return took


class Getting(threading.Thread):
    """A peer that asks for its state all the while."""

    def __init__(self, server_key: str) -> None:
        super().__init__(daemon=True)
        self.took: list[float] = []
        self.stopping = False
        self._headers = {"X-Innernet-Server-Key": server_key}

    def run(self) -> None:
        connection = http.client.HTTPConnection(streaming.COORDINATOR, PORT, source_address=("127.42.1.1", 0))
        while not self.stopping:
            began = time.monotonic()
            connection.request("GET", "/v1/user/capabilities", headers=self._headers)
            connection.getresponse().read()
            self.took.append(time.monotonic() - began)
            time.sleep(0.005)


@contextlib.contextmanager
def coordinator_of(peers: int) -> Iterator[tuple[Path, Coordinator]]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        streaming.make(Path(folder), PORT)
        coordinator = Coordinator(Path(folder), peers)
        try:
            yield Path(folder), coordinator
        finally:
            coordinator.process.kill()
            coordinator.process.wait()


def a_thousand() -> None:
    with coordinator_of(1000) as (_, coordinator):
        herd = Herd([Client(ip, name, coordinator) for ip, name in addresses(1000)])
        herd.connect(b"event: presence")
        herd.settle()
        cpu, _ = coordinator.cpu()
        took = last_of_changes(coordinator, herd, "a")
        telling = (coordinator.cpu()[0] - cpu) / ROUNDS
        figure("commit -> last of 1,000 streams", spread(took), "<= 60 ms")
        figure("  CPU of the coordinator a change", f"{1000 * telling:.1f} ms")
    receipts(whole=1000, prompt=0, telling=telling)
    receipts(whole=50, prompt=950, telling=telling)


def receipts(*, whole: int, prompt: int, telling: float) -> None:
    """From a change to the receipts of whole clients. What all of them cost in one process is what they wait for most;
    with few of them among others that answer at once, it is the coordinator."""
    with coordinator_of(whole + prompt) as (_, coordinator):
        every = addresses(whole + prompt)
        step = len(every) // whole
        wholes = [Whole(ip, name, coordinator) for ip, name in every[::step]]
        others = [Prompt(ip, name, coordinator) for n, (ip, name) in enumerate(every) if n % step]
        herd = Herd([*wholes, *others])
        herd.connect(b"?", 0)
        herd.settle()
        spare_the_collector()
        began, (cpu, kernel) = time.process_time(), coordinator.cpu()
        took = [seconds for number in range(ROUNDS) for seconds in came_back(coordinator, herd, f"b-{number}", wholes)]
        spent, system = (
            (after - before) / ROUNDS for after, before in zip(coordinator.cpu(), (cpu, kernel), strict=True)
        )
        own = (time.process_time() - began) / ROUNDS
        shares = [1000 * quantile(took, share) for share in (0.5, 0.95, 0.99)]
        others_too = f", beside {prompt} that answer at once" if prompt else ""
        figure(
            f"change -> applied and receipt back, {whole:,} clients{others_too}",
            "p50 {:.0f}, p95 {:.0f}, p99 {:.0f} ms".format(*shares),
            "<= 100, -, <= 500 ms",
        )
        receipt = (spent - telling) / len(every)
        figure("  CPU of the coordinator a receipt", f"{1e6 * receipt:.0f} us")
        figure("  CPU a change, of the coordinator; its kernel's part", f"{1000 * spent:.0f}, {1000 * system:.0f} ms")
        figure("  and of all clients together", f"{1000 * own:.0f} ms")


def came_back(coordinator: Coordinator, herd: Herd, name: str, whole: Sequence[Client]) -> list[float]:
    """Seconds from a change to the receipts of some clients."""
    coordinator.tell("rename", name)
    herd.serve_while(lambda: not coordinator.has_answered(), 5)
    _, revision = coordinator.heard()
    coordinator.tell("applied", revision)
    herd.serve_while(lambda: not coordinator.has_answered(), 60)
    came = dict(word.split("=") for word in coordinator.heard())
    return [float(came[client.ip]) for client in whole]


def ten_thousand() -> None:
    with coordinator_of(10_000) as (folder, coordinator):
        before = int(coordinator.ask("memory")[0])
        herd = Herd([Client(ip, name, coordinator) for ip, name in addresses(10_000)])
        opened = herd.connect(b"event: presence")
        herd.serve(3)
        memory = (int(coordinator.ask("memory")[0]) - before) / 10_000 / 1024
        figure("10,000 streams opened, each with its snapshot", f"{opened:.1f} s")
        figure("memory a stream", f"{memory:.1f} KiB", "<= 20 KiB")
        getting = Getting(coordinator.server_key)
        getting.start()
        took = last_of_changes(coordinator, herd, "c")
        getting.stopping = True
        figure("commit -> last of 10,000 streams", spread(took), "<= 500 ms")
        p50, p99 = quantile(getting.took, 0.5), quantile(getting.took, 0.99)
        figure("a GET meanwhile", f"p50 {1000 * p50:.1f}, p99 {1000 * p99:.1f} ms", "p99 <= 20 ms")
        revision = coordinator.ask("streams")[1]
        coordinator.process.kill()
        coordinator.process.wait()
        herd.leave()
        for client in herd.clients:
            client.cursor = f"1.{revision}"
        again = Coordinator(folder, 10_000)
        cpu, _ = again.cpu()
        seconds = herd.connect(b"event: presence")
        figure("all 10,000 back after a restart", f"{seconds:.1f} s", "<= 15 s")
        spent = (again.cpu()[0] - cpu) / 10_000
        figure("CPU a resume with nothing missed, HTTP included", f"{1000 * spent:.2f} ms", "<= 1 ms")
        again.process.kill()
        again.process.wait()


def run() -> None:
    title(f"Event streams over loopback (bare sockets; the server is the real one; load {os.getloadavg()[0]:.1f})")
    raise_file_limit()
    a_thousand()
    ten_thousand()
