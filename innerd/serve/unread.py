"""Connections whose other end takes nothing: what was sent to them waits, and closing them would wait as long."""

import asyncio
import socket
import struct
from typing import Any

_SECONDS = 10.0  # between two looks
_LEAST = 4096  # bytes that are to be taken in between
_ACKNOWLEDGED = 120  # tcpi_bytes_acked in struct tcp_info (linux/tcp.h), eight bytes


class Unread:
    """Of one connection: `look` when an answer was written; it is dropped where what waits is not taken at 400 bytes a
    second. Whoever reads at all does better."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._taken = 0
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        if self._timer is None and self._transport.get_write_buffer_size():
            self._taken = self._acknowledged()
            self._wait()

    @property
    def is_waiting(self) -> bool:
        """Whether something was not taken when it was looked at."""
        return self._timer is not None

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        if not self._transport.get_write_buffer_size():
            return
        before, self._taken = self._taken, self._acknowledged()
        if self._taken - before < _LEAST:
            self._transport.abort()
        else:
            self._wait()

    def _acknowledged(self) -> int:
        """The bytes that the other end's kernel has taken; it takes no more than its buffer when nobody reads them."""
        try:
            told = self._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            return int(struct.unpack_from("=Q", told, _ACKNOWLEDGED)[0])
        except (OSError, struct.error):  # no TCP, or an older kernel
            return 0
