"""The event stream over real sockets: which frames come, in which order, and what they say."""

import pytest

from innerd.coordinator.presence import Observed
from innerd.domain import commands as c
from tests.api.asking import ask
from tests.api.streaming import Told, drained, frames_of, hard, stream_of
from tests.world import World, key


async def state_of(w: World, who: str) -> dict[str, object]:
    return hard((await ask(w, who, "GET", "/v1/user/state")).json())


async def test_a_stream_begins_with_hello_snapshot_and_presence(w: World) -> None:
    async with w.listening() as port, stream_of(w, "mari", port) as mari:
        assert mari.response.status_code == 200
        assert mari.response.headers["content-type"] == "text/event-stream"
        assert mari.response.headers["cache-control"] == "no-store"
        hello, snapshot, presence = [await mari.next() for _ in range(3)]
        assert (hello.event, hello.id) == ("hello", None)
        assert hello.data == {
            "protocol": 1,
            "network": "kermpany",
            "network_id": w.writer.network.id,
            "suffix": "wg",
            "generation": 1,
            "head": w.writer.network.revision,
            "head_hash": w.store.records[-1].chain.hex(),
            "cursor_hash": None,
            "peer": w.peer("mari").id,
            "time": w.now,
            "keepalive": 20,
            "tcp": None,
            "twins": None,
            "checkpoint_key": w.hub.checkpoints.key,
            "checkpoint": w.hub.checkpoints.newest(),
        }
        assert (snapshot.event, snapshot.id) == ("snapshot", f"1.{w.writer.network.revision}")
        assert list(snapshot.data) == ["revision", "head_hash", "peers", "cidrs"]
        assert snapshot.data["revision"] == w.writer.network.revision
        assert [peer["name"] for peer in snapshot.data["peers"]] == ["innernet-server", "ryo", "mari"]
        assert len(snapshot.data["cidrs"]) == 5
        assert (presence.event, presence.id) == ("presence", None)
        assert presence.data["whole"] is True
        assert [peer["peer"] for peer in presence.data["peers"]] == [w.peer("mari").id], "of ryo nothing is known"


async def test_a_delta_carries_only_what_changed(w: World) -> None:
    async with w.listening() as port, stream_of(w, "mari", port) as mari:
        await mari.next("presence")
        await w.do(c.RenamePeer(w.peer("ryo").id, "leo"))  # type: ignore[arg-type]
        delta = await mari.next("delta")
        assert delta.id == f"1.{w.writer.network.revision}"
        assert delta.data["revision"] == w.writer.network.revision
        assert delta.data["head_hash"] == w.store.records[-1].chain.hex()
        assert [peer["name"] for peer in delta.data["peers"]] == ["leo"]
        assert (delta.data["gone"], delta.data["cidrs"], delta.data["cidrs_gone"]) == ([], [], [])


@pytest.mark.parametrize(
    ("command", "peers", "gone", "cidrs", "cidrs_gone"),
    [
        pytest.param(lambda w: c.DisablePeer(w.peer("ryo").id), [], [2], [], [], id="disabled"),
        pytest.param(lambda w: c.RemovePeer(w.peer("ryo").id), [], [2], [], [], id="retired"),
        pytest.param(lambda w: c.AddAssociation(3, 5), ["tama"], [], [], [], id="associated"),
        pytest.param(lambda w: c.RenameCidr(5, "felines"), [], [], ["felines"], [], id="a cidr renamed"),
        pytest.param(lambda w: c.DeleteCidr(6), [], [], [], [6], id="a cidr deleted"),
        pytest.param(lambda w: c.SetNetworkEndpoint("192.0.2.9:1"), ["innernet-server"], [], [], [], id="endpoint"),
        pytest.param(lambda w: c.GrantAdmin(w.peer("mari").id), ["mari"], [], [], [], id="its own rights"),
        pytest.param(
            lambda w: c.Redeem(w.peer("kuro").id, key("kuro")), ["kuro"], [], [], [], id="a redeemed invitation"
        ),
    ],
)
async def test_each_kind_of_change_as_mari_hears_it(
    w: World, command: object, peers: list[str], gone: list[int], cidrs: list[str], cidrs_gone: list[int]
) -> None:
    await w.add_cidr("empty", "127.42.9.0/24")
    await w.invite("kuro", "humans")
    stream = await w.open("mari")
    drained(stream)
    await w.do(command(w))  # type: ignore[operator]
    (delta,) = [frame for frame in frames_of(drained(stream)) if frame.event == "delta"]
    assert [peer["name"] for peer in delta.data["peers"]] == peers
    assert delta.data["gone"] == gone
    assert [cidr["name"] for cidr in delta.data["cidrs"]] == cidrs
    assert delta.data["cidrs_gone"] == cidrs_gone


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(lambda w: c.DisablePeer(w.peer("tama").id), id="a peer out of sight disabled"),
        pytest.param(lambda w: c.RenamePeer(w.peer("tama").id, "mike"), id="renamed"),
        pytest.param(lambda w: c.AddAssociation(4, 5), id="others associated"),
        pytest.param(
            lambda w: c.AddPeer(name="kuro", cidr=3, ip=None, public_key=key("k")), id="an invitation in its own CIDR"
        ),
    ],
)
async def test_a_change_that_a_peer_cannot_see_tells_it_nothing(w: World, command: object) -> None:
    stream = await w.open("mari")
    drained(stream)
    await w.do(command(w))  # type: ignore[operator]
    frames = frames_of(drained(stream))
    assert [frame for frame in frames if frame.data.get("peers") or frame.data.get("gone")] == []


