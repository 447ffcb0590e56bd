"""`GET /v1/admin/convergence`: which peers have applied which revision, by their receipts."""

from typing import Any

import pytest

from innerd.domain import commands as c
from innerd.presence import Observed
from innerd.wire.stream import Cursor
from tests.api.asking import ask
from tests.world import World


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
    await report(w, "mari", w.writer.network.revision + 1000)
    assert (await convergence(w, "mari"))["applied"] == w.writer.network.revision


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
    if stream:
        await w.open("mari")
    if receipt:
        await report(w, "mari", w.writer.network.revision)
    assert (await convergence(w, "mari"))["state"] == state


async def test_only_those_who_take_part_are_listed(w: World) -> None:
    await w.invite("kuro", "cats")
    await w.do(c.DisablePeer(w.peer("oven").id))
    answer = await ask(w, "ryo", "GET", "/v1/admin/convergence")
    assert [peer["name"] for peer in answer.json()["peers"]] == ["ryo", "mari", "tama"]


@pytest.mark.parametrize("body", [{}, {"revision": "1"}, {"revision": 1.5}, {"revision": None}, []])
async def test_a_malformed_receipt_is_400(w: World, body: Any) -> None:
    assert (await ask(w, "mari", "PUT", "/v1/user/applied", json=body)).status == 400
