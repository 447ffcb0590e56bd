"""Clients that put receipts, for the stream figures: whole ones (the agent's core, a device and a disk in memory), and
prompt ones, which cost their process next to nothing and so show what the coordinator takes.

Receipts go out as `inn` sends them: proved, on a connection of their own, opened when there is something to say.
"""

import socket
import time
from collections import deque
from collections.abc import Iterable

import msgspec

from benchmarks import streaming
from benchmarks.herd import PORT, Client, Coordinator
from innclient.core import commands as c
from innclient.core import events as e
from innclient.core.agent import Agent
from innclient.core.commands import Command
from innclient.core.membership import Identity, Membership
from innclient.core.netmap import Netmap, Whereabouts
from innclient.core.paths import PeerPaths
from innclient.core.peer_path import Instant
from innclient.core.pins import Pins
from innclient.core.trials import Server
from innerd.domain.values import Endpoint, PublicKey, parse_address
from innerd.wire.ours import Applied
from innerd.wire.stream import DECODERS, FrameParser
from innerd.wireguard.memory import MemoryBackend
from tests.world import INTERFACE, key, private_key

_ID = b"\nid: 1."  # the line of a frame that moves the cursor, in the first generation


class Receipting(Client):
    """Puts receipts on a connection of its own: one at a time, as `inn` does."""

    def __init__(self, ip: str, name: str, coordinator: Coordinator) -> None:
        super().__init__(ip, name, coordinator)
        self._reports: socket.socket | None = None

    def put(self, receipt: Applied) -> None:
        body = msgspec.json.encode(receipt)
        head = self.head("PUT", "/v1/user/applied", body) + b"Content-Length: %d\r\n\r\n" % len(body)
        if self._reports is None:
            self._reports = socket.create_connection((streaming.COORDINATOR, PORT), source_address=(self.ip, 0))
            self._reports.setblocking(False)
            self.also(self._reports, self._answered)
        self._reports.sendall(head + body)

    def _answered(self, wanted: bytes, now: float) -> None:
        """Whole answers come: they are short, and have no body."""
        assert self._reports is not None
        answer = self._reports.recv(65_536)
        if not answer:  # the coordinator keeps no connection for ever
            self.part(self._reports)
            self._reports = None
            return
        assert answer.startswith(b"HTTP/1.1 204"), answer
        self.reported()

    def reported(self) -> None:
        """The coordinator has the receipt."""

    def leave(self) -> None:
        super().leave()
        if self._reports is not None:
            self.part(self._reports)


class Prompt(Receipting):
    """Says at once that it has what came, and does nothing with it."""

    def hear(self, wanted: bytes, now: float) -> None:
        data = self._tail + self.received()
        *_, last = data.rpartition(_ID)
        revision, is_whole, rest = last.partition(b"\n")
        if _ID in data and is_whole:
            self.put(Applied(revision=int(revision)))
            data = rest
        self._tail = data[-64:]


class Whole(Receipting):
    """The agent. What it commands is carried out at once, and costs what it costs in memory."""

    def __init__(self, ip: str, name: str, coordinator: Coordinator) -> None:
        super().__init__(ip, name, coordinator)
        server_ip, theirs = parse_address(streaming.COORDINATOR), PublicKey(coordinator.server_key)
        me = Identity(
            private_key=private_key(name),
            public_key=key(name),
            ip=parse_address(ip),
            server_key=theirs,
            server_ip=server_ip,
        )
        membership = Membership(me, Netmap(), Pins(), {})
        self._agent = Agent(membership, PeerPaths(membership, 1, tries=False), None, tells_candidates=False)
        self._server = Server(theirs, server_ip, Endpoint("192.0.2.1:51820"))
        self._backend = MemoryBackend()
        self._backend.create(INTERFACE)
        self._frames = FrameParser()
        self._body, self._in_body = b"", False

    def connect(self) -> None:
        super().connect()
        self._feed(e.Stays())
        self._feed(e.Ticked())
        self._feed(e.Opened())

    def hear(self, wanted: bytes, now: float) -> None:
        frames = [f for f in self._frames.feed(self._unchunked(self.received())) if f.event in DECODERS]
        if frames:
            self._feed(e.Told([DECODERS[frame.event].decode(frame.data) for frame in frames]))

    def reported(self) -> None:
        self._feed(e.Reported(is_heard=True))

    def _unchunked(self, data: bytes) -> bytes:
        """What came of the answer's body (RFC 9112 7.1)."""
        self._body += data
        if not self._in_body:
            _, found, rest = self._body.partition(b"\r\n\r\n")
            if not found:
                return b""
            self._body, self._in_body = rest, True
        chunks, start = [], 0
        while (line := self._body.find(b"\r\n", start)) >= 0:
            end = line + 2 + int(self._body[start:line], 16)
            if len(self._body) < end + 2:
                break
            chunks.append(self._body[line + 2 : end])
            start = end + 2
        self._body = self._body[start:]
        return b"".join(chunks)

    def _feed(self, event: e.Event) -> None:
        left = deque(self._agent.handle(event, _now()))
        while left:
            answer = self._do(left.popleft())
            if answer is not None:
                left.extendleft(reversed(self._agent.handle(answer, _now())))

    def _do(self, command: Command) -> e.Event | None:
        match command:
            case c.SavePins():
                return e.PinsSaved()
            case c.Resolve():
                return e.Resolved(self._server, _some(self._agent.membership.presence, command.numbers), {})
            case c.Read():
                return e.WasRead(self._backend.get(INTERFACE))
            case c.Apply():
                self._backend.apply(INTERFACE, command.changes)
                return e.Applied()
            case c.ShowNames():
                return e.NamesShown()
            case c.WriteState():
                return e.Written(command.netmap, is_kept=True)
            case c.Report():
                self.put(command.receipt)
            case c.HangUp():
                raise command.error
        return None


def _now() -> Instant:
    return Instant(time.time(), time.monotonic())


def _some(known: dict[int, Whereabouts], numbers: Iterable[int] | None) -> dict[int, Whereabouts]:
    return known if numbers is None else {number: known[number] for number in numbers if number in known}
