"""What was found wrong in the stream server: each of these failed when it was written."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from innerd.api.asgi import PIPE
from innerd.api.stream import Connection, serve_stream
from innerd.coordinator.presence import Receipt
from innerd.coordinator.replay import load
from innerd.domain import commands as c
from innerd.domain.values import Endpoint, Name
from innerd.log.memory import MemoryStore
from innerd.log.store import Stored
from innerd.streaming.frames import HEAVY
from innerd.streaming.registry import Stream
from innerd.streaming.sender import _TICK_BYTES, MAX_WAITING
from innerd.wire.stream import Cursor
from tests.api.sockets import wire
from tests.api.streaming import PATIENCE
from tests.stepped import on_stepped_time, step
from tests.world import LOCAL, Pipe, World, crowded, populated

CROWD = 300  # more than are told at once


def head(w: World) -> Cursor:
    return Cursor(1, w.writer.network.revision)


def applied(w: World, name: str) -> None:
    w.presence.report_applied(w.peer(name).id, Receipt(w.writer.network.revision, w.now))


# -- the loop is held -------------------------------------------------------------------------------------------------


@pytest.fixture
async def teams() -> tuple[World, list[Stream]]:
    """Sixty teams with one stream each, and a crowd that none of them sees yet."""
    w = await populated()
    await w.add_cidr("crowd", "127.42.16.0/22")
    await crowded(w, "crowd", "127.42.16.0", CROWD)
    await w.add_cidr("all", "127.42.32.0/19")
    for number in range(60):
        await w.add_cidr(f"team-{number}", f"127.42.{32 + number // 2}.{128 * (number % 2)}/25", "all")
        await crowded(w, f"team-{number}", f"127.42.{32 + number // 2}.{128 * (number % 2)}", 1)
    return w, [await w.hub.open(w.peer(f"team-{number}-0"), head(w), Pipe()) for number in range(60)]


class Turns:
    """Counts what is done between two turns of the loop."""

    def __init__(self) -> None:
        self.turn = 0
        self.done: Counter[int] = Counter()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.turn += 1

    def add(self, much: int) -> None:
        self.done[self.turn] += much


async def told(w: World, streams: list[Stream], turns: Turns) -> None:
    tasks = [asyncio.create_task(turns.run()), asyncio.create_task(w.hub.sender.run())]
    async with asyncio.timeout(PATIENCE):
        while any(stream.is_owed for stream in streams):  # noqa: ASYNC110 - it is the turns of the loop that count
            await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_many_heavy_classes_of_one_stream_each_hold_nobody_up(
    teams: tuple[World, list[Stream]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """telling.py, `haul`: each class has a `_Pace` of its own, so between classes nobody else has a turn."""
    w, streams = teams
    turns, sizes = Turns(), list[int]()

    def write(data: bytes) -> None:
        sizes.append(len(data))
        if len(data) > HEAVY:
            turns.add(len(data))

    for stream in streams:
        monkeypatch.setattr(stream.pipe, "write", write)
    await w.writer.submit(c.AddAssociation(w.cidr_id("all"), w.cidr_id("crowd")), LOCAL)
    await told(w, streams, turns)
    assert sum(turns.done.values()) > _TICK_BYTES + max(sizes), "or it would fit"
    assert max(turns.done.values()) <= _TICK_BYTES + max(sizes)


async def test_finding_out_what_is_heavy_holds_nobody_up(
    teams: tuple[World, list[Stream]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """telling.py, `_tell_class`: what goes to the heavy lane is compared (milliseconds a class in a large network)
    without a look at the pace."""
    w, streams = teams
    turns, teller = Turns(), w.hub.sender
    is_heavy = teller._is_heavy

    def counted(*args: Any) -> bool:
        turns.add(1)
        return is_heavy(*args)

    monkeypatch.setattr(teller, "_is_heavy", counted)
    monkeypatch.setattr("innerd.streaming.sender._SLICE", -1.0)  # every piece of work takes too long
    await w.writer.submit(c.AddAssociation(w.cidr_id("all"), w.cidr_id("crowd")), LOCAL)
    await told(w, streams, turns)
    assert sum(turns.done.values()) >= len(streams)
    assert max(turns.done.values()) <= 2


async def test_soft_state_that_a_class_does_not_see_holds_nobody_up(
    teams: tuple[World, list[Stream]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """telling.py, `tell_presence`: for classes that see nothing of what changed, all of it is looked through class
    after class without a look at the pace."""
    w, streams = teams
    turns, teller = Turns(), w.hub.sender
    await teller.tell_presence()
    assert not any(stream.wants_presence for stream in streams)
    changes_for = teller._changes_for

    def counted(*args: Any) -> bytes | None:
        turns.add(1)
        return changes_for(*args)

    monkeypatch.setattr(teller, "_changes_for", counted)
    monkeypatch.setattr("innerd.streaming.sender._SLICE", -1.0)  # every piece of work takes too long
    for number in range(CROWD):
        w.presence.report_candidates(w.peer(f"crowd-{number}").id, (Endpoint("192.168.1.7:1"),))
    ticking = asyncio.create_task(turns.run())
    await teller.tell_presence()
    ticking.cancel()
    assert sum(turns.done.values()) == len(streams)
    assert max(turns.done.values()) <= 2


# -- streams that know nothing ----------------------------------------------------------------------------------------


async def fresh_and_stuck(w: World, name: str) -> Stream:
    """A stream that is to get a snapshot and does not get it yet."""
    pipe = Pipe()
    pipe.stuck = MAX_WAITING + 1
    stream = await w.hub.open(w.peer(name), None, pipe)
    assert stream.is_fresh
    return stream


async def test_who_waits_for_its_snapshot_is_behind_also_when_more_happens(w: World) -> None:
    """telling.py, `note`: it gives a `due` to a stream that knows nothing; hub.py, `is_behind` believes that."""
    older = await w.open("mari")
    applied(w, "mari")
    w.hub.closed(older)
    await w.do(c.RenamePeer(w.peer("ryo").id, Name("leo")))
    revision = w.writer.network.revision
    await fresh_and_stuck(w, "mari")
    state = {peer.name: peer.state for peer in w.services.convergence.at(revision)}
    assert state["mari"] == "behind"
    await w.do(c.RenamePeer(w.peer("leo").id, Name("lea")))
    state = {peer.name: peer.state for peer in w.services.convergence.at(revision)}
    assert state["mari"] == "behind", "it still has not heard of it"


async def test_a_snapshot_keeps_to_the_heavy_lane_also_when_more_happens(w: World) -> None:
    """telling.py, `_is_heavy`: with that `due` a snapshot is taken for as small as the last change."""
    await w.add_cidr("crowd", "127.42.16.0/22")
    await crowded(w, "crowd", "127.42.16.0", CROWD)
    stream = await w.hub.open(w.peer("crowd-0"), None, Pipe())
    assert stream.is_fresh, "it is for the heavy lane"
    await w.writer.submit(c.RenamePeer(w.peer("crowd-1").id, Name("first")), LOCAL)
    await w.hub.sender.flush()
    assert not any(b"event: snapshot" in data for data in stream.pipe.written), "small frames waited behind it"  # type: ignore[attr-defined]
    await w.tell()
    assert not stream.is_owed


# -- waiting for receipts ---------------------------------------------------------------------------------------------


async def test_who_opens_its_stream_anew_before_it_was_told_is_still_waited_for(w: World) -> None:
    """hub.py, `open`: `stream_opened` is called before `_catch_up` says what the stream is owed."""
    stream = await w.open("mari")
    applied(w, "mari")
    cursor = head(w)
    stream.pipe.stuck = MAX_WAITING + 1  # type: ignore[attr-defined]
    await w.do(c.RenamePeer(w.peer("ryo").id, Name("leo")))
    waiting = asyncio.create_task(w.services.convergence.wait(w.writer.network.revision, 600))
    await asyncio.sleep(0)
    await w.open("mari", cursor)  # the older connection is dead, and the coordinator can't know
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done(), "mari has applied nothing of it"
    applied(w, "mari")
    async with asyncio.timeout(PATIENCE):
        await waiting


async def test_a_stream_that_went_while_others_were_told_is_told_nothing(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """streams.py, `closed`: what it was owed stays, and is told into the void: `told` says its peer, long back with
    another stream, had it."""
    go = asyncio.Event()

    async def rest(pace: object) -> None:
        await go.wait()

    monkeypatch.setattr("innerd.streaming.sender._SLICE", -1.0)  # every piece of work takes too long
    monkeypatch.setattr("innerd.streaming.sender._Pace.rest", rest)
    await w.open("ryo")
    older = await w.open("mari")
    applied(w, "mari")
    cursor = head(w)
    await w.writer.submit(c.RenamePeer(w.peer("ryo").id, Name("leo")), LOCAL)
    flushing = asyncio.create_task(w.hub.sender.flush())
    await asyncio.sleep(0)
    assert older.is_owed, "ryo is told first, then others have their turn"
    w.hub.closed(older)
    again = await w.hub.open(w.peer("mari"), cursor, Pipe())
    assert not again.is_owed, "it heard of it at once"
    applied(w, "mari")
    await w.writer.submit(c.RenamePeer(w.peer("tama").id, Name("mike")), LOCAL)  # nothing to mari
    go.set()
    await flushing
    await w.tell()
    revision = w.writer.network.revision
    assert again.cursor == revision - 1
    state = {peer.name: peer.state for peer in w.services.convergence.at(revision)}
    assert state["mari"] == "current"


# -- connections ------------------------------------------------------------------------------------------------------


class SlowStore(MemoryStore):
    """Its disk takes a while."""

    def __init__(self, records: list[Stored]) -> None:
        super().__init__()
        self.records = records
        self.asked, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

    async def read(self, after: int = 0, limit: int = 10_000) -> AsyncIterator[list[Stored]]:
        self.asked.set()
        await self.go.wait()
        async for page in super().read(after, limit):
            yield page


async def test_who_hangs_up_while_its_cursor_is_looked_up_leaves_no_stream(w: World) -> None:
    """stream.py, `serve_stream`: `pipe.gone` is set after `hub.open`, which reads the log; who went meanwhile is
    never noticed, and its peer is online for ever."""
    store = SlowStore(w.store.records)
    w = World(store)
    await w.start()
    assert (await load(store)).network == w.writer.network
    async with w.listening() as port:
        store.go.clear()
        store.asked.clear()
        async with wire(w, "mari", port) as mari:
            mari.request("GET /v1/user/events?since=10 HTTP/1.1")
            async with asyncio.timeout(PATIENCE):
                await store.asked.wait()
            mari.writer.transport.abort()
        for _ in range(20):  # the coordinator's side hears of it
            await asyncio.sleep(0.005)
        store.go.set()
        for _ in range(20):
            await asyncio.sleep(0.005)
        try:
            assert not w.hub.streams.by_peer
            assert not w.presence.is_online(w.peer("mari").id, w.now)
        finally:
            await w.hub.shut_down()


class Transport(asyncio.WriteTransport):
    """A socket whose reader takes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        self.aborted = False

    def writelines(self, list_of_data: Any) -> None:
        self.held += sum(map(len, list_of_data))

    def get_write_buffer_size(self) -> int:
        return self.held

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def test_a_reader_whose_head_is_held_back_is_bounded_and_dropped_too() -> None:
    """stream.py, `Connection.waiting`: what comes before the head is out counts for nothing, so it piles up without a
    bound. uvicorn holds a head back while the answer before it on the connection has not been read: a peer that asks
    for the state and for its events, and reads neither."""

    async def scenario() -> None:
        w = await populated()
        transport = Transport()
        scope = {PIPE: lambda: Connection(transport), "query_string": b""}

        async def held_back(message: Any) -> None:
            await asyncio.Event().wait()

        serving = asyncio.create_task(serve_stream(w.hub, w.peer("mari"), scope, {}, held_back))
        await asyncio.sleep(0)
        (stream,) = w.hub.streams.by_peer.values()
        made = 0
        for number in range(1000):
            before = stream.cursor
            await w.do(c.RenamePeer(2, Name(f"ryo-{number}")))
            made += stream.cursor != before
        for _ in range(60):
            await step(1)
            w.hub.sender.sweep()
        try:
            assert made * 400 < 2 * MAX_WAITING, f"{made} frames of some 400 bytes wait in memory"
            assert stream.ending == "too_slow"
            assert serving.done() or transport.aborted
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    on_stepped_time(scenario())
