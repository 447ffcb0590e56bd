"""How far each peer is, and waiting until all that a change concerns have it.

A peer is converged at a revision when its receipt is at or past the last revision, up to that one, that it was told of;
a peer that nothing concerned is converged without a word. What it was told, the hub notes; what it has applied, it
reports. innernet's clients never report: they are "polling".
"""

import asyncio
from collections.abc import Callable, Iterator

from innerd.coordinator.presence import Presence
from innerd.coordinator.writer import Writer
from innerd.domain.errors import Refused
from innerd.domain.network import Peer
from innerd.domain.values import COORDINATOR
from innerd.domain.visibility import View
from innerd.streaming.hub import Hub
from innerd.wire import ours

MOST = 600.0  # seconds that a request may wait


class _Waiting:
    """One request that waits for some peers."""

    def __init__(self, missing: set[int]) -> None:
        self.missing = missing
        self.done = asyncio.Event()
        self.let_go(0)

    def let_go(self, peer: int) -> None:
        self.missing.discard(peer)
        if not self.missing:
            self.done.set()


class Convergence:
    def __init__(self, writer: Writer, presence: Presence, hub: Hub, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._presence = presence
        self._hub = hub
        self._clock = clock
        self._waiting: dict[_Waiting, int] = {}  # and the revision that each waits for
        presence.on_progress(self._moved)

    def at(self, revision: int) -> Iterator[ours.PeerConvergence]:
        """How far each active peer is with what happened up to a revision, by id."""
        view = self._writer.view
        for peer in view.network.by_id():
            if peer.is_active and peer.id != COORDINATOR:
                yield self._of(peer, view, revision)

    def lagging(self) -> list[str]:
        """The names of connected peers that are behind."""
        peers = self._writer.network.peers
        return [peers[number].name for number in sorted(self.behind()) if number in peers]

    def behind(self) -> list[int]:
        """The connected peers that are behind. Only those are looked at that were told something, or came, since they
        had all."""
        revision, unsettled = self._writer.network.revision, self._presence.unsettled
        settled = [peer for peer in unsettled if peer not in self._presence.streaming or self._has(peer, revision)]
        unsettled.difference_update(settled)
        return list(unsettled)

    async def wait(self, revision: int, seconds: float) -> float:
        """Return when all connected peers have what happened up to a revision, those too that came meanwhile, or when
        the time is over: the seconds that it took. Raises Refused where the coordinator stops meanwhile."""
        clock = asyncio.get_running_loop().time
        began = clock()
        while (missing := self._missing(revision)) and (left := began + seconds - clock()) > 0:
            await self._wait_for(missing, revision, left)
        return clock() - began

    def _missing(self, revision: int) -> set[int]:
        return {peer for peer in self._presence.streaming if not self._has(peer, revision)}

    async def _wait_for(self, missing: set[int], revision: int, seconds: float) -> None:
        waiting = _Waiting(missing)
        self._waiting[waiting] = revision
        stopping = asyncio.ensure_future(self._hub.stopping.wait())
        done = asyncio.ensure_future(waiting.done.wait())
        try:
            await asyncio.wait((done, stopping), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._waiting[waiting]
            done.cancel()
            stopping.cancel()
        if self._hub.stopping.is_set() and not waiting.done.is_set():
            raise Refused("store_unavailable", "the coordinator is shutting down", "the change is made: ask again")

    def _moved(self, peer: int) -> None:
        """A receipt came, or a stream came or went: who is not connected any more is not waited for."""
        if peer in self._presence.streaming and not self._has(peer, self._writer.network.revision):
            self._presence.unsettled.add(peer)
        else:
            self._presence.unsettled.discard(peer)
        for waiting, revision in self._waiting.items():
            if peer in waiting.missing and (peer not in self._presence.streaming or self._has(peer, revision)):
                waiting.let_go(peer)

    def _has(self, peer: int, revision: int) -> bool:
        """Whether a connected peer has all that it was to be told up to a revision."""
        receipt = self._presence.receipts.get(peer)
        if receipt is None or self._hub.is_behind(peer, revision):
            return False
        return receipt.revision >= min(revision, self._presence.told.get(peer, 0))

    def _of(self, peer: Peer, view: View, revision: int) -> ours.PeerConvergence:
        receipt, told = self._presence.receipt(peer.id), self._presence.told.get(peer.id, 0)
        if peer.id in self._presence.streaming:
            state = "current" if self._has(peer.id, revision) else "behind"
            concerned = told >= revision or self._hub.is_behind(peer.id, revision)
        else:
            polls = peer.id not in self._presence.proven and self._presence.is_online(peer.id, self._clock())
            state = "polling" if polls else "offline"
            concerned = self._writer.feed.concern.last(view.class_of(peer)) >= revision
        return ours.PeerConvergence(
            id=peer.id,
            name=peer.name,
            state=state,
            concerned=concerned,
            applied=receipt.revision if receipt else None,
            applied_at=receipt.at if receipt else None,
            refused=[ours.RefusedPeer(peer=p, reason=r) for p, r in receipt.refused] if receipt else [],
        )
