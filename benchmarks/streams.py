"""Thousands of event streams over loopback: how fast a change reaches the last of them, and comes back applied.

The clients are bare sockets in this process (each from its peer's own address), the server is the real one in another.
"""

import contextlib
import http.client
import secrets
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks import streaming
from benchmarks.figures import figure, quantile, spread, title
from innclient.core.membership import Identity, Membership
from innclient.core.netmap import Netmap
from innclient.core.pins import Pins
from innclient.core.trials import Server
from innerd.command.options import raise_file_limit
from innerd.domain.values import Endpoint, PublicKey, parse_address
from innerd.wire import proof
from innerd.wire.stream import DECODERS, FrameParser
from innerd.wireguard import keys
from innerd.wireguard.memory import MemoryBackend
from tests.world import key, private_key

PORT = 51829
WHERE = f"{streaming.COORDINATOR}:{PORT}"
ROUNDS = 20


class Coordinator:
    """The server, told what to do."""

    def __init__(self, folder: Path, peers: int) -> None:
        command = [sys.executable, "-m", "benchmarks.streaming", str(folder), str(peers), str(PORT)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.server_key, self.network_id = self._heard()

    def _heard(self) -> list[str]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the server ended"
        return line.split()

    def ask(self, *words: object) -> list[str]:
        self.tell(*words)
        return self._heard()

    def tell(self, *words: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    heard = _heard


class Client:
    """A bare socket that reads its stream. `at` is when the bytes came that it was to look for."""

    def __init__(self, ip: str, name: str, coordinator: Coordinator) -> None:
        self.ip = ip
        secret = keys.shared_secret(private_key(name), PublicKey(coordinator.server_key))
        self._key = proof.derive_key(secret, coordinator.network_id)
        self._common = f"Host: {WHERE}\r\nX-Innernet-Server-Key: {coordinator.server_key}\r\n"
        self.cursor = ""
        self.at = 0.0
        self._tail = b""

    def head(self, method: str, target: str, body: bytes = b"") -> bytes:
        """A request's head, proved, but for the line that ends it."""
        bound = proof.Request(method=method, target=target, host=WHERE, body=body)
        proved = proof.prove(self._key, bound, int(time.time()), secrets.token_hex(12))
        return f"{method} {target} HTTP/1.1\r\n{self._common}{proof.HEADER}: {proved}\r\n".encode()

    def connect(self) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self.socket.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        self.socket.bind((self.ip, 0))
        self.socket.connect((streaming.COORDINATOR, PORT))
        cursor = f"Last-Event-ID: {self.cursor}\r\n" if self.cursor else ""
        self.socket.sendall(self.head("GET", "/v1/user/events") + cursor.encode() + b"\r\n")
        self.socket.setblocking(False)
        self._tail, self.at = b"", 0.0

    def hear(self, wanted: bytes, now: float) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := self.socket.recv(262_144):
                if not self.at and wanted in self._tail + data:
                    self.at = now
                self._tail = data[-64:]

    def applied(self, now: float) -> bool:
        return bool(self.at)


class Applying(Client):
    """A whole client: the agent's core with a device in memory; it reports on a connection of its own."""

    def __init__(self, ip: str, name: str, coordinator: Coordinator) -> None:
        super().__init__(ip, name, coordinator)
        own, address = private_key(name), parse_address(ip)
        server_ip = parse_address(streaming.COORDINATOR)
        theirs = PublicKey(coordinator.server_key)
        me = Identity(private_key=own, public_key=key(name), ip=address, server_key=theirs, server_ip=server_ip)
        self._core = Membership(me, Netmap(), Pins(), {})
        self._server = Server(theirs, server_ip, Endpoint("192.0.2.1:51820"))
        self._backend = MemoryBackend()
        self._backend.create("wg")
        self._device = self._backend.get("wg")
        self._frames = FrameParser()
        self._body = b""
        self._in_body = False

    def connect(self) -> None:
        super().connect()
        self._core.connected()
        self._reports = socket.create_connection((streaming.COORDINATOR, PORT), source_address=(self.ip, 0))
        self._reports.setblocking(False)

    def hear(self, wanted: bytes, now: float) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := self.socket.recv(262_144):
                self._take(data)
        with contextlib.suppress(BlockingIOError):
            self._reports.recv(65_536)

    def _take(self, data: bytes) -> None:
        self._body += data
        if not self._in_body:
            _, found, self._body = self._body.partition(b"\r\n\r\n")
            self._in_body = bool(found)
        heard = b""
        while (line := self._body.find(b"\r\n")) >= 0:
            size = int(self._body[:line], 16)
            if len(self._body) < line + 4 + size:
                break
            heard, self._body = heard + self._body[line + 2 : line + 2 + size], self._body[line + 4 + size :]
        now = time.time()
        frames = [DECODERS[e.event].decode(e.data) for e in self._frames.feed(heard) if e.event in DECODERS]
        if not frames:
            return
        taken = self._core.take(frames, now)
        self._core.pins = self._core.check_pins(taken.peers, now)
        changes, self._device = self._core.changes(self._device, self._server, self._core.presence, now, taken)
        self._backend.apply("wg", changes)
        self._core.matched = self._core.netmap
        if (receipt := self._core.receipt()) is not None:
            body = msgspec.json.encode(receipt)
            head = self.head("PUT", "/v1/user/applied", body)
            self._reports.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


class Herd:
    """Many clients on one thread."""

    def __init__(self, clients: list[Client]) -> None:
        self.clients = clients
        self._selector = selectors.EpollSelector()

    def connect(self, wanted: bytes, seconds: float = 120) -> float:
        """Seconds until each has heard some bytes."""
        began = time.monotonic()
        for number, client in enumerate(self.clients):
            client.connect()
            self._selector.register(client.socket, selectors.EVENT_READ, client)
            if number % 50 == 0:
                self._turn(wanted, 0)
        if seconds:
            self.until(wanted, seconds)
        return time.monotonic() - began

    def _turn(self, wanted: bytes, timeout: float) -> int:
        ready = self._selector.select(timeout)
        now, heard = time.monotonic(), 0
        for chosen, _ in ready:
            before = chosen.data.at
            chosen.data.hear(wanted, now)
            heard += not before and bool(chosen.data.at)
        return heard

    def listen(self, wanted: bytes) -> None:
        for client in self.clients:
            client.at = 0.0

    def until(self, wanted: bytes, seconds: float = 60) -> list[float]:
        deadline, left = time.monotonic() + seconds, sum(not client.at for client in self.clients)
        while left and time.monotonic() < deadline:
            left -= self._turn(wanted, 0.05)
        assert not left, f"{left} streams heard nothing"
        return [client.at for client in self.clients]

    def serve(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._turn(b"?", 0.01)

    def leave(self) -> None:
        for client in self.clients:
            self._selector.unregister(client.socket)
            client.socket.close()


def addresses(count: int) -> list[tuple[str, str]]:
    """IPs and names of peers."""
    size = streaming.A_CIDR
    return [(f"127.42.{1 + n // size}.{1 + n % size}", f"p{1 + n // size}-{n % size}") for n in range(count)]


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
        took = last_of_changes(coordinator, herd, "a")
        figure("commit -> last of 1,000 streams", spread(took), "<= 60 ms")
        herd.leave()
    with coordinator_of(1000) as (_, coordinator):
        whole = Herd([Applying(ip, name, coordinator) for ip, name in addresses(1000)])
        whole.connect(b"?", 0)
        whole.serve(4)
        every: list[float] = []
        for number in range(10):
            _, revision = coordinator.ask("rename", f"b-{number}")
            coordinator.tell("applied", revision)
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and not _readable(coordinator):
                whole.serve(0.005)
            every += map(float, coordinator.heard())
        p50, p99 = quantile(every, 0.5), quantile(every, 0.99)
        figure(
            "change -> applied and receipt back, 1,000 clients", f"p50 {p50:.0f}, p99 {p99:.0f} ms", "<= 100, <= 500 ms"
        )


def _readable(coordinator: Coordinator) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(coordinator.process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]
        return bool(selector.select(0))


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
        cpu = float(again.ask("cpu")[0])
        seconds = herd.connect(b"event: presence")
        figure("all 10,000 back after a restart", f"{seconds:.1f} s", "<= 15 s")
        spent = (float(again.ask("cpu")[0]) - cpu) / 10_000
        figure("CPU a resume with nothing missed, HTTP included", f"{1000 * spent:.2f} ms", "<= 1 ms")
        again.process.kill()
        again.process.wait()


def run() -> None:
    title("Event streams over loopback (bare sockets; the server is the real one)")
    raise_file_limit()
    a_thousand()
    ten_thousand()
