"""What was seen of peers is known to a coordinator that starts anew: where and when, who runs `inn`, who had what."""

import pytest
from msgspec.structs import replace

from innerd.coordinator import remembering
from innerd.coordinator.presence import Observed, Presence, Receipt
from innerd.domain import commands as c
from innerd.domain.values import Endpoint
from innerd.log.store import StoreError
from tests.api.asking import ask
from tests.world import World, populated

HOME = Endpoint("203.0.113.4:40001")


@pytest.fixture
async def w() -> World:
    return await populated()


async def restarted(w: World) -> Presence:
    """Stopped, as a coordinator stops, and started anew."""
    await remembering.write(w.writer, w.presence)
    return await started(w)


async def started(w: World) -> Presence:
    w.presence = Presence(lambda: w.now)
    await w.start()
    await remembering.recall(w.writer, w.presence)
    return w.presence


async def convergence(w: World, name: str) -> dict[str, object]:
    found = (await ask(w, None, "GET", "/v1/admin/convergence")).json()["peers"]
    return next(peer for peer in found if peer["name"] == name)


async def test_where_and_when_a_peer_was_seen_is_known_after_a_restart(w: World) -> None:
    mari = w.peer("mari").id
    w.presence.observe(mari, Observed(HOME, w.now - 3600, 5, 6))
    after = await restarted(w)
    assert (after.learned(mari), after.handshake(mari)) == (HOME, w.now - 3600)
    assert not after.is_online(mari, w.now)
    shown = (await ask(w, None, "GET", "/v1/network")).json()["peers"]
    (seen,) = (peer for peer in shown if peer["name"] == "mari")
    assert (seen["last_handshake"], seen["learned_endpoint"]) == (w.now - 3600, HOME)
    assert after.was_learned(mari, HOME)  # innernet's clients put it back still


async def test_who_runs_inn_is_no_polling_client_after_a_restart_and_can_not_pose_as_one(w: World) -> None:
    mari = w.peer("mari").id
    w.presence.prove(mari)
    w.presence.observe(mari, Observed(HOME, w.now, 0, 0))
    w.presence.report_applied(mari, Receipt(w.writer.network.revision, w.now))
    await restarted(w)
    found = await convergence(w, "mari")
    assert (found["state"], found["applied"], found["applied_at"]) == ("offline", w.writer.network.revision, w.now)
    posing = await ask(w, "mari", "PUT", "/v1/user/candidates", json=[], proven=False)
    assert (posing.status, posing.code) == (401, "proof_required")
    assert (await ask(w, "oven", "PUT", "/v1/user/candidates", json=[], proven=False)).status == 204


async def test_a_receipt_from_before_is_shown_and_not_relied_on(w: World) -> None:
    mari = w.peer("mari").id
    w.presence.report_applied(mari, Receipt(w.writer.network.revision, w.now))
    after = await restarted(w)
    after.stream_opened(mari)
    assert (await convergence(w, "mari"))["state"] == "behind"  # until it says so again
    after.report_applied(mari, Receipt(w.writer.network.revision, w.now + 1))
    assert (await convergence(w, "mari"))["state"] == "current"


async def test_what_a_peer_runs_is_known_after_a_restart(w: World) -> None:
    for agent in ("inn/0.1.0", "inn/0.2.0"):
        await ask(w, "mari", "GET", "/v1/user/state", headers=[("user-agent", agent)])
    await ask(w, "oven", "GET", "/v1/user/state", headers=[("user-agent", "ureq/2.12.1")], proven=False)
    await restarted(w)
    shown = {p["name"]: p["software"] for p in (await ask(w, None, "GET", "/v1/network")).json()["peers"]}
    assert (shown["mari"], shown["oven"], shown["ryo"]) == ("inn/0.2.0", "ureq/2.12.1", None)
    assert (await ask(w, None, "GET", "/v1/admin/status")).json()["software"] == {
        "inn/0.2.0": 1,
        "ureq/2.12.1": 1,
        "unknown": 2,
    }


async def test_whoever_shows_no_proof_does_not_say_what_inn_runs(w: World) -> None:
    mari = w.peer("mari").id
    w.presence.prove(mari)
    w.presence.report_software(mari, "inn/0.2.0")
    await ask(w, "mari", "GET", "/v1/user/state", headers=[("user-agent", "curl/7.88.1")], proven=False)
    assert w.presence.software == {mari: "inn/0.2.0"}


async def test_of_a_log_that_ends_earlier_no_later_receipt_is_believed(w: World) -> None:
    mari = w.peer("mari").id
    w.presence.report_applied(mari, Receipt(w.writer.network.revision + 1, w.now))
    assert (await restarted(w)).receipt(mari) is None


async def test_who_is_gone_or_shut_out_is_not_recalled(w: World) -> None:
    mari, oven = w.peer("mari").id, w.peer("oven").id
    for number in (mari, oven):
        w.presence.prove(number)
    await remembering.write(w.writer, w.presence)
    await w.do(c.DisablePeer(mari))
    await w.do(c.RemovePeer(oven))
    after = await restarted(w)
    assert after.proven == set()
    assert [seen.peer for seen in await w.store.seen()] == [mari]
    await w.do(c.ChangePeer(id=mari, is_disabled=False))
    assert mari not in (await restarted(w)).proven  # it may come back with another client


async def test_nothing_is_written_while_nothing_has_changed(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    remember = w.store.remember

    async def counted(seen: list[object], gone: list[int]) -> None:
        written.append(len(seen))
        await remember(seen, gone)  # type: ignore[arg-type]

    monkeypatch.setattr(w.store, "remember", counted)
    mari, seen = w.peer("mari").id, Observed(HOME, w.now, 0, 0)
    for rx in range(3):
        w.presence.observe(mari, replace(seen, rx_bytes=rx))
        await remembering.write(w.writer, w.presence)
    w.presence.prove(mari)
    w.presence.prove(mari)
    await remembering.write(w.writer, w.presence)
    await remembering.write(w.writer, w.presence)
    assert written == [1, 1]


async def test_what_a_full_disk_refused_is_written_later(w: World) -> None:
    mari = w.peer("mari").id
    w.presence.prove(mari)
    w.store.broken = StoreError("full", "full")
    with pytest.raises(StoreError):
        await remembering.write(w.writer, w.presence)
    w.store.broken = None
    assert mari in (await restarted(w)).proven


async def test_where_a_peer_is_counts_as_looked_up_only_once_it_was_seen_again(w: World) -> None:
    mari = w.peer("mari").id
    w.presence.observe(mari, Observed(HOME, w.now, 0, 0))
    after = await restarted(w)
    assert after.recalled == {mari}
    after.observe(mari, Observed(HOME, w.now, 0, 0))
    assert after.recalled == set()
