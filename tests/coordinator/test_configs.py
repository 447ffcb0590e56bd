"""How old the files of plain peers are, against what the log says of then and now."""

import pytest

from innerd.coordinator.configs import Configs
from innerd.coordinator.history import History
from innerd.domain import commands as c
from tests.world import LOCAL, World, key, populated


@pytest.fixture
async def world() -> World:
    return await populated()


async def add_phone(world: World) -> int:
    cidr = world.writer.network.cidr_named("humans")
    assert cidr is not None
    await world.writer.submit(
        c.AddPeer(name="phone", cidr=cidr.id, ip=None, public_key=key("phone"), is_plain=True), LOCAL
    )
    peer = world.writer.network.peer_named("phone")
    assert peer is not None
    return peer.id


async def test_a_file_that_was_just_written_is_not_old_and_one_of_before_knows_whom_it_lacks(world: World) -> None:
    number, configs = await add_phone(world), Configs(History(world.writer))
    state = (await configs.states(world.writer.view))[number]
    assert (state.behind, state.missing, state.gone) == (0, [], [])
    humans = world.writer.network.cidr_named("humans")
    assert humans is not None
    await world.writer.submit(
        c.AddPeer(name="nami", cidr=humans.id, ip=None, public_key=key("nami"), is_redeemed=True), LOCAL
    )
    state = (await configs.states(world.writer.view))[number]
    assert (state.behind, state.missing, state.gone) == (1, ["nami"], [])
    await world.writer.submit(c.WriteConfig(number), LOCAL)
    assert (await configs.states(world.writer.view))[number].behind == 0


async def test_who_is_out_has_no_file_that_could_be_old(world: World) -> None:
    number, configs = await add_phone(world), Configs(History(world.writer))
    await world.writer.submit(c.DisablePeer(number), LOCAL)
    assert await configs.states(world.writer.view) == {}
