"""What was seen of peers, kept beside the log for the next start: where and when each shook hands, whether it runs
`inn`, and of which release, its last receipt.

It is no event, and nobody waits for it: what has changed is written once a minute at most, in small transactions, and
when the coordinator stops. A crash loses the last minute of it.
"""

import asyncio

import structlog

from innerd.coordinator.presence import Observed, Presence, Receipt
from innerd.coordinator.writer import Writer
from innerd.domain.values import Endpoint, is_by_tcp
from innerd.log.store import Seen, StoreError

_log = structlog.get_logger("innerd")

_PAUSE = 60.0  # seconds between two writes
_TOGETHER = 500  # peers in one transaction: commits of the log come in between


async def recall(writer: Writer, presence: Presence) -> None:
    """Know what was known of the peers that there still are. Raises StoreError."""
    network = writer.network
    for seen in await writer.store.seen():
        peer = network.peers.get(seen.peer)
        if peer is None or not peer.is_active:
            continue
        observed, receipt = None, None
        if seen.handshake is not None:
            at = Endpoint(seen.endpoint) if seen.endpoint and not is_by_tcp(Endpoint(seen.endpoint)) else None
            observed = Observed(at, seen.handshake, 0, 0)
        if seen.applied is not None and seen.applied_at is not None and seen.applied <= network.revision:
            receipt = Receipt(seen.applied, seen.applied_at)
        presence.recall(seen.peer, observed, receipt, seen.software, is_proven=seen.is_proven)


async def keep(writer: Writer, presence: Presence) -> None:
    """Write down what changes, until cancelled."""
    is_said = False
    while True:
        await asyncio.sleep(_PAUSE)
        try:
            await write(writer, presence)
            is_said = False
        except StoreError as error:
            if not is_said:
                _log.warning("what was seen of peers can't be written down", why=str(error))
            is_said = True


async def write(writer: Writer, presence: Presence) -> None:
    """Write down what has changed since the last time. Raises StoreError: what was not written is so the next time."""
    while presence.worth_keeping:
        some = [presence.worth_keeping.pop() for _ in range(min(_TOGETHER, len(presence.worth_keeping)))]
        peers = writer.network.peers
        try:
            seen = [_seen(presence, number) for number in some if number in peers]
            await writer.store.remember(seen, [number for number in some if number not in peers])
        except BaseException:
            presence.worth_keeping.update(some)
            raise


def _seen(presence: Presence, number: int) -> Seen:
    observed, receipt = presence.observed.get(number), presence.receipt(number)
    return Seen(
        peer=number,
        endpoint=None if observed is None else observed.endpoint,
        handshake=None if observed is None else observed.handshake,
        is_proven=number in presence.proven,
        applied=None if receipt is None else receipt.revision,
        applied_at=None if receipt is None else receipt.at,
        software=presence.software.get(number),
    )
