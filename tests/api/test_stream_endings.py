"""How a stream ends: with a word about why, at once, and leaving nothing behind. And how it is kept alive."""

import asyncio

import httpx2
import pytest

from innerd.coordinator.presence import Observed
from innerd.domain import commands as c
from innerd.domain.errors import Refused
from innerd.streaming.registry import Stream
from innerd.streaming.sender import MAX_WAITING
from innerd.wire import proof
from innerd.wire.stream import Cursor
from tests.api.asking import ask
from tests.api.streaming import PATIENCE, drained, frames_of, stream_of
from tests.client.support import COORDINATOR
from tests.stepped import on_stepped_time, step
from tests.world import Pipe, World, key, populated


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (lambda peer: c.DisablePeer(peer.id), "disabled"),
        (lambda peer: c.RemovePeer(peer.id), "retired"),
        (lambda peer: c.ChangePeer(id=peer.id, is_disabled=True), "disabled"),
    ],
    ids=["disabled", "retired", "disabled by a change"],
)
async def test_a_peer_that_is_out_is_told_why_and_its_stream_ends(w: World, command: object, reason: str) -> None:
    async with w.listening() as port, stream_of(w, "mari", port) as mari:
        await mari.next("presence")
        await w.do(command(w.peer("mari")))  # type: ignore[operator]
        frames = await mari.rest()
        assert (frames[-1].event, frames[-1].data, frames[-1].id) == ("bye", {"reason": reason}, None)
        assert [frame for frame in frames if frame.event == "delta"] == [], "nor is it told anything more"
    assert w.hub.streams.ended == {reason: 1}


async def test_a_newer_stream_replaces_the_older(w: World) -> None:
    async with w.listening() as port, stream_of(w, "mari", port) as older:
        await older.next("presence")
        async with stream_of(w, "mari", port) as newer:
            await newer.next("presence")
            assert (await older.rest())[-1].data == {"reason": "replaced"}
            assert len(w.hub.streams.by_peer) == 1
            await w.do(c.DisablePeer(w.peer("ryo").id))
            assert (await newer.next("delta")).data["gone"] == [w.peer("ryo").id]
            assert w.presence.is_online(w.peer("mari").id, w.now), "the end of the older does not make it offline"


async def test_at_the_end_of_the_coordinator_all_are_told(w: World) -> None:
    async with w.listening() as port, stream_of(w, "mari", port) as mari, stream_of(w, "oven", port) as oven:
        await mari.next("presence")
        await oven.next("presence")
        await w.hub.shut_down()
        for stream in (mari, oven):
            assert (await stream.rest())[-1].data == {"reason": "shutting_down"}
        async with w.over_socket("mari", port) as client:
            answer = await client.get("/v1/user/events")
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")


async def test_streams_are_for_enabled_redeemed_peers(w: World) -> None:
    await w.invite("kuro", "cats")
    await w.do(c.DisablePeer(w.peer("tama").id))
    for who in ("kuro", "tama", "127.42.9.9", None):
        assert (await ask(w, who, "GET", "/v1/user/events")).status == 401
    assert not w.hub.streams.by_peer


async def test_a_peer_that_was_disabled_while_it_knocked_gets_no_stream(w: World) -> None:
    knocked = w.peer("mari")
    await w.do(c.DisablePeer(knocked.id))
    with pytest.raises(Refused, match="enabled"):
        await w.hub.open(knocked, None, Pipe())


async def test_nothing_follows_a_bye(w: World) -> None:
    """What came between would be missing, and a cursor behind it would hide that for ever."""
    stream = await w.open("mari")
    drained(stream)
    await w.do(c.DisablePeer(w.peer("mari").id))
    await w.do(c.RenamePeer(w.peer("ryo").id, "leo"))  # type: ignore[arg-type]
    await w.do(c.EnablePeer(w.peer("mari").id))
    await w.do(c.RenamePeer(w.peer("leo").id, "lea"))  # type: ignore[arg-type]
    assert [frame.event for frame in frames_of(drained(stream))] == ["bye"]


