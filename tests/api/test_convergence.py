"""`GET /v1/admin/convergence`: which peers have applied which revision, by their receipts."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from innerd.coordinator.presence import Observed
from innerd.domain import commands as c
from innerd.streaming.registry import Stream
from innerd.streaming.sender import MAX_WAITING
from innerd.wire.stream import Cursor
from tests.api.asking import Answer, ask
from tests.stepped import on_stepped_time, step
from tests.world import LOCAL, World, populated


async def convergence(w: World, who: str) -> dict[str, Any]:
    answer = await ask(w, "ryo", "GET", "/v1/admin/convergence")
    assert answer.json()["revision"] == w.writer.network.revision
    found: dict[str, Any] = next(peer for peer in answer.json()["peers"] if peer["name"] == who)
    return found


async def report(w: World, who: str, revision: int, **more: Any) -> None:
    answer = await ask(w, who, "PUT", "/v1/user/applied", json={"revision": revision} | more)
    assert (answer.status, answer.body) == (204, b"")


async def test_a_peer_is_behind_until_its_receipt_and_current_after(w: World) -> None:
    await w.open("mari")
    assert (await convergence(w, "mari"))["state"] == "behind"
    await report(w, "mari", w.writer.network.revision)
    assert await convergence(w, "mari") == {
        "id": w.peer("mari").id,
        "name": "mari",
        "state": "current",
        "concerned": True,
        "applied": w.writer.network.revision,
        "applied_at": w.now,
        "refused": [],
    }
    await w.do(c.RenamePeer(w.peer("ryo").id, "leo"))  # type: ignore[arg-type]
    peers = (await ask(w, "leo", "GET", "/v1/admin/convergence")).json()["peers"]
    assert {peer["name"]: peer["state"] for peer in peers}["mari"] == "behind"


async def test_what_does_not_concern_a_peer_does_not_set_it_back(w: World) -> None:
    await w.open("mari")
    await report(w, "mari", w.writer.network.revision)
    await w.do(c.DisablePeer(w.peer("tama").id))
    assert (await convergence(w, "mari"))["state"] == "current"


async def test_coming_back_after_what_did_not_concern_it_does_not_set_a_peer_back(w: World) -> None:
    stream = await w.open("mari")
    applied = w.writer.network.revision
    await report(w, "mari", applied)
    w.hub.closed(stream)
    await w.do(c.DisablePeer(w.peer("tama").id))
    await w.open("mari", Cursor(1, applied))
    assert (await convergence(w, "mari"))["state"] == "current"


async def test_refusals_are_told(w: World) -> None:
    await w.open("mari")
    refused = [{"peer": w.peer("ryo").id, "reason": "pin"}]
    await report(w, "mari", w.writer.network.revision, refused=refused)
    assert (await convergence(w, "mari"))["refused"] == refused


async def test_a_receipt_is_never_ahead_of_the_log(w: World) -> None:
    await w.open("mari")
    for ahead in (1, 1000, 2**62):
        body = {"revision": w.writer.network.revision + ahead}
        answer = await ask(w, "mari", "PUT", "/v1/user/applied", json=body)
        assert (answer.status, answer.code) == (412, "receipt_ahead")
    assert (await convergence(w, "mari"))["applied"] is None


async def test_a_receipt_is_never_ahead_of_what_its_peer_was_told(w: World) -> None:
    """Who was not told of a change can't have applied it, whoever says so at its address."""
    stream = await w.open("mari")
    told = w.writer.network.revision
    w.hub.closed(stream)
    await rename(w, "ryo", "leo")
    answer = await ask(w, "mari", "PUT", "/v1/user/applied", json={"revision": told + 1})
    assert (answer.status, answer.code) == (412, "receipt_ahead")
    await report(w, "mari", told)


async def test_an_agent_is_never_taken_for_a_client_that_polls(w: World) -> None:
    """Nor is who only polls ever counted as one that has it: receipts need the proof that innernet's clients lack."""
    w.presence.observe(w.peer("mari").id, Observed(None, w.now - 10, 0, 0))
    unproved = [("X-Innerd-Proof", "")]
    answer = await ask(w, "mari", "PUT", "/v1/user/applied", json={"revision": 1}, headers=unproved)
    assert (answer.status, answer.code) == (401, "proof_invalid")
    assert (await convergence(w, "mari"))["state"] == "polling"
    w.hub.closed(await w.open("mari"))
    await report(w, "mari", w.writer.network.revision)
    assert (await convergence(w, "mari"))["state"] == "offline"


