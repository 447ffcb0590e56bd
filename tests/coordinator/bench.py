"""A writer on a bench: the real one, over a store whose appends can be held or made to fail, on a stepped clock."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_network

from innerd.coordinator.feed import Committed
from innerd.coordinator.replay import load
from innerd.coordinator.writer import Asked, Outcome, Writer
from innerd.domain import commands as c
from innerd.domain.values import Name
from innerd.log.codec import Who
from innerd.log.memory import MemoryStore
from innerd.log.projection import Rows
from innerd.log.store import KeptAnswer, Stored, StoreError, StoreUncertain
from tests.log.histories import BEGINNING, FOUNDING

LOCAL = Who("local:root", "socket")


class BenchStore(MemoryStore):
    """Counts its appends; holds each of them while `hold` is on; may lose track of one."""

    def __init__(self) -> None:
        super().__init__()
        self.appends: list[int] = []  # how many events each one brought
        self.entered = asyncio.Event()
        self.uncertain = False
        self.failures = 0  # how many appends fail from here on; a probe succeeds at once
        self._go = asyncio.Event()
        self._go.set()

    def hold(self) -> None:
        self.entered.clear()
        self._go.clear()

    def release(self) -> None:
        self._go.set()

    async def append(self, batch: Sequence[Stored], rows: Rows, answers: Sequence[KeptAnswer]) -> None:
        self.appends.append(len(batch))
        self.entered.set()
        await self._go.wait()
        if self.uncertain:
            raise StoreUncertain("the disk went away during the commit")
        if self.failures:
            self.failures -= 1
            raise StoreError("disk full")
        await super().append(batch, rows, answers)


class Bench:
    """A network that was just founded, and its writer."""

    def __init__(self) -> None:
        self.store = BenchStore()
        self.now = BEGINNING
        self.fatal: list[str] = []
        self.heard: list[Committed] = []
        self.writer: Writer

    async def start(self) -> "Bench":
        """Replay the store: what a restart does. `heard` is what a follower was told since."""
        self.writer = Writer(self.store, await load(self.store), lambda: self.now, self.fatal.append)
        self.writer.feed.follow("bench", self.heard.append)
        return self

    @property
    def revision(self) -> int:
        return self.writer.network.revision

    async def do(self, command: c.Command, who: Who = LOCAL, **options: object) -> Outcome:
        return await self.writer.submit(command, who, **options)

    def begin(self, command: c.Command, who: Who = LOCAL, **options: object) -> "asyncio.Task[Outcome]":
        """Submit and go on. It has been decided when the next task of the loop runs."""
        return asyncio.create_task(self.writer.submit(command, who, **options))

    async def hold_one(self, command: c.Command) -> "asyncio.Task[Outcome]":
        """A command whose commit is under way and does not end before `store.release()`."""
        self.store.hold()
        task = self.begin(command)
        await self.store.entered.wait()
        return task


def cidr(number: int) -> c.AddCidr:
    """A command that works once for each number."""
    return c.AddCidr(Name(f"c{number}"), ip_network(f"10.42.{number}.0/24"))


def asked(request: str, digest: bytes = b"d" * 32) -> Asked:
    return Asked(request, digest)


async def bench() -> Bench:
    made = await Bench().start()
    await made.do(FOUNDING)
    made.heard.clear()
    made.store.appends.clear()
    return made
