"""Conversations over netlink(7), a dump of a protocol or requests of a generic family by its name; answers are bytes.
Blocks; errors are OSError with the kernel's errno, or DeviceError for what is no message."""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator

from innerd.wireguard.netlink import attribute, attributes, garbled

_GENERIC = 16  # NETLINK_GENERIC
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_REQUEST, _ACK, _DUMP, _INTERRUPTED = 0x1, 0x4, 0x300, 0x10
_ERROR, _DONE, _OVERRUN, _NOOP = 0x2, 0x3, 0x4, 0x1
_CONTROL, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2
_BUFFER = 1 << 17  # the kernel fills 32 KiB of a dump at a time
_TIMEOUT = 30.0  # seconds
_ERRORS = 4096  # numbers of errors end below (MAX_ERRNO)
_TIMES = 5  # that a dump which others changed meanwhile is read again


class Line:
    """A socket of a netlink protocol."""

    def __init__(self, protocol: int) -> None:
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.settimeout(_TIMEOUT)
            self._socket.bind((0, 0))
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def dump_of(self, kind: int, body: bytes) -> list[bytes]:
        """All messages of an answer that has many."""
        for _ in range(_TIMES):
            with contextlib.suppress(InterruptedError):
                return list(self._said(kind, body, _DUMP))
        raise garbled("a dump was changed while it was read, again and again")

    def ask(self, kind: int, body: bytes, flags: int = 0) -> list[bytes]:
        """Ask for one thing, or do it, and wait until it is done: what is answered."""
        return list(self._said(kind, body, _ACK | flags))

    def _said(self, kind: int, body: bytes, flags: int) -> Iterator[bytes]:
        self._sequence += 1
        self._socket.sendto(self._request(kind, body, flags), (0, 0))
        while True:
            try:
                data, sender = self._socket.recvfrom(_BUFFER)
            except TimeoutError:
                raise OSError(errno.ETIMEDOUT, "the kernel does not answer") from None
            if sender[0]:
                continue  # from a process, not from the kernel
            for answer_kind, answer_flags, sequence, payload in messages(data):
                if sequence != self._sequence:
                    continue  # of a request that was given up
                if answer_kind in (_DONE, _ERROR):
                    self._refuse(payload)
                    return
                if answer_flags & _INTERRUPTED:
                    raise InterruptedError
                if answer_kind not in (_NOOP, _OVERRUN):
                    yield payload

    def _request(self, kind: int, body: bytes, flags: int) -> bytes:
        return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, self._sequence, 0) + body

    @staticmethod
    def _refuse(payload: bytes) -> None:
        """Raise what an acknowledgement says went wrong."""
        number = -struct.unpack_from("=i", payload)[0] if len(payload) >= 4 else 0
        if not 0 <= number < _ERRORS:
            raise garbled(f"there is no error {number}")
        if number:
            raise OSError(number, os.strerror(number))


class Conversation(Line):
    """For one generic family. Raises OSError ENOENT where the kernel does not have it."""

    def __init__(self, family: str) -> None:
        super().__init__(_GENERIC)
        try:
            self._family = self._family_of(family)
        except BaseException:
            self.close()
            raise

    def _family_of(self, name: str) -> int:
        body = attribute(_FAMILY_NAME, name.encode() + b"\0")
        for answer in self.ask(_CONTROL, _generic(_GET_FAMILY, body)):
            for kind, value in attributes(answer[4:]):
                if kind == _FAMILY_ID and len(value) == 2:
                    return int(struct.unpack("=H", value)[0])
        raise OSError(errno.ENOENT, f"the kernel has no generic netlink family {name}")

    def request(self, command: int, body: bytes) -> None:
        """Do something, and wait until it is done."""
        self.ask(self._family, _generic(command, body))

    def dump(self, command: int, body: bytes) -> list[bytes]:
        """All messages of an answer that has many."""
        return [message[4:] for message in self.dump_of(self._family, _generic(command, body))]


def _generic(command: int, body: bytes) -> bytes:
    return struct.pack("=BBH", command, 1, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and payload of each netlink message. Raises DeviceError."""
    at = 0
    while at < len(data):
        if at + _HEADER.size > len(data):
            raise garbled(f"{len(data) - at} bytes are left over")
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            raise garbled(f"a message of {length} bytes where {len(data) - at} are left")
        yield kind, flags, sequence, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3
