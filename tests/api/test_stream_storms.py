"""Much at once: regions of hundreds come in sight of each other, and all come back at the same moment.

Nothing here looks at a clock. What is counted is bytes between two turns of the loop, how often something was made,
and in which order it went out.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from innerd.coordinator.feed import History
from innerd.coordinator.presence import Observed
from innerd.domain import commands as c
from innerd.domain.values import Name
from innerd.streaming import frames as frames_module
from innerd.streaming.frames import HEAVY, Frames
from innerd.streaming.registry import Stream
from innerd.streaming.sender import _TICK_BYTES
from innerd.wire.stream import Cursor
from tests.api.streaming import PATIENCE, Told, frames_of
from tests.world import LOCAL, Pipe, World, crowded, populated

CROWD = 300  # more than are told at once
REGIONS = {"left": "127.42.16.0", "right": "127.42.20.0"}


class Turns:
    """Counts the turns of the loop, and what each sender writes in each: soft state has a sender of its own."""

    def __init__(self) -> None:
        self.now = 0
        self.bytes: Counter[tuple[int, bool]] = Counter()
        self.order: list[tuple[int, bytes]] = []  # who was written what

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.now += 1

    def largest(self) -> int:
        return max(self.bytes.values())


class Counted(Pipe):
    def __init__(self, turns: Turns, peer: int) -> None:
        super().__init__()
        self._turns, self._peer = turns, peer

    def write(self, data: bytes) -> None:
        super().write(data)
        self._turns.bytes[self._turns.now, data.startswith(b"event: presence")] += len(data)
        self._turns.order.append((self._peer, data))


@pytest.fixture
async def storm() -> World:
    """Two regions that do not know each other, and the usual few besides."""
    w = await populated()
    for region, start in REGIONS.items():
        await w.add_cidr(region, f"{start}/22")
        await crowded(w, region, start, CROWD)
    return w


async def connect(w: World, turns: Turns, cidr: str, cursor: Cursor | None = None) -> list[Stream]:
    """Streams of all peers of a CIDR."""
    members = w.writer.view.members[w.cidr_id(cidr)].values()
    return [await w.hub.open(peer, cursor, Counted(turns, peer.id)) for peer in members]


def head(w: World) -> Cursor:
    return Cursor(1, w.writer.network.revision)


@contextlib.asynccontextmanager
async def told_by(w: World, turns: Turns) -> AsyncIterator[None]:
    """The teller runs, as in a coordinator that serves; and the turns are counted."""
    tasks = [asyncio.create_task(turns.run()), asyncio.create_task(w.hub.sender.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - it is the turns of the loop that count
            await asyncio.sleep(0)


def cleared(streams: list[Stream]) -> None:
    for stream in streams:
        stream.pipe.taken()  # type: ignore[attr-defined]


def last_of(stream: Stream, event: bytes = b"event: delta") -> bytes:
    """The last frame of a kind that a stream was written: the very bytes."""
    return [data for data in stream.pipe.written if event in data][-1]  # type: ignore[attr-defined]


async def associate(w: World, one: str, other: str) -> None:
    await w.writer.submit(c.AddAssociation(w.cidr_id(one), w.cidr_id(other)), LOCAL)


async def test_two_regions_that_meet_hold_nobody_up(storm: World) -> None:
    turns = Turns()
    async with told_by(storm, turns):
        left, right = (
            await connect(storm, turns, "left", head(storm)),
            await connect(storm, turns, "right", head(storm)),
        )
        await until(lambda: not any(stream.wants_presence for stream in left + right))
        cleared(left + right)
        turns.bytes.clear()
        await associate(storm, "left", "right")
        await until(lambda: not any(stream.is_owed for stream in left + right))
    frame = len(last_of(left[0]))
    assert frame > HEAVY, "or it is no storm"
    assert sum(turns.bytes.values()) > 10 * _TICK_BYTES, "nor is it one that would fit"
    assert turns.largest() <= _TICK_BYTES + frame
    for region, others in ((left, "right"), (right, "left")):
        told = Told()
        told.hear(last_of(region[-1]))
        assert {peer["name"] for peer in told.peers.values()} == {f"{others}-{number}" for number in range(CROWD)}


async def test_each_class_shares_one_frame(storm: World) -> None:
    turns = Turns()
    async with told_by(storm, turns):
        left, right = (
            await connect(storm, turns, "left", head(storm)),
            await connect(storm, turns, "right", head(storm)),
        )
        cleared(left + right)
        await associate(storm, "left", "right")
        await until(lambda: not any(stream.is_owed for stream in left + right))
    assert len({id(last_of(stream)) for stream in left}) == len({id(last_of(stream)) for stream in right}) == 1
    assert last_of(left[0]) != last_of(right[0])
    for stream in left + right:
        deltas = [data for data in stream.pipe.written if b"event: delta" in data]  # type: ignore[attr-defined]
        assert len(deltas) == 1, "told once"


async def test_a_snapshot_for_all_of_a_class_is_made_once(storm: World) -> None:
    turns = Turns()
    async with told_by(storm, turns):
        left = await connect(storm, turns, "left")
        await until(lambda: not any(stream.is_owed or stream.wants_presence for stream in left))
    assert len({id(last_of(stream, b"event: snapshot")) for stream in left}) == 1
    assert turns.largest() <= _TICK_BYTES + len(last_of(left[0], b"event: snapshot"))
    for stream in left:
        events = [frame.event for frame in frames_of(b"".join(stream.pipe.written))]  # type: ignore[attr-defined]
        assert events[:3] == ["hello", "snapshot", "presence"], "the whole before anything about it"


async def test_small_changes_of_others_do_not_wait_for_the_storm(storm: World) -> None:
    turns = Turns()
    async with told_by(storm, turns):
        left, right = (
            await connect(storm, turns, "left", head(storm)),
            await connect(storm, turns, "right", head(storm)),
        )
        tama = await storm.hub.open(storm.peer("tama"), head(storm), Counted(turns, storm.peer("tama").id))
        cleared([*left, *right, tama])
        turns.order.clear()
        await associate(storm, "left", "right")
        await until(lambda: any(len(data) > HEAVY for _, data in turns.order))
        await storm.writer.submit(c.RenamePeer(tama.peer, Name("mike")), LOCAL)
        await until(lambda: not tama.is_owed)
        assert b'"name":"mike"' in last_of(tama)
        assert any(stream.is_owed for stream in left + right), "the storm is not over"
        await until(lambda: not any(stream.is_owed for stream in left + right))


async def test_a_small_change_of_the_same_peers_goes_along_with_the_storm(storm: World) -> None:
    """Whoever is owed much is told all of it in one frame, whatever comes meanwhile."""
    turns = Turns()
    async with told_by(storm, turns):
        left = await connect(storm, turns, "left", head(storm))
        cleared(left)
        await associate(storm, "left", "right")
        await storm.writer.submit(c.RenamePeer(storm.peer("right-0").id, Name("first")), LOCAL)
        await storm.writer.submit(c.RenamePeer(storm.peer("left-0").id, Name("second")), LOCAL)
        await until(lambda: not any(stream.is_owed for stream in left))
    for stream in (left[0], left[-1]):
        told = Told()
        told.hear(b"".join(stream.pipe.written))  # type: ignore[attr-defined]
        names = {peer["name"] for peer in told.peers.values()}
        assert names == {"first", "second"} | {f"right-{number}" for number in range(1, CROWD)}


async def test_many_classes_of_few_are_told_in_turns_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every piece of work takes too long, others have their turn after each."""
    w = await populated()
    turns = Turns()
    for number in range(40):
        await w.add_cidr(f"team-{number}", f"127.42.{16 + number}.0/24")
        await crowded(w, f"team-{number}", f"127.42.{16 + number}.0", 1)
    streams = [s for number in range(40) for s in await connect(w, turns, f"team-{number}", head(w))]
    cleared(streams)
    turns.order.clear()
    monkeypatch.setattr("innerd.streaming.sender._SLICE", -1.0)
    at: list[int] = []
    tell = w.hub.sender._tell
    monkeypatch.setattr(w.hub.sender, "_tell", lambda *args: (at.append(turns.now), tell(*args))[1])
    async with told_by(w, turns):
        await w.writer.submit(c.RenameCidr(1, Name("renamed")), LOCAL)
        await until(lambda: not any(stream.is_owed for stream in streams))
    assert len(at) == 40
    assert max(Counter(at).values()) <= 1
    assert len({id(last_of(stream)) for stream in streams}) == 40, "classes are told apart"