@pytest.mark.parametrize(
    ("handshake", "stream", "receipt", "state"),
    [
        pytest.param(None, False, False, "offline", id="never seen"),
        pytest.param(10, False, False, "polling", id="innernet's client"),
        pytest.param(200, False, False, "offline", id="innernet's client, gone"),
        pytest.param(10, True, False, "behind", id="an agent that has just come"),
        pytest.param(10, True, True, "current", id="an agent"),
        pytest.param(10, False, True, "offline", id="an agent that went a moment ago"),
    ],
)
async def test_the_state_of_a_peer(w: World, handshake: int | None, stream: bool, receipt: bool, state: str) -> None:
    if handshake is not None:
        w.presence.observe(w.peer("mari").id, Observed(None, w.now - handshake, 0, 0))
    opened = await w.open("mari") if stream or receipt else None
    if receipt:
        await report(w, "mari", w.writer.network.revision)
    if opened is not None and not stream:
        w.hub.closed(opened)
    assert (await convergence(w, "mari"))["state"] == state


async def test_only_those_who_take_part_are_listed(w: World) -> None:
    await w.invite("kuro", "cats")
    await w.do(c.DisablePeer(w.peer("oven").id))
    answer = await ask(w, "ryo", "GET", "/v1/admin/convergence")
    assert [peer["name"] for peer in answer.json()["peers"]] == ["ryo", "mari", "tama"]


@pytest.mark.parametrize("body", [{}, {"revision": "1"}, {"revision": 1.5}, {"revision": None}, []])
async def test_a_malformed_receipt_is_400(w: World, body: Any) -> None:
    assert (await ask(w, "mari", "PUT", "/v1/user/applied", json=body)).status == 400


# -- waiting ----------------------------------------------------------------------------------------------------------

PATIENCE = 5  # seconds: only a broken server takes that long
WAIT = 600


async def rename(w: World, name: str, to: str) -> int:
    """A change that the CIDR of a peer hears of; its revision."""
    await w.do(c.RenamePeer(w.peer(name).id, to))  # type: ignore[arg-type]
    return w.writer.network.revision


async def agent(w: World, name: str) -> Stream:
    """A peer that has a stream and has applied all that it was told."""
    stream = await w.open(name)
    await report(w, name, w.writer.network.revision)
    return stream


async def settled() -> None:
    """Whatever can happen without anything new has happened."""
    for _ in range(20):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def waiting(w: World, query: str) -> AsyncIterator["asyncio.Task[Answer]"]:
    """An administrator's request that waits."""
    w.provide(is_serving=True)
    task = asyncio.create_task(ask(w, None, "GET", f"/v1/admin/convergence?{query}"))
    await settled()
    try:
        yield task
    finally:
        task.cancel()


async def states(task: "asyncio.Task[Answer]") -> dict[str, str]:
    async with asyncio.timeout(PATIENCE):
        answer = await task
    assert answer.status == 200
    return {peer["name"]: peer["state"] for peer in answer.json()["peers"]}


async def test_nothing_is_waited_for_where_all_have_it(w: World) -> None:
    await agent(w, "mari")
    await agent(w, "oven")
    async with waiting(w, f"wait={WAIT}") as asked:
        assert asked.done()
        assert await states(asked) == {"ryo": "offline", "mari": "current", "oven": "current", "tama": "offline"}
        assert (await asked).json()["asked"] == w.writer.network.revision


async def test_nothing_is_waited_for_where_nobody_is_connected(w: World) -> None:
    async with waiting(w, f"wait={WAIT}") as asked:
        assert asked.done()
        assert set((await states(asked)).values()) == {"offline"}


