"""The network as it was: a fold of the log up to a point, and since when two peers could reach each other.

A fold of the whole log takes a while; it yields to the loop after every page, so that nobody else waits for it.
"""

import asyncio
import re
from datetime import UTC, datetime

from msgspec import Struct

from innerd.coordinator.milestones import Milestone, Milestones
from innerd.coordinator.places import Places
from innerd.coordinator.writer import Writer
from innerd.domain.errors import Refused
from innerd.domain.network import EMPTY, Network, fold
from innerd.domain.sight import CONCERNED, Sightings
from innerd.domain.why import Reason, explain
from innerd.log import codec
from innerd.log.codec import Envelope
from innerd.log.store import Query, Store

_PAGE = 200  # events folded between two turns of the loop
_READ = 2_000  # records that are read at once for them
_STRETCH = 5_000  # revisions that are searched at once for what decides who sees whom

_REVISION = re.compile(r"[0-9]{1,18}")


def parse_time(text: str, what: str) -> str:
    """A time of RFC 3339 with its offset, as the log writes times. Raises Refused."""
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return codec.timestamp(time.astimezone(UTC).timestamp())
    except (ValueError, OverflowError):  # the latter: a time of the year one, or 9999, in another's
        pass
    raise Refused(
        "invalid_request",
        f"{what} is neither a revision nor a time: {text[:40]!r}",
        "write 4711 or 2026-03-01T12:00:00Z",
    )


def is_revision(text: str) -> bool:
    return _REVISION.fullmatch(text) is not None


async def revision_at(store: Store, head: int, now: float, text: str) -> int:
    """The revision that `at` means: itself, or the newest at a time. Raises Refused for what was not yet, or never."""
    if is_revision(text):
        revision = int(text)
        if not 0 < revision <= head:
            raise Refused("invalid_request", f"there is no revision {revision}: the log has 1 to {head}")
        return revision
    time = parse_time(text, "at")
    if time > codec.timestamp(now):
        raise Refused("invalid_request", f"{text[:40]} lies in the future")
    found = await store.find(Query(until=time, upto=head, newest=True), 1)
    if not found:
        raise Refused("invalid_request", f"the network did not exist yet at {text[:40]}")
    return found[0].seq


async def network_at(store: Store, revision: int, milestones: Milestones) -> Network:
    """The network at a revision: a fold of the log, from the last milestone on that the log still proves."""
    while (kept := milestones.before(revision)) is not None and not await _is_of(store, kept):
        milestones.forget(kept)
    network = EMPTY if kept is None else kept.network
    if network.revision == revision:
        return network
    async for read in store.read(network.revision, _READ):
        for at in range(0, len(read), _PAGE):
            page = read[at : at + _PAGE]
            network = fold(network, [codec.decode(stored.record) for stored in page if stored.seq <= revision])
            if network.revision == revision:
                return network
            await asyncio.sleep(0)
    return network


async def _is_of(store: Store, kept: Milestone) -> bool:
    """Whether the log still has the very chain that a milestone came of."""
    last = kept.network.revision
    return [stored.chain for stored in await store.find(Query(after=last - 1, upto=last), 1)] == [kept.chain]


class Sight(Struct, frozen=True, kw_only=True):
    """What is so between two peers at a revision, and the event that made it so; or, where that is not remembered, the
    revision before which it was."""

    reason: Reason
    since: Envelope | None
    before: int | None = None


class History:
    """What is asked of the past: of each kind so much at once, in bounded memory, in turns with all else."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._store = writer.store
        self._sightings = Sightings()
        self._catching_up = asyncio.Lock()
        self._folds = Places("the network as it was", 1, 16)
        # Of administrators (True) and of the others, who must not take their places.
        self.sights = {asks: Places("why two peers see each other", 8, 256) for asks in (True, False)}
        self.pages = Places("pages of the log", 4, 64)
        self.follows = Places("a log that goes on", 32, 0)

    async def at(self, revision: int) -> Network:
        """The network at a revision of the log. Raises Refused `busy`."""
        lately = self._writer.feed.history.at(revision)
        if lately is not None:
            return lately.network
        async with self._folds.take():
            return await network_at(self._store, revision, self._writer.feed.milestones)

    async def sight(self, network: Network, a: int, b: int) -> Sight:
        """Whether two peers (by id) of a network of the log see each other, why, and since which event."""
        revision = network.revision
        reason = explain(network, network.peers[a], network.peers[b])
        await self._catch_up(revision)
        since = self._sightings.since(a, b, revision)
        found = [] if since.seq is None else await self._store.find(Query(after=since.seq - 1, upto=since.seq), 1)
        return Sight(reason=reason, since=codec.envelope(found[0].record) if found else None, before=since.before)

    async def _catch_up(self, revision: int) -> None:
        """Know who saw whom up to a revision. The first time that is the whole log, but only what matters of it."""
        async with self._catching_up:
            while (known := self._sightings.revision) < revision:
                last = min(known + _STRETCH, revision)
                found = await self._store.find(Query(type=CONCERNED, after=known, upto=last), _STRETCH)
                for index, stored in enumerate(found, 1):
                    self._sightings.note(stored.seq, codec.decode(stored.record))
                    if not index % _PAGE:
                        await asyncio.sleep(0)
                self._sightings.revision = last
