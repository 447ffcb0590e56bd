"""uvicorn on sockets that are ours: the tunnel's, bound to the WireGuard device, and the control socket.

uvicorn tells an app no peer credentials; a small protocol subclass writes the local user where a client's address
would stand, as the kernel says it (SO_PEERCRED).
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from time import thread_time, time
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from innerd.api.asgi import PIPE, SEAT, VISIT
from innerd.api.callers import LOCAL
from innerd.api.gate import MAX_BODY, too_long
from innerd.api.sources import Source, Sources, Visit
from innerd.api.stream import Connection
from innerd.host import files, tcp
from innerd.host.sparing import OfSource
from innerd.serve.arrivals import Arrivals, Arrived
from innerd.serve.unread import Unread
from innerd.wireguard.device import DeviceError

_MOST_AHEAD = 8  # requests sent ahead on a connection
_HEAD_SECONDS = 10.0  # for the head of a request, from its first byte or the connection's beginning
_HEAD_BYTES = 16 * 1024
_READ = 256 * 1024  # what one read may bring beside
_PIECE = 1024  # bytes that are parsed until it is looked whether a connection was dropped
_STOP = 3  # seconds for requests under way when stopping
_BACKLOG = 4096  # connections that wait to be accepted, when all come back at once; net.core.somaxconn bounds it too


class TunnelProtocol(HttpToolsProtocol):
    """HTTP over the tunnel, for peers that may be hostile: a seat where its source has one left, so many bytes and so
    much time for the head of a request, so many requests sent ahead. uvicorn bounds none of these."""

    def __init__(self, sources: Sources, arrived: Arrived, **options: Any) -> None:
        super().__init__(**options)
        self.is_proven = self.is_held = self._is_due = False
        self._sources = sources
        self._arrived: Arrived | None = arrived
        self._source: Source | None = arrived.source
        self._is_in_turn = True  # else it waits until what it sent may be parsed
        self._is_too_long: bool | None = None  # the body that comes in; None until it does
        self._kept = b""
        self._running: Any = None  # uvicorn's cycle of the request in progress
        self._head = self._message = 0
        self._stream: Connection | None = None
        self._deadline = self._in_time()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._unread = Unread(transport)
        arrived, self._arrived = self._arrived, None
        assert arrived is not None  # noqa: S101 - a connection is made once
        self.client = arrived.client  # as it was accepted: a socket that was reset meanwhile has no address
        self.logger = OfSource(self.logger, self.client[0])  # type: ignore[assignment]
        self._is_due, arrived.is_due = arrived.is_due, False
        self._sources.take_over(arrived, self, arrived.source)
        if arrived.is_dropped:
            self.drop()
        elif arrived.is_held:
            self.hold()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        self._unread.end()
        if self._source is not None:
            self._sources.unseat(self, self._source)
            if self._is_due:
                self._is_due = False
                self._source.no_longer_due()
        if self._stream is not None:
            self._stream.lost()
        if self._running is not None:  # uvicorn tells the newest that was read, which need not be this one
            self._running.disconnected = True
            self._running.message_event.set()
            if (visit := self._running.scope.get(VISIT)) is not None:
                visit.abandon()
        super().connection_lost(exc)
        # What points at each other here would wait for the collector, thousands at a time.
        self._stream = self._source = self._running = None
        self.scope = self.cycle = None  # type: ignore[assignment]
        self.pipeline.clear()

    async def heard(self, seconds: float) -> bool:
        return await tcp.heard(self.transport, seconds)

    def drop(self) -> None:
        self.transport.abort()

    def _in_time(self) -> asyncio.TimerHandle:
        return self.loop.call_later(_HEAD_SECONDS, self._too_late)

    def _too_late(self) -> None:
        """For the head; unless it is we who did not read it."""
        if self.is_held or self._is_due or not self._is_in_turn:
            self._deadline = self._in_time()
        else:
            self.drop()

    @property
    def has_body(self) -> bool:
        return self._running is not None and not self._running.more_body

    def is_gone(self) -> bool:
        if not self.transport.is_closing():
            return False
        if self._running is not None:
            self._running.disconnected = True
        return True

    def hold(self) -> None:
        if not (self.is_held or self._is_due or self.transport.is_closing()) and self._is_between_requests():
            self.is_held = True
            self.transport.pause_reading()

    def has_more(self) -> bool:
        return bool(self._kept) or tcp.unread(self.transport.get_extra_info("socket")) > 0

    def let_go(self, is_due: bool) -> None:
        self.is_held, self._is_due = False, is_due
        if self.transport.is_closing():
            return
        self.transport.resume_reading()
        if self._kept:
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """With what came although it was not to be read: a loop begins to read a connection after it was made, whatever
        it was told before."""
        if self._kept and self._is_in_turn and not self.is_held and not self.transport.is_closing():
            self.data_received(self._taken())

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unread.look()
        if self._source is None:
            return
        if self.is_unread and self._source.leaves_too_much():
            self.drop()
        elif self._source.is_held:
            self.hold()

    @property
    def is_unread(self) -> bool:
        return self._unread.is_waiting

    def data_received(self, data: bytes) -> None:
        if self.is_held or not self._is_in_turn:
            self._keep(data)
        elif self._source is None or self._sources.readings.have_time():
            self._take(self._taken() + data)  # what came before was kept, and is not taken yet
        else:
            self._wait(self._source, data)

    def _keep(self, data: bytes) -> None:
        self._kept += data
        self.transport.pause_reading()

    def _taken(self) -> bytes:
        kept, self._kept = self._kept, b""
        return kept

    def _wait(self, source: Source, data: bytes) -> None:
        self._is_in_turn = False
        if not self._is_due and self._is_between_requests():  # else its request is counted already
            self._is_due = True
            source.due += 1
            source.settle()
        if self._sources.readings.enter(source, len(data), self._in_turn):
            self._keep(data)
        else:
            self.drop()

    def _in_turn(self) -> None:
        self._is_in_turn = True
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self._take(self._taken())

    def _take(self, data: bytes) -> None:
        """A request that begins counts from here on in place of what was due."""
        source, was_due = self._source, self._is_due
        self._is_due = False
        if source is not None and was_due:
            source.due -= 1
        try:
            self._parse(data)
        finally:
            if source is not None and was_due:
                if source.is_held:  # what came was no whole request, and the rest has no place of its own
                    self.hold()
                source.settle()

    def _parse(self, data: bytes) -> None:
        began = thread_time()
        if self._message + len(data) > _HEAD_BYTES + MAX_BODY + _READ:  # chunks and trailers without end
            self.drop()
            return
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            self._message += len(piece)
            super().data_received(piece)
            if not self._deadline.cancelled() and self._message > _HEAD_BYTES:  # still in the head
                self.drop()
            if self.transport.is_closing():
                break
        self._charge(thread_time() - began)

    def _charge(self, seconds: float) -> None:
        """The request in progress, as an administrator's costs nothing; else the source."""
        visit = None if self._running is None else self._running.scope.get(VISIT)
        if visit is not None:
            visit.charge(seconds)
        elif self._source is not None:
            self._source.charge(seconds)

    def _count(self, length: int) -> None:
        self._head += length
        if self._head > _HEAD_BYTES:
            self.drop()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)  # and what stands between and behind them
        super().on_header(name, value)

    def on_message_begin(self) -> None:
        self._head = self._message = 0
        self._is_too_long = None
        self._deadline.cancel()
        self._deadline = self._in_time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._deadline.cancel()
        if self.transport.is_closing():  # what came behind the request for which it was dropped
            return
        self.scope[PIPE] = self._connect  # type: ignore[literal-required]
        self.scope[SEAT] = self  # type: ignore[literal-required]
        super().on_headers_complete()
        if len(self.pipeline) > _MOST_AHEAD:
            self.drop()

    def on_body(self, body: bytes) -> None:
        if self._is_too_long is None:
            self._is_too_long = too_long(self.scope)  # type: ignore[arg-type]
        if not self._is_too_long:  # what is going to be refused need not be kept until then
            super().on_body(body)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """A request is in progress from here on, not from when its task runs: else all connections of a source would
        have been read by then."""
        self._running = cycle
        if self._source is not None:
            self._source.served(self)
            cycle.scope[VISIT] = Visit(self._source)
        super()._start_asgi_task(cycle, app)

    def _connect(self) -> Connection:
        """The way to write a stream's frames; it hears when they have left, and when the client is gone."""
        self._stream = Connection(self.transport)
        return self._stream

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stream is None:  # else the hub looks after it
            self._unread.look()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stream is not None:
            self._stream.drained()


