"""The single writer: decide, append, publish.

 1. A command is decided on the head, the newest network, committed or not; its records are hashed onto the head's
    chain and it waits.
 2. One committer gathers all that is waiting into one transaction (group commit).
 3. After the commit the committed view moves, followers hear of each command in order, and each is answered.

If a commit fails, everything that waits is answered `store_unavailable`, the head falls back to what is committed,
and writing resumes when a probe succeeds. If nobody knows whether it happened, `fatal` is called: the process must
end, and replay decides.
"""

import asyncio
import os
from collections.abc import Callable
from hashlib import sha256
from time import perf_counter

import structlog
from msgspec import Struct
from msgspec.structs import replace

from innerd.coordinator.allowance import Allowance
from innerd.coordinator.feed import Committed, Feed
from innerd.coordinator.replay import Replayed
from innerd.coordinator.upkeep import Upkeep, unavailable, unknown
from innerd.domain.commands import Command, CreateNetwork, ImportNetwork
from innerd.domain.concern import concerned
from innerd.domain.decide import decide
from innerd.domain.diff import Diff, diff
from innerd.domain.errors import Refused
from innerd.domain.events import AnyEvent, subject_of, type_of
from innerd.domain.network import Network, evolve, fold
from innerd.domain.said import would
from innerd.domain.visibility import View
from innerd.log import chain, codec
from innerd.log.codec import Who
from innerd.log.projection import Rows, merge, project
from innerd.log.store import KeptAnswer, Store, Stored, StoreError, StoreUncertain

_log = structlog.get_logger("writer")

ANSWERS_KEPT = 7 * 86_400  # seconds


class Asked(Struct, frozen=True):
    """A request's own id (Idempotency-Key) and a digest of what it asks."""

    id: str
    digest: bytes


class Outcome(Struct, frozen=True):
    """The answer of a command: HTTP status and body, and the revision it is true at."""

    status: int
    body: bytes
    revision: int
    repeated: bool = False


Allowed = Callable[[Network], None]  # raises Refused where who asks may not, or may not any more


def anybody(network: Network) -> None:
    """The coordinator itself and its local users may do what the rules of the network allow."""


Render = Callable[[Network, tuple[AnyEvent, ...]], tuple[int, bytes]]


def nothing(network: Network, happened: tuple[AnyEvent, ...]) -> tuple[int, bytes]:
    """The rendering of commands that answer without a body."""
    return 204, b""


class _Head(Struct, frozen=True):
    view: View
    chain: bytes
    at: float


class _Waiting(Struct):
    records: list[Stored]
    rows: Rows
    answer: KeptAnswer | None
    actor: str
    taken: int  # events of the actor's allowance
    change: Committed
    head: _Head
    done: "asyncio.Future[None]"


