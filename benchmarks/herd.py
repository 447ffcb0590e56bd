"""What the stream figures are made with: the coordinator in a process of its own, and a herd of clients on one thread,
bare sockets, each from its peer's own address."""

import contextlib
import secrets
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import streaming
from innerd.domain.values import PublicKey
from innerd.wire import proof
from innerd.wireguard import keys
from tests.world import private_key

PORT = 51829
WHERE = f"{streaming.COORDINATOR}:{PORT}"


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

    def cpu(self) -> tuple[float, float]:
        """Seconds of CPU that it has spent, and those of them that were the kernel's."""
        spent, system = map(float, self.ask("cpu"))
        return spent, system

    def has_answered(self) -> bool:
        with selectors.DefaultSelector() as selector:
            assert self.process.stdout is not None
            selector.register(self.process.stdout, selectors.EVENT_READ)
            return bool(selector.select(0))


Act = Callable[[bytes, float], None]  # of the bytes that are looked for, and the time


class Client:
    """A bare socket that reads its stream. `at` is when the bytes came that it was to look for."""

    def __init__(self, ip: str, name: str, coordinator: Coordinator) -> None:
        self.ip = ip
        secret = keys.shared_secret(private_key(name), PublicKey(coordinator.server_key))
        self._key = proof.derive_key(secret, coordinator.network_id)
        self._common = f"Host: {WHERE}\r\nX-Innernet-Server-Key: {coordinator.server_key}\r\n"
        self._selector: selectors.BaseSelector
        self.cursor = ""
        self.at = 0.0
        self._tail = b""

    def head(self, method: str, target: str, body: bytes = b"") -> bytes:
        """A request's head, proved, but for the line that ends it."""
        bound = proof.Request(method=method, target=target, host=WHERE, body=body)
        proved = proof.prove(self._key, bound, int(time.time()), secrets.token_hex(12))
        return f"{method} {target} HTTP/1.1\r\n{self._common}{proof.HEADER}: {proved}\r\n".encode()

    def join(self, selector: selectors.BaseSelector) -> None:
        """Connect, and be told by a selector what comes."""
        self._selector = selector
        self.connect()
        self.also(self.socket, self.hear)

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

    def also(self, connection: socket.socket, act: Act) -> None:
        """What comes on a connection is for `act`."""
        self._selector.register(connection, selectors.EVENT_READ, (self, act))

    def part(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()

    def leave(self) -> None:
        self.part(self.socket)

    def received(self) -> bytes:
        """All that came of the stream."""
        parts = []
        with contextlib.suppress(BlockingIOError):
            while data := self.socket.recv(262_144):
                parts.append(data)
        return b"".join(parts)

    def hear(self, wanted: bytes, now: float) -> None:
        data = self.received()
        if not self.at and wanted in self._tail + data:
            self.at = now
        self._tail = data[-64:]


class Herd:
    """Many clients on one thread."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients = clients
        self._selector = selectors.EpollSelector()

    def connect(self, wanted: bytes, seconds: float = 120) -> float:
        """Seconds until each has heard some bytes."""
        began = time.monotonic()
        for number, client in enumerate(self.clients):
            client.join(self._selector)
            if number % 50 == 0:
                self._turn(wanted, 0)
        if seconds:
            self.until(wanted, seconds)
        return time.monotonic() - began

    def _turn(self, wanted: bytes, timeout: float) -> int:
        ready = self._selector.select(timeout)
        now, heard = time.monotonic(), 0
        for chosen, _ in ready:
            client, act = chosen.data
            before = client.at
            act(wanted, now)
            heard += not before and bool(client.at)
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

    def settle(self, seconds: float = 120) -> None:
        """Until nothing came for a second: whoever came is told of all others who came."""
        deadline, heard = time.monotonic() + seconds, time.monotonic()
        while heard + 1 > time.monotonic() < deadline:
            if self._selector.select(0.01):
                self._turn(b"?", 0)
                heard = time.monotonic()

    def serve_while(self, going: Callable[[], bool], seconds: float) -> None:
        """Until it is over, or a time is."""
        deadline = time.monotonic() + seconds
        while going() and time.monotonic() < deadline:
            self._turn(b"?", 0.01)

    def leave(self) -> None:
        for client in self.clients:
            client.leave()


def addresses(count: int) -> list[tuple[str, str]]:
    """IPs and names of peers."""
    size = streaming.A_CIDR
    return [(f"127.42.{1 + n // size}.{1 + n % size}", f"p{1 + n // size}-{n % size}") for n in range(count)]
