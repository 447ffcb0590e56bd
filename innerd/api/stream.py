"""The event stream: who holds one, what each is told, and when it ends.

A raw ASGI handler writes shared, pre-encoded bytes: all streams of a class get the same frame object. Opening a
stream puts its first frames and its registration in one step of the loop, so nothing is missed and nothing comes
twice. A reader that is too slow is dropped at a bound, and resumes by its cursor. One stream a peer: a newer one
replaces the older.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from innerd.api.asgi import Receive, Scope, Send, disconnected
from innerd.coordinator.feed import Change
from innerd.coordinator.writer import Writer
from innerd.domain.errors import Refused
from innerd.domain.netmap import Delta, delta, netmap
from innerd.domain.network import COORDINATOR, Peer
from innerd.domain.visibility import Class, View, structural, touched
from innerd.presence import Presence
from innerd.wire import PROTOCOL
from innerd.wire.stream import (
    KEEPALIVE,
    KEEPALIVE_INTERVAL,
    Bye,
    Cursor,
    Hello,
    PeerPresence,
    PresenceJson,
    delta_frame,
    frame,
    parse_cursor,
    presence_of,
    snapshot_frame,
)

_log = structlog.get_logger("stream")

MAX_PENDING = 8 << 20  # bytes that may wait for one reader beside what the kernel holds
_PRESENCE_TICK = 0.1  # seconds between two rounds of presence
_FAREWELL = 0.2  # seconds a last frame may take


class Stream:
    """One open stream: frames wait in `pending` until its own task sends them."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer.id
        self.pending: list[bytes] = []
        self.size = 0
        self.ending: str | None = None
        self.ending_now = asyncio.Event()
        self.ended = asyncio.Event()
        self._wake = asyncio.Event()

    def put(self, data: bytes) -> None:
        self.pending.append(data)
        self.size += len(data)
        self._wake.set()

    def end(self, reason: str) -> None:
        """Say why, send what waits, close."""
        if self.ending is None:
            self.ending = reason
            self.put(frame("bye", Bye(reason=reason)))
            self.ending_now.set()

    async def take(self, wait: float) -> bytes:
        """All that waits; a keep-alive if nothing came for `wait` seconds."""
        # Not wait_for: on Python 3.11 it swallows a cancellation that meets the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._wake.wait()
        self._wake.clear()
        data, self.pending, self.size = b"".join(self.pending), [], 0
        return data or KEEPALIVE


