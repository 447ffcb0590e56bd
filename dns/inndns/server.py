"""Questions in, answers out: UDP and TCP on sockets that the caller has bound to the WireGuard device.

One event loop serves both. UDP is read in runs of up to 64 datagrams a wake-up, which costs a third less than one
a time, and keeps the loop from its other work for less than a millisecond. Nobody but enabled peers of the network
gets an answer.
"""

import asyncio
import socket
from collections.abc import Callable
from time import perf_counter

import structlog

from inndns import message as m
from inndns.budgets import Budgets, mute, widen
from inndns.connection import Connection, Turns
from inndns.message import Question
from inndns.records import Host
from inndns.zone import Zone

_log = structlog.get_logger("dns")

_RUN = 64  # datagrams
_MAX_CONNECTIONS = 256
_MAX_PER_ASKER = 8

_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 65: "HTTPS"}
_TYPES[255] = "ANY"
BUCKETS = (20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3)


class Counters:
    """Plain numbers, counted on the hot path; metrics make families of them."""

    def __init__(self) -> None:
        self.responses: dict[tuple[str, str, str], int] = {}  # transport, type, rcode
        self.dropped = {"malformed": 0, "unknown_source": 0, "connections": 0, "rate_limited": 0}
        self.durations = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def count(self, transport: str, question: Question, rcode: int, seconds: float) -> None:
        key = (transport, _TYPES.get(question.qtype, "other"), m.RCODES[rcode])
        self.responses[key] = self.responses.get(key, 0) + 1
        self.seconds += seconds
        slot = 0
        while slot < len(BUCKETS) and seconds > BUCKETS[slot]:
            slot += 1
        self.durations[slot] += 1


class DnsServer:
    """Serves the zone that `zone()` gives at the moment of each question. `asker(source)` is who asks, None for nobody
    who is answered; by default the peer that has the address. `rate` is how many answers a second one source gets,
    twice as many at once: one peer must not take the loop from all others."""

    def __init__(
        self,
        zone: Callable[[], Zone],
        *,
        asker: Callable[[str], Host | None] | None = None,
        log_queries: bool = False,
        rate: float | None = None,
    ) -> None:
        self.counters = Counters()
        self._zone = zone
        self._who = asker or (lambda source: zone().asker(source))
        self._log_queries = log_queries
        self._budgets = None if rate is None else Budgets(rate)
        self._muted: set[str] = set()  # as the sockets' filters have it
        self._hearing: asyncio.TimerHandle | None = None
        self._udp: list[socket.socket] = []
        self._tcp: list[asyncio.Server] = []
        self._open: set[Connection] = set()
        self._turns = Turns()

    async def listen(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Serve on one more pair of sockets, bound by the caller; they are ours from here on."""
        udp.setblocking(False)
        widen(udp)
        loop = asyncio.get_running_loop()
        loop.add_reader(udp.fileno(), self._readable, udp)
        self._udp.append(udp)
        if self._muted:
            mute(udp, self._muted)
        self._tcp.append(await loop.create_server(self._connection, sock=tcp))

    async def close(self) -> None:
        for udp in self._udp:
            asyncio.get_running_loop().remove_reader(udp.fileno())
            udp.close()
        for server in self._tcp:
            server.close()
        for connection in self._open:
            connection.end()
        self._udp, self._tcp = [], []

    def answer(self) -> None:
        """What waits on the sockets, at once: for whoever holds the loop for long."""
        for udp in self._udp:
            self._readable(udp)

    def respond(self, packet: bytes, source: str, transport: str) -> bytes | None:
        """The answer to a packet from a source address, or None where silence is the answer."""
        began = perf_counter()
        asker = self._who(source)
        if asker is None:
            self.counters.dropped["unknown_source"] += 1
            return None
        if self._budgets is not None and not self._budgets.may_have(source, began):
            self.counters.dropped["rate_limited"] += 1
            return None
        question = m.parse(packet)
        if question is None:
            self.counters.dropped["malformed"] += 1
            return None
        answer = self._zone().answer(question, asker)
        written = m.write(question, answer, transport == "tcp")
        self.counters.count(transport, question, answer.rcode, perf_counter() - began)
        if self._log_queries:
            _log.info("query", peer=asker.name, name=repr(question.name), type=question.qtype, rcode=answer.rcode)
        return written

    def _mute(self, budgets: Budgets) -> None:
        """Those who ask without end are not heard, until they are again."""
        seconds = budgets.hear(perf_counter())
        if budgets.muted.keys() != self._muted:
            self._muted = set(budgets.muted)
            for udp in self._udp:
                mute(udp, self._muted)
        if seconds is not None and self._hearing is None:
            self._hearing = asyncio.get_running_loop().call_later(seconds, self._hear, budgets)

    def _hear(self, budgets: Budgets) -> None:
        self._hearing = None
        self._mute(budgets)

    def _readable(self, udp: socket.socket) -> None:
        self._answer_some(udp)
        if self._budgets is not None and self._budgets.muted.keys() != self._muted:
            self._mute(self._budgets)

    def _answer_some(self, udp: socket.socket) -> None:
        for _ in range(_RUN):
            try:
                packet, source = udp.recvfrom(4096)
            except BlockingIOError:
                return
            except OSError as error:  # the interface went away: whoever watches it binds anew
                _log.warning("udp socket", error=str(error))
                return
            answer = self.respond(packet, source[0], "udp")
            if answer is not None:
                try:  # noqa: SIM105 - a context manager costs as much as the look-up
                    udp.sendto(answer, source)
                except OSError:
                    pass  # lost, as datagrams are

    # -- TCP ----------------------------------------------------------------------------------------------------

    def _connection(self) -> Connection:
        return Connection(self.respond, self._admit, self._open.discard, self._turns)

    def _admit(self, connection: Connection) -> bool:
        source = connection.source
        if self._who(source) is None:  # before it takes anybody's place
            self.counters.dropped["unknown_source"] += 1
            return False
        if self._budgets is not None and self._budgets.is_muted(source, perf_counter()):
            self.counters.dropped["rate_limited"] += 1
            return False
        mine = sum(other.source == source for other in self._open)
        if mine >= _MAX_PER_ASKER or len(self._open) >= _MAX_CONNECTIONS:
            self.counters.dropped["connections"] += 1
            return False
        self._open.add(connection)
        return True
