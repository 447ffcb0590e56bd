"""Elements of nftables' maps, by netlink (linux/uapi/linux/netfilter/nf_tables.h): a process for each would cost
15 ms. Blocks; errors are OSError with the kernel's errno.

A change is carried out whole or not at all.
"""

import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from innerd.wireguard.device import DeviceError
from innerd.wireguard.filters import ALL, LOAD_BYTE, RETURN, Program, attach
from innerd.wireguard.genetlink import Line
from innerd.wireguard.netlink import attribute, attributes

_NETFILTER, _GROUP = 12, 7  # NETLINK_NETFILTER, NFNLGRP_NFTABLES
_SUBSYSTEM, _BEGIN, _END = 10, 16, 17  # NFNL_SUBSYS_NFTABLES, NFNL_MSG_BATCH_…
_NEW, _GET, _DELETE = 12, 13, 14  # NFT_MSG_…SETELEM
_GET_TABLE, _GET_CHAIN, _NEW_GENERATION = 1, 4, 15
_NETDEV = 5  # NFPROTO_
_CREATE = 0x400
_TABLE, _SET, _ELEMENTS, _LIST, _CHAIN_TABLE, _CHAIN_NAME = 1, 2, 3, 1, 1, 3
_KEY, _DATA, _LIVES, _EXPR, _VALUE = 1, 2, 4, 7, 1
_COUNTER_BYTES, _EXPR_DATA, _COUNTER_PACKETS = 1, 2, 2
_GET_OBJECT, _OBJECT_NAME, _OBJECT_DATA = 19, 2, 4
_NESTED = 0x8000
AT_ONCE = 100  # elements in a change: what is refused is said with all of the message
_JUMP_AT_LEAST, _JUMP_ABOVE = 0x35, 0x25


class Entry(NamedTuple):
    """An element of a map: key and value as the kernel has them; `lives` in seconds (None: for ever)."""

    key: bytes
    value: bytes = b""
    lives: float | None = None


def run(rules: str) -> None:
    """Carry out rules with nft(8), all or none. Raises DeviceError."""
    try:
        done = subprocess.run(["nft", "-f", "-"], input=rules, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError:
        raise DeviceError("nft_missing", "nft is not installed", "apt install nftables") from None
    except subprocess.TimeoutExpired:
        raise DeviceError("nft_failed", "nft does not come to an end") from None
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "rror" in line), done.stderr.strip())
        raise DeviceError("nft_failed", f"nft refuses: {said}")


