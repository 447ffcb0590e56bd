"""uvicorn on sockets that are ours: the tunnel's, bound to the WireGuard device, and the control socket.

uvicorn tells an app no peer credentials; a small protocol subclass writes the local user where a client's address
would stand, as the kernel says it (SO_PEERCRED).
"""

import asyncio
import contextlib
import os
import resource
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from innclient import files
from innerd.api.asgi import PIPE
from innerd.api.compat import MAX_BODY
from innerd.api.sessions import LOCAL
from innerd.api.stream import Connection
from innerd.wireguard.device import DeviceError

_MOST_A_SOURCE = 32  # connections
_HEAD_SECONDS = 10.0  # for the head of a request, from its first byte or the connection's beginning
_HEAD_BYTES = 16 * 1024
_READ = 256 * 1024  # what one read may bring beside
_STOP = 3  # seconds for requests under way when stopping
_BACKLOG = 4096  # connections that wait to be accepted; net.core.somaxconn bounds it too
_TICK = 0.1  # seconds; uvicorn counts ten to renew the Date header


class TunnelProtocol(HttpToolsProtocol):
    """HTTP over the tunnel, for peers that may be hostile: so many connections a source and in all, so many bytes and
    so much time for the head of a request. uvicorn bounds none of these."""

    open: ClassVar[Counter[str]] = Counter()  # connections, by source

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._source = self.client[0] if self.client else ""
        self._head = self._message = 0
        self._stream: Connection | None = None
        self.open[self._source] += 1
        self._deadline = self.loop.call_later(_HEAD_SECONDS, transport.abort)
        if self.open[self._source] > _MOST_A_SOURCE or self.open.total() > most_connections():
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        self.open[self._source] -= 1
        if not self.open[self._source]:
            del self.open[self._source]
        if self._stream is not None:
            self._stream.gone()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._message += len(data)
        if self._message > _HEAD_BYTES + MAX_BODY + _READ:  # chunks and trailers without end
            self.transport.abort()
            return
        super().data_received(data)
        if not self._deadline.cancelled():  # still in the head
            self._count(len(data))

    def _count(self, length: int) -> None:
        self._head += length
        if self._head > _HEAD_BYTES:
            self.transport.abort()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)  # and what stands between and behind them
        super().on_header(name, value)

    def on_message_begin(self) -> None:
        self._head = self._message = 0
        self._deadline.cancel()
        self._deadline = self.loop.call_later(_HEAD_SECONDS, self.transport.abort)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._deadline.cancel()
        self.scope[PIPE] = self._connect  # type: ignore[literal-required]
        super().on_headers_complete()

    def _connect(self) -> Connection:
        """The way to write a stream's frames; it hears when they have left, and when the client is gone."""
        self._stream = Connection(self.transport)
        return self._stream

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stream is not None:
            self._stream.drained()


def most_connections() -> int:
    """Three quarters of the files that this process may open: the log, the device and root's own socket need some."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4


class LocalProtocol(HttpToolsProtocol):
    """HTTP over a unix socket; the client is `local:<uid>` and its process id."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        peer: socket.socket = transport.get_extra_info("socket")
        pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        self.client = (f"{LOCAL}{uid}", pid)


class Listener(uvicorn.Server):
    """A uvicorn server on one listening socket. Signals and lifespan are the composition root's."""

    def __init__(self, app: Any, listening: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=LocalProtocol if listening.family == socket.AF_UNIX else TunnelProtocol,
                loop="none",
                lifespan="off",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_STOP,
                timeout_keep_alive=75,
                h11_max_incomplete_event_size=64 * 1024,
            )
        )
        self._listening = listening
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        make: Callable[..., Any] = (
            loop.create_unix_server if self._listening.family == socket.AF_UNIX else loop.create_server
        )
        # Else it would be made 100: when all come back at once, most would wait for a second try.
        self.servers = [await make(self._protocol, sock=self._listening, backlog=_BACKLOG)]
        self.started = True

    async def main_loop(self) -> None:
        """uvicorn's ticks (they keep the Date header), ended at once by `stop`."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK):
                    await self._stop.wait()

    def _protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state={}, _loop=asyncio.get_running_loop())

    async def start(self) -> None:
        """Return when it listens."""
        self._task = asyncio.create_task(self.serve())
        while not self.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0)

    async def stop(self) -> None:
        self.should_exit = True
        self._stop.set()
        if self._task is not None:
            await self._task


def control_socket(path: Path) -> socket.socket:
    """The control socket of a network: root's alone. A socket that a killed coordinator left is replaced."""
    files.make_public(path.parent)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    try:
        old = os.umask(0o177)
        try:
            listening.bind(str(beside))
        finally:
            os.umask(old)
        listening.listen(128)
        os.replace(beside, path)
    except OSError as error:
        listening.close()
        raise DeviceError("os_error", f"can't make the control socket {path}: {error.strerror}") from error
    listening.setblocking(False)
    return listening
