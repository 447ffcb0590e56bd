"""A TCP connection of an asker (RFC 7766): several questions, each with ten seconds, answered as they come.

Questions that were sent ahead are answered together, by one write. Connections take turns (`Turns`), what one may take
at once is limited, and who does not take its answers is not read from until it does.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

_IDLE = 10.0  # seconds for a question to come whole, and for its answer to be taken
_READ = 4096  # bytes at once: a hundred questions
_MOST = 65_536  # bytes of answers at once

_AHEAD = 2 * _READ  # bytes that are read ahead of a connection's turn

Respond = Callable[[bytes, str, str], bytes | None]


class Turns:
    """One connection in each turn of the loop: hundreds that ask a hundred questions each must not be one turn."""

    def __init__(self) -> None:
        self._waiting: deque[Connection] = deque()
        self._is_taken = False

    def enter(self, connection: "Connection") -> None:
        """It converses when its turn has come: at once, where no other has had this one."""
        if self._is_taken:
            self._waiting.append(connection)
            return
        self._is_taken = True
        asyncio.get_running_loop().call_soon(self._next)
        connection.take_turn()

    def _next(self) -> None:
        if not self._waiting:
            self._is_taken = False
            return
        asyncio.get_running_loop().call_soon(self._next)
        self._waiting.popleft().take_turn()


class Connection(asyncio.BufferedProtocol):
    """`admit` says whether it is served at all, `left` hears of its end."""

    transport: asyncio.Transport
    source: str

    def __init__(
        self,
        respond: Respond,
        admit: Callable[["Connection"], bool],
        left: Callable[["Connection"], None],
        turns: Turns,
    ) -> None:
        self._respond, self._admit, self._left, self._turns = respond, admit, left, turns
        self._is_waiting = self._is_held = False  # for its turn; and so not read from
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(_READ)
        self._came = b""  # and is not answered yet
        self._is_full = False  # answers wait for the other end
        self._since = self._loop.time()  # when the last question was answered
        self._timer: asyncio.TimerHandle | None = None

    # -- as asyncio calls it --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.source = peer[0] if peer else ""
        if not peer or not self._admit(self):
            self.transport.close()
            return
        self._timer = self._loop.call_later(_IDLE, self._look)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._came += self._buffer[:nbytes]
        if self._is_waiting and len(self._came) >= _AHEAD and not self._is_held:
            self._is_held = True
            self.transport.pause_reading()
        self._wait()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full, self._since = False, self._loop.time()
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._left(self)

    def _wait(self) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self._turns.enter(self)

    def take_turn(self) -> None:
        self._is_waiting = False
        if self.transport.is_closing():
            return
        if self._is_held:
            self._is_held = False
            self.transport.resume_reading()
        self._converse()

    # -- what it does ---------------------------------------------------------------------------------------------

    def _converse(self) -> None:
        """Answer what has come whole; the rest when these answers are on their way."""
        came, at, said = self._came, 0, bytearray()
        answer: bytes | None = b""
        while answer is not None and len(said) < _MOST:
            end = at + 2 + int.from_bytes(came[at : at + 2], "big")
            if end > len(came):
                break
            answer, at = self._respond(came[at + 2 : end], self.source, "tcp"), end
            if answer is not None:
                said += len(answer).to_bytes(2, "big") + answer
        self._came = came[at:]
        if said:
            self._since = self._loop.time()
            self.transport.write(said)
        if answer is None:  # what deserves silence ends a connection
            self.transport.close()
        elif self._is_full or len(said) >= _MOST:
            self._hold_back()

    def _hold_back(self) -> None:
        """Read no more until the other end took what it was told, or others had their turn."""
        if not self.transport.is_closing():
            self.transport.pause_reading()
        if not self._is_full:
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if not self._is_full and not self.transport.is_closing():
            self.transport.resume_reading()
            self._wait()

    def _look(self) -> None:
        """Whether its time is over: looked at as seldom as possible, for a timer a question costs more than it."""
        left = self._since + _IDLE - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self.end()

    def end(self) -> None:
        """Close it; at once where the other end takes nothing, as a close would wait for it for ever."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()
