"""What administrators read of the log: pages of the audit trail."""

import asyncio
from collections.abc import Mapping

from innerd.coordinator.history import is_revision, parse_time
from innerd.coordinator.writer import Writer
from innerd.domain.errors import Refused
from innerd.domain.network import Network
from innerd.log import codec
from innerd.log.store import Query, Stored
from innerd.wire import ours

_MOST = 1000
_AT_ONCE = 100  # records made for showing between two turns of the loop


def audit_query(network: Network, asked: Mapping[str, str]) -> Query:
    """The search that the parameters of an audit ask for. Raises Refused.

    `after`, `since` and `until` are revisions (the first two exclusive) or, the latter, RFC 3339 times; `actor` is
    `peer:<id>`, a peer's name now, `local:<user>` or `coordinator`; `type` is a prefix; `newest=true` takes the last.
    """
    after, upto, since, until = _number(asked, "after", 0), network.revision, None, None
    if (text := asked.get("since")) is not None:
        if is_revision(text):
            after = max(after, int(text))
        else:
            since = parse_time(text, "since")
    if (text := asked.get("until")) is not None:
        if is_revision(text):
            upto = min(upto, int(text))
        else:
            until = parse_time(text, "until")
    return Query(
        after=after,
        upto=upto,
        since=since,
        until=until,
        type=asked.get("type", ""),
        subject=asked.get("subject"),
        actors=_actors(network, asked["actor"]) if "actor" in asked else (),
        newest=asked.get("newest") == "true",
    )


def _actors(network: Network, text: str) -> tuple[str, ...]:
    """What an actor is called in the log: a name may have been several peers' in its time."""
    named = [p.id for p in (*network.peers.values(), *network.retired.values()) if p.name == text]
    return (text, *(f"peer:{number}" for number in sorted(named)))


async def audit_page(writer: Writer, asked: Mapping[str, str]) -> ours.Audit:
    """A page of the log, oldest first: at most `limit` (100, and never more than 1000) records of a query."""
    limit = min(_number(asked, "limit", 100), _MOST)
    if not limit:
        raise Refused("invalid_request", "limit must be at least 1")
    network = writer.network
    query = audit_query(network, asked)
    found: list[ours.AuditRecord] = []
    for stored in await writer.store.find(query, limit):
        found.append(audit_record(stored, network))
        if not len(found) % _AT_ONCE:
            await asyncio.sleep(0)
    more = len(found) == limit and not query.newest
    return ours.Audit(revision=network.revision, events=found, next=found[-1].seq if more else None)


def _number(asked: Mapping[str, str], name: str, default: int) -> int:
    text = asked.get(name, str(default))
    if not is_revision(text):
        raise Refused("invalid_request", f"{name} must be a number, not {text[:40]!r}")
    return int(text)


def audit_record(stored: Stored, network: Network) -> ours.AuditRecord:
    read = codec.envelope(stored.record)
    return ours.AuditRecord(
        seq=read.seq,
        type=read.type,
        version=read.version,
        at=read.at,
        actor=read.actor,
        actor_name=actor_name(read.actor, network),
        origin=read.origin,
        request=read.request,
        subject=read.subject,
        data=read.data,
        chain=stored.chain.hex(),
    )


def actor_name(actor: str, network: Network) -> str:
    """`peer:2` as the peer's present name; others as they are."""
    if not actor.startswith("peer:"):
        return actor
    number = int(actor[5:])
    peer = network.peers.get(number) or network.retired.get(number)
    return peer.name if peer else actor
