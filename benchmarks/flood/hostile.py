"""Hostile peers: many connections in a process of their own, each doing one thing without end.

What they send is said by `kinds`; here is how a connection behaves that asks again and again, that never reads, that
sends a byte a second. A connection that the coordinator ends is opened again.
"""

import asyncio
import multiprocessing
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.synchronize import Event
from typing import Any

import uvloop
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.flood.wire import DNS, SERVER, Peer, Target, peer_socket
from innerd.command.options import raise_file_limit

_BEGIN = 15.0  # seconds that all connections together may take to be tried
_NICE = -10  # what else runs on this machine must not slow them down
_AGAIN = 0.02  # seconds until a connection that was ended is opened again
_CORES = sorted(os.sched_getaffinity(0))
WORKERS = max(1, min(4, len(_CORES) - 1))
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")

Make = Callable[[Peer, Target, int], bytes]  # the bytes of one peer's next request, and which one it is


class Connection(asyncio.Protocol):
    """Opens and says nothing. What others do is said in classes below it."""

    transport: asyncio.Transport

    def __init__(self, peer: Peer, target: Target, counts: Counter[str], make: Make) -> None:
        self.peer, self.target, self.counts, self.make = peer, target, counts, make
        self.ended = asyncio.get_running_loop().create_future()
        self.number = id(self)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.counts["connections"] += 1
        self.act()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def next(self) -> bytes:
        self.number += 1
        return self.make(self.peer, self.target, self.number)

    def act(self) -> None:
        """What it does once it is connected."""


class Asking(Connection):
    """One request after the other, each when the answer before it is here."""

    def act(self) -> None:
        self._heard = b""
        self.transport.write(self.next())

    def data_received(self, data: bytes) -> None:
        self._heard += data
        end = self._heard.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._heard[: end + 2])
        if len(self._heard) < end + 4 + (int(length[1]) if length else 0):
            return
        self.counts[self._heard[9:12].decode("latin-1")] += 1
        self.act()


