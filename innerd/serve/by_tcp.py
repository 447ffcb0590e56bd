"""Peers that come by TCP (`[relay] tcp`): the listener while it can be had, and what is told of it."""

import asyncio
import time
from collections.abc import Iterator

import structlog

from innerd.coordinator.feed import Committed
from innerd.coordinator.looks import Looks
from innerd.coordinator.writer import Writer
from innerd.domain.invitations import is_open
from innerd.domain.values import PublicKey, endpoint_of
from innerd.domain.visibility import touched
from innerd.relay.tcp import TcpListener, TcpSetup
from innerd.wire.ours import Trouble
from innerd.wire.reach import TcpPeer, TcpStatus
from innerd.wireguard.device import DeviceError

_log = structlog.get_logger("relay")

_AGAIN = 30.0  # seconds until what failed is tried again
_REDEEMED = 5.0  # seconds for which who has another key now is carried by the one before
_SOON = 0.2, 0.5, 2.0  # seconds between looks at where somebody is who was here by TCP


class ByTcp:
    """`setup` None: nobody comes by TCP."""

    def __init__(self, setup: TcpSetup | None, writer: Writer, looks: Looks) -> None:
        self._writer, self._looks = writer, looks
        self._listener = None if setup is None else TcpListener(setup, self._whose, self._left)
        self._looking: asyncio.Task[None] | None = None
        self._has_left = False
        self._trouble: DeviceError | None = None

    def _whose(self, key: PublicKey) -> int | None:
        network = self._writer.network
        peer = network.peers.get(network.keys.get(key, 0))
        if peer is None or peer.public_key != key:
            return None
        return peer.id if peer.is_active or is_open(peer, time.time()) else None

    def _left(self) -> None:
        """Somebody is here by UDP again, most likely: those to whom it is relayed wait for where."""
        self._has_left = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while self._has_left:
            self._has_left = False
            for pause in _SOON:
                await asyncio.sleep(pause)
                await self._looks.now()

    def follow(self, change: Committed) -> None:
        """A follower of the feed: who is no peer any more is carried no more, at once. Who has redeemed hears that by
        the connection of the key before."""
        if self._listener is None:
            return
        spoken_of, peers = touched(change.events), change.after.network.peers
        kept = {number for number in spoken_of if number in peers and not peers[number].is_disabled}
        self._listener.part(spoken_of - kept)
        if kept & self._listener.carried.keys():
            asyncio.get_running_loop().call_later(_REDEEMED, self._listener.part, kept)

    async def run(self) -> None:
        """Listen, until cancelled; what can't be had is tried again."""
        if self._listener is None:
            return
        try:
            while True:
                try:
                    await self._listener.start()
                    self._trouble = None
                    await asyncio.Event().wait()
                except DeviceError as error:
                    if self._trouble is None:
                        _log.error("nobody can come by TCP", why=error.message)
                    self._trouble = error
                await asyncio.sleep(_AGAIN)
        finally:
            await self._listener.stop()
            if self._looking is not None:
                self._looking.cancel()

    def status(self) -> TcpStatus | None:
        if self._listener is None:
            return None
        setup, peers = self._listener.setup, self._writer.network.peers
        here = [(peers[n].name, one.remote) for n, one in self._listener.carried.items() if n in peers]
        return TcpStatus(
            at=endpoint_of(setup.host, setup.port),
            peers=[TcpPeer(peer=name, remote=remote) for name, remote in sorted(here)],
            refused=self._listener.refused.total(),
        )

    def troubles(self) -> Iterator[Trouble]:
        if self._trouble is not None:
            error = self._trouble
            yield Trouble(kind="relay", code=error.code, text=error.message, hint=error.hint)