async def test_the_last_receipt_ends_the_waiting(w: World) -> None:
    await agent(w, "ryo")
    await agent(w, "mari")
    await agent(w, "oven")
    revision = await rename(w, "mari", "maria")
    began = time.monotonic()
    async with waiting(w, f"revision={revision}&wait={WAIT}") as asked:
        await report(w, "maria", revision)
        await settled()
        assert not asked.done()
        await report(w, "ryo", revision - 1)  # an older one: it says nothing new
        await settled()
        assert not asked.done()
        await report(w, "ryo", revision)
        assert await states(asked) == {"ryo": "current", "maria": "current", "oven": "current", "tama": "offline"}
        assert 0 < (await asked).json()["waited"] <= time.monotonic() - began


async def test_what_happens_later_is_not_waited_for(w: World) -> None:
    await agent(w, "mari")
    revision = await rename(w, "ryo", "leo")
    async with waiting(w, f"revision={revision}&wait={WAIT}") as asked:
        later = await rename(w, "leo", "lea")
        await report(w, "mari", revision)
        assert (await states(asked))["mari"] == "current"
        assert ((await asked).json()["asked"], (await asked).json()["revision"]) == (revision, later)
    assert (await convergence_at(w, "mari", later))["state"] == "behind"


async def convergence_at(w: World, who: str, revision: int) -> dict[str, Any]:
    peers = (await ask(w, None, "GET", f"/v1/admin/convergence?revision={revision}")).json()["peers"]
    found: dict[str, Any] = next(peer for peer in peers if peer["name"] == who)
    return found


async def test_several_may_wait_each_for_its_own_revision(w: World) -> None:
    await agent(w, "mari")
    first, second = await rename(w, "ryo", "leo"), await rename(w, "leo", "lea")
    async with waiting(w, f"revision={first}&wait={WAIT}") as one, waiting(w, f"revision={second}&wait={WAIT}") as two:
        await report(w, "mari", first)
        assert (await states(one))["mari"] == "current"
        await settled()
        assert not two.done()
        await report(w, "mari", second)
        assert (await states(two))["mari"] == "current"


async def test_who_was_not_told_yet_is_waited_for(w: World) -> None:
    """The change is made, but the frame is not out: its last receipt is of what it knew."""
    await agent(w, "mari")
    await w.writer.submit(c.RenamePeer(w.peer("ryo").id, "leo"), LOCAL)  # type: ignore[arg-type]
    async with waiting(w, f"wait={WAIT}") as asked:
        assert not asked.done()
        await w.tell()
        await settled()
        assert not asked.done()
        await report(w, "mari", w.writer.network.revision)
        assert (await states(asked))["mari"] == "current"


async def test_what_is_owed_of_what_came_later_is_not_waited_for(w: World) -> None:
    stream = await agent(w, "mari")
    revision = await rename(w, "ryo", "leo")
    await report(w, "mari", revision)
    stream.pipe.stuck = MAX_WAITING + 1  # type: ignore[attr-defined]
    later = await rename(w, "leo", "lea")
    assert (await convergence_at(w, "mari", revision))["state"] == "current"
    assert (await convergence_at(w, "mari", later))["state"] == "behind"
    async with waiting(w, f"revision={revision}&wait={WAIT}") as asked:
        assert asked.done()


async def test_receipts_that_overtake_each_other_on_their_way_do_not_set_a_peer_back(w: World) -> None:
    await agent(w, "mari")
    first, second = await rename(w, "ryo", "leo"), await rename(w, "leo", "lea")
    await report(w, "mari", second)
    await report(w, "mari", first)
    assert (await convergence_at(w, "mari", second))["state"] == "current"
    async with waiting(w, f"wait={WAIT}") as asked:
        assert asked.done()


async def test_a_reader_that_reads_nothing_is_waited_for(w: World) -> None:
    stream = await agent(w, "mari")
    stream.pipe.stuck = MAX_WAITING + 1  # type: ignore[attr-defined]
    revision = await rename(w, "ryo", "leo")
    async with waiting(w, f"wait={WAIT}") as asked:
        assert not asked.done()
        assert (await convergence_at(w, "mari", revision))["state"] == "behind"
        stream.pipe.stuck = 0  # type: ignore[attr-defined]
        stream.pipe.drained()
        await w.tell()
        await report(w, "mari", revision)
        assert (await states(asked))["mari"] == "current"


