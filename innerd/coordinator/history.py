"""The network as it was: a fold of the log up to a point, and since when two peers could reach each other.

A fold of the whole log takes a while; it yields to the loop after every page, so that nobody else waits for it.
"""

import asyncio
import re
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from innerd.domain.errors import Refused
from innerd.domain.events import AnyEvent
from innerd.domain.network import EMPTY, Network, evolve, fold
from innerd.domain.why import Reason, explain
from innerd.log import codec
from innerd.log.codec import Envelope
from innerd.log.store import Query, Store

_PAGE = 500  # events folded between two turns of the loop

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


async def network_at(store: Store, revision: int) -> Network:
    """The network at a revision."""
    network = EMPTY
    async for page in store.read(limit=_PAGE):
        events = [codec.decode(stored.record) for stored in page if stored.seq <= revision]
        network = fold(network, events)
        if page[-1].seq >= revision:
            break
        await asyncio.sleep(0)
    return network


class Sight(Struct, frozen=True, kw_only=True):
    """What is so between two peers at a revision, and the event that made it so."""

    reason: Reason
    since: Envelope | None


_OF_THE_TREE = ("network.created", "cidr.", "association.")


async def sight(store: Store, a: int, b: int, revision: int) -> Sight:
    """Whether two peers (by id) see each other at a revision, why, and since which event.

    Only the tree, the associations and the two peers matter, so only their events are read.
    """
    found = {}
    queries = [Query(type=prefix, upto=revision) for prefix in _OF_THE_TREE]
    queries += [Query(subject=f"peer:{number}", upto=revision) for number in (a, b)]
    for query in queries:
        after = 0
        while page := await store.find(replace(query, after=after), _PAGE):
            found.update({stored.seq: stored for stored in page})
            after = page[-1].seq
            await asyncio.sleep(0)
    network, before, since = EMPTY, None, None
    for seq in sorted(found):
        event: AnyEvent = codec.decode(found[seq].record)
        network = evolve(network, event)
        one, other = network.peers.get(a), network.peers.get(b)
        reason = explain(network, one, other) if one is not None and other is not None else None
        if reason is not None and (before is None or reason.sees != before.sees):
            since = codec.envelope(found[seq].record)
        before = reason
    if before is None:
        raise Refused("peer_not_found", "one of the two peers did not exist at that time")
    return Sight(reason=before, since=since)
