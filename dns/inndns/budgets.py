"""How many answers a source gets, and who is not heard for a while.

A peer that asks without end must cost the others nothing. Past its budget it gets silence; if it goes on, the kernel
throws its datagrams away before they take room in the socket's buffer, where they would push out what others ask: a
classic BPF filter on the socket (socket(7), SO_ATTACH_FILTER; Linux, Documentation/networking/filter.rst).
"""

import ctypes
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address

from structlog import get_logger

_log = get_logger("dns")

_SHARE_EVERY = 0.25  # seconds between two looks at how many ask much
_MUCH = 50  # questions in that time
_ALL = 5_000.0  # answers a second for all together who ask much; each of them has an equal part
_LEAST = 50.0  # answers a second that are anybody's
_PATIENCE, _LITTLE = 150, 20  # questions past its budget, less those within it, until a source is not heard; and again
_MUTED, _LONGEST = 3.0, 60.0  # seconds for which it is not heard, twice as long each time
_APART = 0.05  # seconds between two that are heard again
_BACK = 15.0  # answers that it may have at once when it is heard again
_MOST_MUTED = 256  # sources that one filter names: it is gone through for each datagram

_ATTACH_FILTER, _DETACH_FILTER, _RCVBUFFORCE = 26, 27, 33  # asm-generic/socket.h
_BUFFER = 512 * 1024  # bytes; the kernel doubles them: a thousand questions
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF
_INSTRUCTION = struct.Struct("=HBBI")


class _Source:
    """What one source has left of its budget, since when, and how it went on past it."""

    __slots__ = ("asked", "left", "over", "strikes", "then")

    def __init__(self, left: float, now: float) -> None:
        self.left, self.then = left, now
        self.asked = 0  # questions since the last look
        self.over = 0  # questions past the budget, less those within it
        self.strikes = 0  # times that it was muted and did not come to rest since


class Budgets:
    """`rate` is how many answers a second a source gets, twice as many at once; less, where many ask much. Times are in
    seconds, of one clock."""

    def __init__(self, rate: float) -> None:
        self._most = self._rate = rate
        self._shared = float("-inf")
        self._sources: dict[str, _Source] = {}
        self.muted: dict[str, float] = {}  # sources that are not heard, and until when

    def may_have(self, source: str, now: float) -> bool:
        """Whether it gets one more answer."""
        if self.is_muted(source, now):
            return False
        if now - self._shared >= _SHARE_EVERY:
            self._share(now)
        known = self._sources.get(source)
        if known is None:
            known = self._sources[source] = _Source(2 * self._rate, now)
        known.asked += 1
        known.left, known.then = min(2 * self._rate, known.left + (now - known.then) * self._rate), now
        if known.left < 1:
            self._refuse(source, known, now)
            return False
        known.left -= 1
        if known.over:
            known.over -= 1
        return True

    def is_muted(self, source: str, now: float) -> bool:
        return source in self.muted and not self._is_heard_again(source, now)

    def hear(self, now: float) -> float | None:
        """Let those be heard whose time is over. Seconds until the next ones, None where nobody is muted."""
        for source in list(self.muted):
            self._is_heard_again(source, now)
        return min(self.muted.values()) - now if self.muted else None

    def _share(self, now: float) -> None:
        """What each gets; and who has asked nothing for so long that all is forgiven is forgotten."""
        busy = sum(known.asked > _MUCH for known in self._sources.values())
        self._rate = min(self._most, max(_LEAST, _ALL / max(1, busy)))
        self._shared = now
        full = 2 * self._most
        for source, known in list(self._sources.items()):
            known.asked = 0
            if source not in self.muted and known.left + (now - known.then) * self._rate >= full:
                del self._sources[source]

    def _refuse(self, source: str, known: _Source, now: float) -> None:
        known.over += 1
        if known.over >= (_LITTLE if known.strikes else _PATIENCE) and len(self.muted) < _MOST_MUTED:
            seconds = min(_LONGEST, _MUTED * 2 ** min(known.strikes, 5))
            self.muted[source] = now + seconds + _APART * len(self.muted)
            known.over, known.strikes = 0, known.strikes + 1

    def _is_heard_again(self, source: str, now: float) -> bool:
        if now < self.muted[source]:
            return False
        del self.muted[source]
        known = self._sources[source]
        known.left, known.then = _BACK, now  # silence is no merit: it was not its own
        return True


def widen(udp: socket.socket) -> None:
    """Room for what comes while the loop is busy with others; needs CAP_NET_ADMIN, which a coordinator has."""
    try:
        udp.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER)
    except OSError:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)


def mute(udp: socket.socket, sources: Iterable[str]) -> None:
    """Have the kernel throw away what these addresses send to a socket, and nothing else."""
    addresses = [ip_address(source) for source in sources]
    code = b"".join(_thrown_away(address.packed) for address in addresses)
    try:
        if not code:
            with suppress(FileNotFoundError):  # there was none
                udp.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)
            return
        code += _INSTRUCTION.pack(_RETURN, 0, 0, 0xFFFFFFFF)
        held = ctypes.create_string_buffer(code, len(code))
        program = struct.pack("@HP", len(code) // _INSTRUCTION.size, ctypes.addressof(held))
        udp.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
    except OSError as error:  # they get no answers all the same
        _log.warning("datagrams of who asks without end can't be kept out", error=error.strerror)


def _thrown_away(address: bytes) -> bytes:
    """If the source's words are these, none of the datagram is kept."""
    words = [int.from_bytes(address[at : at + 4], "big") for at in range(0, len(address), 4)]
    begins = 12 if len(words) == 1 else 8  # of the source, in an IPv4 and an IPv6 header
    code = b""
    for number, word in enumerate(words):
        past = 2 * (len(words) - number - 1) + 1  # instructions to what follows
        code += _INSTRUCTION.pack(_LOAD, 0, 0, _NETWORK_HEADER + begins + 4 * number)
        code += _INSTRUCTION.pack(_EQUAL, 0, past, word)
    return code + _INSTRUCTION.pack(_RETURN, 0, 0, 0)
