"""Who disables or retires itself gets its answer: it leaves before the device lets go of its key."""

import asyncio

import pytest

from tests.api.asking import ask
from tests.world import World

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
