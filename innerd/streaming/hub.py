"""Who holds a stream, from its greeting to its end: the hub of `GET /v1/user/events`."""

import asyncio
from collections.abc import Callable

from innerd.coordinator.feed import Committed
from innerd.coordinator.looks import Looks
from innerd.coordinator.presence import Presence
from innerd.coordinator.writer import Writer
from innerd.domain.errors import Refused
from innerd.domain.network import Peer
from innerd.domain.visibility import View, touched
from innerd.streaming.ahead import Ahead
from innerd.streaming.checkpoints import Checkpoints
from innerd.streaming.frames import Frames
from innerd.streaming.limits import Buckets
from innerd.streaming.registry import Pipe, Stream, Streams
from innerd.streaming.relays import RelaySights
from innerd.streaming.rendezvous import Rendezvous
from innerd.streaming.sender import Sender
from innerd.streaming.strangers import Strangers
from innerd.wire import PROTOCOL
from innerd.wire.note import Signer
from innerd.wire.stream import KEEPALIVE_INTERVAL, Cursor, Hello, frame

# Seconds that last words may take: a packet that was lost is sent again after 200 ms or a little more. Nobody is less
# safe meanwhile: the others let go of the peer at once, and the coordinator refuses whatever it asks.
FAREWELL = 0.5
_ANSWER = 5.0  # seconds until nobody waits for a last answer any more
_OPENS, _OPENS_RATE = 30, 1.0  # streams that a peer may open at once, and a second after that


