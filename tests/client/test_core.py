"""The core alone: frames in, changes out. What one change costs does not grow with the network; what came together is
believed together or not at all; a receipt is about what the device matches."""

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from innclient.agent.session import Session
from innclient.agent.tunnel import Tunnel
from innclient.core.membership import Identity, Membership, Taken
from innclient.core.netmap import LogForked, Netmap
from innclient.core.pins import Pins
from innclient.core.trials import BY_KEYS, Server, Turns
from innerd.domain.errors import Refused
from innerd.domain.values import Endpoint, parse_address, parse_range
from innerd.wire.innernet import PeerJson
from innerd.wire.ours import RefusedPeer
from innerd.wire.stream import Bye, DeltaJson, PeerPresence, PresenceJson
from innerd.wireguard import plan as planning
from innerd.wireguard.device import Device, clamped
from innerd.wireguard.memory import MemoryBackend
from innerd.wireguard.plan import Change, RemovePeer, SetPeer, applied
from tests.client.liar import OPEN, Liar, told
from tests.client.support import COORDINATOR as SERVER_IP
from tests.client.support import eventually, session_at
from tests.client.told import COORDINATOR, MARI, ME, heard, hello, peer_json, snapshot
from tests.world import INTERFACE, key, private_key

NOW = 1_790_000_000.0
OVEN = peer_json(5, "oven", "10.42.64.1")
SERVER = Server(key("coordinator"), parse_address("10.42.0.1"), Endpoint("192.0.2.1:51820"))
IDENTITY = Identity(
    private_key=private_key("ryo"),
    public_key=key("ryo"),
    ip=parse_address("10.42.128.1"),
    server_key=key("coordinator"),
    server_ip=parse_address("10.42.0.1"),
)
EMPTY = Device(private_key=clamped(private_key("ryo")))


def delta(revision: int = 11, **changes: Any) -> DeltaJson:
    return DeltaJson(**{"revision": revision, "head_hash": f"h{revision}"} | changes)


def presence(*peers: PeerPresence, whole: bool = True) -> PresenceJson:
    return PresenceJson(whole=whole, peers=list(peers))


def at(number: int, *endpoints: str) -> PeerPresence:
    return PeerPresence(peer=number, endpoint=None, candidates=list(endpoints), online=True)


def new_core() -> Membership:
    return Membership(IDENTITY, Netmap(block=parse_range("10.42.0.0/16")), Pins(), {})


def believe(
    core: Membership, frames: list[Struct], device: Device, now: float = NOW, turns: Turns = BY_KEYS
) -> tuple[Taken, tuple[Change, ...]]:
    """What the session does with frames; the device is `device` after the changes."""
    taken = heard(core, frames, now)
    core.pins = core.check_pins(taken.peers, now)
    return taken, core.changes(device, SERVER, core.presence, now, taken, turns)[0]


def in_step(*peers: PeerJson) -> tuple[Membership, Device]:
    """A core that was told of peers at revision 10, and the device that matches."""
    core = new_core()
    _, changes = believe(core, [hello(), snapshot(COORDINATOR, ME, *peers), presence()], EMPTY)
    core.matched = core.netmap
    return core, applied(EMPTY, changes)


# -- what one change costs ------------------------------------------------------------------------------------------


def crowd(count: int) -> list[PeerJson]:
    """So many peers, mari and the oven among them."""
    keys = (b64encode(sha256(b"%d" % n).digest()).decode() for n in range(count))
    made = [
        peer_json(100 + n, f"peer-{n}", f"10.42.{200 + n // 250}.{1 + n % 250}", public_key=key)
        for n, key in enumerate(keys)
    ]
    return [MARI, OVEN, *made[2:]]


DELTAS = {
    "one gone": delta(gone=[4]),
    "one new": delta(peers=[peer_json(9, "nami", "10.42.128.9")]),
    "one renamed": delta(peers=[peer_json(4, "mari-laptop", "10.42.128.2", public_key=key("mari"))]),
    "one moved to another address": delta(peers=[peer_json(4, "mari", "10.42.128.77")]),
    "one goes, one comes": delta(gone=[5], peers=[peer_json(9, "nami", "10.42.128.9")]),
    "nothing": delta(),
}
CHANGED = {"one gone": 1, "one new": 1, "one renamed": 0, "one moved to another address": 1, "one goes, one comes": 2}


