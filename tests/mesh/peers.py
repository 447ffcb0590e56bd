"""A machine of the mesh: the real agent, its device in memory, its disk as two values that outlive it.

What the agent commands is carried out here as on a host, and between any two commands the machine may be killed.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING

from innclient.core import commands as c
from innclient.core import events as e
from innclient.core.agent import Agent
from innclient.core.commands import ASIDE, Command
from innclient.core.connection import Denied, Lost, State
from innclient.core.membership import Identity, Membership
from innclient.core.netmap import Netmap
from innclient.core.paths import PeerPaths
from innclient.core.peer_path import Instant
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
        self.agent: Agent | None = None
        self.line: Line | None = None
        self._random = random
        self._turn = asyncio.Lock()
        self._aside: asyncio.Queue[Command] = asyncio.Queue()
        self._pause = 0.0
        self._ending: Exception | None = None
        self._is_fresh = True  # nothing was heard on this connection that it promises anew
        server_ip = life.world.writer.network.coordinator.ip
        self._server = Server(key("coordinator"), server_ip, Endpoint("192.0.2.1:51820"))
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def membership(self) -> Membership | None:
        return None if self.agent is None else self.agent.membership

    @property
    def caught_up(self) -> bool:
        return self.agent is not None and self.agent.connection.state is State.FOLLOWING

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
        membership = Membership(me, self.netmap, self.pins, {})
        self.agent = Agent(membership, PeerPaths(membership, 1, tries=False), None, tells_candidates=False)
        self._turn, self._aside = asyncio.Lock(), asyncio.Queue()
        self._tasks = [asyncio.create_task(self._run(self.agent)), asyncio.create_task(self._keep_aside(self.agent))]

    async def kill(self) -> None:
        """SIGKILL, at whatever it was doing."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks, self.agent = [], None
        if self.line is not None:
            self.line.cut()

    def reboot(self) -> None:
        """The interface is gone too."""
        self.backend.delete(INTERFACE)
        self.backend.create(INTERFACE)

    @property
    def runs(self) -> bool:
        return bool(self._tasks)

    # -- its agent ----------------------------------------------------------------------------------------------

    def _now(self) -> Instant:
        return Instant(self.life.now(), self.life.time())

    async def _run(self, agent: Agent) -> None:
        await self._feed(agent, e.Stays())
        await self._feed(agent, e.Ticked())
        while True:
            began = self.life.time()
            try:
                await self._follow(agent)
                error: Exception = Lost("the line was cut")
            except Refused as refused:
                error = Denied(refused.code, refused.message)
            except (TimeoutError, ConnectionError) as lost:
                error = Lost(str(lost))
            error = self._ending or error
            await self._feed(agent, e.Closed())
            await self._feed(agent, e.Parted(error, self.life.time() - began))
            await asyncio.sleep(self._pause * self._random.uniform(0.5, 1.5))

    async def _follow(self, agent: Agent) -> None:
        self._ending, self._is_fresh = None, True
        async with asyncio.timeout(10):
            await self.weather.travel()
            line, stream = await self.life.connect(self, agent.membership.netmap.cursor)
        self.line, frames = line, FrameParser()
        try:
            await self._feed(agent, e.Opened())
            while self._ending is None and (data := await line.read(_SILENCE)) is not None:
                told = [DECODERS[f.event].decode(f.data) for f in frames.feed(data) if f.event in DECODERS]
                await self._feed(agent, e.Told(told))
        finally:
            self.life.hang_up(stream)
            line.cut()

    async def _feed(self, agent: Agent, event: e.Event) -> None:
        async with self._turn:
            await self._carry_out(agent, agent.handle(event, self._now()))

    async def _carry_out(self, agent: Agent, commands: Iterable[Command]) -> None:
        left = deque(commands)
        while left:
            command = left.popleft()
            if isinstance(command, ASIDE):
                self._aside.put_nowait(command)
                continue
            answer = await self._do(agent, command)
            if answer is not None:
                left.extendleft(reversed(agent.handle(answer, self._now())))

    async def _do(self, agent: Agent, command: Command) -> e.Event | None:
        match command:
            case c.SavePins():
                await self._take_time()
                self.pins = command.pins
                return e.PinsSaved()
            case c.Resolve():
                known = agent.membership.presence
                return e.Resolved(self._server, known, {})
            case c.Read():
                return e.WasRead(self.backend.get(INTERFACE))
            case c.Apply():
                await self._take_time()
                self.backend.apply(INTERFACE, command.changes)
                return e.Applied()
            case c.ShowNames():
                return e.NamesShown()
            case c.Connect():
                self._pause = command.after
            case c.HangUp():
                self._ending = command.error
        return None

    async def _keep_aside(self, agent: Agent) -> None:
        while True:
            command = await self._aside.get()
            await self._take_time()
            match command:
                case c.WriteState():
                    self.netmap = command.netmap
                    answer: e.Event = e.Written(command.netmap, is_kept=True)
                case c.Report():
                    answer = e.Reported(await self._report(command.receipt.revision))
                case _:
                    continue
            for more in agent.handle(answer, self._now()):
                self._aside.put_nowait(more)

    async def _take_time(self) -> None:
        await asyncio.sleep(self._random.uniform(0.0001, 0.002))

    async def _report(self, revision: int) -> bool:
        """The first receipt on a connection is of what the coordinator may have known."""
        fresh, self._is_fresh = self._is_fresh, False
        self.life.promised(self, revision)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await self.weather.travel()
                self.life.world.presence.report_applied(self.number, Receipt(revision, self.life.now()))
                if not fresh:
                    self.life.heard_back(revision)
                return True
        return False