class LocalProtocol(HttpToolsProtocol):
    """HTTP over a unix socket; the client is `local:<uid>` and its process id."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        peer: socket.socket = transport.get_extra_info("socket")
        pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        self.client = (f"{LOCAL}{uid}", pid)


class _State(ServerState):
    """What uvicorn's connections share. The Date header is made when it is asked for, once a second at most."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._config, self._second, self._headers = config, 0, list[tuple[bytes, bytes]]()
        super().__init__()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        second = int(time()) if self._config.date_header else 0
        if second != self._second:
            self._second, self._headers = second, [(b"date", formatdate(second, usegmt=True).encode())]
        return self._headers

    @default_headers.setter
    def default_headers(self, _: list[tuple[bytes, bytes]]) -> None:
        """uvicorn begins with none."""


class Listener(uvicorn.Server):
    """A uvicorn server on one listening socket, or on several that share a port. Signals and lifespan are the
    composition root's. `sources` is what its app counts by too, if it does."""

    def __init__(self, app: Any, *listening: socket.socket, sources: Sources | None = None) -> None:
        is_local = listening[0].family == socket.AF_UNIX
        super().__init__(
            uvicorn.Config(
                app,
                http=LocalProtocol if is_local else TunnelProtocol,
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
        self.server_state = _State(self.config)
        self._listening = listening
        self._sources = sources or Sources()
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._listening[0].family == socket.AF_UNIX:
            loop = asyncio.get_running_loop()
            self.servers = [await loop.create_unix_server(self._local, sock=self._listening[0], backlog=_BACKLOG)]
        else:
            self.servers = [Arrivals(self._listening, self._sources, self._remote, _BACKLOG)]  # type: ignore[list-item]
        self.started = True

    async def main_loop(self) -> None:
        """Without uvicorn's ten ticks a second: all that they are for here is the Date header."""
        await self._stop.wait()

    def _local(self) -> LocalProtocol:
        return LocalProtocol(**self._options())

    def _remote(self, arrived: Arrived) -> TunnelProtocol:
        return TunnelProtocol(self._sources, arrived, **self._options())

    def _options(self) -> dict[str, Any]:
        return {
            "config": self.config,
            "server_state": self.server_state,
            "app_state": {},
            "_loop": asyncio.get_running_loop(),
        }

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