async def test_a_client_that_goes_makes_its_peer_offline(w: World) -> None:
    """The hub notes the end; nobody need wait for a timeout."""
    async with w.listening() as port:
        async with stream_of(w, "mari", port) as mari:
            await mari.next("presence")
            stream = w.hub.streams.by_peer[w.peer("mari").id]
        async with asyncio.timeout(PATIENCE):
            await stream.ended.wait()
        assert not w.hub.streams.by_peer
        assert not w.presence.is_online(w.peer("mari").id, w.now)
        assert w.hub.streams.ended == {"disconnected": 1}


async def test_a_client_that_goes_at_once_leaves_no_task_behind(w: World) -> None:
    """It is gone in the same moment in which its first frames are taken to be sent."""
    async with w.listening() as port:
        _, writer = await asyncio.open_connection(COORDINATOR, port, local_addr=(str(w.peer("mari").ip), 0))
        proved = f"{proof.HEADER}: {w.proof('mari', 'GET', '/v1/user/events')}"
        head = f"Host: {COORDINATOR}:{port}\r\nX-Innernet-Server-Key: {key('coordinator')}\r\n{proved}\r\n\r\n"
        writer.write(f"GET /v1/user/events HTTP/1.1\r\n{head}".encode())
        await writer.drain()
        writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            while not w.hub.streams.ended:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.005)
        assert not w.hub.streams.by_peer


async def test_head_and_post_open_no_stream(w: World) -> None:
    for method in ("HEAD", "POST", "OPTIONS"):
        assert (await ask(w, "mari", method, "/v1/user/events")).status == 404
    assert not w.hub.streams.by_peer


async def test_a_trailing_component_is_ignored_here_too(w: World) -> None:
    async with (
        w.listening() as port,
        w.over_socket("mari", port) as client,
        client.stream("GET", "/v1/user/events/x") as response,
    ):
        assert response.headers["content-type"] == "text/event-stream"


# -- keeping alive ---------------------------------------------------------------------------------------------


def test_a_stream_with_nothing_to_tell_sends_a_comment() -> None:
    async def scenario() -> None:
        w = await populated()
        stream = await w.open("mari")
        drained(stream)
        await step(19)
        w.hub.sender.sweep()
        assert drained(stream) == b""
        await step(2)
        w.hub.sender.sweep()
        comment = drained(stream)
        assert comment.startswith(b":")
        assert comment.endswith(b"\n\n")
        assert frames_of(comment) == []

    on_stepped_time(scenario())


def test_now_and_then_a_stream_that_nothing_concerns_is_told_how_far_the_log_is() -> None:
    """Else its cursor would be forgotten by the time it comes back."""

    async def scenario() -> None:
        w = await populated()
        stream = await w.open("mari")
        drained(stream)
        await w.do(c.DisablePeer(w.peer("tama").id))
        await step(100)
        w.hub.sender.sweep()
        assert frames_of(drained(stream)) == []
        await step(250)
        w.hub.sender.sweep()
        (delta,) = frames_of(drained(stream))
        assert (delta.event, delta.id) == ("delta", f"1.{w.writer.network.revision}")
        assert [delta.data[key] for key in ("peers", "gone", "cidrs", "cidrs_gone")] == [[], [], [], []]
        await step(350)
        w.hub.sender.sweep()
        assert frames_of(drained(stream)) == [], "it knows"

    on_stepped_time(scenario())


# -- slow readers ----------------------------------------------------------------------------------------------


def lies(stream: Stream, size: int) -> None:
    """So many bytes of a stream that its reader leaves lying."""
    stream.pipe.stuck = size  # type: ignore[attr-defined]


async def test_what_comes_while_a_reader_does_not_read_adds_up_to_one_frame(w: World) -> None:
    slow, quick = await w.open("mari"), await w.open("ryo")
    drained(slow)
    drained(quick)
    lies(slow, MAX_WAITING + 1)
    for number in range(50):
        await w.do(c.RenamePeer(2, f"ryo-{number}"))  # type: ignore[arg-type]
    assert drained(slow) == b"", "nothing queues"
    assert len(frames_of(drained(quick))) == 50, "the others are not held up"
    lies(slow, 0)
    slow.pipe.drained()
    await w.tell()
    (delta,) = frames_of(drained(slow))
    assert (delta.id, [peer["name"] for peer in delta.data["peers"]]) == (f"1.{w.writer.network.revision}", ["ryo-49"])


