"""Two peers are told of one moment to begin at: whom it is told, and how often."""

import time
from collections.abc import AsyncIterator

import pytest

from innerd.coordinator.presence import Observed
from innerd.domain.errors import Refused
from tests.api.streaming import drained, frames_of
from tests.world import World


class Pair:
    """ryo and mari, each with a stream that nobody sends from."""

    def __init__(self, w: World) -> None:
        self.w, self.now = w, 1000.0
        self.looks = 0

    async def _look(self) -> None:
        self.looks += 1

    async def open(self) -> None:
        self.streams = [await self.w.open(name) for name in ("ryo", "mari")]
        self.told()
        self.w.looks.now = self._look  # type: ignore[method-assign]  # to open a stream is a reason to look, too

    def told(self) -> list[list[str]]:
        """What each was told since it was asked last."""
        return [[frame.event for frame in frames_of(drained(stream))] for stream in self.streams]

    async def ask(self, asker: str = "ryo", other: str = "mari") -> list[list[str]]:
        await self.w.hub.rendezvous.ask(self.w.peer(asker), self.w.peer(other).id)
        return self.told()

    def sees(self, name: str, endpoint: str) -> None:
        self.w.presence.observe(self.w.peer(name).id, Observed(endpoint, self.w.now, 1, 1))  # type: ignore[arg-type]


BOTH = [["presence", "connect"]] * 2
NOBODY: list[list[str]] = [[], []]


@pytest.fixture
async def pair(w: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    made = Pair(w)
    await made.open()
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    yield made
    monkeypatch.undo()


async def test_both_hear_and_the_device_was_looked_at_before(pair: Pair) -> None:
    assert await pair.ask() == BOTH
    assert pair.looks == 1


async def test_a_pair_that_stays_where_it_is_is_told_once_in_three_seconds(pair: Pair) -> None:
    await pair.ask()
    pair.now += 2.9
    assert await pair.ask("mari", "ryo") == NOBODY
    pair.now += 0.2
    assert await pair.ask() == BOTH


async def test_who_moved_again_is_told_of_again(pair: Pair) -> None:
    pair.sees("ryo", "198.51.100.7:1")
    await pair.ask()
    pair.now += 0.6
    pair.sees("ryo", "198.51.100.8:1")
    assert await pair.ask() == BOTH


async def test_who_moves_all_the_time_is_not_told_of_more_than_twice_a_second(pair: Pair) -> None:
    await pair.ask()
    pair.now += 0.4
    pair.sees("ryo", "198.51.100.8:1")
    assert await pair.ask() == NOBODY
    assert pair.looks == 1, "and costs no look at the device"


@pytest.mark.parametrize(
    ("at_ease", "where", "primes"),
    [
        ((), ("198.51.100.7:1", "198.51.100.8:1"), (True, True)),
        (("mari",), ("198.51.100.7:1", "198.51.100.8:1"), (False, True)),
        (("ryo", "mari"), ("198.51.100.7:1", "198.51.100.8:1"), (False, False)),
        (("ryo", "mari"), ("198.51.100.7:1", "198.51.100.7:2"), (True, True)),
    ],
    ids=["nothing is known", "one minds nobody", "nor does the other", "behind the same one"],
)
async def test_a_way_is_opened_first_where_the_others_router_may_mind_strangers(
    pair: Pair, w: World, at_ease: tuple[str, ...], where: tuple[str, str], primes: tuple[bool, bool]
) -> None:
    for name, endpoint in zip(("ryo", "mari"), where, strict=True):
        pair.sees(name, endpoint)
        if name in at_ease:
            w.hub.strangers.note(w.peer(name).id, endpoint.partition(":")[0])
    await w.hub.rendezvous.ask(w.peer("ryo"), w.peer("mari").id)
    told = [frames_of(drained(stream))[-1].data for stream in pair.streams]
    assert tuple(one["prime"] for one in told) == primes
    assert (told[0]["go_at"] > w.now) is any(primes)


async def test_of_who_holds_no_stream_nobody_is_told(pair: Pair, w: World) -> None:
    w.hub.streams.end(w.hub.streams.by_peer[w.peer("mari").id], "replaced")
    pair.told()
    assert await pair.ask() == NOBODY


async def test_a_peer_that_is_not_visible_does_not_exist(pair: Pair, w: World) -> None:
    with pytest.raises(Refused) as refused:
        await w.hub.rendezvous.ask(w.peer("ryo"), 999)
    assert refused.value.code == "peer_not_found"
