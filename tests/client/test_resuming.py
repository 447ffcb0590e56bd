"""Who lost its memory of a network, or was shut out of it, is told all anew; and only by the log that was seen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from innclient.agent import store
from innclient.agent.session import Session
from innclient.agent.shelf import Shelf
from innclient.core.netmap import emptied
from tests.client.liar import OPEN, Liar, presence, told
from tests.client.support import COORDINATOR, eventually, on_device, session_at, session_of
from tests.client.told import hello, peer_json, snapshot
from tests.world import World, key, populated

RYO, MARI = "127.42.128.1", "127.42.128.2"
HONEST = [
    peer_json(1, "coordinator", COORDINATOR, cidr_id=2, endpoint="192.0.2.1:51820"),
    peer_json(3, "ryo", RYO),
    peer_json(4, "mari", MARI),
]


@contextlib.asynccontextmanager
async def running(session: Session) -> AsyncIterator[Session]:
    await session.bring_up()
    task = asyncio.create_task(session.run())
    try:
        yield session
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def state(*peers: object, revision: int = 10) -> bytes:
    return OPEN + told(hello(head=revision), snapshot(*peers, revision=revision), presence())


def greeting(cursor_hash: str | None) -> bytes:
    """A stream that shows what the log's hash is where it is asked for, and ends."""
    return OPEN + told(hello(head=20, cursor_hash=cursor_hash)) + b"\0"


def torn(session: Session) -> None:
    session.paths.netmap.write_bytes(session.paths.netmap.read_bytes()[:100])


def shut_out(session: Session) -> None:
    Shelf(session.paths).save_netmap(emptied(store.load_netmap(session.paths)[0], "disabled"), 0.0)


LOST = {"its cache is torn": torn, "it was shut out": shut_out}


async def seen(folder: Path, lose: object) -> None:
    """A machine saw the log up to revision 10, and lost what it knew of the network."""
    liar = Liar(state(*HONEST))
    async with liar.listening() as port, running(session_at(folder, "ryo", RYO, port)) as session:
        await eventually(lambda: session.applied == 10 and session.paths.head.exists())
    lose(session)


@pytest.mark.parametrize("lose", LOST.values(), ids=LOST)
async def test_the_log_that_was_seen_tells_it_all_anew(lose: object, tmp_path: Path) -> None:
    await seen(tmp_path, lose)
    liar = Liar(greeting("head"), state(*HONEST, revision=20))
    async with liar.listening() as port, running(session_at(tmp_path, "ryo", RYO, port)) as session:
        await eventually(lambda: session.applied == 20)
        assert on_device(session) == {key("coordinator"), key("mari")}
    assert liar.cursors == ["1.10", None]


@pytest.mark.parametrize("lose", LOST.values(), ids=LOST)
async def test_another_log_than_was_seen_is_not_believed(lose: object, tmp_path: Path) -> None:
    await seen(tmp_path, lose)
    liar = Liar(greeting("other"))
    async with liar.listening() as port, running(session_at(tmp_path, "ryo", RYO, port)) as session:
        await liar.asked(2)
        assert "forked" in (session.agent.connection.forked or "")
    assert set(liar.cursors) == {"1.10"}, "nothing was taken that shows no hash"


async def test_a_log_that_is_shorter_than_what_was_seen_is_not_believed_either(tmp_path: Path) -> None:
    await seen(tmp_path, torn)
    liar = Liar(OPEN + told(hello(head=4)) + b"\0")
    async with liar.listening() as port, running(session_at(tmp_path, "ryo", RYO, port)) as session:
        await liar.asked(2)
        assert "rewound" in (session.agent.connection.forked or "")


async def test_a_machine_with_a_torn_cache_is_back_by_itself(tmp_path: Path) -> None:
    world: World = await populated()
    async with world.listening() as port:
        async with running(session_of(world, "ryo", tmp_path, port)) as session:
            await eventually(lambda: session.paths.head.exists() and session.applied == world.writer.network.revision)
            known = on_device(session)
        torn(session)
        async with running(session_of(world, "ryo", tmp_path, port)) as session:
            await eventually(lambda: session.applied == world.writer.network.revision and on_device(session) == known)
            await eventually(lambda: store.damage(session.paths) is None)