class Hub:
    def __init__(
        self,
        writer: Writer,
        presence: Presence,
        clock: Callable[[], float],
        suffix: str = "wg",
        signer: Signer | None = None,
        looks: Looks | None = None,
        tcp: int | None = None,
    ) -> None:
        self._looks = looks or Looks()
        self.streams = Streams()
        self.ahead = Ahead()
        self.frames = Frames(writer.feed, presence, clock)
        self.checkpoints = Checkpoints(writer, signer, clock)
        self.sender = Sender(self.streams, self.frames, writer, presence, self.checkpoints)
        self.relays = RelaySights(self.streams, presence)
        self.strangers = Strangers(presence, clock)
        self.rendezvous = Rendezvous(writer, self.streams, self.frames, self._looks, presence, self.strangers, clock)
        self.stopping = asyncio.Event()  # set once the coordinator stops: whatever is open ends
        self._answering: set[asyncio.Event] = set()
        self._writer = writer
        self.presence = presence
        self._clock = clock
        self._suffix, self._tcp = suffix, tcp
        self._opens = Buckets("streams", _OPENS, _OPENS_RATE, clock)

    @property
    def generation(self) -> int:
        return self._writer.network.generation

    def follow(self, change: Committed) -> None:
        """A follower of the feed: end the streams of peers that are out, note what the others must be told."""
        after = change.after
        for number in touched(change.events):
            peer, stream = after.network.peers.get(number), self.streams.by_peer.get(number)
            if stream is not None and (peer is None or not peer.is_active):
                self.streams.end(stream, "disabled" if peer is not None else "retired")
            if peer is None:
                self.presence.forget(number)
                self.frames.forget(number)
            if peer is None or not peer.is_active:
                self.ahead.forget(number)
                self.strangers.forget(number)
                self.presence.let_go(number)
        if change.before.topology is not after.topology:
            self.streams.sort_anew(after)
        self.relays.follow(change)
        self.sender.note(change)

    # -- opening ------------------------------------------------------------------------------------------------

    async def open(self, peer: Peer, cursor: Cursor | None, pipe: Pipe, run: str | None = None) -> Stream:
        """Register a stream of a run of the peer's agent, and greet it. Raises Refused for a peer that is out by now or
        asks too often."""
        if self.stopping.is_set():
            raise Refused("store_unavailable", "the coordinator is shutting down", "it will be back: reconnect")
        self._opens.take(peer.id)
        cursor_hash = await self._hash_at(cursor)
        # No awaits from here on: the view, the first frames and the registration belong to one moment.
        view = self._writer.view
        current = view.network.peers.get(peer.id)
        if current is None or not current.is_active:
            raise Refused("unauthorized", "the source address belongs to no enabled peer")
        self.ahead.note(current, cursor, view.network)
        is_another = run is not None and self.presence.met(peer.id, run)
        older = self.streams.by_peer.get(peer.id)
        if older is not None:
            self.streams.end(older, "replaced")
        stream = Stream(peer.id, view.class_of(current), pipe, asyncio.get_running_loop().time())
        pipe.drained = lambda: self.sender.owe(stream)
        self.streams.add(stream)
        self.streams.write(stream, frame("hello", self._hello(current, view, cursor_hash)))
        self._catch_up(stream, view, cursor)
        self.presence.stream_opened(peer.id)
        self.sender.greet(stream)
        self.relays.greet(peer.id, view)
        if is_another or self.presence.learned(peer.id) is None or peer.id in self.presence.recalled:
            # Others can reach it the sooner, and where it is is known should it be one of two.
            self._looking = asyncio.ensure_future(self._looks.now())
        return stream

    async def _hash_at(self, cursor: Cursor | None) -> str | None:
        network = self._writer.network
        if cursor is None or cursor.generation != network.generation or not 0 < cursor.revision <= network.revision:
            return None
        if cursor.revision == network.revision:
            return self._writer.head_hash
        async for page in self._writer.store.read(cursor.revision - 1, 1):
            return page[0].chain.hex()
        return None

    def _hello(self, peer: Peer, view: View, cursor_hash: str | None) -> Hello:
        return Hello(
            tcp=self._tcp,
            twins=list(self.presence.twins(peer.id)) or None,
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
            checkpoint_key=self.checkpoints.key,
            checkpoint=self.checkpoints.newest(),
        )

    def _catch_up(self, stream: Stream, view: View, cursor: Cursor | None) -> None:
        """Nothing for a client that is at the head, a delta for one that we remember, else a snapshot."""
        stream.cursor = cursor.revision if cursor is not None else 0
        if cursor is not None and cursor.generation == view.network.generation:
            self.presence.shown[stream.peer] = min(cursor.revision, view.network.revision)
        if cursor is not None and cursor.generation == view.network.generation:
            if cursor.revision == view.network.revision:
                return
            if self._writer.feed.concern.last(stream.class_) <= cursor.revision < view.network.revision:
                self.sender.nothing_new(stream)
                return
            past = self._writer.feed.history.at(cursor.revision)
            was = None if past is None else past.network.peers.get(stream.peer)
            stream.due = past if was is not None and was.is_active else None
        stream.is_fresh = stream.due is None

    # -- ending -------------------------------------------------------------------------------------------------

    def closed(self, stream: Stream) -> None:
        """The connection of a stream is done with it, whoever ended it."""
        if self.streams.closed(stream):
            self.presence.stream_closed(stream.peer)

    async def farewells(self) -> None:
        """Wait until last frames and last answers have come, for 500 ms at most: a disabled peer must hear why before
        its key goes, and who disabled itself that it is done."""
        last = [stream.ended for stream in self.streams.by_peer.values() if stream.ending]
        ending = [asyncio.ensure_future(out.wait()) for out in (*last, *self._answering)]
        if ending:
            _, late = await asyncio.wait(ending, timeout=FAREWELL)
            for wait in late:
                wait.cancel()

    def last_answer(self) -> asyncio.Event:
        """Of an answer to a peer that asks for what may be its own end: set it when the answer has come."""
        out = asyncio.Event()
        asyncio.get_running_loop().call_later(_ANSWER, out.set)  # whatever becomes of it
        self._answering = {*(event for event in self._answering if not event.is_set()), out}
        return out

    def end_all(self, reason: str) -> None:
        for stream in list(self.streams.by_peer.values()):
            self.streams.end(stream, reason)

    async def shut_down(self) -> None:
        """End all streams, and open no more."""
        self.stopping.set()
        self.end_all("shutting_down")
        self.strangers.close()
        await self.farewells()

    def is_behind(self, peer: int, revision: int) -> bool:
        """Whether a peer has a stream, and is still to be told what happened up to a revision."""
        stream = self.streams.by_peer.get(peer)
        return stream is not None and stream.is_owed and (stream.due is None or stream.due.network.revision < revision)
