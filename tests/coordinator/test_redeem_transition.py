"""Between a redeem and the new key's first handshake: the temporary key keeps the address, and only for a while."""

import asyncio

from innerd.coordinator.device_sync import DeviceSync
from innerd.coordinator.names import NetworkNames
from innerd.domain import commands as c
from innerd.domain.network import Peer
from tests.coordinator.test_device_sync import SEEN, here, ips, running, sync_of
from tests.world import INTERFACE, World, key

TEMPORARY, OWN = key("yuki invitation"), key("yuki")


async def redeemed(ago: float = 0) -> tuple[World, DeviceSync, Peer]:
    """Yuki is on the device by her invitation, and redeems it."""
    world = await here()
    sync = sync_of(world)
    world.now -= ago
    await world.invite("yuki", "humans")
    await sync.sync()
    return world, sync, await redeem(world)


async def redeem(world: World) -> Peer:
    await world.do(c.Redeem(world.peer("yuki").id, OWN))
    return world.peer("yuki")


def entries(world: World) -> dict[str, bool]:
    """Which of the two keys are there, and which has the address."""
    there = ips(world)
    return {name: bool(there[k]) for name, k in (("temporary", TEMPORARY), ("own", OWN)) if k in there}


async def test_the_answer_travels_by_the_temporary_key_and_the_own_key_may_shake_hands() -> None:
    world, sync, peer = await redeemed()
    await sync.sync()
    assert entries(world) == {"temporary": True, "own": False}
    assert sync.is_redeeming(peer)


async def test_at_the_first_handshake_the_address_moves() -> None:
    world, sync, peer = await redeemed()
    await sync.sync()
    world.backend.hear(INTERFACE, OWN, 1000.0)
    await sync.sync()
    assert entries(world) == {"own": True}
    assert not sync.is_redeeming(peer)


async def test_after_a_minute_it_moves_to_a_silent_key_too() -> None:
    world, sync, peer = await redeemed(ago=61)
    await sync.sync()
    assert entries(world) == {"own": True}
    assert not sync.is_redeeming(peer)


async def test_a_peer_is_redeeming_from_the_moment_of_its_commit() -> None:
    """Before the device was even looked at: its next request comes through the temporary key."""
    _, sync, peer = await redeemed()
    assert sync.is_redeeming(peer)


async def test_the_temporary_key_gets_no_names_of_the_network() -> None:
    world, sync, peer = await redeemed()
    names = NetworkNames(world.writer.view, "wg", 5, sync.has_spent_key)
    assert names.asker(str(peer.ip)) is None
    assert names.asker(str(world.peer("ryo").ip)) is not None
    await sync.sync()
    assert names.asker(str(peer.ip)) is None
    world.backend.hear(INTERFACE, OWN, 1000.0)
    await sync.sync()
    assert names.asker(str(peer.ip)) is not None


async def test_who_joined_long_ago_is_not_redeeming() -> None:
    world, sync, _ = await redeemed()
    await sync.sync()
    assert not sync.is_redeeming(world.peer("ryo"))


async def test_a_restart_in_the_middle_goes_on_with_it() -> None:
    world, _, peer = await redeemed()
    sync = world.device_sync()
    async with running(sync):
        await sync.settle(world.writer.network.revision)
        assert sync.is_redeeming(peer)
        assert entries(world) == {"temporary": True, "own": False}


async def test_a_redeem_during_a_look_at_the_device_is_not_missed() -> None:
    """The look takes a while and began before the redeem: what it forgets it must not forget the new one."""
    world = await here()
    sync = sync_of(world)
    await world.invite("yuki", "humans")
    await sync.sync()
    world.backend.gate.clear()
    world.backend.looked.clear()
    looking = asyncio.create_task(sync.sync())
    await world.backend.looked.wait()
    peer = await redeem(world)
    world.backend.gate.set()
    await looking
    assert sync.is_redeeming(peer)
    await sync.sync()
    assert sync.is_redeeming(peer)


async def test_who_has_shown_its_key_and_is_enabled_again_is_there_with_its_address_at_once() -> None:
    """A new entry has shaken no hands: that is no redeem."""
    world, sync, peer = await redeemed()
    await sync.sync()
    world.backend.hear(INTERFACE, OWN, 1000.0, SEEN)
    await sync.sync()
    async with running(sync):
        for command in (c.DisablePeer, c.EnablePeer):
            await world.do(command(peer.id))
            await sync.settle(world.writer.network.revision)
        assert entries(world) == {"own": True}
        assert world.backend.get(INTERFACE).peers[OWN].endpoint == SEEN
        assert not sync.is_redeeming(peer)
