"""What the kernel knows of a TCP connection: what the other end has of all that was sent to it (what was written to a
socket has not come yet), and what came and was not read."""

import asyncio
import fcntl
import socket
import struct
import termios

_FIRST_LOOK, _GROWS = 0.003, 1.5  # seconds, and how much longer each next one waits


def unheard(transport: asyncio.WriteTransport) -> int:
    """The bytes that wait to leave, or have left and were not acknowledged (SIOCOUTQ, tcp(7)). 0 where there is no
    connection any more."""
    connection = transport.get_extra_info("socket")
    waiting = transport.get_write_buffer_size()
    if connection is None:
        return waiting
    left = _asked(connection, termios.TIOCOUTQ)
    return 0 if left is None else waiting + left


def unread(connection: socket.socket) -> int:
    """The bytes that came and were not read (SIOCINQ, tcp(7)). 0 where there is no connection any more."""
    return _asked(connection, termios.FIONREAD) or 0


def _asked(connection: socket.socket, what: int) -> int | None:
    """A number of bytes; None where there is no connection any more."""
    try:
        told = fcntl.ioctl(connection.fileno(), what, bytes(4))
    except (OSError, ValueError):
        return None
    return int(struct.unpack("=i", told)[0])


async def heard(transport: asyncio.WriteTransport, seconds: float) -> bool:
    """Wait until the other end has all that was written, or nobody is there any more; whether that was so within a
    time."""
    try:
        async with asyncio.timeout(seconds):
            pause = _FIRST_LOOK
            while unheard(transport):  # the kernel tells nobody
                await asyncio.sleep(pause)
                pause *= _GROWS
    except TimeoutError:
        return False
    return True