# -- all come back ----------------------------------------------------------------------------------------------------


class Calls(Counter[str]):
    def count(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        """Count the calls of a function, and let them through."""
        real = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, storm: World) -> Calls:
    made = Calls()
    for name in ("at", "since"):
        made.count(monkeypatch, History, name)
    for name in ("delta", "snapshot", "_peer", "_all_cidrs", "_difference"):
        made.count(monkeypatch, Frames, name)
    for name in ("peer_json", "cidr_json", "netmap", "presence_of"):
        made.count(monkeypatch, frames_module, name)
    made.count(monkeypatch, storm.store, "read")
    return made


async def test_who_comes_back_at_the_head_costs_nothing_but_its_greeting(storm: World, calls: Calls) -> None:
    turns = Turns()
    streams = await connect(storm, turns, "left", head(storm))
    await storm.hub.sender.flush()
    await storm.hub.sender.haul()
    soft = calls.pop("presence_of", 0)
    assert not calls, "no history, no log, no peer"
    for stream in streams:
        events = [frame.event for frame in frames_of(b"".join(stream.pipe.written))]  # type: ignore[attr-defined]
        assert events == ["hello", "presence"]
    assert soft <= CROWD, "the soft state of each is encoded once, and not once for each"


async def test_who_comes_back_and_missed_nothing_costs_one_record(storm: World, calls: Calls) -> None:
    """Its cursor's hash is read from the log: of what it missed nothing concerned it, so nothing is looked at."""
    cursor = head(storm)
    for number in range(5):
        await storm.writer.submit(c.RenamePeer(storm.peer("tama").id, Name(f"tama-{number}")), LOCAL)
        await storm.writer.submit(c.RenamePeer(storm.peer(f"tama-{number}").id, Name("tama")), LOCAL)
    calls.clear()
    streams = await connect(storm, Turns(), "left", cursor)
    await storm.hub.sender.flush()
    await storm.hub.sender.haul()
    calls.pop("presence_of", 0)
    assert dict(calls) == {"read": CROWD}
    for stream in streams:
        _, moved, _ = frames_of(b"".join(stream.pipe.written))  # type: ignore[attr-defined]
        assert (moved.event, moved.id) == ("delta", str(head(storm)))
        assert not any(moved.data[part] for part in ("peers", "gone", "cidrs", "cidrs_gone"))