async def test_an_agent_that_has_just_come_is_waited_for_until_its_first_receipt(w: World) -> None:
    await w.open("mari")
    async with waiting(w, f"wait={WAIT}") as asked:
        assert not asked.done()
        await report(w, "mari", w.writer.network.revision)
        assert (await states(asked))["mari"] == "current"


@pytest.mark.parametrize("how", ["hangs up", "is disabled", "is retired"])
async def test_who_goes_is_not_waited_for(w: World, how: str) -> None:
    stream = await agent(w, "mari")
    revision = await rename(w, "ryo", "leo")
    async with waiting(w, f"revision={revision}&wait={WAIT}") as asked:
        assert not asked.done()
        if how == "is disabled":
            await w.do(c.DisablePeer(w.peer("mari").id))
        elif how == "is retired":
            await w.do(c.RemovePeer(w.peer("mari").id))
        w.hub.closed(stream)
        assert (await states(asked)).get("mari", "none") == ("offline" if how == "hangs up" else "none")


async def test_one_that_goes_does_not_end_the_waiting_for_another(w: World) -> None:
    await agent(w, "ryo")
    stream = await agent(w, "mari")
    revision = await rename(w, "ryo", "leo")
    async with waiting(w, f"wait={WAIT}") as asked:
        w.hub.closed(stream)
        await settled()
        assert not asked.done()
        await report(w, "leo", revision)
        assert (await states(asked))["leo"] == "current"


async def test_a_change_of_the_tree_that_tells_a_peer_nothing_does_not_hold_up(w: World) -> None:
    """It may concern the peer until it is compared; then nothing is told, and nothing will be reported."""
    await w.add_cidr("empty", "127.42.9.0/24")
    await agent(w, "mari")
    await agent(w, "ryo")
    await w.writer.submit(c.AddAssociation(w.cidr_id("humans"), w.cidr_id("empty")), LOCAL)
    async with waiting(w, f"wait={WAIT}") as asked:
        assert not asked.done(), "nobody has looked yet"
        await w.tell()
        assert (await states(asked))["mari"] == "current"
    assert (await convergence_at(w, "mari", w.writer.network.revision))["concerned"] is False


async def test_what_was_taken_back_before_it_was_told_does_not_hold_up(w: World) -> None:
    await agent(w, "mari")
    await w.writer.submit(c.RenamePeer(w.peer("ryo").id, "leo"), LOCAL)  # type: ignore[arg-type]
    await w.writer.submit(c.RenamePeer(w.peer("leo").id, "ryo"), LOCAL)  # type: ignore[arg-type]
    async with waiting(w, f"wait={WAIT}") as asked:
        assert not asked.done()
        await w.tell()
        assert (await states(asked))["mari"] == "current"


async def test_who_comes_back_and_turns_out_to_have_missed_nothing_does_not_hold_up(w: World) -> None:
    await w.add_cidr("empty", "127.42.9.0/24")
    older = await agent(w, "mari")
    cursor = Cursor(1, w.writer.network.revision)
    older.pipe.stuck = MAX_WAITING + 1  # type: ignore[attr-defined]
    await w.do(c.AddAssociation(w.cidr_id("humans"), w.cidr_id("empty")))
    async with waiting(w, f"wait={WAIT}") as asked:
        assert not asked.done(), "nobody has looked yet"
        await w.open("mari", cursor)
        assert (await states(asked))["mari"] == "current"


async def test_a_change_that_concerns_nobody_connected_is_not_waited_for(w: World) -> None:
    await agent(w, "mari")
    await rename(w, "tama", "mike")
    async with waiting(w, f"wait={WAIT}") as asked:
        assert asked.done()
        assert (await states(asked))["mari"] == "current"


async def test_polling_clients_are_not_waited_for(w: World) -> None:
    w.presence.observe(w.peer("ryo").id, Observed(None, w.now - 10, 0, 0))
    await agent(w, "mari")
    revision = await rename(w, "ryo", "leo")
    async with waiting(w, f"wait={WAIT}") as asked:
        await report(w, "mari", revision)
        assert (await states(asked))["leo"] == "polling"


