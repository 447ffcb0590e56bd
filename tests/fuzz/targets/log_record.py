"""Records that somebody wrote past us, well chained: a replay takes them, or says which of them can't be."""

import asyncio
import contextlib
from collections.abc import Iterator

from innerd.coordinator.replay import load, replayed_rows
from innerd.domain.unreadable import UNREADABLE
from innerd.log import chain, codec
from innerd.log.codec import Who
from innerd.log.memory import MemoryStore
from innerd.log.store import StoreCorrupt, Stored
from tests.log.examples import EVENTS, NOW
from tests.log.histories import BEGUN, history

_WHO = Who("local:root", "socket")
_LIFE = [event for turn in history(BEGUN) for event in turn.events]


def _records(events: list[object]) -> bytes:
    return b"\n".join(codec.encode(event, seq, NOW, _WHO) for seq, event in enumerate(events, 1))  # type: ignore[arg-type]


SEEDS = [_records(list(_LIFE)), _records(list(_LIFE[:2])), *(_records([*_LIFE, event]) for event in EVENTS)]
WORDS = [
    *(b'"data":{', b'"seq":', b'"version":2', b'"at":"', b'"parent":9', b'"peer":1', b'"cidr_id":1', b"10.42.0.0/16"),
    *(b'"x":' + b"[" * 2000, b'"at":"0001-01-01T00:00:00Z"', b"\n"),
]


def check(data: bytes) -> None:
    records = data.split(b"\n")[:100]
    for record in records:
        with contextlib.suppress(codec.UnknownEvent, *UNREADABLE):
            codec.decode(record)
    asyncio.run(_replay(list(_chained(records))))


async def _replay(stored: list[Stored]) -> None:
    store = MemoryStore()
    store.records.extend(stored)
    try:
        await load(store)
        await replayed_rows(store)
    except (StoreCorrupt, codec.UnknownEvent):
        return


def _chained(records: list[bytes]) -> Iterator[Stored]:
    try:
        link = chain.genesis(codec.decode(records[0]).id)  # type: ignore[union-attr]
    except (codec.UnknownEvent, *UNREADABLE, ValueError, AttributeError, TypeError):
        link = chain.genesis("")
    for seq, record in enumerate(records, 1):
        link = chain.link(link, bytes(16), record)
        yield Stored(seq, record, bytes(16), link)
