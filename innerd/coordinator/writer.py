"""The single writer: a command is decided on the head, the newest network, committed or not; its records are hashed
onto the head's chain, and it waits until they are durable and published (`committer`).

After a commit that failed writing resumes when a probe succeeds.
"""

import asyncio
import os
from collections.abc import Callable
from hashlib import sha256

import structlog
from msgspec import Struct
from msgspec.structs import replace

from innerd.coordinator.allowance import Allowance
from innerd.coordinator.committer import Committer, Head, Waiting
from innerd.coordinator.feed import Committed, Feed
from innerd.coordinator.replay import Replayed
from innerd.coordinator.upkeep import Upkeep, unavailable
from innerd.domain.commands import Command, CreateNetwork, ImportNetwork
from innerd.domain.concern import concerned
from innerd.domain.decide import decide
from innerd.domain.diff import Diff, compared
from innerd.domain.errors import Refused
from innerd.domain.events import AnyEvent
from innerd.domain.network import Network, evolve, fold
from innerd.domain.said import would
from innerd.domain.visibility import View
from innerd.log import chain, codec
from innerd.log.codec import Who
from innerd.log.projection import merge, project
from innerd.log.store import KeptAnswer, Store, Stored, StoreError

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
        self.feed = Feed(base, loaded.milestones)
        self._allowance = Allowance(store, clock)
        view = self.feed.recall(base, loaded.recent)
        self.committer = Committer(
            store, self.upkeep, self.feed, self._allowance, Head(view, loaded.chain, loaded.at), fatal, observe_commit
        )
        self._clock = clock
        self._salt = salt
        self._turns: dict[tuple[str, str], _Turn] = {}

    @property
    def view(self) -> View:
        """The committed view: what readers see."""
        return self.committer.committed.view

    @property
    def network(self) -> Network:
        return self.committer.committed.view.network

    @property
    def head_hash(self) -> str:
        return self.committer.committed.chain.hex()

    def preview(self, command: Command, most: int | None = 100) -> Diff:
        """What a command would do, by deciding it and comparing."""
        view = self.committer.head.view
        happened = decide(view.network, command, self._clock())
        after = view.advance(fold(view.network, happened), happened)
        return replace(compared(view, after, most), happens=would(view.network, after.network, happened))

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
        allowed(self.committer.head.view.network)
        if expect is not None and expect != self.committer.head.view.network.revision:
            raise Refused(
                "revision_mismatch",
                f"the network is at revision {self.committer.head.view.network.revision}, not {expect}",
                "look again, then repeat the change",
            )
        waiting, status, body = self._decide(command, who, asked, render, bounded)
        if waiting is not None:
            await self.committer.commit(waiting)
        return Outcome(status, body, self.network.revision if waiting is None else waiting.head.view.network.revision)

    def _decide(
        self, command: Command, who: Who, asked: Asked | None, render: Render, bounded: bool
    ) -> tuple[Waiting | None, int, bytes]:
        before, now = self.committer.head, self._clock()
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
        if not happened and before is self.committer.committed:
            return None, status, body
        after = view
        answer = None  # of what was so already nothing is stored: who asks again is told so again
        if asked is not None and happened:
            answer = KeptAnswer(who.actor, asked.id, asked.digest, status, body, int(now))
        head = Head(after, link, at) if happened else before
        waiting = Waiting(
            records,
            rows[0] if len(rows) == 1 else merge(rows),
            answer,
            who.actor,
            taken,
            Committed(before.view, after, happened, at, link.hex(), concerned(before.view, after, happened)),
            head,
            asyncio.get_running_loop().create_future(),
        )
        self.committer.head = head
        return waiting, status, body

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
