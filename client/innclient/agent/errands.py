"""What an agent does beside, waiting for nothing of it; but it ends before what it uses does, and what went wrong is
said."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from innerd.failure import Failure
from innerd.wireguard.device import DeviceError

_log = structlog.get_logger("agent")


class Errands:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def send(self, errand: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, DeviceError | Failure | OSError):
            _log.info("not done", why=str(error))
        elif error is not None:  # a bug of ours
            _log.error("internal error", exc_info=error)

    async def done(self) -> None:
        """Wait for all of them."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def end(self) -> None:
        """Call all of them back."""
        for task in self._tasks:
            task.cancel()
        await self.done()
