"""From the log back to the network: a replay that believes no record whose hash does not fit."""

import asyncio
import gc
from collections import deque

from msgspec import Struct

from innerd.coordinator.milestones import Milestones
from innerd.domain.events import AnyEvent, NetworkCreated, type_of
from innerd.domain.network import EMPTY, Network, evolve, fold
from innerd.domain.unreadable import UNREADABLE
from innerd.domain.visibility import View, structural
from innerd.log import chain, codec
from innerd.log.projection import Tables, no_tables, project, put
from innerd.log.store import Store, StoreCorrupt, Stored

_PAGE = 1000  # records in memory at a time
_RECENT, _RECENT_TREES = 1000, 8  # events that are remembered one by one, and changes of the tree among them


class Replayed(Struct, frozen=True):
    """A log that was read and verified: the chain's head, the time of the last event, and the network as it was before
    the last few events and those: who comes back after a restart is told just what it missed. `milestones`: what the
    network was on the way."""

    base: Network
    recent: tuple[AnyEvent, ...]
    chain: bytes
    at: float
    milestones: Milestones

    @property
    def network(self) -> Network:
        """The network as it is now."""
        return fold(self.base, self.recent)


async def load(store: Store) -> Replayed:
    """Replay the log, verifying the chain. Raises StoreCorrupt and codec.UnknownEvent, naming the record."""
    collects = gc.isenabled()
    gc.disable()  # all that a replay makes stays: looking for garbage among it takes as long as the replay
    try:
        return await _replay(store)
    finally:
        if collects:
            gc.enable()


async def _replay(store: Store) -> Replayed:
    network, link, at, milestones = EMPTY, b"", 0.0, Milestones()
    pages = deque[tuple[Network, list[AnyEvent]]](maxlen=2)  # the last two, each with the network before it
    async for page in store.read(limit=_PAGE):
        link = _checked(page, network.revision, link or _genesis(page[0]))
        events = _decoded(page)
        pages.append((network, events))
        network = _folded(network, events)
        milestones.note(network, link)
        at = _time_of(page[-1])
    recent = [event for _, events in pages for event in events]
    cut = _first_kept(recent)
    return Replayed(fold(pages[0][0] if pages else EMPTY, recent[:cut]), tuple(recent[cut:]), link, at, milestones)


def _checked(page: list[Stored], revision: int, link: bytes) -> bytes:
    """The chain behind a page that goes on where it was: at a revision, with this hash. Raises StoreCorrupt."""
    for seq, stored in enumerate(page, revision + 1):
        link = chain.link(link, stored.salt, stored.record)
        if link != stored.chain or stored.seq != seq or len(stored.salt) != 16:
            raise StoreCorrupt(f"the hash chain breaks at event {stored.seq}: it is not what was written")
    return link


def _first_kept(events: list[AnyEvent]) -> int:
    """Where the events begin that are worth remembering one by one: changes of the tree cost an index each."""
    trees = [index for index, event in enumerate(events) if structural((event,))]
    return max(0, len(events) - _RECENT, trees[-_RECENT_TREES - 1] + 1 if len(trees) > _RECENT_TREES else 0)


def _folded(network: Network, events: list[AnyEvent]) -> Network:
    try:
        return fold(network, events)
    except (LookupError, ValueError):  # well chained, but nothing that this program ever wrote
        for event in events:
            try:
                network = evolve(network, event)
            except (LookupError, ValueError) as error:
                raise _impossible(network.revision + 1, event, error) from error
        raise


def _impossible(seq: int, event: AnyEvent, error: Exception) -> StoreCorrupt:
    return StoreCorrupt(f"event {seq} ({type_of(event)}) can't have happened: {error!r}")


def _genesis(first: Stored) -> bytes:
    """chain_0, of the network that the first record speaks of. A record that can't be read shows in its link."""
    try:
        event = codec.decode(first.record)
        if not isinstance(event, NetworkCreated):
            raise StoreCorrupt(f"the log does not begin with network.created, but with {type_of(event)}")
        return chain.genesis(event.id)
    except (codec.UnknownEvent, *UNREADABLE, ValueError):
        return chain.genesis("")


def _time_of(stored: Stored) -> float:
    try:
        return codec.envelope(stored.record).time
    except (*UNREADABLE, ValueError, OverflowError) as error:
        raise StoreCorrupt(f"event {stored.seq} can't be read: {error}") from error


def _decoded(page: list[Stored]) -> list[AnyEvent]:
    events: list[AnyEvent] = []
    try:
        for stored in page:
            events.append(codec.decode(stored.record))
    except UNREADABLE as error:
        raise StoreCorrupt(f"event {stored.seq} can't be read: {error}") from error
    return events


async def replayed_rows(store: Store) -> Tables:
    """The rows of the read models as the log alone has them, each with the revision of its last change."""
    view, tables = View.of(EMPTY), no_tables()
    async for page in store.read(limit=500):
        for stored in page:
            event, before = codec.decode(stored.record), view
            try:
                view = before.advance(evolve(before.network, event), (event,))
            except (LookupError, ValueError) as error:  # well chained, but nothing that this program ever wrote
                raise _impossible(stored.seq, event, error) from error
            put(tables, project(before, view, (event,)))
        await asyncio.sleep(0)
    return tables
