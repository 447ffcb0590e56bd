"""Resuming by cursor: nothing missed, nothing twice; and a snapshot where the cursor says nothing to us."""

import asyncio
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.wire.stream import Cursor
from tests.api.asking import ask
from tests.api.logs import write
from tests.api.streaming import Told, drained, frames_of, hard, stream_of
from tests.world import World, key, populated


def now(w: World) -> str:
    return f"1.{w.writer.network.revision}"


def cursor_of(told: Told) -> Cursor | None:
    return None if told.cursor is None else Cursor(*map(int, told.cursor.split(".")))


async def rename(w: World, name: str, to: str) -> None:
    await w.do(c.RenamePeer(w.peer(name).id, to))  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["Last-Event-ID", "?since=generation.revision", "?since=revision"])
async def test_a_client_that_comes_back_is_told_the_difference(w: World, way: str) -> None:
    async with w.listening() as port:
        async with stream_of(w, "mari", port) as first:
            await first.next("presence")
        cursor, told_hash = w.writer.network.revision, w.writer.head_hash
        await rename(w, "ryo", "leo")
        await w.join("kuro", "humans")
        query = {"?since=revision": f"?since={cursor}", "?since=generation.revision": f"?since=1.{cursor}"}.get(way, "")
        headers = {"Last-Event-ID": f"1.{cursor}"} if way == "Last-Event-ID" else {}
        async with stream_of(w, "mari", port, query, **headers) as again:
            hello, delta, presence = [await again.next() for _ in range(3)]
            assert (hello.event, delta.event, presence.event) == ("hello", "delta", "presence")
            assert hello.data["cursor_hash"] == told_hash
            assert delta.id == now(w)
            assert [peer["name"] for peer in delta.data["peers"]] == ["leo", "kuro"]
            assert presence.data["whole"] is True


async def test_a_client_at_the_head_is_told_nothing_again(w: World) -> None:
    async with w.listening() as port, stream_of(w, "mari", port, f"?since={now(w)}") as mari:
        assert [(await mari.next()).event for _ in range(2)] == ["hello", "presence"]


async def test_the_header_counts_before_the_query(w: World) -> None:
    async with w.listening() as port:
        headers = {"Last-Event-ID": now(w)}
        async with stream_of(w, "mari", port, "?since=1.1", **headers) as mari:
            assert [(await mari.next()).event for _ in range(2)] == ["hello", "presence"]


NO_USE = {
    "1.16": "the future",
    "1.999999": "the far future",
    "2.15": "another generation",
    "1.0": "before the first event",
    "": "empty",
    "15": "no generation",
    "1.15.1": "three parts",
    "1.x": "no number",
    "-1.15": "negative",
    "1." + "1" * 5000: "endless",
    "1.2": "before it was a peer",
}


async def test_a_cursor_that_says_nothing_to_us_gets_a_snapshot(w: World) -> None:
    assert w.writer.network.revision == 15
    restarted = World(w.store)
    await restarted.start()
    async with restarted.listening() as port:
        for cursor, why in NO_USE.items():
            async with stream_of(restarted, "mari", port, **{"Last-Event-ID": cursor}) as mari:
                hello, snapshot = await mari.next(), await mari.next()
                assert (why, snapshot.event) == (why, "snapshot")
                known = restarted.store.records[1].chain.hex() if cursor == "1.2" else None
                assert (why, hello.data["cursor_hash"]) == (why, known)


async def test_a_restarted_coordinator_tells_just_what_was_missed(w: World) -> None:
    """It remembers the last events of the log as if it had been there."""
    cursor = now(w)
    await rename(w, "ryo", "leo")
    restarted = World(w.store)
    await restarted.start()
    stream = await restarted.open("mari", Cursor(1, int(cursor.partition(".")[2])))
    _, delta, _ = frames_of(drained(stream))
    assert (delta.event, [peer["name"] for peer in delta.data["peers"]]) == ("delta", ["leo"])


async def test_a_bare_revision_is_of_the_generation_of_now(w: World) -> None:
    """After a restore the generation is 2; `?since=REVISION` must not fall back to snapshots for ever."""
    await write(w.store, e.LogRestored(generation=2, from_revision=15))
    restored = World(w.store)
    await restored.start()
    assert restored.writer.network.generation == 2
    async with restored.listening() as port, stream_of(restored, "mari", port, "?since=16") as mari:
        assert [(await mari.next()).event for _ in range(2)] == ["hello", "presence"]


async def test_a_cursor_of_the_generation_before_a_restore_gets_a_snapshot(w: World) -> None:
    await write(w.store, e.LogRestored(generation=2, from_revision=15))
    restored = World(w.store)
    await restored.start()
    stream = await restored.open("mari", Cursor(1, 15))
    hello, snapshot, _ = frames_of(drained(stream))
    assert (snapshot.event, snapshot.id) == ("snapshot", "2.16")
    assert (hello.data["generation"], hello.data["cursor_hash"]) == (2, None)


async def test_a_cursor_from_before_a_disabling_gets_the_whole(w: World) -> None:
    """In between others may have come and gone whom it was never told."""
    cursor = Cursor(1, w.writer.network.revision)
    await w.do(c.DisablePeer(w.peer("mari").id))
    between = Cursor(1, w.writer.network.revision)
    await rename(w, "ryo", "leo")
    await w.do(c.EnablePeer(w.peer("mari").id))
    for given_cursor in (cursor, between):
        told = Told()
        told.hear(drained(await w.open("mari", given_cursor)))
        names = {peer["name"] for peer in told.peers.values()}
        assert "leo" in names