class Pipelining(Connection):
    """Many requests in one piece, again as soon as one piece has left; what comes back is not looked at."""

    batch = 64

    def act(self) -> None:
        self._paused = False
        self._send()

    def _send(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self.transport.write(b"".join(self.next() for _ in range(self.batch)))
            self.counts["sent"] += self.batch
            asyncio.get_running_loop().call_soon(self._send)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()


class Deaf(Pipelining):
    """The same, and never reads an answer."""

    def act(self) -> None:
        self.transport.pause_reading()
        super().act()


class Once(Connection):
    """One piece, sent once, and then it listens for ever."""

    def act(self) -> None:
        self.transport.write(self.next())

    def data_received(self, data: bytes) -> None:
        self.counts["answers"] += 1


class Unread(Once):
    """One piece, sent once; its answer is never read."""

    def act(self) -> None:
        self.transport.pause_reading()
        super().act()


class Dropping(Once):
    """One piece, and away with the first bytes of the answer."""

    def data_received(self, data: bytes) -> None:
        self.counts[data[9:12].decode("latin-1")] += 1
        self.transport.abort()


class Leaving(Connection):
    """Away as soon as it is there."""

    def act(self) -> None:
        self.transport.abort()


class Trickling(Connection):
    """A byte a second of a request."""

    def act(self) -> None:
        self._left = self.next()
        self._drip()

    def _drip(self) -> None:
        if self._left and not self.transport.is_closing():
            self.transport.write(self._left[:1])
            self._left = self._left[1:]
            asyncio.get_running_loop().call_later(1, self._drip)


Behaviour = type[Connection]


class Attack(Struct, frozen=True, kw_only=True):
    """What hostile peers do. `behaviour` is None for datagrams."""

    behaviour: Behaviour | None
    peers: Sequence[Peer]
    connections: int  # of each
    port: int
    target: Target
    make: Make
    is_root: bool  # on its machine: half of its connections come from low ports


async def _hold(attack: Attack, behaviour: Behaviour, peer: Peer, is_root: bool, counts: Counter[str]) -> None:
    """One connection, opened again whenever it has ended."""
    loop = asyncio.get_running_loop()
    while True:
        counts["tried"] += 1
        with suppress(OSError):
            mine = peer_socket(peer.ip, is_root=is_root)
            if attack.port != DNS:
                mine.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # no ports in TIME_WAIT
            await loop.sock_connect(mine, (SERVER, attack.port))
            _, made = await loop.create_connection(
                lambda: behaviour(peer, attack.target, counts, attack.make), sock=mine
            )
            await made.ended
        await asyncio.sleep(0 if behaviour in (Dropping, Leaving) else _AGAIN)


async def _pour(attack: Attack, peer: Peer, counts: Counter[str]) -> None:
    """Datagrams to the DNS server, as fast as this process can; answers are left lying."""
    mine = peer_socket(peer.ip, socket.SOCK_DGRAM)
    mine.connect((SERVER, DNS))
    questions = [attack.make(peer, attack.target, number) for number in range(256)]
    counts["tried"] += 1
    while True:
        for question in questions:
            with suppress(OSError):
                mine.send(question)
        counts["sent"] += len(questions)
        await asyncio.sleep(0)


def _begin(attack: Attack, counts: Counter[str]) -> list[asyncio.Task[None]]:
    if attack.behaviour is None:
        return [asyncio.create_task(_pour(attack, peer, counts)) for peer in attack.peers]
    return [
        asyncio.create_task(_hold(attack, attack.behaviour, peer, attack.is_root and number % 2 == 0, counts))
        for number in range(attack.connections)
        for peer in attack.peers
    ]


async def _attack(attack: Attack, begun: Event, stop: Event, pipe: Any) -> None:
    counts: Counter[str] = Counter()
    tasks = _begin(attack, counts)
    while not stop.is_set():
        await asyncio.sleep(0.05)
        if counts["tried"] >= len(tasks):
            begun.set()
    pipe.send(counts)
    os._exit(0)  # thousands of connections end at once with their process, and one by one in a minute


def _work(pipe: Any, core: int, attack: Attack, begun: Event, stop: Event) -> None:
    """What a worker process does: attack until told to stop, and say what was answered."""
    raise_file_limit()
    os.sched_setaffinity(0, {core})
    os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    uvloop.run(_attack(attack, begun, stop, pipe))


class Hostile:
    """Worker processes that attack until they are ended; they leave the coordinator's core alone, where there is
    another one."""

    def __init__(self, attack: Attack) -> None:
        context = multiprocessing.get_context("fork")
        self._stop = context.Event()
        self._workers: list[tuple[Any, Any, Event]] = []
        for number in range(min(WORKERS, len(attack.peers))):
            mine, theirs = context.Pipe()
            begun = context.Event()
            part = replace(attack, peers=attack.peers[number::WORKERS])
            core = _CORES[-1 - number % WORKERS]
            worker = context.Process(target=_work, args=(theirs, core, part, begun, self._stop), daemon=True)
            worker.start()
            self._workers.append((worker, mine, begun))
        self._began = time.monotonic()

    def until_all_have_begun(self) -> None:
        """Each connection has been tried once, or there was time enough for it."""
        deadline = time.monotonic() + _BEGIN
        for _, _, begun in self._workers:
            begun.wait(max(0.0, deadline - time.monotonic()))

    def end(self) -> tuple[Counter[str], float]:
        """What was sent and answered, and in how many seconds."""
        self._stop.set()
        counts: Counter[str] = Counter()
        seconds = time.monotonic() - self._began
        for worker, pipe, _ in self._workers:
            try:
                counts += pipe.recv()
            except EOFError:
                counts["workers that ended"] += 1
            worker.join(5)
            if worker.is_alive():
                worker.kill()
        return counts, seconds