async def test_who_comes_back_and_missed_something_shares_it_with_its_class(storm: World, calls: Calls) -> None:
    cursor = head(storm)
    await storm.writer.submit(c.RenamePeer(storm.peer("left-7").id, Name("seven")), LOCAL)
    calls.clear()
    streams = await connect(storm, Turns(), "left", cursor)
    assert calls["_peer"] == calls["peer_json"] == 1, "one peer changed, and is encoded once"
    assert calls["since"] == 1
    assert calls["snapshot"] == calls["netmap"] == 0
    assert len({id(last_of(stream)) for stream in streams}) == 1


async def test_a_change_of_one_of_hundreds_encodes_that_one(storm: World, calls: Calls) -> None:
    """Also the next snapshot is put together of what is encoded already."""
    turns = Turns()
    await connect(storm, turns, "left")
    await storm.tell()
    assert calls["peer_json"] == CROWD + 1, "and the coordinator"
    calls.clear()
    await storm.do(c.RenamePeer(storm.peer("left-7").id, Name("seven")))
    assert calls["peer_json"] == 1
    calls.clear()
    await connect(storm, turns, "left")
    await storm.tell()
    assert calls["peer_json"] == calls["cidr_json"] == 0
    assert calls["netmap"] == 1


async def test_soft_state_of_hundreds_goes_out_in_turns_and_once_a_class(storm: World) -> None:
    turns = Turns()
    async with told_by(storm, turns):
        left = await connect(storm, turns, "left", head(storm))
        await until(lambda: not any(stream.wants_presence for stream in left))
        await asyncio.sleep(0.3)  # the rounds of who came are over
        cleared(left)
        for peer in storm.writer.view.members[storm.cidr_id("left")]:
            storm.presence.observe(peer, Observed(f"203.0.113.9:{peer}", storm.now, 0, 0))  # type: ignore[arg-type]
        await until(lambda: all(stream.pipe.written for stream in left))  # type: ignore[attr-defined]
    told = {id(stream.pipe.written[-1]) for stream in left}  # type: ignore[attr-defined]
    assert len(told) == 1
    (presence,) = frames_of(left[0].pipe.written[-1])  # type: ignore[attr-defined]
    assert len(presence.data["peers"]) == CROWD
