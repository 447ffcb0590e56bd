"""Connections that wait to be accepted: of each lane (`wireguard/lanes`) as many are taken at once as a moment allows,
and those of who has cost least begin first. While a source is held its connections do not begin: nothing of them is
read, and they are no more than a file.

A loop's own server takes one in each of its turns, in the order in which they came: behind a thousand an
administrator's waits a thousand turns, or its SYN is dropped and comes again after a second.
"""

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import count

import structlog

from innerd.api.readings import Slice
from innerd.api.sources import Source, Sources
from innerd.host import tcp

_log = structlog.get_logger("listener")

_BEGUN = 4  # connections in one turn: each costs a tenth of a millisecond
# Bytes, which the kernel doubles: what it takes of a connection that is not read, and must free when it is dropped. The
# largest bodies, of 64 KiB, come in eight turns of the line.
_UNREAD = 8 * 1024
_PAUSE = 0.5  # seconds, when no file is left to accept with
_NOTHING_LEFT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets, and nothing is kept of it


Client = tuple[str, int]


class Arrived:
    """A connection that was accepted and has not begun: it has its source's seat until its protocol takes that over.
    `is_due`: what lies on it is counted as to be parsed."""

    is_proven = is_unread = False

    def __init__(self, connection: socket.socket, client: Client, source: Source, begin: "Begin") -> None:
        self.connection, self.client, self.source = connection, client, source
        self.is_held = self.is_due = self.is_dropped = False
        self.is_on_its_way = False  # to begin
        self._begin = begin

    def hold(self) -> None:
        self.is_held = not self.is_due  # it has its place already

    def has_more(self) -> bool:
        return tcp.unread(self.connection) > 0

    def let_go(self, is_due: bool) -> None:
        self.is_held, self.is_due = False, is_due
        if not self.is_on_its_way:
            self._begin(self)

    def is_gone(self) -> bool:
        return self.is_dropped

    def drop(self) -> None:
        """Whoever begins it next sees that."""
        self.is_dropped = True
        self.let_go(self.is_due)


Begin = Callable[[Arrived], None]
Make = Callable[[Arrived], asyncio.Protocol]


class Arrivals:
    """Accepts on listening TCP sockets. `make` makes a connection's protocol, which takes over its seat; who finds no
    room with its source is sent away before anything is made for it. An `asyncio.Server` as far as uvicorn looks at
    one."""

    def __init__(self, lanes: Sequence[socket.socket], sources: Sources, make: Make, backlog: int) -> None:
        self._lanes, self._sources, self._make = lanes, sources, make
        self._slice = Slice()
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[float, int, Arrived]] = []
        self._order = count()
        self._seated: set[Arrived] = set()  # all that have not begun, and wait or are held
        self._is_beginning = False
        self._beginnings: dict[asyncio.Task[None], Arrived] = {}
        self._is_closed = False
        self._again: asyncio.TimerHandle | None = None
        for lane in lanes:
            lane.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UNREAD)  # inherited: else megabytes of each
            lane.listen(backlog)
        self._listen()

    def close(self) -> None:
        self._stop_listening()
        if self._again is not None:
            self._again.cancel()
        self._is_closed = True
        for arrived in self._seated:
            self._end(arrived)
        self._seated, self._waiting = set(), []
        for arrived in self._beginnings.values():  # a loop that is interrupted in it would leave half a connection
            arrived.is_dropped = True
        for lane in self._lanes:
            lane.close()

    async def wait_closed(self) -> None:
        """Nothing is open any more: connections end on their own."""

    def _listen(self) -> None:
        self._again = None
        for lane in self._lanes:
            self._loop.add_reader(lane.fileno(), self._take, lane)

    def _stop_listening(self) -> None:
        for lane in self._lanes:
            self._loop.remove_reader(lane.fileno())

    def _take(self, lane: socket.socket) -> None:
        """One, and more while there is time: what is left is taken in the next turn of the loop."""
        while self._take_one(lane) and self._slice.is_left():
            pass

    def _take_one(self, lane: socket.socket) -> bool:
        """Whether there may be another one."""
        try:
            connection, client = lane.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _NOTHING_LEFT:
                self._rest(error)
                return False
            return True  # one that broke meanwhile: accept(2)
        self._seat(connection, client[:2])
        return True

    def _rest(self, error: OSError) -> None:
        """Which files are left does not change by asking without end."""
        _log.warning("a connection could not be accepted", error=error.strerror)
        self._stop_listening()
        self._again = self._loop.call_later(_PAUSE, self._listen)

    def _seat(self, connection: socket.socket, client: Client) -> None:
        source = self._sources.admit(client)
        if source is None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            connection.close()
            return
        connection.setblocking(False)
        arrived = Arrived(connection, client, source, self._wait)
        self._seated.add(arrived)
        self._sources.seat(arrived, source)
        if not arrived.is_held:
            self._wait(arrived)

    def _wait(self, arrived: Arrived) -> None:
        if self._is_closed:
            return
        arrived.is_on_its_way = True
        heappush(self._waiting, (arrived.source.place, next(self._order), arrived))
        if not self._is_beginning:
            self._is_beginning = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        for _ in range(_BEGUN):
            if not self._waiting:
                self._is_beginning = False
                return
            arrived = heappop(self._waiting)[2]
            if arrived.is_held:  # meanwhile
                arrived.is_on_its_way = False
                continue
            self._seated.discard(arrived)
            if arrived.is_dropped:
                self._end(arrived)
                continue
            beginning = self._loop.create_task(self._begin_one(arrived))
            self._beginnings[beginning] = arrived
            beginning.add_done_callback(partial(self._begun, arrived))
            if arrived.source.is_heavy:  # and so are all behind it
                break
        self._loop.call_soon(self._begin)

    async def _begin_one(self, arrived: Arrived) -> None:
        await self._loop.connect_accepted_socket(partial(self._make, arrived), arrived.connection)

    def _begun(self, arrived: Arrived, beginning: asyncio.Task[None]) -> None:
        del self._beginnings[beginning]
        if beginning.cancelled() or beginning.exception() is not None:  # gone already; else its protocol has its seat
            self._end(arrived)

    def _end(self, arrived: Arrived) -> None:
        self._sources.unseat(arrived, arrived.source)
        arrived.connection.close()
        if arrived.is_due:
            arrived.is_due = False
            arrived.source.no_longer_due()