@pytest.fixture(scope="module")
def crowds() -> dict[int, tuple[Netmap, Pins, Device]]:
    found = {}
    for count in (5, 5000):
        core, device = in_step(*crowd(count))
        found[count] = (core.netmap, core.pins, device)
    return found


@pytest.mark.parametrize("name", DELTAS)
@pytest.mark.parametrize("count", [5, 5000])
def test_a_delta_looks_at_whom_it_speaks_of_however_many_there_are(
    name: str, count: int, crowds: dict[int, tuple[Netmap, Pins, Device]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    honest = planning.plan

    def noting(current: Device, wanted: Any) -> tuple[Change, ...]:
        looked_at.append(len(current.peers.keys() | wanted.peers.keys()))
        return honest(current, wanted)

    monkeypatch.setattr(planning, "plan", noting)
    netmap, pins, device = crowds[count]
    assert len(device.peers) == count + 1
    core = Membership(IDENTITY, netmap, pins, {})
    heard(core, [hello(cursor_hash="head")], NOW)
    taken = core.take([DELTAS[name]], NOW)
    core.pins = core.check_pins(taken.peers, NOW)
    changes, after = core.changes(device, SERVER, {}, NOW, taken)
    assert len(changes) == CHANGED.get(name, 0)
    assert looked_at[0] <= 3  # the coordinator, and at most two
    assert after == applied(device, changes)
    assert {e.subject for e in taken.entries} <= {"peer:4", "peer:5", "peer:9"}


class Counted(Tunnel):
    """A device that counts how often it is read and changed."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend(), INTERFACE)
        self.reads = 0
        self.made: list[Change] = []

    def get(self) -> Device:
        self.reads += 1
        return super().get()

    def change(self, changes: Any) -> None:
        self.made += changes
        super().change(changes)


@contextlib.asynccontextmanager
async def counting(count: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Session, Liar]]:
    """An agent in step with a network of so many, all of whom (but the oven) have just shaken hands."""
    peers = [replace(peer, ip=peer.ip.replace("10.", "127.", 1)) for peer in (ME, *crowd(count))]
    server = peer_json(1, "coordinator", SERVER_IP)
    liar = Liar(OPEN + told(hello(), snapshot(server, *peers), presence()))
    async with liar.listening() as port:
        session = session_at(folder, "ryo", "127.42.128.1", port, tunnel=(tunnel := Counted()), tick=600.0)
        await session.bring_up()
        task = asyncio.create_task(session.run())
        try:
            await eventually(lambda: session.applied == 10, "in step", within=20)
            device = tunnel.backend.devices[INTERFACE]
            heard = {k: replace(p, last_handshake=time()) for k, p in device.peers.items() if k != key("oven")}
            tunnel.backend.devices[INTERFACE] = replace(device, peers=device.peers | heard)
            await session.apply()  # as every few seconds
            tunnel.reads, tunnel.made = 0, []
            yield session, liar
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("count", [5, 2000])
async def test_the_device_is_not_read_for_a_change_of_who_is_alive_or_new(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counting(count, tmp_path, monkeypatch) as (session, liar):
        tunnel = session.tunnel
        assert isinstance(tunnel, Counted)
        await liar.say(told(delta(11, peers=[peer_json(9, "nami", "127.42.128.9")])))
        await eventually(lambda: session.applied == 11)
        await liar.say(told(delta(12, gone=[4])))
        await eventually(lambda: session.applied == 12)
        assert [type(c) for c in tunnel.made] == [SetPeer, RemovePeer]
        assert tunnel.reads == 0
        await liar.say(told(delta(13, peers=[peer_json(5, "stove", "127.42.64.1", public_key=key("oven"))])))
        await eventually(lambda: session.applied == 13)
        assert tunnel.reads == 0, "the oven is silent, and nobody looks for it"
        await liar.say(told(delta(14), presence(at(5, "192.0.2.5:5"), whole=False)))
        await eventually(lambda: session.applied == 14)
        await eventually(lambda: tunnel.reads == 1, "the oven is silent: it may have spoken since")


# -- all or nothing -------------------------------------------------------------------------------------------------

LIES = {
    "a log that was rewound": ([hello(cursor_hash="head"), delta(gone=[4]), snapshot(ME, revision=5)], LogForked),
    "a log that is rewound from the start": ([hello(head=5)], LogForked),
    "a log that shows no hash": ([hello(head=99), delta(99, gone=[4])], LogForked),
    "a log with another hash": ([hello(head=99, cursor_hash="other"), delta(99, gone=[4])], LogForked),
    "another network": ([hello(head=99, network_id="b" * 32), delta(99, gone=[4])], LogForked),
    "a hello that can't be read": ([hello(head=11, suffix="a b", cursor_hash="head"), delta(gone=[4])], Refused),
    "a second hello": ([delta(gone=[4]), presence(at(4, "1.2.3.4:5")), hello(cursor_hash="head")], Refused),
    "a name that is none, after a goodbye": ([Bye(reason="disabled"), hello(suffix="")], Refused),
}


@pytest.mark.parametrize(("frames", "error"), LIES.values(), ids=LIES)
def test_where_a_later_frame_is_a_lie_nothing_of_what_came_with_it_is_believed(
    frames: list[Struct], error: type[Exception]
) -> None:
    core, device = in_step(MARI)
    core.take([presence(at(4, "203.0.113.4:4"))], NOW)
    assert core.receipt() is not None
    before = (core.netmap, core.presence, core.pins, core.matched, core.trials, core.applied)
    with pytest.raises(error):
        heard(core, frames, NOW)
    after = (core.netmap, core.presence, core.pins, core.matched, core.trials, core.applied)
    assert all(a is b for a, b in zip(after, before, strict=True))
    assert core.changes(device, SERVER, {}, NOW)[0] == ()


@pytest.mark.parametrize("frame", [delta(gone=[4]), presence(), snapshot(ME, revision=99), Bye(reason="disabled")])
def test_who_has_not_said_who_they_are_is_not_believed(frame: Struct) -> None:
    """On a new connection; whoever holds the coordinator's address somewhere may answer there."""
    core, device = in_step(MARI)
    before = core.netmap
    core.connected()
    with pytest.raises(Refused):
        core.take([frame], NOW)
    assert core.netmap is before
    assert core.changes(device, SERVER, {}, NOW)[0] == ()


def test_a_restore_is_followed_also_where_the_connection_breaks_before_its_snapshot() -> None:
    core, device = in_step(MARI)
    believe(core, [hello(generation=2, head=5)], device)
    assert sorted(core.netmap.peers) == [1, 3, 4], "everything stays as it is until the new log has told"
    believe(core, [hello(generation=2, head=6), snapshot(COORDINATOR, ME, revision=6)], device)
    assert (core.netmap.generation, core.netmap.revision, sorted(core.netmap.peers)) == (2, 6, [1, 3])


def test_what_came_together_is_one_step() -> None:
    core, device = in_step(MARI)
    frames = [delta(11, peers=[OVEN]), delta(12, gone=[4]), delta(13, gone=[5]), delta(14, peers=[MARI])]
    taken, changes = believe(core, frames, device)
    assert (changes, core.netmap.revision) == ((), 14)
    assert taken.entries == []


# -- receipts -------------------------------------------------------------------------------------------------------


def test_a_receipt_is_about_what_the_device_matches_never_about_what_was_only_taken() -> None:
    core, device = in_step(MARI)
    first = core.receipt()
    assert first is not None
    assert first.revision == 10
    believe(core, [delta(11, gone=[4])], device)
    assert core.receipt() is None
    core.matched = core.netmap
    second = core.receipt()
    assert second is not None
    assert second.revision == 11
    assert core.receipt() is None


def test_a_core_that_has_matched_nothing_says_nothing_of_what_it_was_told() -> None:
    core = new_core()
    believe(core, [hello(), snapshot(COORDINATOR, ME, MARI), presence()], EMPTY)
    receipt = core.receipt()
    assert receipt is None


def test_after_a_new_hello_the_receipt_is_said_again() -> None:
    core, device = in_step(MARI)
    assert core.receipt() is not None
    assert core.receipt() is None
    believe(core, [hello(cursor_hash="head")], device)
    again = core.receipt()
    assert again is not None
    assert again.revision == 10


def test_a_receipt_names_what_was_refused_and_why() -> None:
    core, device = in_step(MARI)
    bad = [peer_json(4, "mari", "10.42.128.2", public_key=key("eve")), peer_json(9, "no name", "10.42.128.9")]
    believe(core, [delta(peers=bad)], device)
    core.matched = core.netmap
    receipt = core.receipt()
    assert receipt is not None
    assert receipt.refused == [RefusedPeer(peer=4, reason="pin"), RefusedPeer(peer=9, reason="invalid_name")]


@pytest.mark.parametrize("reason", ["disabled", "retired"])
def test_who_is_shut_out_keeps_the_coordinator_alone_and_promises_nothing(reason: str) -> None:
    core, device = in_step(MARI, OVEN)
    taken, changes = believe(core, [presence(at(4, "203.0.113.4:4")), Bye(reason=reason)], device)
    assert set(applied(device, changes).peers) == {key("coordinator")}
    assert (taken.bye, taken.names_changed, core.presence) == (reason, True, {})
    assert core.netmap.shut_out == reason
    assert (core.netmap.revision, core.netmap.cursor) == (10, None)
    assert {entry.type for entry in taken.entries} == {"peer.gone"}
    core.matched = core.netmap
    assert core.receipt() is None
    with pytest.raises(LogForked):  # how far the log was seen is not forgotten
        heard(core, [hello(head=9)], NOW)


@pytest.mark.parametrize("reason", ["shutting_down", "replaced", "too_slow", "interface_remade", "Disabled", ""])
def test_every_other_goodbye_takes_nobody_away(reason: str) -> None:
    core, device = in_step(MARI)
    taken, changes = believe(core, [Bye(reason=reason)], device)
    assert (taken.bye, changes, sorted(core.netmap.peers)) == (reason, (), [1, 3, 4])


# -- keys that are taken --------------------------------------------------------------------------------------------

TWIN = peer_json(9, "twin", "10.42.128.9", public_key=key("mari"))


def test_a_key_that_another_peer_has_is_refused_and_the_other_stays() -> None:
    core, device = in_step(MARI)
    _, changes = believe(core, [delta(peers=[TWIN])], device)
    assert (changes, core.netmap.refused) == ((), {9: "key_taken"})
    assert "10.42.128.9" not in core.pins.keys


def test_of_two_in_one_snapshot_the_first_has_the_key() -> None:
    core, device = in_step(MARI, TWIN)
    assert device.peers[key("mari")].allowed_ips == frozenset({"10.42.128.2/32"})
    assert core.netmap.refused == {9: "key_taken"}


@pytest.mark.parametrize("apart", [True, False], ids=["two-deltas", "one-delta"])
def test_a_key_is_free_again_when_the_other_is_gone(apart: bool) -> None:
    core, device = in_step(MARI)
    believe(core, [delta(peers=[TWIN])], device)
    frames = [delta(12, gone=[4]), delta(13, peers=[TWIN])] if apart else [delta(12, gone=[4], peers=[TWIN])]
    _, changes = believe(core, list(frames), device)
    assert applied(device, changes).peers[key("mari")].allowed_ips == frozenset({"10.42.128.9/32"})
    assert core.netmap.refused == {}


def test_where_the_coordinator_is_not_told_of_nobody_else_gets_its_key_or_address() -> None:
    core = new_core()
    eve = peer_json(9, "eve", "10.42.128.9", public_key=key("coordinator"))
    _, changes = believe(core, [hello(), snapshot(ME, eve, peer_json(8, "ivy", "10.42.0.1")), presence()], EMPTY)
    allowed = {k: peer.allowed_ips for k, peer in applied(EMPTY, changes).peers.items()}
    assert allowed == {key("coordinator"): frozenset({"10.42.0.1/32"})}


@pytest.mark.parametrize("touched", [None, Taken(peers={4}, keys={key("mari")})], ids=["all", "a part"])
def test_where_a_silent_peer_is_tried_is_set_once_a_turn_and_then_left_alone(touched: Taken | None) -> None:
    core, device = in_step(MARI)
    alone = Turns(head_start=0.0)  # nobody to wait for
    _, changes = believe(core, [presence(at(4, "203.0.113.4:4"))], device, turns=alone)
    device = applied(device, changes)
    assert device.peers[key("mari")].endpoint == "203.0.113.4:4"
    learned = replace(device.peers[key("mari")], endpoint=Endpoint("198.51.100.9:9"))
    device = replace(device, peers=device.peers | {key("mari"): learned})
    assert core.changes(device, SERVER, core.presence, NOW + 1, touched, alone)[0] == ()
    assert core.changes(device, SERVER, core.presence, NOW + 6, touched, alone)[0] != ()


# -- a part is as good as all ---------------------------------------------------------------------------------------

IPS = [f"10.42.128.{n}" for n in range(1, 7)] + ["10.42.0.1", "10.43.0.1"]
KEYS = [key(name) for name in ("ryo", "coordinator", "a", "b", "c", "d")]
SPOTS = ["203.0.113.1:1", "203.0.113.2:2", "10.42.0.9:1", "nonsense"]
numbers = st.integers(1, 8)
peers = st.builds(
    lambda n, ip, k, name: peer_json(n, name, ip, public_key=k),
    numbers,
    st.sampled_from(IPS),
    st.sampled_from(KEYS),
    st.sampled_from(["oven", "mari", "no name"]),
)
honest = st.builds(lambda n: peer_json(n, f"p{n}", f"10.42.128.{n}", public_key=key(f"p{n}")), st.integers(4, 8))
few = st.lists(st.one_of(honest, honest, peers), max_size=4)
deltas = st.builds(lambda told, gone: delta(peers=told, gone=gone), few, st.lists(numbers, max_size=3))
told_of = st.builds(at, numbers, st.sampled_from(SPOTS), st.sampled_from(SPOTS))
presences = st.builds(lambda told, whole: presence(*told, whole=whole), st.lists(told_of, max_size=3), st.booleans())
snapshots = st.builds(lambda told: snapshot(COORDINATOR, ME, *told), few)
byes = st.sampled_from([Bye(reason="disabled"), Bye(reason="shutting_down")])
chunks = st.lists(st.one_of(deltas, deltas, deltas, presences, snapshots, byes), min_size=1, max_size=3)
ticks = st.tuples(st.sampled_from([0.4, 1.0, 6.0, 400.0]), st.lists(st.sampled_from(KEYS), max_size=2))
steps = st.lists(st.one_of(chunks, chunks, ticks), min_size=1, max_size=12)


def answered(device: Device, keys: list[str], now: float) -> Device:
    return replace(
        device, peers={k: replace(p, last_handshake=now) if k in keys else p for k, p in device.peers.items()}
    )


@settings(max_examples=400, deadline=None)
@given(steps)
def test_what_is_changed_in_parts_is_what_would_be_changed_at_once(steps: list[Any]) -> None:
    """Two cores are told the same. One looks only at what it was told of, on the device that it remembers; the other
    at everything, on the device itself. From time to time both look at everything, as the agent does."""
    part, whole = new_core(), new_core()
    now, remembered, real = NOW, EMPTY, EMPTY
    for step in [[hello(), snapshot(COORDINATOR, ME, MARI)], *steps]:
        if isinstance(step, tuple):
            now += step[0]
            remembered, real = answered(remembered, step[1], now), answered(real, step[1], now)
            touched = None
        else:
            revision = part.netmap.revision  # an honest coordinator's only grow
            step = [replace(f, revision=(revision := revision + 1)) if hasattr(f, "revision") else f for f in step]
            touched = heard(part, step, now)
            heard(whole, step, now)
            part.pins = whole.pins = part.check_pins(touched.peers, now)
        changes, after = part.changes(remembered, SERVER, part.presence, now, touched)
        assert after == applied(remembered, changes), "what is remembered is what the device does"
        remembered = after
        real = applied(real, whole.changes(real, SERVER, whole.presence, now)[0])
        assert remembered == real
