"""What is decided becomes durable, and then known: all that waits is gathered into one transaction (group commit).

After the commit the committed view moves, followers hear of each command in order, and each is answered. If a commit
fails, everything that waits is answered `store_unavailable`, and the head falls back to what is committed. If nobody
knows whether it happened, `fatal` is called: the process must end, and replay decides.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter

import structlog
from msgspec import Struct

from innerd.coordinator.allowance import Allowance
from innerd.coordinator.feed import Committed, Feed
from innerd.coordinator.upkeep import Upkeep, unknown
from innerd.domain.errors import Refused
from innerd.domain.events import subject_of, type_of
from innerd.domain.visibility import View
from innerd.log.projection import Rows, merge
from innerd.log.store import KeptAnswer, Store, Stored, StoreError, StoreUncertain

_log = structlog.get_logger("writer")


class Head(Struct, frozen=True):
    view: View
    chain: bytes
    at: float


class Waiting(Struct):
    records: list[Stored]
    rows: Rows
    answer: KeptAnswer | None
    actor: str
    taken: int  # events of the actor's allowance
    change: Committed
    head: Head
    done: "asyncio.Future[None]"


class Committer:
    """`head` is the newest network, committed or not: what the next command is decided on."""

    def __init__(
        self,
        store: Store,
        upkeep: Upkeep,
        feed: Feed,
        allowance: Allowance,
        head: Head,
        fatal: Callable[[str], None],
        observe_commit: Callable[[float], None],
    ) -> None:
        self.committed = self.head = head
        self.appended: dict[str, int] = {}  # event type -> count, for metrics
        self._store, self._upkeep, self._feed, self._allowance = store, upkeep, feed, allowance
        self._fatal = fatal
        self._observe_commit = observe_commit  # told how long each commit took, in seconds
        self._queue: list[Waiting] = []
        self._draining: asyncio.Task[None] | None = None
        self._is_committing = False

    async def commit(self, waiting: Waiting) -> None:
        """Return when it is durable and published. Raises Refused where it is not, or nobody knows."""
        self._queue.append(waiting)
        if not self._is_committing:
            self._is_committing = True
            self._draining = asyncio.get_running_loop().create_task(self._drain())
        # A caller that goes away must not take the others' commit with it.
        await asyncio.shield(waiting.done)

    async def _drain(self) -> None:
        batch: list[Waiting] = []
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                await self._commit_batch(batch)
        except StoreUncertain as error:
            self._fall_back(batch, unknown(error))
            self._fatal(str(error))
        except Exception as error:  # a bug of ours: nobody knows what became of the batch
            _log.exception("the committer failed")
            self._fall_back(batch, unknown(error))
            self._fatal(f"the committer failed: {error!r}")
        finally:
            self._is_committing = False

    async def _commit_batch(self, batch: list[Waiting]) -> None:
        began = perf_counter()
        try:
            async with self._upkeep.storing:
                await self._store.append(
                    [record for waiting in batch for record in waiting.records],
                    merge(waiting.rows for waiting in batch),
                    [waiting.answer for waiting in batch if waiting.answer is not None],
                )
        except StoreError as error:
            self._fall_back(batch, self._upkeep.failed(error))
        else:
            self._observe_commit(perf_counter() - began)
            self._publish(batch)

    def _fall_back(self, batch: list[Waiting], answer: Refused) -> None:
        # What was queued meanwhile was decided on a head that never came to be.
        failed, self._queue = batch + self._queue, []
        self.head = self.committed
        for waiting in failed:
            self._allowance.give_back(waiting.actor, waiting.taken)
            if not waiting.done.done():
                waiting.done.set_exception(answer)
                waiting.done.exception()  # seen: nobody may be waiting for it any more
        _log.error("commit failed", error=answer.message, commands=len(failed))

    def _publish(self, batch: list[Waiting]) -> None:
        for waiting in batch:
            self.committed = waiting.head
            if waiting.change.events:
                self._note(waiting)
                self._feed.publish(waiting.change)
            if not waiting.done.done():
                waiting.done.set_result(None)

    def _note(self, waiting: Waiting) -> None:
        for stored, event in zip(waiting.records, waiting.change.events, strict=True):
            name = type_of(event)
            self.appended[name] = self.appended.get(name, 0) + 1
            _log.info("event", seq=stored.seq, type=name, subject=subject_of(event), actor=waiting.actor)