class Hub:
    def __init__(self, writer: Writer, presence: Presence, clock: Callable[[], float], suffix: str = "wg") -> None:
        self.streams: dict[int, Stream] = {}
        self.ended: dict[str, int] = {}  # reason -> count, for metrics
        self._writer = writer
        self._presence = presence
        self._clock = clock
        self._suffix = suffix
        self._stirred = asyncio.Event()
        self.stopping = asyncio.Event()  # set once the coordinator stops: whatever is open ends
        presence.stirred = self._stirred.set

    @property
    def generation(self) -> int:
        return self._writer.network.generation

    # -- what was committed goes to whom it concerns ------------------------------------------------------------

    def follow(self, change: Change) -> None:
        """A follower of the feed: end the streams of peers that are out, tell the others their deltas."""
        before, after = change.before, change.after
        only = None if structural(change.events) else touched(change.events)
        frames: dict[tuple[Class, Class], bytes | None] = {}
        for stream in self._open():
            was, now = before.network.peers.get(stream.peer), after.network.peers.get(stream.peer)
            if was is None or now is None or not now.is_active:
                stream.end("disabled" if now is not None else "retired")
                continue
            pair = (before.class_of(was), after.class_of(now))
            if pair not in frames:
                difference = delta(before, pair[0], after, pair[1], only)
                frames[pair] = self._delta(after, difference, change.head_hash)
            if frames[pair] is not None:
                self._presence.told[stream.peer] = after.network.revision
            self._put(stream, frames[pair])
        for number in touched(change.events):
            if number not in after.network.peers:
                self._presence.forget(number)

    def _open(self) -> list[Stream]:
        """The streams that nothing has ended yet: behind a `bye` comes nothing."""
        return [stream for stream in self.streams.values() if stream.ending is None]

    def _delta(self, view: View, difference: Delta, head_hash: str) -> bytes | None:
        """A delta, behind the soft state of the peers that come with it: a device that has both at once begins
        its handshake at once."""
        if difference.is_empty:
            return None
        known = [self._presence_of(peer) for peer in difference.peers if peer.id != COORDINATOR]
        told = [state for state in known if state.endpoint is not None or state.candidates]
        before = frame("presence", PresenceJson(whole=False, peers=told)) if told else b""
        return before + delta_frame(view, difference, head_hash)

    def _put(self, stream: Stream, data: bytes | None) -> None:
        if data is None:
            return
        if stream.size + len(data) > MAX_PENDING:
            stream.pending.clear()
            stream.size = 0
            stream.end("too_slow")
            return
        stream.put(data)

    # -- opening ------------------------------------------------------------------------------------------------

    async def open(self, peer: Peer, cursor: Cursor | None) -> Stream:
        """Register a stream with its first frames in it. Raises Refused for a peer that is out by now."""
        if self.stopping.is_set():
            raise Refused("store_unavailable", "the coordinator is shutting down", "it will be back: reconnect")
        cursor_hash = await self._hash_at(cursor)
        # No awaits from here on: the view, the first frames and the registration belong to one moment.
        view = self._writer.view
        current = view.network.peers.get(peer.id)
        if current is None or not current.is_active:
            raise Refused("unauthorized", "the source address belongs to no enabled peer")
        stream = Stream(current)
        stream.put(frame("hello", self._hello(current, view, cursor_hash)))
        caught_up = self._catch_up(current, view, cursor)
        if caught_up is not None:
            stream.put(caught_up)
        older = self.streams.get(peer.id)
        if older is not None:
            older.end("replaced")
        self.streams[peer.id] = stream
        self._presence.stream_opened(peer.id)
        stream.put(self._whole_presence(current, view))
        return stream

    async def _hash_at(self, cursor: Cursor | None) -> str | None:
        network = self._writer.network
        if cursor is None or cursor.generation != network.generation or not 0 < cursor.revision <= network.revision:
            return None
        async for page in self._writer.store.read(cursor.revision - 1, 1):
            return page[0].chain.hex()
        return None

    def _hello(self, peer: Peer, view: View, cursor_hash: str | None) -> Hello:
        return Hello(
            protocol=PROTOCOL,
            network=view.network.name,
            network_id=view.network.id,
            suffix=self._suffix,
            generation=view.network.generation,
            head=view.network.revision,
            head_hash=self._writer.head_hash,
            cursor_hash=cursor_hash,
            peer=peer.id,
            time=self._clock(),
            keepalive=KEEPALIVE_INTERVAL,
        )

    def _catch_up(self, peer: Peer, view: View, cursor: Cursor | None) -> bytes | None:
        """Nothing for a client that is at the head, a delta for one that we remember, else a snapshot."""
        if cursor is not None and cursor.generation == view.network.generation:
            if cursor.revision == view.network.revision:
                return None
            before = self._writer.feed.history.at(cursor.revision)
            was = None if before is None else before.network.peers.get(peer.id)
            if before is not None and was is not None and was.is_active:
                difference = delta(before, before.class_of(was), view, view.class_of(peer))
                if not difference.is_empty:
                    self._presence.told[peer.id] = view.network.revision
                return delta_frame(view, difference, self._writer.head_hash)
        self._presence.told[peer.id] = view.network.revision
        return snapshot_frame(view, netmap(view, view.class_of(peer)), self._writer.head_hash)

    # -- soft state ---------------------------------------------------------------------------------------------

    def _presence_of(self, peer: Peer) -> PeerPresence:
        return presence_of(peer.id, peer.endpoint, self._presence, self._clock())

    def _whole_presence(self, peer: Peer, view: View) -> bytes:
        peers = [self._presence_of(seen) for seen in view.visible_to(peer) if seen.id != COORDINATOR]
        return frame("presence", PresenceJson(whole=True, peers=peers))

    async def pump(self) -> None:
        """Tell changes of soft state: the first at once, then at most one frame a tick and stream."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            self.tell_presence()
            await asyncio.sleep(_PRESENCE_TICK)

    def tell_presence(self) -> None:
        view = self._writer.view
        peers = [view.network.peers.get(number) for number in self._presence.drain()]
        changed = [(view.class_of(p), self._presence_of(p)) for p in peers if p is not None and p.is_active]
        if not changed:
            return
        frames: dict[Class, bytes | None] = {}
        for stream in self._open():
            peer = view.network.peers.get(stream.peer)
            if peer is None:
                continue
            class_ = view.class_of(peer)
            if class_ not in frames:
                seen = view.topology.seen(class_)
                told = [state for owner, state in changed if owner in seen]
                frames[class_] = frame("presence", PresenceJson(whole=False, peers=told)) if told else None
            self._put(stream, frames[class_])

    # -- ending -------------------------------------------------------------------------------------------------

    def closed(self, stream: Stream) -> None:
        stream.ended.set()
        reason = stream.ending or "disconnected"
        self.ended[reason] = self.ended.get(reason, 0) + 1
        if self.streams.get(stream.peer) is stream:
            del self.streams[stream.peer]
            self._presence.stream_closed(stream.peer)

    async def farewells(self) -> None:
        """Wait until last frames are out, for 200 ms at most: a disabled peer must hear why before its key goes."""
        ending = [stream.ended.wait() for stream in self.streams.values() if stream.ending]
        if ending:
            await asyncio.wait([asyncio.ensure_future(wait) for wait in ending], timeout=_FAREWELL)

    async def end_all(self, reason: str) -> None:
        for stream in self.streams.values():
            stream.end(reason)
        await self.farewells()

    async def shut_down(self) -> None:
        """End all streams, and open no more."""
        self.stopping.set()
        await self.end_all("shutting_down")


async def serve_stream(
    hub: Hub, peer: Peer | None, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send
) -> None:
    """`GET /v1/user/events`: the raw ASGI handler of one stream."""
    if peer is None:
        raise Refused("unauthorized", "streams are for peers")
    stream = await hub.open(peer, _cursor(scope, headers, hub.generation))
    sender = asyncio.create_task(_send(stream, send))
    gone = asyncio.create_task(disconnected(receive))
    ending = asyncio.create_task(stream.ending_now.wait())
    try:
        await asyncio.wait((sender, gone, ending), return_when=asyncio.FIRST_COMPLETED)
        if not gone.done():  # its last frame has a moment to leave: who reads nothing must not be waited for
            await asyncio.wait((sender, gone), return_when=asyncio.FIRST_COMPLETED, timeout=_FAREWELL)
    finally:
        hub.closed(stream)
        for task in (sender, gone, ending):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task


async def _send(stream: Stream, send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")],
        }
    )
    while True:
        data = await stream.take(KEEPALIVE_INTERVAL)
        last = stream.ending is not None and not stream.pending
        await send({"type": "http.response.body", "body": data, "more_body": not last})
        if last:
            return


def _cursor(scope: Scope, headers: dict[bytes, bytes], generation: int) -> Cursor | None:
    """`Last-Event-ID`, else `?since=REVISION` (of this generation) or `?since=<generation>.<revision>`."""
    if b"last-event-id" in headers:
        return parse_cursor(headers[b"last-event-id"].decode("latin-1"))
    for part in scope["query_string"].decode("latin-1").split("&"):
        name, _, value = part.partition("=")
        if name == "since":
            return parse_cursor(value if "." in value else f"{generation}.{value}")
    return None
