"""What is done aside, in order: the disk, then the receipt. The device waits for neither."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from innclient.agent.paths import now
from innclient.core import commands as c
from innclient.core import events as e
from innclient.core.agent import Agent
from innclient.core.commands import Command


class Aside:
    """`do` carries out a command, and gives what it is answered with."""

    def __init__(self, agent: Agent, do: Callable[[Command], Awaitable[e.Event | None]]) -> None:
        self._agent, self._do = agent, do
        self._waiting: asyncio.Queue[Command] = asyncio.Queue()

    def put(self, command: Command) -> None:
        self._waiting.put_nowait(command)

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            await self._carry_out(await self._waiting.get())

    async def settle(self, *, reports: bool) -> None:
        """What is left; without `reports` what concerns the disk alone."""
        while not self._waiting.empty():
            command = self._waiting.get_nowait()
            if reports or not isinstance(command, c.Report):
                await self._carry_out(command)

    async def _carry_out(self, command: Command) -> None:
        """Only more to be done aside comes of it: it waits for no change that is under way. Whatever goes wrong, the
        agent hears that it is over: else nothing would ever follow it."""
        try:
            answer = await self._do(command)
        except Exception:
            self._go_on(_UNDONE.get(type(command), lambda _: None)(command))
            raise
        self._go_on(answer)

    def _go_on(self, answer: e.Event | None) -> None:
        if answer is not None:
            for more in self._agent.handle(answer, now()):
                self.put(more)


_UNDONE: dict[type[Command], Callable[[Any], e.Event | None]] = {
    c.Report: lambda command: e.Reported(is_heard=False),
    c.WriteState: lambda command: e.Written(command.netmap, is_kept=False),
}
