"""What runs beside an agent ends before what it uses; one cycle reports all that it should before it ends."""

import asyncio
from pathlib import Path

import pytest

from innclient.agent.errands import Errands
from innclient.agent.run import cycle
from innclient.agent.tunnel import candidates
from innerd.wireguard.device import DeviceError
from tests.client.support import session_of
from tests.world import World, populated

PORT = 52_007


async def test_errands_end_before_their_end_is_over() -> None:
    errands, ended = Errands(), list[str]()

    async def errand(name: str, gate: asyncio.Event) -> None:
        try:
            await gate.wait()
        finally:
            ended.append(name)

    opened, closed = asyncio.Event(), asyncio.Event()
    opened.set()
    errands.send(errand("done", opened))
    await errands.done()
    assert ended == ["done"]
    errands.send(errand("called back", closed))
    await asyncio.sleep(0)  # it begins
    await errands.end()
    assert ended == ["done", "called back"]


async def test_an_errand_that_fails_leaves_no_traceback_behind() -> None:
    errands, unheard = Errands(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unheard.append(context))

    async def errand() -> None:
        raise DeviceError("device_failed", "it went")

    errands.send(errand())
    await errands.done()
    assert unheard == []


@pytest.fixture
async def kermpany() -> World:
    return await populated()


async def test_one_cycle_has_reported_where_this_host_is(kermpany: World, tmp_path: Path) -> None:
    async with kermpany.listening() as port:
        session = session_of(kermpany, "ryo", tmp_path, port, report_candidates=True, listen_port=PORT)
        await cycle(session)
        wanted = await asyncio.to_thread(candidates, session.tunnel.get().listen_port, [])
        assert [str(at) for at in kermpany.presence.candidates.get(kermpany.peer("ryo").id, ())] == wanted
        assert wanted