async def test_after_a_carve_peers_are_told_their_new_cidr(w: World) -> None:
    told = Told()
    stream = await w.open("mari")
    told.hear(drained(stream))
    w.hub.closed(stream)
    await w.add_cidr("bakers", "127.42.128.0/30", "humans")  # ryo .1 and mari .2 go along
    await w.join("kuro", "humans", ip="127.42.200.1")
    told.hear(drained(await w.open("mari", cursor_of(told))))
    assert {peer["name"] for peer in told.peers.values()} == {"innernet-server", "ryo", "mari"}
    assert {peer["cidr_id"] for peer in told.peers.values()} == {2, w.cidr_id("bakers")}


# -- the property ----------------------------------------------------------------------------------------------

NAMES = ["ryo", "mari", "oven", "tama"]
CIDRS = [3, 4, 5]
COMMANDS = st.one_of(
    st.builds(lambda n: ("disable", n), st.sampled_from(NAMES)),
    st.builds(lambda n: ("enable", n), st.sampled_from(NAMES)),
    st.builds(lambda n, to: ("rename", n, to), st.sampled_from(NAMES), st.sampled_from(["a", "b", "c"])),
    st.builds(lambda n, to: ("override", n, to), st.sampled_from(NAMES), st.sampled_from([None, "1.2.3.4:5"])),
    st.builds(lambda a, b: ("associate", a, b), st.sampled_from(CIDRS), st.sampled_from(CIDRS)),
    st.builds(lambda n: ("dissociate", n), st.integers(1, 3)),
    st.builds(lambda n: ("join", n), st.sampled_from(["127.42.128.9", "127.42.64.9", "127.42.3.9", "127.42.3.10"])),
    st.just(("carve", "127.42.3.8/29", 5)),
    st.just(("carve", "127.42.128.0/29", 3)),  # ryo and mari go along
    st.just(("uncarve",)),
    st.builds(lambda n: ("retire", n), st.sampled_from(NAMES[2:])),
)
CLIENT = st.sampled_from(["listen", "leave", "lose", "come"])


async def carry_out(w: World, ids: dict[str, int], number: int, step: tuple[Any, ...]) -> None:
    """One command; refusals are part of the game."""
    contents: dict[str, Any] = {"name": f"new-{number}", "cidr_id": 1, "public_key": key(f"new-{number}")}
    contents |= {"is_admin": False, "is_disabled": False, "is_redeemed": True}
    match step:
        case ("disable", name):
            request: tuple[str, str, Any] = ("PATCH", f"/v1/admin/peers/{ids[name]}", {"is_disabled": True})
        case ("enable", name):
            request = ("PATCH", f"/v1/admin/peers/{ids[name]}", {"is_disabled": False})
        case ("rename", name, to):
            request = ("PATCH", f"/v1/admin/peers/{ids[name]}", {"name": to})
        case ("override", name, to):
            request = ("PATCH", f"/v1/admin/peers/{ids[name]}", {"endpoint": to})
        case ("associate", one, other):
            request = ("POST", "/v1/admin/associations", {"cidr_id_1": one, "cidr_id_2": other})
        case ("dissociate", which):
            request = ("DELETE", f"/v1/admin/associations/{which}", None)
        case ("join", ip):
            request = ("POST", "/v1/admin/peers", contents | {"ip": ip})
        case ("carve", block, parent):
            request = ("POST", "/v1/admin/cidrs", {"name": "carved", "cidr": block, "parent": parent})
        case ("uncarve",):
            carved = w.writer.network.cidr_named("carved")
            request = ("DELETE", f"/v1/admin/cidrs/{carved.id if carved else 99}", None)
        case ("retire", name):
            request = ("DELETE", f"/v1/admin/peers/{ids[name]}?remove=true", None)
    assert (await ask(w, None, request[0], request[1], json=request[2])).status in (201, 204, 400, 404)
    if number % 3:  # else what comes adds up
        await w.tell()


async def play(steps: list[Any], who: str) -> None:
    w = await populated()
    ids = {name: w.peer(name).id for name in NAMES}
    told, stream = Told(), None
    for number, step in enumerate(steps):
        if isinstance(step, tuple):
            await carry_out(w, ids, number, step)
        peer = w.writer.network.peers.get(ids[who])
        if stream is not None and (step in ("leave", "lose") or stream.ending):
            data = drained(stream)
            if step == "leave":  # it heard all; `lose`: what was under way is lost with the connection
                told.hear(data)
            w.hub.closed(stream)
            stream = None
        elif step == "listen" and stream is not None:
            await w.tell()
            told.hear(drained(stream))
        elif step == "come" and stream is None and peer is not None and peer.is_active:
            stream = await w.open(peer.name, cursor_of(told))
    peer = w.writer.network.peers.get(ids[who])
    if peer is None or not peer.is_active:
        return
    if stream is None:
        stream = await w.open(peer.name, cursor_of(told))
    await w.tell()
    told.hear(drained(stream))
    assert told.state() == hard((await ask(w, str(peer.ip), "GET", "/v1/user/state")).json())


@example(steps=["come", ("carve", "127.42.128.0/29", 3), "listen"], who="mari")
@example(steps=["come", ("disable", "ryo"), "lose", ("enable", "ryo"), "come"], who="mari")
@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.one_of(COMMANDS, COMMANDS, CLIENT), max_size=40), who=st.sampled_from(NAMES))
def test_nothing_is_missed_and_nothing_comes_twice_over_reconnects(steps: list[Any], who: str) -> None:
    """A client that applies what it is told, in any weather, is where `GET /v1/user/state` is."""
    asyncio.run(play(steps, who))
