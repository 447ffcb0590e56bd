"""The coordinator's device is what the network says, whatever anybody does to it by hand."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from innerd.coordinator.device_sync import DeviceSync
from innerd.domain import commands as c
from innerd.domain.values import Endpoint
from innerd.wireguard.device import Device, DeviceError, DevicePeer
from innerd.wireguard.memory import MemoryBackend
from tests.world import INTERFACE, PORT, World, key, nothing_more, populated, private_key

SEEN = Endpoint("203.0.113.9:40001")


class GatedBackend(MemoryBackend):
    """A device that can fail, or be slow: then each look says so and waits to be let on."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0  # how many looks fail from here on
        self.looked = asyncio.Event()
        self.gate = threading.Event()
        self.gate.set()
        self._loop = asyncio.get_running_loop()

    def index(self, interface: str) -> int:
        self._loop.call_soon_threadsafe(self.looked.set)
        assert self.gate.wait(5)
        if self.failures:
            self.failures -= 1
            raise DeviceError("device_failed", "netlink: out of memory")
        return super().index(interface)


async def here() -> World:
    """The populated world, now: the device's clock is the machine's. Nobody is in transition."""
    world = await populated()
    world.backend = GatedBackend()
    world.now = time.time()
    return world


def sync_of(world: World, remade: Callable[[], Awaitable[None]] = nothing_more) -> DeviceSync:
    sync = world.device_sync(remade=remade)
    world.writer.feed.follow("device", sync.follow)
    return sync


@contextlib.asynccontextmanager
async def running(sync: DeviceSync) -> AsyncIterator[None]:
    task = asyncio.create_task(sync.run())
    try:
        yield
    finally:
        while not task.done():  # one cancel may be lost: see test_a_cancelled_loop_ends
            task.cancel()
            await asyncio.wait([task], timeout=0.1)


def ips(world: World) -> dict[str, set[str]]:
    return {k: set(peer.allowed_ips) for k, peer in world.backend.get(INTERFACE).peers.items()}


def edit(world: World, **changes: object) -> None:
    """Somebody edits the device by hand."""
    world.backend.devices[INTERFACE] = replace(world.backend.get(INTERFACE), **changes)


def stranger() -> DevicePeer:
    return DevicePeer(public_key=key("stranger"), allowed_ips=frozenset({"127.42.128.1/32"}))


async def test_a_missing_interface_is_made_with_key_port_and_peers() -> None:
    world = await here()
    await sync_of(world).sync()
    device = world.backend.get(INTERFACE)
    assert (device.private_key, device.listen_port) == (private_key("coordinator"), PORT)
    assert ips(world) == {key(n): {f"{world.peer(n).ip}/32"} for n in ("ryo", "mari", "oven", "tama")}


async def test_a_device_that_is_right_is_left_alone() -> None:
    world = await here()
    sync = sync_of(world)
    await sync.sync()
    count = len(world.backend.applied)
    await sync.sync()
    assert len(world.backend.applied) == count


def _without(world: World, name: str) -> dict[str, DevicePeer]:
    return {k: peer for k, peer in world.backend.get(INTERFACE).peers.items() if k != key(name)}


def _with(world: World, peer: DevicePeer) -> dict[str, DevicePeer]:
    return {**world.backend.get(INTERFACE).peers, peer.public_key: peer}


EDITS = {
    "a stranger": lambda w: edit(w, peers=_with(w, stranger())),
    "a peer taken away": lambda w: edit(w, peers=_without(w, "mari")),
    "a stolen address": lambda w: edit(w, peers={**_without(w, "ryo"), key("stranger"): stranger()}),
    "no allowed IPs": lambda w: edit(w, peers=_with(w, DevicePeer(public_key=key("ryo")))),
    "everything allowed": lambda w: edit(
        w, peers=_with(w, DevicePeer(public_key=key("ryo"), allowed_ips=frozenset({"0.0.0.0/0"})))
    ),
    "another key": lambda w: edit(w, private_key=private_key("somebody")),
    "another port": lambda w: edit(w, listen_port=1),
    "everything gone": lambda w: w.backend.devices.update({INTERFACE: Device()}),
}


@pytest.mark.parametrize("by_hand", EDITS.values(), ids=EDITS)
async def test_what_was_edited_by_hand_is_put_right(by_hand) -> None:
    world = await here()
    sync = sync_of(world)
    await sync.sync()
    right = world.backend.get(INTERFACE)
    by_hand(world)
    assert world.backend.get(INTERFACE) != right
    await sync.sync()
    assert world.backend.get(INTERFACE) == right
    assert sync.device == right


async def test_where_a_peer_roamed_to_is_left_to_wireguard() -> None:
    world = await here()
    sync = sync_of(world)
    await sync.sync()
    world.backend.hear(INTERFACE, key("ryo"), 1000.0, SEEN)
    count = len(world.backend.applied)
    await sync.sync()
    assert world.backend.get(INTERFACE).peers[key("ryo")].endpoint == SEEN
    assert len(world.backend.applied) == count


