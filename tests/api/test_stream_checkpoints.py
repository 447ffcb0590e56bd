"""Signed checkpoints on the stream: in every hello, and in rounds for all; what they cost is counted in signatures."""

import asyncio

import pytest

from innerd.domain import commands as c
from innerd.domain.values import Name
from innerd.streaming.sender import MAX_WAITING
from innerd.wire.checkpoint import Checkpoint, read
from innerd.wire.note import parse_verifier
from tests.api.streaming import frames_of, stream_of
from tests.world import Pipe, World, crowded


def head_of(w: World) -> Checkpoint:
    network = w.writer.network
    return Checkpoint(network.id, network.generation, network.revision, w.store.records[-1].chain.hex())


async def rename(w: World, was: str, name: str) -> None:
    await w.do(c.RenamePeer(w.peer(was).id, Name(name)))


def signed(w: World, note: str | None) -> Checkpoint:
    """What a note says, if the coordinator's key signed it."""
    assert note is not None
    return read(note, parse_verifier(str(w.hub.checkpoints.key)))


async def test_a_hello_has_the_heads_checkpoint_and_the_key_that_signed_it(w: World) -> None:
    async with w.listening() as port, stream_of(w, "mari", port) as mari:
        hello = await mari.next("hello")
    assert hello.data["checkpoint_key"] == w.hub.checkpoints.key
    assert signed(w, hello.data["checkpoint"]) == head_of(w)


async def test_a_restarted_coordinator_signs_with_the_same_key(w: World) -> None:
    before, note = w.hub.checkpoints.key, w.hub.checkpoints.newest()
    await w.start()
    assert (w.hub.checkpoints.key, w.hub.checkpoints.newest()) == (before, note)


async def test_a_round_tells_all_the_same_whatever_concerns_them(w: World) -> None:
    streams = [await w.open(name) for name in ("ryo", "mari", "tama")]
    await rename(w, "oven", "kiln")  # none of them sees it
    w.now += 60
    for stream in streams:
        stream.pipe.taken()
    await w.hub.sender.tell_checkpoint()
    told = [stream.pipe.taken() for stream in streams]
    assert told[0] == told[1] == told[2]
    (frame,) = frames_of(told[0])
    assert (frame.event, frame.id) == ("checkpoint", None)
    assert signed(w, frame.data["note"]) == head_of(w)


async def test_where_nothing_happened_a_round_says_nothing(w: World) -> None:
    ryo = await w.open("ryo")
    await w.hub.sender.tell_checkpoint()
    ryo.pipe.taken()
    w.now += 60
    await w.hub.sender.tell_checkpoint()
    assert ryo.pipe.taken() == b""


async def test_who_does_not_read_and_who_has_gone_is_not_told(w: World) -> None:
    ryo, mari = await w.open("ryo"), await w.open("mari")
    ryo.pipe.stuck = MAX_WAITING + 1
    w.hub.streams.end(mari, "replaced")
    ryo.pipe.taken(), mari.pipe.taken()
    await w.hub.sender.tell_checkpoint()
    assert ryo.pipe.taken() == mari.pipe.taken() == b""  # behind a bye comes nothing


async def test_a_thousand_streams_and_a_hundred_changes_cost_a_signature_a_second(w: World) -> None:
    crowd = await crowded(w, "humans", "127.42.130.0", 1000)
    before = w.hub.checkpoints.signed
    for name in crowd:
        await w.hub.open(w.peer(name), None, Pipe())
    assert w.hub.checkpoints.signed == before + 1  # one revision, one signature
    for number in range(100):  # within a second of the clock
        await rename(w, f"oven-{number - 1}" if number else "oven", f"oven-{number}")
        w.hub.checkpoints.newest()
        await w.hub.sender.tell_checkpoint()
    assert w.hub.checkpoints.signed == before + 1
    w.now += 1
    for _ in range(100):
        w.hub.checkpoints.newest()
    assert w.hub.checkpoints.signed == before + 2


@pytest.mark.parametrize("step", [-3600, 3600])
async def test_a_clock_that_jumps_keeps_no_checkpoint_back(w: World, step: float) -> None:
    w.hub.checkpoints.newest()
    await rename(w, "oven", "kiln")
    w.now += step
    assert signed(w, w.hub.checkpoints.newest()) == head_of(w)


async def test_rounds_run_beside_the_telling(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("innerd.streaming.sender._CHECKPOINTS", 0.01)
    async with w.listening() as port, stream_of(w, "mari", port) as mari:
        await mari.next("presence")
        w.now += 60
        await rename(w, "oven", "kiln")
        async with asyncio.timeout(10):
            while True:
                frame = await mari.next("checkpoint")
                if signed(w, frame.data["note"]) == head_of(w):
                    break
