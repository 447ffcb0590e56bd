"""What administrators read: pages of the audit trail, and how far each peer is."""

import re

from innerd.coordinator.feed import Feed
from innerd.coordinator.writer import Writer
from innerd.domain.errors import Refused
from innerd.domain.network import COORDINATOR, Network
from innerd.domain.visibility import View
from innerd.log import codec
from innerd.log.store import Stored
from innerd.presence import Presence
from innerd.wire import ours

_MOST = 1000


async def audit_page(writer: Writer, asked: dict[str, str]) -> ours.Audit:
    """A page of the log, oldest first. Filters: `after` (revision), `limit`, `type` (prefix), `subject`, `actor`."""
    after, limit = _number(asked, "after", 0), min(_number(asked, "limit", 100), _MOST)
    if not limit:
        raise Refused("invalid_request", "limit must be at least 1")
    found: list[ours.AuditRecord] = []
    last = after
    async for page in writer.store.read(after):
        for stored in page:
            record = _record(stored, writer.network)
            if stored.seq <= writer.network.revision and _matches(record, asked):
                found.append(record)
            last = stored.seq
            if len(found) == limit:
                return ours.Audit(revision=writer.network.revision, events=found, next=last)
    return ours.Audit(revision=writer.network.revision, events=found, next=None)


def _number(asked: dict[str, str], name: str, default: int) -> int:
    text = asked.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Refused("invalid_request", f"{name} must be a number, not {text[:40]!r}")
    return int(text)


def _matches(record: ours.AuditRecord, asked: dict[str, str]) -> bool:
    return (
        record.type.startswith(asked.get("type", ""))
        and asked.get("subject") in (None, record.subject)
        and asked.get("actor") in (None, record.actor, record.actor_name)
    )


def _record(stored: Stored, network: Network) -> ours.AuditRecord:
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


def convergence_of(view: View, presence: Presence, feed: Feed, now: float) -> list[ours.PeerConvergence]:
    """How far each active peer is. A peer is current when its receipt is at or past the last revision that
    concerned it, which the hub notes as what it was told last."""
    found = []
    for number in sorted(view.network.peers):
        peer = view.network.peers[number]
        if not peer.is_active or peer.id == COORDINATOR:
            continue
        receipt = presence.receipts.get(number)
        told = presence.told.get(number, 0)
        if number in presence.streaming:
            state = "current" if receipt is not None and receipt.revision >= told else "behind"
        else:
            state = "polling" if presence.is_online(number, now) and receipt is None else "offline"
        found.append(
            ours.PeerConvergence(
                id=number,
                name=peer.name,
                state=state,
                applied=receipt.revision if receipt else None,
                applied_at=receipt.at if receipt else None,
                refused=[ours.RefusedPeer(peer=p, reason=r) for p, r in receipt.refused] if receipt else [],
            )
        )
    return found