async def test_looks_that_show_nothing_new_are_further_apart_until_somebody_moves() -> None:
    world = await here()
    sync = sync_of(world)
    await sync.sync()
    pauses = []
    for _ in range(8):
        await sync.sync()
        pauses.append(round(sync._until_look(), 1))
    assert pauses == sorted(pauses)
    assert (pauses[0] > 2.0, pauses[-1]) == (True, 5.0)
    world.backend.hear(INTERFACE, key("ryo"), 1000.0, SEEN)
    await sync.sync()
    assert round(sync._until_look(), 1) == 2.0


async def test_only_who_shook_hands_was_seen() -> None:
    world = await here()
    sync = sync_of(world)
    await world.invite("yuki", "humans")
    await sync.sync()
    claimed = replace(world.backend.get(INTERFACE).peers[key("mari")], endpoint=SEEN)
    edit(world, peers=_with(world, claimed))
    for name in ("ryo", "yuki invitation"):
        world.backend.hear(INTERFACE, key(name), 1000.0, SEEN)
    await sync.sync()
    assert set(world.presence.observed) == {world.peer("ryo").id}
    assert world.presence.learned(world.peer("ryo").id) == SEEN


async def test_a_disabled_peer_is_told_before_its_key_leaves() -> None:
    world = await here()
    sync = sync_of(world)
    await sync.sync()
    there_at_farewell: list[bool] = []

    async def farewells() -> None:
        there_at_farewell.append(key("mari") in world.backend.get(INTERFACE).peers)

    sync = world.device_sync(farewells)
    await world.do(c.DisablePeer(world.peer("mari").id))
    await sync.sync()
    assert there_at_farewell == [True]
    assert key("mari") not in ips(world)


async def test_a_peer_that_is_enabled_again_is_greeted_where_it_was_seen() -> None:
    world = await here()
    sync = sync_of(world)
    await sync.sync()
    world.backend.hear(INTERFACE, key("mari"), 1000.0, SEEN)
    await sync.sync()
    for command in (c.DisablePeer, c.EnablePeer):
        await world.do(command(world.peer("mari").id))
        await sync.sync()
    assert world.backend.get(INTERFACE).peers[key("mari")].endpoint == SEEN


async def test_it_is_knocked_at_a_peer_that_is_enabled_again_and_at_no_other() -> None:
    world = await here()
    sync = sync_of(world)
    await sync.sync()
    for name in ("ryo", "mari"):
        world.backend.hear(INTERFACE, key(name), 1000.0, SEEN)
    async with running(sync):
        await sync.sync()
        for command in (c.DisablePeer, c.EnablePeer):
            await world.do(command(world.peer("mari").id))
            await sync.settle(world.writer.network.revision)
    assert world.knocked == [world.peer("mari").ip]


async def test_settled_means_the_device_is_there() -> None:
    world = await here()
    sync = sync_of(world)
    async with running(sync):
        for name in ("yuki", "aoi"):
            await world.invite(name, "humans")
            await sync.settle(world.writer.network.revision)
            assert key(f"{name} invitation") in ips(world)


async def test_waiting_for_a_revision_that_was_reached_does_not_wait() -> None:
    world = await here()
    sync = sync_of(world)
    await sync.sync()
    assert await asyncio.wait_for(sync.settle(world.writer.network.revision), 0.1) is None


async def test_a_cancelled_loop_ends() -> None:
    """Also when it was woken at that moment, as by a last request that `innerd` answers while it stops."""
    world = await here()
    sync = sync_of(world)
    task = asyncio.create_task(sync.run())
    await sync.settle(world.writer.network.revision)  # which wakes it, too
    task.cancel()
    ended, _ = await asyncio.wait([task], timeout=1)
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
    assert ended == {task}


async def test_a_device_that_refuses_is_counted_and_tried_again() -> None:
    world = await here()
    sync = sync_of(world)
    world.backend.failures = 1
    async with running(sync):
        await sync.settle(world.writer.network.revision)
        assert sync.errors == 1
        assert len(ips(world)) == 4


async def test_an_interface_that_vanished_is_made_anew_and_said_so() -> None:
    world = await here()
    remade: list[Any] = []

    async def note() -> None:
        remade.append(world.backend.exists(INTERFACE))

    sync = sync_of(world, note)
    await sync.sync()
    right = ips(world)
    assert remade == []
    world.backend.delete(INTERFACE)
    await sync.sync()
    await sync.sync()
    assert remade == [True]
    assert ips(world) == right


async def test_an_interface_that_somebody_else_made_anew_is_noticed() -> None:
    world = await here()
    remade: list[Any] = []

    async def note() -> None:
        remade.append(len(ips(world)))

    sync = sync_of(world, note)
    await sync.sync()
    world.backend.delete(INTERFACE)
    world.backend.create(INTERFACE)
    await sync.sync()
    assert remade == [4], "its peers are on it first: tunnels don't wait for sockets"


async def test_a_failure_to_bind_anew_is_tried_again_at_the_next_look() -> None:
    world = await here()
    tries: list[Any] = []

    async def refuse_once() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise DeviceError("port_in_use", "the old socket is not closed yet")

    sync = sync_of(world, refuse_once)
    await sync.sync()
    world.backend.delete(INTERFACE)
    with pytest.raises(DeviceError):
        await sync.sync()
    await sync.sync()
    assert len(tries) == 2
    assert len(ips(world)) == 4
