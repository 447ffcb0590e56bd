"""What streams are told, and when.

Streams are level-triggered. A change only marks the streams that it may concern with what they know (a view of the
network); a sender then tells each of them the difference between that and what is so now, in one frame that all of
its class share. So what comes while somebody is told, or cannot be told, adds up to one frame, and nothing queues: a
reader that does not read costs the frame that it did not read, and is dropped after a while.

The loop is never held for long: after some milliseconds or megabytes of frames others have their turn. Large frames
(a snapshot, a region that comes in sight) have a lane of their own, where one class follows another, so that small
ones never wait behind them.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from innerd.coordinator.feed import Committed
from innerd.coordinator.presence import Presence
from innerd.coordinator.writer import Writer
from innerd.domain.visibility import Class, View
from innerd.streaming.checkpoints import Checkpoints
from innerd.streaming.frames import HEAVY, Frames
from innerd.streaming.registry import Stream, Streams
from innerd.wire.stream import (
    KEEPALIVE,
    KEEPALIVE_INTERVAL,
    CheckpointJson,
    delta_frame_of_nothing,
    frame,
    presence_frame,
)

_log = structlog.get_logger("stream")

MAX_WAITING = 64 * 1024  # bytes that may wait for a reader before the next frame is held back
_SLICE = 0.004  # seconds of sending before others have their turn
_TICK, _TICK_BYTES = 0.01, 4 << 20  # the heavy lane's
_CLASS_DRAINS = 25  # ticks that the heavy lane waits at most for one class to read before it goes on with the next
_PRESENCE_TICK, _PRESENCE_RATE = 0.1, 64 << 20  # seconds between two rounds at least; bytes a second
_SWEEP, _EXPIRE = 1.0, 10.0  # seconds
_PATIENCE, _SLOWEST = 15.0, 262_144  # so many bytes, or all that waits, must be read in so many seconds
_CHECKPOINTS = 60.0  # seconds between two rounds of checkpoints
_CURSOR_MOVES = 300.0  # seconds after which a stream that nothing concerns is told how far the log is


class _Pace:
    """When a sender must let others have their turn."""

    def __init__(self, *, heavy: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._heavy = heavy
        self._begin()

    def _begin(self) -> None:
        self._since, self._bytes = self._loop.time(), 0

    def spent(self, size: int) -> bool:
        self._bytes += size
        return self._bytes > _TICK_BYTES or self._loop.time() - self._since > _SLICE

    async def rest(self) -> None:
        left = self._since + _TICK - self._loop.time() if self._heavy and self._bytes > _TICK_BYTES else 0.0
        await asyncio.sleep(max(0.0, left))
        self._begin()


class Sender:
    def __init__(
        self, streams: Streams, frames: Frames, writer: Writer, presence: Presence, checkpoints: Checkpoints
    ) -> None:
        self._streams = streams
        self._frames = frames
        self._writer = writer
        self._presence = presence
        self._checkpoints = checkpoints
        self._told_checkpoint: str | None = None
        self._due: dict[Class, None] = {}  # in the order in which they are told
        self._heavy: dict[Class, None] = {}
        self._stirred, self._heavy_stirred, self._soft_stirred = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._presence_rests = False
        presence.on_news(self._soft_stirred.set)

    # -- what is owed -------------------------------------------------------------------------------------------

    def note(self, change: Committed) -> None:
        """Mark the streams that a change may concern with what they know."""
        classes = self._streams.by_class
        for class_ in classes if change.concerned is None else change.concerned:
            if class_ in classes:
                for stream in classes[class_].values():
                    if stream.due is None and not stream.is_fresh:
                        stream.due = change.before
                        self._presence.unsettled.add(stream.peer)
                self._due[class_] = None
        if self._due:
            self._stirred.set()

    def owe(self, stream: Stream) -> None:
        """What was written has left: go on with what is owed."""
        if stream.is_owed:
            self._due[stream.class_] = None
            self._stirred.set()
        if stream.wants_presence:
            self._soft_stirred.set()

    def greet(self, stream: Stream) -> None:
        """Tell a stream that has just opened what it is owed: at once, or in the heavy lane."""
        view = self._writer.view
        if stream.is_owed and not self._heavy and not self._is_heavy(stream, view):
            self._tell(stream, view, always=True)
        elif stream.is_owed:
            self._to_heavy(stream)
        if self._presence_rests or stream.is_owed:
            self._soft_stirred.set()  # it comes with the next round
        else:
            self._tell_whole_presence(stream, view)

    def nothing_new(self, stream: Stream) -> None:
        """Move the cursor of a stream that nothing concerned."""
        self._moved(stream, delta_frame_of_nothing(self._writer.network, self._writer.head_hash))

    def _to_heavy(self, stream: Stream) -> None:
        self._heavy[stream.class_] = None
        self._heavy_stirred.set()

    # -- telling ------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Tell all that is owed and is not heavy."""
        pace = _Pace()
        while self._due:
            class_ = next(iter(self._due))
            del self._due[class_]
            await self._tell_class(class_, pace, heavy=False)

    async def haul(self) -> None:
        """Tell what is heavy, one class after the other."""
        pace = _Pace(heavy=True)
        while self._heavy:
            class_ = next(iter(self._heavy))
            del self._heavy[class_]
            await self._tell_class(class_, pace, heavy=True)
            self._soft_stirred.set()
            for _ in range(_CLASS_DRAINS):
                if self._waiting_in(class_) > HEAVY:
                    await asyncio.sleep(_TICK)

    def _waiting_in(self, class_: Class) -> int:
        return sum(stream.pipe.waiting() for stream in self._streams.of_class(class_))

    async def _tell_class(self, class_: Class, pace: _Pace, *, heavy: bool) -> None:
        for stream in self._streams.of_class(class_):
            if not stream.is_owed:
                continue
            view = self._writer.view
            if not heavy and self._is_heavy(stream, view):
                self._to_heavy(stream)
                size = 0
            else:
                size = self._tell(stream, view)
            if pace.spent(size):
                await pace.rest()

    def _was(self, stream: Stream, view: View) -> Class:
        """The class of a stream's peer in what its client knows."""
        if stream.due is None or stream.due.topology is view.topology:
            return stream.class_
        peer = stream.due.network.peers.get(stream.peer)
        return stream.class_ if peer is None else stream.due.class_of(peer)

    def _is_heavy(self, stream: Stream, view: View) -> bool:
        return self._frames.is_heavy(stream.due, self._was(stream, view), view, stream.class_)

    def _tell(self, stream: Stream, view: View, *, always: bool = False) -> int:
        """Tell a stream what it is owed; the bytes of it. `always`: even that nothing is."""
        if stream.pipe.waiting() > MAX_WAITING:
            return 0  # `drained` comes back to it
        head_hash = self._writer.head_hash
        if stream.due is None or stream.is_fresh:
            data, something = self._frames.snapshot(view, stream.class_, head_hash), True
        else:
            data, something = self._frames.delta(stream.due, self._was(stream, view), view, stream.class_, head_hash)
        stream.due, stream.is_fresh = None, False
        if something:
            self._presence.told[stream.peer] = view.network.revision
        else:
            self._presence.moved(stream.peer)  # it is not waited for any more
            if not always:
                return 0
        self._moved(stream, data)
        return len(data)

    def _moved(self, stream: Stream, data: bytes) -> None:
        """Write a frame that moves the cursor to now."""
        self._streams.write(stream, data)
        stream.cursor, stream.moved = self._writer.network.revision, stream.wrote
        self._presence.shown[stream.peer] = stream.cursor

    # -- soft state ---------------------------------------------------------------------------------------------

    def _tell_whole_presence(self, stream: Stream, view: View) -> int:
        data = self._frames.whole_presence(view, stream.class_)
        stream.wants_presence = False
        self._streams.write(stream, data)
        return len(data)

    async def tell_presence(self) -> int:
        """One round of what changed of soft state, and of all of it to those who have not heard it; the bytes sent."""
        changed, pace, total = self._presence.drain(), _Pace(), 0
        view, told = self._writer.view, dict[Class, bytes | None]()
        for stream in self._streams.alive():
            if self._writer.view is not view:  # who was in sight may not be any more
                view, told = self._writer.view, {}
            if stream.ending is not None or stream.is_fresh:
                continue
            if stream.pipe.waiting() > MAX_WAITING:
                stream.wants_presence = True
                continue
            if stream.wants_presence:
                size = self._tell_whole_presence(stream, view)
            elif (data := self._changes_for(stream.class_, view, changed, told)) is not None:
                self._streams.write(stream, data)
                size = len(data)
            else:
                size = 0
            total += size
            if pace.spent(size):
                await pace.rest()
        return total

    def _changes_for(
        self, class_: Class, view: View, changed: set[int], told: dict[Class, bytes | None]
    ) -> bytes | None:
        if class_ not in told:
            peers = [view.network.peers.get(number) for number in changed]
            seen = view.topology.seen(class_)
            states = [self._frames.presence(p) for p in peers if p and p.is_active and view.class_of(p) in seen]
            told[class_] = presence_frame(states, whole=False) if states else None
        return told[class_]

    # -- checkpoints --------------------------------------------------------------------------------------------

    async def tell_checkpoint(self) -> None:
        """One round: all are told the same checkpoint, if it is another than in the round before. So any two that were
        here for a minute can compare what they saw, whatever of the network concerns them."""
        note = self._checkpoints.newest()
        if note is None or note == self._told_checkpoint:
            return
        self._told_checkpoint, data, pace = note, frame("checkpoint", CheckpointJson(note=note)), _Pace()
        for stream in self._streams.alive():
            if stream.ending is not None or stream.pipe.waiting() > MAX_WAITING:
                continue  # there will be another
            self._streams.write(stream, data)
            if pace.spent(len(data)):
                await pace.rest()

    # -- what runs beside ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tell what is owed, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._whenever(self._stirred, self.flush))
            group.create_task(self._whenever(self._heavy_stirred, self.haul))
            group.create_task(self._pump())
            group.create_task(self._sweeper())
            group.create_task(self._notary())

    async def _whenever(self, stirred: asyncio.Event, act: Callable[[], Awaitable[object]]) -> None:
        while True:
            await stirred.wait()
            stirred.clear()
            try:
                await act()
            except Exception:  # a bug of ours: the next change is told all the same
                _log.exception("telling failed")

    async def _pump(self) -> None:
        """Soft state: the first change at once, then in rounds, whose pace is that of the bytes they take."""

        async def round_() -> None:
            self._presence_rests = True
            try:
                sent = await self.tell_presence()
                await asyncio.sleep(max(_PRESENCE_TICK, sent / _PRESENCE_RATE))
            finally:
                self._presence_rests = False

        await self._whenever(self._soft_stirred, round_)

    async def _notary(self) -> None:
        while True:
            await asyncio.sleep(_CHECKPOINTS)
            try:
                await self.tell_checkpoint()
            except Exception:  # a bug of ours: the streams go on
                _log.exception("telling a checkpoint failed")

    async def _sweeper(self) -> None:
        loop, expires = asyncio.get_running_loop(), 0.0
        while True:
            try:
                await asyncio.sleep(self._until_sweep())
                self.sweep()
                if loop.time() >= expires:
                    expires = loop.time() + _EXPIRE
                    self._presence.expire()
            except Exception:  # a bug of ours: the streams go on
                _log.exception("sweeping failed")

    def _until_sweep(self) -> float:
        """Seconds until a stream has been quiet for long enough; soon, where one is slow to be read."""
        if self._streams.pressed or not self._streams.quiet:
            return _SWEEP
        quiet = next(iter(self._streams.quiet)).wrote + KEEPALIVE_INTERVAL - asyncio.get_running_loop().time()
        return min(_EXPIRE, max(_SWEEP, quiet))

    def sweep(self) -> None:
        """Keep quiet streams alive; drop those whose readers are too slow."""
        now = asyncio.get_running_loop().time()
        while self._streams.quiet and (stream := next(iter(self._streams.quiet))).wrote <= now - KEEPALIVE_INTERVAL:
            behind = not stream.is_owed and stream.cursor < self._writer.network.revision
            if behind and now - stream.moved >= _CURSOR_MOVES:
                self.nothing_new(stream)
            else:
                self._streams.write(stream, KEEPALIVE)
        for stream in list(self._streams.pressed):
            self._press(stream, now)

    def _press(self, stream: Stream, now: float) -> None:
        """What was written must leave, at some pace; who reads steadily has all the time that this takes."""
        waiting = stream.pipe.waiting()
        left = stream.written - waiting
        if not waiting:
            stream.pressed = None
            self._streams.pressed.discard(stream)
        elif stream.pressed is None or left >= stream.pressed[1]:
            stream.pressed = (now + _PATIENCE, left + min(waiting, _SLOWEST))
        elif now > stream.pressed[0]:
            self._streams.end(stream, "too_slow")
