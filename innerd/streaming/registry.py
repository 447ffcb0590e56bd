"""The open streams: who holds one, of which class, and when each was written to last."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Protocol

from innerd.domain.visibility import Class, View
from innerd.wire.stream import Bye, frame


class Pipe(Protocol):
    """Where the bytes of a stream go. Writing never waits; `drained` is called when what waited has left."""

    drained: Callable[[], None]

    def write(self, data: bytes) -> None: ...

    def waiting(self) -> int: ...


class Stream:
    """One open stream. `due` is what its client knows, while that is not what is so; `is_fresh`: it knows nothing."""

    __slots__ = (
        "class_",
        "cursor",
        "due",
        "ended",
        "ending",
        "finished",
        "is_fresh",
        "moved",
        "peer",
        "pipe",
        "pressed",
        "wants_presence",
        "written",
        "wrote",
    )

    def __init__(self, peer: int, class_: Class, pipe: Pipe, now: float) -> None:
        self.peer, self.class_, self.pipe = peer, class_, pipe
        self.due: View | None = None
        self.is_fresh = False
        self.wants_presence = True
        self.cursor = 0  # the revision of the last frame that moved it
        self.wrote = self.moved = now
        self.written = 0  # bytes
        self.pressed: tuple[float, int] | None = None  # until when more than so many bytes must have left
        self.ending: str | None = None
        self.finished = asyncio.Event()  # nothing more will be written
        self.ended = asyncio.Event()  # and its connection knows

    @property
    def is_owed(self) -> bool:
        return self.ending is None and (self.is_fresh or self.due is not None)


class Streams:
    """One stream a peer, and until it ends among those of its class."""

    def __init__(self) -> None:
        self.by_peer: dict[int, Stream] = {}
        self.by_class: dict[Class, dict[int, Stream]] = {}  # those that have not ended
        self.quiet: OrderedDict[Stream, None] = OrderedDict()  # in the order of their last frame
        self.pressed: set[Stream] = set()  # written to lately
        self.ended: dict[str, int] = {}  # reason -> count, for metrics

    def add(self, stream: Stream) -> None:
        self.by_peer[stream.peer] = stream
        self.by_class.setdefault(stream.class_, {})[stream.peer] = stream
        self.quiet[stream] = None

    def alive(self) -> Iterator[Stream]:
        """Those that have not ended, class by class, as they are now."""
        return iter([stream for streams in self.by_class.values() for stream in streams.values()])

    def of_class(self, class_: Class) -> list[Stream]:
        return list(self.by_class.get(class_, {}).values())

    def write(self, stream: Stream, data: bytes) -> None:
        stream.pipe.write(data)
        stream.written += len(data)
        stream.wrote = asyncio.get_running_loop().time()
        self.pressed.add(stream)
        if stream in self.quiet:
            self.quiet.move_to_end(stream)

    def sort_anew(self, view: View) -> None:
        """Another tree: some streams may be of another class now."""
        for stream in self.alive():
            peer = view.network.peers.get(stream.peer)
            if peer is not None and (class_ := view.class_of(peer)) != stream.class_:
                self._out_of_class(stream)
                stream.class_ = class_
                self.by_class.setdefault(class_, {})[stream.peer] = stream

    def end(self, stream: Stream, reason: str) -> None:
        """Say why, and close. Behind a `bye` comes nothing: a cursor behind it would hide what was missed."""
        if stream.ending is not None:
            return
        stream.ending = reason
        stream.due, stream.is_fresh = None, False
        stream.pipe.write(frame("bye", Bye(reason=reason)))
        self._let_go(stream)
        stream.finished.set()

    def closed(self, stream: Stream) -> bool:
        """The connection of a stream is done with it; whether its peer has none now."""
        stream.ended.set()
        stream.due, stream.is_fresh = None, False
        reason = stream.ending or "disconnected"
        self.ended[reason] = self.ended.get(reason, 0) + 1
        self._let_go(stream)
        if self.by_peer.get(stream.peer) is not stream:
            return False
        del self.by_peer[stream.peer]
        return True

    def _let_go(self, stream: Stream) -> None:
        self._out_of_class(stream)
        self.quiet.pop(stream, None)
        self.pressed.discard(stream)

    def _out_of_class(self, stream: Stream) -> None:
        streams = self.by_class.get(stream.class_, {})
        if streams.get(stream.peer) is stream:
            del streams[stream.peer]
            if not streams:
                del self.by_class[stream.class_]