async def test_who_missed_presence_gets_it_whole_when_it_reads_again(w: World) -> None:
    slow = await w.open("mari")
    drained(slow)
    lies(slow, MAX_WAITING + 1)
    for number in range(20):
        w.presence.observe(2, Observed(f"192.0.2.1:{number + 1}", w.now, 0, 0))  # type: ignore[arg-type]
        await w.hub.sender.tell_presence()
    assert drained(slow) == b""
    lies(slow, 0)
    slow.pipe.drained()
    await w.hub.sender.tell_presence()
    (presence,) = frames_of(drained(slow))
    assert presence.data["whole"] is True
    assert presence.data["peers"][0]["endpoint"] == "192.0.2.1:20"


def test_a_reader_that_is_too_slow_is_dropped_and_resumes_by_its_cursor() -> None:
    async def scenario() -> None:
        w = await populated()
        slow = await w.open("mari")
        cursor = Cursor(1, w.writer.network.revision)
        drained(slow)
        lies(slow, 100_000)
        w.hub.sender.sweep()
        await w.join("kuro", "humans")
        await step(10)
        w.hub.sender.sweep()
        assert slow.ending is None, "it has some time"
        await step(10)
        w.hub.sender.sweep()
        assert slow.ending == "too_slow"
        assert [frame.event for frame in frames_of(drained(slow))] == ["bye"]
        w.hub.closed(slow)
        assert w.hub.streams.ended == {"too_slow": 1}
        again = await w.open("mari", cursor)
        (delta,) = [frame for frame in frames_of(drained(again)) if frame.event == "delta"]
        assert [peer["name"] for peer in delta.data["peers"]] == ["kuro"]

    on_stepped_time(scenario())


def test_a_reader_that_reads_in_time_is_not_dropped() -> None:
    async def scenario() -> None:
        w = await populated()
        slow = await w.open("mari")
        for _ in range(10):
            lies(slow, 100_000)
            w.hub.sender.sweep()
            await step(10)
            lies(slow, 0)
            w.hub.sender.sweep()
            await w.do(c.RenamePeer(2, f"ryo-{w.writer.network.revision}"))  # type: ignore[arg-type]
        assert slow.ending is None

    on_stepped_time(scenario())


async def test_a_reader_that_reads_nothing_holds_up_nobody(w: World) -> None:
    """Over sockets: mari opens a stream and never reads; hundreds of changes later ryo has heard all of them."""
    async with (
        w.listening() as port,
        w.over_socket("mari", port) as client,
        client.stream("GET", "/v1/user/events"),
        stream_of(w, "ryo", port) as ryo,
    ):
        for number in range(600):
            await w.do(c.RenamePeer(2, f"ryo-{number}"))  # type: ignore[arg-type]
        while ryo.cursor != f"1.{w.writer.network.revision}":
            await ryo.next("delta")


async def test_farewells_wait_for_last_words_and_not_for_ever(w: World) -> None:
    stream = await w.open("mari")
    await w.do(c.DisablePeer(w.peer("mari").id))
    waiting = asyncio.create_task(w.hub.farewells())
    await asyncio.sleep(0)
    assert not waiting.done()
    w.hub.closed(stream)
    async with asyncio.timeout(PATIENCE):
        await waiting
    silent = await w.open("oven")
    w.hub.streams.end(silent, "disabled")
    async with asyncio.timeout(PATIENCE):
        await w.hub.farewells()
    w.hub.closed(silent)
    async with asyncio.timeout(PATIENCE):
        await w.hub.farewells()


async def test_a_client_may_reconnect_right_after_it_was_enabled_again(w: World) -> None:
    async with w.listening() as port:
        async with stream_of(w, "mari", port) as mari:
            await mari.next("presence")
            await w.do(c.DisablePeer(w.peer("mari").id))
            await mari.rest()
        async with w.over_socket("mari", port) as client:
            assert (await client.get("/v1/user/events")).status_code == httpx2.codes.UNAUTHORIZED
        await w.do(c.EnablePeer(w.peer("mari").id))
        async with stream_of(w, "mari", port, **{"Last-Event-ID": mari.cursor or ""}) as again:
            assert [(await again.next()).event for _ in range(3)] == ["hello", "delta", "presence"]
