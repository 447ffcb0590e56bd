"""A peer that has seen more of the log than there is: it is told so by its cursor, and the coordinator says it."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from innerd.api.metrics import Metrics
from innerd.domain import commands as c
from innerd.log.store import StoreError
from innerd.serve.clock import Clock
from innerd.serve.status_line import headline, troubles
from innerd.wire.stream import Cursor
from tests.api.asking import ask
from tests.world import World


def watched(w: World) -> Metrics:
    clock = Clock(None, lambda: w.now, lambda: w.now)
    w.provide(troubles=lambda: list(troubles(w.writer, clock, w.hub, w.presence)))
    return Metrics(w.services, w.timings, {})


def beyond(w: World) -> Cursor:
    return Cursor(1, w.writer.network.revision + 1)


def next_generation(w: World) -> Cursor:
    return Cursor(2, 1)


@pytest.mark.parametrize("cursor", [beyond, next_generation])
async def test_it_is_said_in_the_log_the_status_and_the_metrics(w: World, cursor: Callable[[World], Cursor]) -> None:
    metrics, seen = watched(w), cursor(w)
    with capture_logs() as logs:
        for _ in range(3):
            await w.open("mari", seen)
    said = [line for line in logs if line["log_level"] == "error"]
    assert [(line["peer"], line["seen"]) for line in said] == [("mari", str(seen))], "once, however often it comes"
    (trouble,) = (await ask(w, None, "GET", "/v1/admin/status")).json()["troubles"]
    assert (trouble["kind"], trouble["code"]) == ("rewound", "log_rewound")
    assert f"mari ({seen})" in trouble["text"]
    assert f"it ends at 1.{w.writer.network.revision}" in trouble["text"]
    assert b"innerd_peers_ahead 1.0\n" in metrics.render()
    assert b"innerd_streams_ahead_total 3.0\n" in metrics.render()
    assert "THE LOG WAS REWOUND" in headline(w.writer, w.presence, w.services.troubles())


async def test_it_is_over_when_the_peer_comes_with_another_cursor_or_is_gone(w: World) -> None:
    metrics = watched(w)
    for name in ("mari", "oven", "tama"):
        await w.open(name, beyond(w))
    assert b"innerd_peers_ahead 3.0\n" in metrics.render()
    await w.open("mari", Cursor(1, w.writer.network.revision))
    await w.do(c.DisablePeer(w.peer("oven").id))
    await w.do(c.RemovePeer(w.peer("tama").id))
    assert b"innerd_peers_ahead 0.0\n" in metrics.render()
    assert w.services.troubles() == []


async def test_who_comes_with_what_it_was_told_is_never_ahead(w: World) -> None:
    watched(w)
    for cursor in (None, Cursor(1, 0), Cursor(1, w.writer.network.revision), Cursor(0, 10**9)):
        await w.open("mari", cursor)
    assert w.services.troubles() == []


async def test_a_log_that_cannot_be_written_is_in_the_status_and_the_metrics(w: World) -> None:
    metrics = watched(w)
    assert b"innerd_log_failing 0.0\n" in metrics.render()
    w.store.broken = StoreError("net.db: another program holds a lock on it", "locked")
    await w.writer.upkeep.look()
    assert b"innerd_log_failing 1.0\n" in metrics.render()
    (trouble,) = (await ask(w, None, "GET", "/v1/admin/status")).json()["troubles"]
    assert (trouble["kind"], trouble["code"]) == ("log", "store_unavailable")
    assert "fuser" in trouble["hint"]


async def test_who_has_not_applied_what_it_was_told_is_counted(w: World) -> None:
    metrics = watched(w)
    await w.open("mari")
    assert b"innerd_peers_behind 1.0\n" in metrics.render()
    assert w.services.convergence.lagging() == ["mari"]
