"""The agent as `inn up -d` runs it, in this process, and `inn` beside it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

from innclient.agent.run import agent
from innclient.agent.session import Session
from tests.client.commands import Done, run
from tests.client.support import eventually


@contextlib.asynccontextmanager
async def agent_of(session: Session) -> AsyncIterator["asyncio.Task[None]"]:
    """An agent, when its socket is there; ended by SIGTERM if nothing ended it before."""

    async def ready() -> None:
        pass

    task = asyncio.create_task(agent([session], ready))
    await eventually(lambda: session.paths.socket.exists() or task.done(), "its socket")
    try:
        yield task
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await asyncio.gather(task, return_exceptions=True)


async def inn(session: Session, *args: str) -> Done:
    """`inn` on the machine of a session, whether its agent runs or not."""
    p = session.paths
    flags = ("-c", str(p.config_dir), "-d", str(p.data_dir), "--runtime-dir", str(p.runtime_dir))
    return await asyncio.to_thread(run, "inn", *flags, *args)
