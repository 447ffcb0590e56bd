"""`GET /v1/user/events`: the raw ASGI handler of one stream. What is told, and when, is the hub's."""

import asyncio
import contextlib
from collections.abc import Callable

from innerd.api.asgi import PIPE, Scope, Send, only_waits
from innerd.domain.errors import Refused
from innerd.domain.network import Peer
from innerd.host import tcp
from innerd.streaming.hub import FAREWELL, Hub
from innerd.streaming.registry import Stream
from innerd.wire.caller import NO_RELAY, RELAY, RUN, parse_run
from innerd.wire.stream import SHUT_OUT, Cursor, parse_cursor


class Connection:
    """The pipe of one HTTP response: bytes go to the transport as chunks (RFC 9112 7.1), past the framework, as one
    frame is shared by thousands. What comes before the response has begun waits for it."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self.drained: Callable[[], None] = _nothing
        self.gone: Callable[[], None] = _nothing
        self._transport = transport
        self._early: list[bytes] | None = []

    def begin(self) -> None:
        """The head of the response is out."""
        early, self._early = self._early or [], None
        self.write(b"".join(early))

    def write(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(data)
        elif not self._transport.is_closing():
            self._transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))

    def waiting(self) -> int:
        return self._transport.get_write_buffer_size() + sum(map(len, self._early or ()))

    async def heard(self, seconds: float) -> bool:
        """Wait until the client's kernel has all that was written, or it is gone; whether that was so within a time."""
        return await tcp.heard(self._transport, seconds)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def abort(self) -> None:
        self._transport.abort()

    def lost(self) -> None:
        """The connection is no more."""
        self.gone()
        self.let_go()

    def let_go(self) -> None:
        """The stream is over: it and its pipe point at each other, and only the collector would part them."""
        self.drained = self.gone = _nothing


def _nothing() -> None:
    """Nobody listens."""


async def serve_stream(hub: Hub, peer: Peer | None, scope: Scope, headers: dict[bytes, bytes], send: Send) -> None:
    """One stream, from its greeting to its end."""
    if peer is None:
        raise Refused("unauthorized", "streams are for peers")
    connect: Callable[[], Connection] | None = scope.get(PIPE)
    if connect is None:
        raise Refused("invalid_request", "a stream needs a connection through the tunnel")
    pipe = connect()
    run = parse_run(headers.get(RUN.lower().encode(), b"").decode("latin-1"))
    hub.presence.takes_relay(peer.id, headers.get(RELAY.lower().encode()) != NO_RELAY.encode())
    stream = await hub.open(peer, _cursor(scope, headers, hub.generation), pipe, run)
    pipe.gone = stream.finished.set
    if pipe.is_closing():  # it went while the log was read
        stream.finished.set()
    try:
        only_waits(scope)
        if not await _begin(pipe, stream, send):
            return
        await stream.finished.wait()
        if stream.ending is not None:
            await _finish(pipe, send, is_last=stream.ending in SHUT_OUT)
    finally:
        hub.closed(stream)
        pipe.let_go()


async def _begin(pipe: Connection, stream: Stream, send: Send) -> bool:
    """The head of the response. It waits while the answer before it, on the same connection, is not read; who reads
    neither is dropped like any slow reader, and then this is False."""
    head = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")],
    }
    sending = asyncio.ensure_future(send(head))
    finished = asyncio.ensure_future(stream.finished.wait())
    try:
        await asyncio.wait((sending, finished), return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            pipe.abort()
            return False
        sending.result()
    finally:
        finished.cancel()
        sending.cancel()
    pipe.begin()
    return True


async def _finish(pipe: Connection, send: Send, *, is_last: bool) -> None:
    """Its last frame has a moment to leave: who reads nothing must not be waited for. `is_last`: nothing can be sent to
    this peer from then on, not even again, so it must have come."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            while pipe.waiting():  # noqa: ASYNC110 - a transport tells when it is half empty, not when it is empty
                await asyncio.sleep(0.002)
            if is_last:
                await pipe.heard(FAREWELL)
            return
    if pipe.waiting():
        pipe.abort()


def _cursor(scope: Scope, headers: dict[bytes, bytes], generation: int) -> Cursor | None:
    """`Last-Event-ID`, else `?since=REVISION` (of this generation) or `?since=<generation>.<revision>`."""
    if b"last-event-id" in headers:
        return parse_cursor(headers[b"last-event-id"].decode("latin-1"))
    for part in scope["query_string"].decode("latin-1").split("&"):
        name, _, value = part.partition("=")
        if name == "since":
            return parse_cursor(value if "." in value else f"{generation}.{value}")
    return None
