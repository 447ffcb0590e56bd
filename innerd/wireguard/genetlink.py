"""One generic netlink conversation (netlink(7), genetlink): requests of a family by its name, answers as the bytes
after the generic header. Blocks; errors are OSError with the kernel's errno, or DeviceError for what is no message."""

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


class Conversation:
    """A socket for one family. Raises OSError ENOENT where the kernel does not have it."""

    def __init__(self, family: str) -> None:
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _GENERIC)
        try:
            self._socket.settimeout(_TIMEOUT)
            self._socket.bind((0, 0))
            self._family = self._family_of(family)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def _family_of(self, name: str) -> int:
        body = attribute(_FAMILY_NAME, name.encode() + b"\0")
        for answer in self._exchange(_CONTROL, _GET_FAMILY, body, _ACK):
            for kind, value in attributes(answer):
                if kind == _FAMILY_ID and len(value) == 2:
                    return int(struct.unpack("=H", value)[0])
        raise OSError(errno.ENOENT, f"the kernel has no generic netlink family {name}")

    def request(self, command: int, body: bytes) -> None:
        """Do something, and wait until it is done."""
        for _ in self._exchange(self._family, command, body, _ACK):
            pass

    def dump(self, command: int, body: bytes) -> list[bytes]:
        """All messages of an answer that has many."""
        for _ in range(_TIMES):
            with contextlib.suppress(InterruptedError):
                return list(self._exchange(self._family, command, body, _DUMP))
        raise garbled("a dump was changed while it was read, again and again")

    def _exchange(self, kind: int, command: int, body: bytes, flags: int) -> Iterator[bytes]:
        self._sequence += 1
        length = _HEADER.size + 4 + len(body)
        header = _HEADER.pack(length, kind, _REQUEST | flags, self._sequence, 0)
        self._socket.sendto(header + struct.pack("=BBH", command, 1, 0) + body, (0, 0))
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
                    yield payload[4:]

    @staticmethod
    def _refuse(payload: bytes) -> None:
        """Raise what an acknowledgement says went wrong."""
        number = -struct.unpack_from("=i", payload)[0] if len(payload) >= 4 else 0
        if not 0 <= number < _ERRORS:
            raise garbled(f"there is no error {number}")
        if number:
            raise OSError(number, os.strerror(number))


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
