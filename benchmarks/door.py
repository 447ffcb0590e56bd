"""What the door costs a request, beside the request itself: the proof of a peer's key, and the count of its source. And
a whole receipt, from its bytes to those of its answer, but for the system's part."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from benchmarks.figures import figure, quantile, title
from innerd.api.app import create_app
from innerd.api.sources import Metered, Sources, Visit
from innerd.api.turns import Turns
from innerd.serve.arrivals import Arrived
from innerd.serve.listener import Listener, TunnelProtocol
from innerd.wire.proof import HEADER, NonceMemory, Request, check, prove
from tests.world import World, crowded, key, populated

_TIMES = 5_000
_NOW = 1_790_000_000


def proofs() -> float:
    """Seconds of CPU that the check of one takes."""
    key, request = bytes(32), Request(method="PUT", target="/v1/user/applied", host="h", body=b'{"revision":1}')
    made = [prove(key, request, _NOW, f"nonce-{number:08}") for number in range(_TIMES)]
    nonces = NonceMemory(_NOW)
    began = time.thread_time()
    for header in made:
        check(header, key, request, 2, _NOW, nonces)
    return (time.thread_time() - began) / _TIMES


async def _cost(work: Callable[[], Awaitable[None]]) -> float:
    began = time.thread_time()
    for _ in range(_TIMES):
        await work()
    return (time.thread_time() - began) / _TIMES


async def counted() -> tuple[float, float]:
    """Seconds of CPU that it takes to count a request, and a request without that (no sockets)."""
    sources, turns = Sources(), Turns()
    source = sources.of(("127.42.128.2", 40_000))

    async def bare() -> None:
        await asyncio.sleep(0)

    async def guarded() -> None:
        visit = Visit(source)

        async def begun() -> None:
            await turns.take(source)
            await bare()

        await Metered(begun(), lambda seconds: None)
        visit.leave()

    guard = await _cost(guarded) - await _cost(bare)
    made = await populated()
    async with made.client("mari") as client:

        async def ask() -> None:
            assert (await client.get("/v1/user/capabilities")).status_code in (200, 429)

        return guard, await _cost(ask)


class _Transport(asyncio.Transport):
    """Keeps what is written, and tells of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.told = b"", asyncio.Event()

    def write(self, data: Any) -> None:
        self.written += data
        self.told.set()

    def taken(self) -> bytes:
        self.told.clear()
        written, self.written = self.written, b""
        return written

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


def _receipt(w: World, name: str) -> bytes:
    target, body = "/v1/user/applied", b'{"revision":2}'
    fields = {
        "Host": w.services.internal_endpoint,
        "X-Innernet-Server-Key": key("coordinator"),
        HEADER: w.proof(name, "PUT", target, body),
        "User-Agent": "inn/0.1.0",
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{field}: {value}\r\n" for field, value in fields.items())
    return f"PUT {target} HTTP/1.1\r\n{head}\r\n".encode() + body


async def receipts(peers: int = 100, rounds: int = 30) -> float:
    """Seconds of CPU of one, while all peers send theirs at once."""
    w = await populated(proof_required=True)
    names = await crowded(w, "humans", "127.42.128.9", peers)
    sources = Sources()
    w.provide(sources=sources)
    app = create_app(w.services)
    options = Listener(app, socket.socket(), sources=sources)._options()
    seated = []
    for name in names:
        w.presence.shown[w.peer(name).id] = 2
        client = (str(w.peer(name).ip), 40_000)
        source = sources.admit(client)
        assert source is not None
        arrived = Arrived(socket.socket(), client, source, lambda arrived: None)
        sources.seat(arrived, source)
        protocol, transport = TunnelProtocol(sources, arrived, **options), _Transport()
        protocol.connection_made(transport)
        seated.append((name, protocol, transport))
    took = []
    for _ in range(rounds):
        coming = [(protocol, _receipt(w, name)) for name, protocol, _ in seated]
        began = time.thread_time()
        for protocol, data in coming:
            protocol.data_received(data)
        for _, _, transport in seated:
            await transport.told.wait()
        took.append((time.thread_time() - began) / peers)
        assert all(transport.taken().startswith(b"HTTP/1.1 204") for _, _, transport in seated)
    return quantile(took, 0.5)


def run() -> None:
    title("The door (CPU)")
    guard, request = asyncio.run(counted())
    figure("the check of a proof", f"{1e6 * proofs():.0f} us", "<= 50 us")
    figure("counting a source, and its turn", f"{1e6 * guard:.0f} us", "", f"a request: {1e6 * request:.0f} us")
    figure("a receipt, from its bytes to its answer's", f"{1e6 * uvloop.run(receipts()):.0f} us")
