"""A TLS connection on one side, WireGuard's port of this host on the other: packets go from one to the other as they
are (`innerd.wire.tcp`). WireGuard takes a UDP socket of the loopback for where the other end is."""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import cast

from innerd.domain.values import BY_TCP, Endpoint, endpoint_of
from innerd.wire.tcp import MOST, Frames, TooLong, framed

_AT_ONCE = 64  # packets in a turn; then others have theirs
_FULL = 256 * 1024  # bytes that wait to be sent: what comes then is dropped, as a full link drops it
_LEAST = 32  # bytes in a message of WireGuard's
_LEAST_COST = 700  # bytes that a packet counts as at least: what it costs is mostly that it is one
_LEAST_REST = 0.05  # seconds: shorter ones are saved up

# Who is there no more, as a host or link went away, never says so: ask after 10 s of silence, and whoever is there now
# refuses the old connection at once; who does not answer for 15 s is gone.
LIVELY = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 3),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000),  # milliseconds
)
_AT_ONCE_SENT = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Pace:
    """So many bytes a second, of one connection or of all."""

    def __init__(self, rate: int | None) -> None:
        self._rate, self._free_at = rate, 0.0

    def rest(self, size: int, now: float) -> float:
        """Seconds for which nothing more is to be read after so many bytes."""
        if self._rate is None:
            return 0.0
        self._free_at = max(self._free_at, now) + size / self._rate
        return self._free_at - now


class Local:
    """The UDP socket that WireGuard, at its port of this host, sends to and hears from. Raises OSError."""

    def __init__(self, port: int, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind((BY_TCP, 0))
            self.endpoint: Endpoint = endpoint_of(*self._socket.getsockname())
            self._port = 0
            self.towards(port)
            asyncio.get_running_loop().add_reader(self._socket, self._read)
        except OSError:
            self._socket.close()
            raise

    def towards(self, port: int) -> None:
        """WireGuard has another port now: nobody else is heard."""
        if port != self._port:
            self._socket.connect(("127.0.0.1", port))
            self._port = port

    def send(self, packet: bytes) -> None:
        with contextlib.suppress(OSError):  # what can't leave is lost, as a datagram is
            self._socket.send(packet)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            for _ in range(_AT_ONCE):
                self._hear(self._socket.recv(MOST))

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()


class Pipe(asyncio.Protocol):
    """`first` is called with the first frame that comes, of `most` bytes at most, and says whether it goes on; `lost`
    when the connection is gone. `paces` bound what is read."""

    def __init__(
        self,
        first: Callable[["Pipe", bytes], bool],
        lost: Callable[["Pipe"], None],
        most: int,
        paces: tuple[Pace, ...] = (),
    ) -> None:
        self.carry: Callable[[bytes], None] | None = None  # where packets go that come
        self._first, self._lost, self._paces = first, lost, paces
        self._frames = Frames(most)
        self._rests = False
        self._left = deque[bytes]()  # what came and is not taken yet
        self._transport: asyncio.Transport | None = None

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None  # noqa: S101 - it is made
        return self._transport

    @property
    def certificate(self) -> bytes:
        """The other end's (DER)."""
        shown: bytes = self.transport.get_extra_info("ssl_object").getpeercert(True)
        return shown

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type
        own = transport.get_extra_info("socket")
        for option in (*LIVELY, _AT_ONCE_SENT) if own is not None else ():
            with contextlib.suppress(OSError):
                own.setsockopt(*option)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._left += self._frames.feed(data)
        except TooLong:
            self.drop()
            return
        if not self._rests:
            self._go_on()

    def _go_on(self) -> None:
        """Some of what came; then others have their turn."""
        taken = 0
        for _ in range(min(_AT_ONCE, len(self._left))):
            packet = self._left.popleft()
            if not self._take(packet):
                self.drop()
                return
            taken += max(len(packet), _LEAST_COST)
        if self.transport.is_closing():
            return
        seconds = self._rest(taken)
        self._rests = bool(self._left) or seconds > 0
        if self._rests:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(seconds, self._read_on)
        else:
            self.transport.resume_reading()

    def _take(self, packet: bytes) -> bool:
        """Whether it is one that somebody sends who is what they say they are."""
        if self.carry is None:
            self._frames.most = MOST
            return self._first(self, packet)
        if len(packet) < _LEAST:
            return False
        self.carry(packet)
        return True

    def _rest(self, size: int) -> float:
        """Seconds for which nothing more is taken; short ones are saved up."""
        now = monotonic()
        seconds = max((pace.rest(size, now) for pace in self._paces), default=0.0)
        return seconds if seconds > _LEAST_REST else 0.0

    def _read_on(self) -> None:
        self._rests = False
        if not self.transport.is_closing():
            self._go_on()

    def send(self, packet: bytes) -> None:
        """What there is no room for is lost."""
        transport = self.transport
        if not transport.is_closing() and transport.get_write_buffer_size() <= _FULL:
            transport.write(framed(packet))

    def drop(self) -> None:
        self.transport.abort()