class _Turn:
    """Requests under one id take turns."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class Writer:
    def __init__(
        self,
        store: Store,
        loaded: Replayed,
        clock: Callable[[], float],
        fatal: Callable[[str], None],
        salt: Callable[[], bytes] = lambda: os.urandom(16),
        observe_commit: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        base = View.of(loaded.base)
        self.store = store
        self.upkeep = Upkeep(store, fatal)
        self.feed = Feed(base)
        self._allowance = Allowance(store, clock)
        view = self.feed.recall(base, loaded.recent)
        self.appended: dict[str, int] = {}  # event type -> count, for metrics
        self.commits = 0
        self._observe_commit = observe_commit  # told how long each commit took, in seconds
        self._committed = self._head = _Head(view, loaded.chain, loaded.at)
        self._clock = clock
        self._fatal = fatal
        self._salt = salt
        self._queue: list[_Waiting] = []
        self._turns: dict[tuple[str, str], _Turn] = {}
        self._committer: asyncio.Task[None] | None = None
        self._committing = False

    @property
    def view(self) -> View:
        """The committed view: what readers see."""
        return self._committed.view

    @property
    def network(self) -> Network:
        return self._committed.view.network

    @property
    def head_hash(self) -> str:
        return self._committed.chain.hex()

    def preview(self, command: Command, most: int | None = 100) -> Diff:
        """What a command would do, by deciding it and comparing."""
        network = self._head.view.network
        happened = decide(network, command, self._clock())
        after = fold(network, happened)
        return replace(diff(network, after, most), happens=would(network, after, happened))

    async def submit(
        self,
        command: Command,
        who: Who,
        *,
        asked: Asked | None = None,
        expect: int | None = None,
        render: Render = nothing,
        allowed: Allowed = anybody,
        bounded: bool = False,
    ) -> Outcome:
        """Carry out a command. Raises Refused; returns when it is durable and published.

        `allowed` is asked about the very network that the command is decided on: rights that were taken while a
        request was on its way count. What is `bounded` comes out of the actor's allowance.
        """
        if bounded:
            await self._recall(who.actor)
        if asked is None:
            return await self._submit(command, who, None, expect, render, allowed, bounded)
        turn = self._turns.setdefault((who.actor, asked.id), _Turn())
        turn.users += 1
        try:
            async with turn.lock:  # a retry that overtakes its first try waits for that one's answer
                first = await self._first_answer(who.actor, asked)
                return first or await self._submit(command, who, asked, expect, render, allowed, bounded)
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[who.actor, asked.id]

    async def _submit(
        self,
        command: Command,
        who: Who,
        asked: Asked | None,
        expect: int | None,
        render: Render,
        allowed: Allowed,
        bounded: bool,
    ) -> Outcome:
        if self.upkeep.trouble is not None:
            await self.upkeep.probe()
        allowed(self._head.view.network)
        if expect is not None and expect != self._head.view.network.revision:
            raise Refused(
                "revision_mismatch",
                f"the network is at revision {self._head.view.network.revision}, not {expect}",
                "look again, then repeat the change",
            )
        waiting, status, body = self._decide(command, who, asked, render, bounded)
        if waiting is not None:
            await self._commit(waiting)
        return Outcome(status, body, self.network.revision if waiting is None else waiting.head.view.network.revision)

    def _decide(
        self, command: Command, who: Who, asked: Asked | None, render: Render, bounded: bool
    ) -> tuple[_Waiting | None, int, bytes]:
        before, now = self._head, self._clock()
        at = max(before.at, now)  # times never run backwards in the log; what expires is judged by the clock itself
        happened = decide(before.view.network, command, now)
        taken = len(happened) if bounded else 0
        if taken:
            self._allowance.take(who.actor, taken)
        view, rows = before.view, []
        link = before.chain or chain.genesis(_network_id(command))
        records = []
        for event in happened:
            network = evolve(view.network, event)
            record, salt = codec.encode(event, network.revision, at, who), self._salt()
            link = chain.link(link, salt, record)
            records.append(Stored(network.revision, record, salt, link))
            previous, view = view, view.advance(network, (event,))
            rows.append(project(previous, view, (event,)))
        status, body = render(view.network, happened)
        if not happened and before is self._committed:
            return None, status, body
        after = view
        answer = None  # of what was so already nothing is stored: who asks again is told so again
        if asked is not None and happened:
            answer = KeptAnswer(who.actor, asked.id, asked.digest, status, body, int(now))
        head = _Head(after, link, at) if happened else before
        waiting = _Waiting(
            records,
            rows[0] if len(rows) == 1 else merge(rows),
            answer,
            who.actor,
            taken,
            Committed(before.view, after, happened, at, link.hex(), concerned(before.view, after, happened)),
            head,
            asyncio.get_running_loop().create_future(),
        )
        self._head = head
        return waiting, status, body

    async def _commit(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        if not self._committing:
            self._committing = True
            self._committer = asyncio.get_running_loop().create_task(self._drain())
        # A caller that goes away must not take the others' commit with it.
        await asyncio.shield(waiting.done)

    async def _drain(self) -> None:
        batch: list[_Waiting] = []
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
            self._committing = False

    async def _commit_batch(self, batch: list[_Waiting]) -> None:
        began = perf_counter()
        try:
            async with self.upkeep.storing:
                await self.store.append(
                    [record for waiting in batch for record in waiting.records],
                    merge(waiting.rows for waiting in batch),
                    [waiting.answer for waiting in batch if waiting.answer is not None],
                )
        except StoreError as error:
            self._fall_back(batch, self.upkeep.failed(error))
        else:
            self._observe_commit(perf_counter() - began)
            self._publish(batch)

    def _fall_back(self, batch: list[_Waiting], answer: Refused) -> None:
        # What was queued meanwhile was decided on a head that never came to be.
        failed, self._queue = batch + self._queue, []
        self._head = self._committed
        for waiting in failed:
            self._allowance.give_back(waiting.actor, waiting.taken)
            if not waiting.done.done():
                waiting.done.set_exception(answer)
                waiting.done.exception()  # seen: nobody may be waiting for it any more
        _log.error("commit failed", error=answer.message, commands=len(failed))

    def _publish(self, batch: list[_Waiting]) -> None:
        self.commits += 1
        for waiting in batch:
            self._committed = waiting.head
            if waiting.change.events:
                self._note(waiting)
                self.feed.publish(waiting.change)
            if not waiting.done.done():
                waiting.done.set_result(None)

    def _note(self, waiting: _Waiting) -> None:
        for stored, event in zip(waiting.records, waiting.change.events, strict=True):
            name = type_of(event)
            self.appended[name] = self.appended.get(name, 0) + 1
            _log.info("event", seq=stored.seq, type=name, subject=subject_of(event), actor=waiting.actor)

    async def _recall(self, actor: str) -> None:
        try:
            await self._allowance.recall(actor)
        except StoreError as error:
            raise unavailable(error) from error

    async def _first_answer(self, actor: str, asked: Asked) -> Outcome | None:
        try:
            answer = await self.store.answer(actor, asked.id)
        except StoreError as error:
            raise unavailable(error) from error
        if answer is None:
            return None
        if answer.digest != asked.digest:
            raise Refused(
                "idempotency_mismatch",
                f"the Idempotency-Key {asked.id} was used for another request",
                "use a new key for a new request",
            )
        return Outcome(answer.status, answer.result, self.network.revision, repeated=True)


def _network_id(command: Command) -> str:
    return command.id if isinstance(command, CreateNetwork | ImportNetwork) else ""


def digest_of(*parts: bytes) -> bytes:
    """A digest of a request: every part with its length before it."""
    total = sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "big") + part)
    return total.digest()