def test_when_the_time_is_over_who_is_missing_is_behind() -> None:
    async def scenario() -> None:
        w = await populated()
        await agent(w, "mari")
        await agent(w, "ryo")
        revision = await rename(w, "mari", "maria")
        async with waiting(w, f"revision={revision}&wait=30") as asked:
            await report(w, "ryo", revision)
            await step(29)
            assert not asked.done()
            await step(2)
            assert await states(asked) == {"ryo": "current", "maria": "behind", "oven": "offline", "tama": "offline"}
        await report(w, "maria", revision)
        assert (await convergence_at(w, "maria", revision))["state"] == "current"

    on_stepped_time(scenario())


async def test_who_goes_away_waiting_leaves_nothing_behind(w: World) -> None:
    await agent(w, "mari")
    await rename(w, "ryo", "leo")
    before = asyncio.all_tasks()
    async with waiting(w, f"wait={WAIT}") as asked:
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await settled()
        assert asyncio.all_tasks() <= before
    assert not w.services.convergence._waiting


async def test_a_coordinator_that_stops_ends_the_waiting(w: World) -> None:
    await agent(w, "mari")
    await rename(w, "ryo", "leo")
    async with waiting(w, f"wait={WAIT}") as asked:
        assert not asked.done()
        stopping = asyncio.create_task(w.hub.shut_down())
        async with asyncio.timeout(PATIENCE):
            answer = await asked
        assert (answer.status, answer.code) == (503, "store_unavailable")
        await stopping


async def test_a_coordinator_that_serves_nobody_waits_for_nobody(w: World) -> None:
    answer = await ask(w, None, "GET", "/v1/admin/convergence?wait=10")
    assert (answer.status, answer.code) == (503, "not_serving")
    assert (await ask(w, None, "GET", "/v1/admin/convergence")).status == 200


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("revision={past}", id="past the head"),
        pytest.param("revision={past}&wait=1", id="past the head, waiting"),
        pytest.param("revision=-1", id="negative"),
        pytest.param("revision=x", id="no number"),
        pytest.param("revision=", id="empty"),
        pytest.param("revision=" + "9" * 40, id="endless"),
        pytest.param("wait=0", id="no time"),
        pytest.param("wait=601", id="more than ten minutes"),
        pytest.param("wait=1.5", id="half seconds"),
        pytest.param("wait=-1", id="time backwards"),
        pytest.param("wait=soon", id="soon"),
    ],
)
async def test_what_makes_no_sense_is_400(w: World, query: str) -> None:
    w.provide(is_serving=True)
    query = query.format(past=w.writer.network.revision + 1)
    answer = await ask(w, None, "GET", f"/v1/admin/convergence?{query}")
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_whoever_is_no_administrator_may_not_wait(w: World) -> None:
    w.provide(is_serving=True)
    assert (await ask(w, "mari", "GET", "/v1/admin/convergence?wait=1")).status == 401


# -- whom it concerned ------------------------------------------------------------------------------------------------


async def test_peers_that_are_not_connected_are_concerned_by_what_they_will_be_told(w: World) -> None:
    revision = await rename(w, "ryo", "leo")
    later = await rename(w, "tama", "mike")
    concerned = {
        (name, at): (await convergence_at(w, name, at))["concerned"]
        for name in ("leo", "mari", "oven", "mike")
        for at in (revision, later)
    }
    assert {who for who, is_ in concerned.items() if is_} == {
        ("leo", revision),
        ("mari", revision),
        ("mike", revision),
        ("mike", later),
    }


async def test_a_connected_peer_is_concerned_by_what_it_was_told_or_is_owed(w: World) -> None:
    stream = await agent(w, "mari")
    told = w.writer.network.revision
    await rename(w, "tama", "mike")
    assert (await convergence_at(w, "mari", told))["concerned"] is True
    assert (await convergence_at(w, "mari", told + 1))["concerned"] is False
    stream.pipe.stuck = MAX_WAITING + 1  # type: ignore[attr-defined]
    revision = await rename(w, "ryo", "leo")
    assert (await convergence_at(w, "mari", revision))["concerned"] is True, "it is owed"
