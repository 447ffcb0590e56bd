"""A machine of the mesh: the agent's real core, its device in memory, its disk as two values that outlive it."""

import asyncio
import contextlib
from random import Random
from typing import TYPE_CHECKING

from innclient.core.membership import Identity, Membership
from innclient.core.netmap import LogForked, Netmap
from innclient.core.pins import Pins
from innclient.core.trials import Server
from innerd.coordinator.presence import Receipt
from innerd.domain.errors import Refused
from innerd.domain.values import Address, Endpoint
from innerd.wire.stream import DECODERS, KEEPALIVE_INTERVAL, FrameParser
from innerd.wireguard.memory import MemoryBackend
from tests.mesh.links import Line, Weather
from tests.world import INTERFACE, key, private_key

if TYPE_CHECKING:
    from tests.mesh.life import Life

_SILENCE = KEEPALIVE_INTERVAL * 2.5


class Machine:
    def __init__(self, life: "Life", number: int, name: str, ip: Address, random: Random) -> None:
        self.life, self.number, self.name, self.ip = life, number, name, ip
        self.weather = Weather(random)
        self.netmap, self.pins = Netmap(), Pins()  # on its disk
        self.backend = MemoryBackend()
        self.backend.create(INTERFACE)
        self.core: Membership | None = None
        self.line: Line | None = None
        self.caught_up = False
        self._random = random
        server_ip = life.world.writer.network.coordinator.ip
        self._server = Server(key("coordinator"), server_ip, Endpoint("192.0.2.1:51820"))
        self._agent: asyncio.Task[None] | None = None

    # -- its life -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The agent starts, from what the disk holds."""
        me = Identity(
            private_key=private_key(self.name),
            public_key=key(self.name),
            ip=self.ip,
            server_key=self._server.public_key,
            server_ip=self._server.ip,
        )
        self.core = Membership(me, self.netmap, self.pins, {})
        self._agent = asyncio.create_task(self._run(self.core))

    async def kill(self) -> None:
        """SIGKILL, at whatever it was doing."""
        if self._agent is not None:
            self._agent.cancel()
            await asyncio.gather(self._agent, return_exceptions=True)
        self._agent, self.core, self.caught_up = None, None, False
        if self.line is not None:
            self.line.cut()

    def reboot(self) -> None:
        """The interface is gone too."""
        self.backend.delete(INTERFACE)
        self.backend.create(INTERFACE)

    @property
    def runs(self) -> bool:
        return self._agent is not None

    # -- its agent ----------------------------------------------------------------------------------------------

    async def _run(self, core: Membership) -> None:
        self._apply(core)
        pause = 0.2
        while True:
            began = self.life.time()
            with contextlib.suppress(Refused, LogForked, TimeoutError, ConnectionError):
                await self._follow(core)
            self.caught_up = False
            pause = 0.2 if self.life.time() - began > 10 else min(2 * pause, 15.0)
            await asyncio.sleep(pause * self._random.uniform(0.5, 1.5))

    async def _follow(self, core: Membership) -> None:
        async with asyncio.timeout(10):
            await self.weather.travel()
            line, stream = await self.life.connect(self, core.netmap.cursor)
            core.connected()
        self.line, frames, fresh = line, FrameParser(), True
        try:
            while (data := await line.read(_SILENCE)) is not None:
                told = [DECODERS[e.event].decode(e.data) for e in frames.feed(data) if e.event in DECODERS]
                if told:
                    fresh = await self._take(core, told, fresh)
        finally:
            self.life.hang_up(stream)
            line.cut()

    async def _take(self, core: Membership, told: list, fresh: bool) -> bool:
        """As the keeper does it: pins, device, disk, receipt; it may be killed between any two."""
        taken = core.take(told, self.life.now())
        pins = core.check_pins(taken.peers, self.life.now())
        if pins is not core.pins:
            await self._pause()
            self.pins = pins
            core.pins = pins
        await self._pause()
        self._apply(core, taken)
        core.matched = core.netmap
        if taken.is_caught_up:
            self.caught_up = True
        if taken.bye is not None:
            self.netmap = core.matched
            raise ConnectionError(taken.bye)
        receipt = core.receipt()
        await self._pause()
        self.netmap = core.matched
        if receipt is not None:
            asyncio.create_task(self._report(receipt.revision, fresh))  # noqa: RUF006 - lost with the connection
        return fresh and not taken.is_caught_up

    async def _pause(self) -> None:
        await asyncio.sleep(self._random.uniform(0.0001, 0.002))

    def _apply(self, core: Membership, taken: object = None) -> None:
        device = self.backend.get(INTERFACE)
        changes, _ = core.changes(device, self._server, core.presence, self.life.now(), taken)  # type: ignore[arg-type]
        self.backend.apply(INTERFACE, changes)

    async def _report(self, revision: int, fresh: bool) -> None:
        self.life.promised(self, revision)
        await self.weather.travel()
        self.life.world.presence.report_applied(self.number, Receipt(revision, self.life.now()))
        if not fresh:
            self.life.heard_back(revision)