class Maps(Line):
    """The maps of one table of the family netdev."""

    def __init__(self, table: str) -> None:
        super().__init__(_NETFILTER)
        self._table = attribute(_TABLE, table.encode() + b"\0")
        self._heads: dict[str, bytes] = {}  # of messages about each map

    def exists(self) -> bool:
        """Whether the table is there."""
        try:
            self.ask(_SUBSYSTEM << 8 | _GET_TABLE, _family(_NETDEV) + self._table)
        except FileNotFoundError:
            return False
        return True

    def chains(self) -> list[str]:
        """The names of the chains of the table."""
        found = []
        for told in self.dump_of(_SUBSYSTEM << 8 | _GET_CHAIN, _family(_NETDEV)):
            said = dict(attributes(told[4:]))
            if attribute(_CHAIN_TABLE, said.get(_CHAIN_TABLE, b"")) == self._table:
                found.append(said.get(_CHAIN_NAME, b"").rstrip(b"\0").decode(errors="replace"))
        return found

    def put(self, name: str, entries: Sequence[Entry]) -> None:
        """Have elements in a map, all or none."""
        self._change(_NEW, name, [_element(entry) for entry in entries], _CREATE)

    def take(self, name: str, keys: Sequence[bytes]) -> None:
        """Take elements out of a map, all or none."""
        self._change(_DELETE, name, [_element(Entry(key)) for key in keys], 0)

    def _change(self, kind: int, name: str, elements: list[bytes], flags: int) -> None:
        head = self._heads.get(name)
        if head is None:
            head = self._heads[name] = _family(_NETDEV) + self._table + attribute(_SET, name.encode() + b"\0")
        body = head + attribute(_ELEMENTS | _NESTED, b"".join(elements))
        try:
            self.ask(_SUBSYSTEM << 8 | kind, body, flags)
        except OSError as error:
            raise OSError(error.errno, f"nftables refuses: {error.strerror}") from None

    def _request(self, kind: int, body: bytes, flags: int) -> bytes:
        """What changes something is a batch, of one message: all of it has one number."""
        request = super()._request(kind, body, flags)
        if kind & 0xFF not in (_NEW, _DELETE):
            return request
        begin, end = (super(Maps, self)._request(mark, _OURS, 0) for mark in (_BEGIN, _END))
        return begin + request + end

    def counted(self) -> dict[str, tuple[int, int]]:
        """The packets and bytes that each named counter of the table has."""
        found: dict[str, tuple[int, int]] = {}
        for told in self.dump_of(_SUBSYSTEM << 8 | _GET_OBJECT, _family(_NETDEV) + self._table):
            said = dict(attributes(told[4:]))
            if attribute(_TABLE, said.get(_TABLE, b"")) == self._table:
                data = dict(attributes(said.get(_OBJECT_DATA, b"")))
                name = said.get(_OBJECT_NAME, b"").rstrip(b"\0").decode(errors="replace")
                packets, passed = (data.get(kind, b"") for kind in (_COUNTER_PACKETS, _COUNTER_BYTES))
                found[name] = int.from_bytes(packets, "big"), int.from_bytes(passed, "big")
        return found

    def counters(self, name: str) -> Iterator[tuple[bytes, bytes, int]]:
        """The key and the value of each element of a map, and how many bytes its counter has."""
        body = _family(_NETDEV) + self._table + attribute(_SET, name.encode() + b"\0")
        for told in self.dump_of(_SUBSYSTEM << 8 | _GET, body):
            for kind, value in attributes(told[4:]):
                if kind == _ELEMENTS:
                    yield from (_read(element) for _, element in attributes(value))


def _family(number: int, resource: int = 0) -> bytes:
    """struct nfgenmsg."""
    return struct.pack("=BB", number, 0) + struct.pack(">H", resource)


_OURS = _family(0, _SUBSYSTEM)


def _element(entry: Entry) -> bytes:
    """An entry of the list of elements."""
    made = attribute(_KEY | _NESTED, attribute(_VALUE, entry.key))
    if entry.value:
        made += attribute(_DATA | _NESTED, attribute(_VALUE, entry.value))
    if entry.lives is not None:
        made += attribute(_LIVES, struct.pack(">Q", int(1000 * entry.lives)))
    return attribute(_LIST | _NESTED, made)


def _read(element: bytes) -> tuple[bytes, bytes, int]:
    key, value, passed = b"", b"", 0
    for kind, inner in attributes(element):
        if kind == _KEY:
            key = dict(attributes(inner)).get(_VALUE, b"")
        elif kind == _DATA:
            value = dict(attributes(inner)).get(_VALUE, b"")
        elif kind == _EXPR:
            data = dict(attributes(dict(attributes(inner)).get(_EXPR_DATA, b"")))
            passed = int.from_bytes(data.get(_COUNTER_BYTES, b""), "big")
    return key, value, passed


def watching() -> socket.socket:
    """A socket that hears of changes of this host's rules, but not of elements and generations: those are ours."""
    heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, _NETFILTER)
    try:
        # A type is in the host's order; of little-endian hosts the low byte comes first.
        low = 4 if struct.pack("=H", 1)[0] else 5
        not_elements: Program = [
            (LOAD_BYTE, 0, 0, low),
            (_JUMP_AT_LEAST, 0, 2, _NEW),
            (_JUMP_ABOVE, 1, 0, _NEW_GENERATION),
            (RETURN, 0, 0, 0),
            (RETURN, 0, 0, ALL),
        ]
        attach(heard, not_elements)
        heard.bind((0, 0))  # unbound it has the kernel's own number, to which nothing is told
        heard.setsockopt(270, 1, _GROUP)  # SOL_NETLINK, NETLINK_ADD_MEMBERSHIP
    except BaseException:
        heard.close()
        raise
    return heard
