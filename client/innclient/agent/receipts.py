"""What this peer tells the coordinator of itself: receipts of what its device matches, and where it may be reached."""

import asyncio
import time

import httpx2
import structlog

from innclient.agent import store, stream
from innclient.agent.tunnel import Tunnel, candidates
from innclient.config import AgentSection
from innclient.core.membership import Core
from innclient.core.netmap import Netmap
from innerd.domain.values import parse_range

_AGAIN = 1.0  # seconds until what got lost is said again

_log = structlog.get_logger("agent")


class Reporter:
    def __init__(self, core: Core, shelf: store.Shelf, http: httpx2.AsyncClient, saved: float | None) -> None:
        self.saved = saved  # when the netmap was written down last
        self._core, self._shelf, self._http = core, shelf, http
        self._matched = asyncio.Event()  # the device does what is not yet written down or reported
        self._on_disk: Netmap | None = None
        self._signed_on_disk = core.witnessed

    def stir(self) -> None:
        """The device matches something new, or the coordinator must be told again."""
        self._matched.set()

    async def run(self) -> None:
        """Write down what the device matches, then send a receipt; aside, as disk and coordinator may be slow. A
        receipt is a promise that outlives a crash: who was let go of does not come back with the old memory."""
        while True:
            await self._matched.wait()
            self._matched.clear()
            if not await self.once():
                await asyncio.sleep(_AGAIN)
                self.stir()

    async def once(self) -> bool:
        """Whether there is nothing left to be said, so far as the disk allows."""
        await asyncio.to_thread(self.remember)
        netmap = self._core.matched
        if netmap is not self._on_disk:
            now = time.time()
            if not await asyncio.to_thread(self._shelf.save_netmap, netmap, now):
                return True  # a disk that refuses: no promise until it takes it, which a later tick tries
            self._on_disk, self.saved = netmap, now
            if self._core.matched is not netmap:
                self.stir()
                return True
        receipt = self._core.receipt()
        if receipt is not None and not await self._put("/v1/user/applied", receipt):
            self._core.applied = None
            return False
        return True

    def remember(self) -> None:
        """Write down what the coordinator signed, proofs against it most of all."""
        witnessed = self._core.witnessed
        if witnessed is not self._signed_on_disk:
            self._shelf.save_witnessed(witnessed)
            self._signed_on_disk = witnessed

    async def candidates(self, tunnel: Tunnel, section: AgentSection) -> None:
        """Say where this host may be reached."""
        device = await asyncio.to_thread(tunnel.get)
        excluded = [parse_range(text) for text in section.exclude_nat_candidates]
        found = await asyncio.to_thread(candidates, device.listen_port, excluded)
        await self._put("/v1/user/candidates", found)

    async def _put(self, path: str, body: object) -> bool:
        """Whether the coordinator has heard it."""
        why = await stream.put(self._http, path, body)
        if why is not None:
            _log.info("a report was lost", path=path, why=why)
        return why is None
