"""Last words: who is shut out has heard why, and who shuts itself out has its answer, before the device lets it go."""

import asyncio

import pytest

from innerd.domain import commands as c
from innerd.streaming import hub
from tests.api.asking import ask
from tests.api.sockets import PATIENCE, deaf
from tests.client.support import eventually
from tests.world import World, crowded

LEAVING = {"disable": ("PATCH", "", {"is_disabled": True}), "retire": ("DELETE", "?remove=true", None)}


@pytest.mark.parametrize("how", LEAVING)
async def test_the_answer_waits_for_no_device_and_the_device_for_the_answer(w: World, how: str) -> None:
    method, query, body = LEAVING[how]
    let_go = asyncio.Event()
    order: list[str] = []

    async def settle(revision: int) -> None:
        await let_go.wait()  # as the device does, which lets go of who asks

    committed = asyncio.Event()
    w.writer.feed.follow("device", lambda change: committed.set())

    async def device() -> None:
        await committed.wait()
        await w.hub.farewells()
        order.append("key gone")

    ryo = w.peer("ryo")
    w.provide(settle=settle)
    syncing = asyncio.create_task(device())
    answer = await ask(w, "ryo", method, f"/v1/admin/peers/{ryo.id}{query}", json=body)
    order.insert(0, "answered") if not syncing.done() else order.append("answered")
    await syncing
    assert (answer.status, order) == (204, ["answered", "key gone"])


async def test_a_change_of_oneself_that_shuts_nobody_out_waits_for_the_device(w: World) -> None:
    settled: list[int] = []

    async def settle(revision: int) -> None:
        settled.append(revision)

    w.provide(settle=settle)
    answer = await ask(w, "ryo", "PATCH", f"/v1/admin/peers/{w.peer('ryo').id}", json={"name": "ryoko"})
    assert (answer.status, settled) == (204, [w.writer.network.revision])
    await asyncio.wait_for(w.hub.farewells(), 0.1)  # nothing is waited for


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for last words waits until they have come."""
    for module in ("innerd.streaming.hub", "innerd.api.stream", "innerd.api.handling"):
        monkeypatch.setattr(f"{module}.FAREWELL", 60.0)


async def is_waited_for(waiting: "asyncio.Task[None]") -> bool:
    done, _ = await asyncio.wait({waiting}, timeout=0.2)
    return not done


@pytest.mark.usefixtures("patient")
async def test_a_key_does_not_go_before_the_reason_why_has_come(w: World) -> None:
    """Not when it was written: the packet may be lost, or be behind others, and nothing is sent again without a key."""
    async with w.listening() as port, deaf(w, "mari", port) as mari:
        mari.request("GET /v1/user/events HTTP/1.1")
        await eventually(lambda: w.hub.streams.by_peer)
        (stream,) = w.hub.streams.by_peer.values()
        for _ in range(40):
            w.hub.streams.write(stream, b": " + b"x" * 1000 + b"\n\n")
        await eventually(lambda: not stream.pipe.waiting(), "all is the kernel's")
        await w.do(c.DisablePeer(w.peer("mari").id))
        waiting = asyncio.create_task(w.hub.farewells())
        assert await is_waited_for(waiting)
        assert b'{"reason":"disabled"}' in await mari.read_until(b"\r\n0\r\n")
        async with asyncio.timeout(PATIENCE):
            await waiting


@pytest.mark.usefixtures("patient")
async def test_a_key_does_not_go_before_the_last_answer_has_come(w: World) -> None:
    await crowded(w, "humans", "127.42.200.1", 200)
    async with w.listening() as port, deaf(w, "ryo", port) as ryo:
        ryo.request("GET /v1/user/state HTTP/1.1")
        ryo.request(f"PATCH /v1/admin/peers/{w.peer('ryo').id} HTTP/1.1", '{"is_disabled":true}')
        await eventually(lambda: not w.peer("ryo").is_active)
        waiting = asyncio.create_task(w.hub.farewells())
        assert await is_waited_for(waiting)
        await ryo.read_until(b"HTTP/1.1 204")
        async with asyncio.timeout(PATIENCE):
            await waiting


async def test_a_key_goes_though_its_peer_takes_nothing(w: World) -> None:
    async with w.listening() as port, deaf(w, "mari", port) as mari:
        mari.request("GET /v1/user/events HTTP/1.1")
        await eventually(lambda: w.hub.streams.by_peer)
        (stream,) = w.hub.streams.by_peer.values()
        w.hub.streams.write(stream, b": " + b"x" * 40_000 + b"\n\n")
        await w.do(c.DisablePeer(w.peer("mari").id))
        async with asyncio.timeout(hub.FAREWELL + PATIENCE):
            await w.hub.farewells()
