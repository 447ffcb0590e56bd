"""Asking another name server raw packets, by the thousand, over UDP and TCP; and what an answer says, to compare."""

import contextlib
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

PATIENCE = 5.0
_MOMENT = 0.01  # an answer is there within it, or was not to come: then a question that is answered settles it


class Other:
    """Another server, asked one packet at a time. NSD gives no more than 100 errors a second and drops the rest, so
    what is expected to be answered (`answered`) is asked until it is."""

    def __init__(self, at: tuple[str, int], plain: bytes) -> None:
        self._at = at
        self._plain = plain  # a question that is answered
        self._number = 0
        self._stack = contextlib.ExitStack()
        self._udp = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._udp.connect(at)
        self._tcp: socket.socket | None = None

    def __enter__(self) -> "Other":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, packet: bytes, *, tcp: bool = False, answered: bool = True) -> bytes | None:
        until = time.monotonic() + PATIENCE
        while (answer := self._once_tcp(packet) if tcp else self._once_udp(packet)) is None:
            if not answered or time.monotonic() > until:
                return None
        return answer

    def _once_udp(self, packet: bytes) -> bytes | None:
        self._number = (self._number + 1) % 0x8000
        mine, last = (
            numbered(what, id_) for what, id_ in ((packet, self._number), (self._plain, self._number | 0x8000))
        )
        found, wait = None, _MOMENT
        self._udp.send(mine)
        while True:
            self._udp.settimeout(wait)
            try:
                answer = self._udp.recv(65_535)
            except TimeoutError:
                assert wait < PATIENCE, "no answer to a plain question"
                wait *= 4
                self._udp.send(last)
                continue
            if answer[:2] == mine[:2]:
                found = answer
                if wait == _MOMENT:
                    return found
            elif answer[:2] == last[:2]:
                return found

    def _once_tcp(self, packet: bytes) -> bytes | None:
        """On the connection there is; on a new one where the server thought that it was enough, as NSD does after a
        transfer."""
        for _ in range(2):
            if self._tcp is None:
                self._tcp = self._stack.enter_context(socket.create_connection(self._at, PATIENCE))
            with contextlib.suppress(ConnectionError):
                self._tcp.sendall(len(packet).to_bytes(2, "big") + packet)
                length = self._tcp.recv(2, socket.MSG_WAITALL)
                if length:
                    return self._tcp.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL)
            self._tcp.close()
            self._tcp = None
        return None


def numbered(packet: bytes, number: int) -> bytes:
    return (number & 0xFFFF).to_bytes(2, "big") + packet[2:]


class Said(NamedTuple):
    """What an answer says. Names in any case are one; the order of records is of no account."""

    rcode: str
    opcode: int
    flags: str
    question: list[str]
    answer: list[str]
    authority: list[str]
    additional: list[str]
    edns: str

    def differences(self, other: "Said") -> dict[str, tuple[object, object]]:
        pairs = zip(self._fields, self, other, strict=True)
        return {field: (mine, theirs) for field, mine, theirs in pairs if mine != theirs}


def said(raw: bytes) -> Said:
    read = dns.message.from_wire(raw)
    edns = ""
    if read.edns >= 0:
        options = [option.to_text() for option in read.options]
        edns = " ".join([f"{read.edns} {int(read.payload)} {read.ednsflags & 0xFFFF:04x}", *options])
    return Said(
        dns.rcode.to_text(read.rcode()),
        int(read.opcode()),
        dns.flags.to_text(read.flags & 0x07B0) + (" Z" if read.flags & 0x40 else ""),
        [f"{one.name} {int(one.rdclass)} {int(one.rdtype)}" for one in read.question],
        _records(read.answer),
        _records(read.authority),
        _records(read.additional),
        edns,
    )


def _records(section: Sequence[dns.rrset.RRset]) -> list[str]:
    return sorted(
        f"{rrset.name.to_text().lower()} {rrset.ttl} {int(rrset.rdclass)} {dns.rdatatype.to_text(rrset.rdtype)} "
        + (data.to_text() if rrset.rdtype == dns.rdatatype.TXT else data.to_text().lower())
        for rrset in section
        for data in rrset
    )
