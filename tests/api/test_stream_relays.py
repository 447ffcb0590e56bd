"""What a peer that may relay is told of who sees whom; nobody else hears of it."""

from typing import Any

import pytest

from innerd.domain import commands as c
from innerd.streaming.registry import Stream
from tests.api.streaming import drained, frames_of
from tests.world import World


async def associated(w: World, one: str, other: str) -> None:
    await w.do(c.AddAssociation(w.cidr_id(one), w.cidr_id(other)))


def relays(stream: Stream) -> list[dict[str, Any]]:
    return [frame.data for frame in frames_of(drained(stream)) if frame.event == "relays"]


def pair(w: World, one: str, other: str) -> list[int]:
    return sorted((w.cidr_id(one), w.cidr_id(other)))


async def in_the_middle(w: World) -> Stream:
    """The oven sees humans and cats, and may relay."""
    for other in ("humans", "cats"):
        await associated(w, "ovens", other)
    await w.do(c.AllowRelay(w.peer("oven").id))
    return await w.open("oven")


async def test_who_may_relay_is_told_who_sees_whom_of_those_that_it_sees(w: World) -> None:
    stream = await in_the_middle(w)
    own = [pair(w, "ovens", "humans"), pair(w, "ovens", "cats")]
    assert relays(stream) == [{"pairs": sorted(own), "unrelayed": []}]
    await associated(w, "humans", "cats")
    assert relays(stream) == [{"pairs": sorted([*own, pair(w, "humans", "cats")]), "unrelayed": []}]
    await w.do(c.DeleteAssociation(max(w.writer.network.associations)))
    assert relays(stream) == [{"pairs": sorted(own), "unrelayed": []}]


async def test_nobody_else_is_told(w: World) -> None:
    await in_the_middle(w)
    stream = await w.open("mari")
    await associated(w, "humans", "cats")
    assert relays(stream) == []


async def test_who_may_begins_to_be_told_and_who_may_not_any_more_sees_nobody(w: World) -> None:
    stream = await w.open("oven")
    assert relays(stream) == []
    await associated(w, "ovens", "humans")
    await w.do(c.AllowRelay(w.peer("oven").id))
    assert relays(stream) == [{"pairs": [pair(w, "ovens", "humans")], "unrelayed": []}]
    await w.do(c.DisallowRelay(w.peer("oven").id))
    assert relays(stream) == [{"pairs": [], "unrelayed": []}]
    await associated(w, "ovens", "cats")
    assert relays(stream) == []


async def test_who_wants_nothing_relayed_is_named(w: World) -> None:
    stream = await in_the_middle(w)
    drained(stream)
    mari = w.peer("mari").id
    w.presence.takes_relay(mari, wanted=False)
    await w.open("mari")
    assert [told["unrelayed"] for told in relays(stream)] == [[mari]]
    w.presence.takes_relay(mari, wanted=True)
    await w.open("mari")
    assert [told["unrelayed"] for told in relays(stream)] == [[]]


async def test_who_does_not_see_it_is_not_named(w: World) -> None:
    await associated(w, "ovens", "humans")
    await w.do(c.AllowRelay(w.peer("oven").id))
    stream = await w.open("oven")
    drained(stream)
    w.presence.takes_relay(w.peer("tama").id, wanted=False)
    await w.open("tama")
    assert relays(stream) == [], "nothing is other than it was"


async def test_who_is_disabled_is_not_named(w: World) -> None:
    w.presence.takes_relay(w.peer("mari").id, wanted=False)
    await w.do(c.DisablePeer(w.peer("mari").id))
    assert relays(await in_the_middle(w))[-1]["unrelayed"] == []


async def test_of_too_many_pairs_none_is_told(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("innerd.streaming.relays.MOST_PAIRS", 1)
    assert relays(await in_the_middle(w)) == [{"pairs": [], "unrelayed": []}]