async def test_deltas_add_up_to_the_state(w: World) -> None:
    async with w.listening() as port, stream_of(w, "mari", port) as mari:
        await mari.next("presence")
        await w.associate("humans", "cats")
        await w.add_cidr("bakers", "127.42.128.0/24", "humans")
        await w.join("kuro", "cats")
        await w.do(c.DisablePeer(w.peer("tama").id))
        await w.do(c.RenamePeer(w.peer("kuro").id, "kiki"))  # type: ignore[arg-type]
        await w.do(c.OverrideEndpoint(w.peer("kiki").id, "1.2.3.4:5"))  # type: ignore[arg-type]
        await w.do(c.DeleteAssociation(1))
        await w.do(c.DeleteCidr(w.cidr_id("bakers"), merge=True))
        await w.do(c.RemovePeer(w.peer("ryo").id))
        await w.do(c.GrantAdmin(w.peer("mari").id))
        while mari.cursor != f"1.{w.writer.network.revision}":
            await mari.next("delta")
        assert mari.state() == await state_of(w, "mari")
        assert [peer["name"] for peer in mari.state()["peers"]] == ["innernet-server", "mari"]


async def test_soft_state_comes_at_once_and_has_no_id(w: World) -> None:
    stream = await w.open("mari")
    drained(stream)
    w.presence.drain()
    w.presence.observe(w.peer("ryo").id, Observed("203.0.113.9:4000", w.now, 0, 0))
    w.presence.report_candidates(w.peer("ryo").id, ("192.168.1.7:51820",))
    await w.hub.sender.tell_presence()
    (presence,) = frames_of(drained(stream))
    assert (presence.event, presence.id) == ("presence", None)
    assert presence.data == {
        "whole": False,
        "peers": [
            {
                "peer": w.peer("ryo").id,
                "endpoint": "203.0.113.9:4000",
                "candidates": ["192.168.1.7:51820"],
                "online": True,
            }
        ],
    }


async def test_who_comes_and_goes_is_told_to_who_sees_it(w: World) -> None:
    mari = await w.open("mari")
    oven = await w.open("oven")
    await w.hub.sender.tell_presence()
    for stream in (mari, oven):
        drained(stream)
    ryo = await w.open("ryo")
    await w.hub.sender.tell_presence()
    told = Told()
    told.hear(drained(mari))
    assert told.presence[w.peer("ryo").id]["online"] is True
    w.hub.closed(ryo)
    await w.hub.sender.tell_presence()
    told.hear(drained(mari))
    assert told.presence[w.peer("ryo").id]["online"] is False
    assert drained(oven) == b""


async def test_a_new_peer_comes_with_its_soft_state_before_it(w: World) -> None:
    """Who has both at once begins its handshake at once."""
    w.presence.observe(w.peer("tama").id, Observed("203.0.113.9:4000", w.now, 0, 0))
    stream = await w.open("mari")
    drained(stream)
    await w.associate("humans", "cats")
    frames = frames_of(drained(stream))
    assert [frame.event for frame in frames] == ["presence", "delta"]
    assert [peer["peer"] for peer in frames[0].data["peers"]] == [w.peer("tama").id]


async def test_one_frame_is_made_for_all_of_a_class(w: World) -> None:
    """Sharing, not making each anew, is what lets one process serve thousands."""
    streams = [await w.open(name) for name in ("ryo", "mari")]
    for stream in streams:
        drained(stream)
    await w.join("kuro", "humans")
    one, other = (stream.pipe.written[-1] for stream in streams)  # type: ignore[attr-defined]
    assert one is other
