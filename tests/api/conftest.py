"""What tests here begin with: the populated world, or the network of innernet's own tests."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.api.acceptance import V4, V6, Net, build
from tests.world import World, populated


@pytest.fixture
async def w() -> AsyncIterator[World]:
    made = await populated()
    yield made
    made.hub.strangers.close()


@pytest.fixture(scope="session")
def still() -> World:
    """A populated world for tests that only ask, made once: nobody may change it."""
    return asyncio.run(populated())


@pytest.fixture(params=[V4, V6], ids=["v4", "v6"])
async def net(request: pytest.FixtureRequest) -> Net:
    """The network of innernet's own server tests."""
    return await build(request.param)
