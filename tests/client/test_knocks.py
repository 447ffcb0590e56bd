"""A coordinator that knocks is heard by an agent that waits, and nobody else is."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from innclient.agent.knocks import Knocks
from innclient.core import connection
from innerd.domain.values import parse_address
from innerd.wireguard.sockets import KNOCK, knock
from tests.client.agents import agent_of
from tests.client.support import eventually, session_of
from tests.world import World, populated

COORDINATOR, PEER, STRANGER = "127.42.0.1", "127.42.128.1", "127.42.128.2"


def send(source: str, to: str = PEER, port: int = KNOCK) -> None:
    with socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind((source, 0))
        out.sendto(b"", (to, port))


@contextlib.asynccontextmanager
async def listening(coordinator: str = COORDINATOR) -> AsyncIterator[list[float]]:
    """When it was heard to knock."""
    heard: list[float] = []
    knocks = Knocks("lo", parse_address(coordinator), lambda: heard.append(time.monotonic()))
    knocks.listen()
    try:
        yield heard
    finally:
        knocks.leave()


async def test_a_knock_is_heard() -> None:
    async with listening() as heard:
        send(COORDINATOR)
        await eventually(lambda: heard)


async def test_what_a_coordinator_sends_is_heard_in_a_network_of_either_family() -> None:
    async with listening("127.0.0.1") as heard:  # from the address that a link has
        knock("lo", [parse_address("127.0.0.1")])
        await eventually(lambda: heard)
    async with listening("::1") as heard:
        knock("lo", [parse_address("::1")])
        await eventually(lambda: heard)


async def test_nobody_else_is_heard_and_nothing_else() -> None:
    async with listening() as heard:
        send(STRANGER)
        send(COORDINATOR, port=KNOCK + 1)
        with contextlib.suppress(OSError):
            socket.create_connection((PEER, KNOCK), source_address=(COORDINATOR, 0)).close()
        assert heard == []
        send(COORDINATOR)
        await eventually(lambda: heard)
        assert len(heard) == 1


async def test_who_knocks_without_end_is_heeded_once_a_second() -> None:
    async with listening() as heard:
        while len(heard) < 2:
            send(COORDINATOR)
            await asyncio.sleep(0.001)
    assert heard[1] - heard[0] > 0.99


async def test_a_link_that_is_not_there_is_no_error() -> None:
    knocks = Knocks("nowhere", parse_address(COORDINATOR), lambda: None)
    knocks.listen()
    knocks.leave()


@pytest.fixture
async def kermpany() -> World:
    return await populated()


async def test_an_agent_that_waits_for_its_next_attempt_comes_when_it_is_knocked_at(
    kermpany: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("_FIRST_PAUSE", "_LAST_PAUSE"):
        monkeypatch.setattr(connection, pause, 3600.0)
    async with kermpany.listening() as port:
        pass
    session = session_of(kermpany, "ryo", tmp_path, port)
    async with agent_of(session):
        await eventually(lambda: session.agent.connection.trouble)
        await kermpany.start()
        async with kermpany.listening(port):
            send(COORDINATOR, str(kermpany.peer("ryo").ip))
            await eventually(lambda: session.is_connected)


async def test_an_agent_whose_request_went_astray_asks_anew_when_it_is_knocked_at(
    kermpany: World, tmp_path: Path
) -> None:
    """What it sent went by a session that the coordinator had let go of."""
    with socket.create_server((COORDINATOR, 0)) as deaf:
        port = int(deaf.getsockname()[1])
        session = session_of(kermpany, "ryo", tmp_path, port)
        async with agent_of(session):
            taken, _ = await asyncio.get_running_loop().run_in_executor(None, deaf.accept)
            with taken:
                deaf.close()
                async with kermpany.listening(port):
                    send(COORDINATOR, str(kermpany.peer("ryo").ip))
                    await eventually(lambda: session.is_connected)
