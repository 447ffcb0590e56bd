"""A log written by hand: for networks that no command of today can make (imported, restored)."""

from innerd.domain.events import AnyEvent, NetworkCreated
from innerd.log import chain, codec
from innerd.log.memory import MemoryStore
from innerd.log.projection import Rows
from innerd.log.store import Stored
from tests.world import BEGINNING, LOCAL


async def write(store: MemoryStore, *events: AnyEvent) -> None:
    """Append events as they are, onto the chain."""
    link = store.records[-1].chain if store.records else b""
    for event in events:
        if isinstance(event, NetworkCreated):
            link = chain.genesis(event.id)
        seq, salt = len(store.records) + 1, bytes(16)
        record = codec.encode(event, seq, BEGINNING, LOCAL)
        link = chain.link(link, salt, record)
        await store.append([Stored(seq, record, salt, link)], Rows(), [])
