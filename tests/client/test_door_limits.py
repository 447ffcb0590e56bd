"""The agent's socket is for every local user, and none of them may keep the agent from the others, or its memory."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from innclient.agent import door
from innclient.failures import SYSTEM, Failure
from innerd.wireguard.device import DeviceError
from tests.stepped import on_stepped_time, step

MOST, PATIENCE = 8, 5  # connections of a user; seconds that only a broken door takes
NOBODY = 65_534
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def path() -> Iterator[Path]:
    """A socket in a folder that every local user can reach: pytest's are root's alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder / "sock"
    shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def door_at(path: Path, content: Any = "content") -> AsyncIterator[asyncio.Event]:
    """A door that answers every verb with a content, or raises it; the event: it was asked."""
    asked = asyncio.Event()

    async def answer(verb: str) -> Any:
        asked.set()
        if isinstance(content, Exception):
            raise content
        return content

    opened = door.Door(path, answer)
    await opened.open()
    try:
        yield asked
    finally:
        await opened.close()


@contextlib.asynccontextmanager
async def connected(path: Path, uid: int = 0) -> AsyncIterator[Ends]:
    """A connection of a user: the kernel notes who connects."""
    os.seteuid(uid)
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    finally:
        os.seteuid(0)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def said(ends: Ends, line: bytes = b'{"verb":"show"}\n') -> bytes:
    """All that comes back until the door closes."""
    with contextlib.suppress(ConnectionError):
        ends[1].write(line)
        async with asyncio.timeout(PATIENCE):
            return await ends[0].read()
    return b""


def content_of(line: bytes) -> Any:
    return msgspec.json.decode(line)["content"]


async def crowd(path: Path, stack: contextlib.AsyncExitStack, uid: int = 0) -> list[Ends]:
    return [await stack.enter_async_context(connected(path, uid)) for _ in range(MOST)]


async def test_a_user_may_have_only_so_many_connections(path: Path) -> None:
    async with door_at(path), contextlib.AsyncExitStack() as stack:
        held = await crowd(path, stack)
        for _ in range(3):  # who was cut is not counted, and makes no room
            async with connected(path) as one_more:
                assert await said(one_more) == b""
        assert [content_of(await said(ends)) for ends in held] == ["content"] * MOST
        async with connected(path) as another:
            assert content_of(await said(another)) == "content"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_the_crowd_of_one_user_keeps_no_other_out(path: Path) -> None:
    async with door_at(path), contextlib.AsyncExitStack() as stack:
        await crowd(path, stack, NOBODY)
        async with connected(path, NOBODY) as one_more, connected(path) as root:
            assert await said(one_more) == b""
            assert content_of(await said(root)) == "content"


@pytest.mark.parametrize("sent", [b"", b'{"verb":', b"x" * 1000], ids=["nothing", "half", "no end"])
def test_a_line_that_is_not_there_in_two_seconds_is_not_waited_for(path: Path, sent: bytes) -> None:
    async def scenario() -> None:
        async with door_at(path) as asked, contextlib.AsyncExitStack() as stack:
            held = await crowd(path, stack)
            for ends in held:
                ends[1].write(sent)
            await step(2.5)
            assert [await said(ends, b"") for ends in held] == [b""] * MOST
            assert not asked.is_set()
            async with connected(path) as another:
                assert content_of(await said(another)) == "content", "there is room again"

    on_stepped_time(scenario())


def test_a_line_may_take_a_second(path: Path) -> None:
    async def scenario() -> None:
        async with door_at(path), connected(path) as ends:
            ends[1].write(b'{"verb":')
            await step(1.5)
            assert content_of(await said(ends, b'"show"}\n')) == "content"

    on_stepped_time(scenario())


def test_an_answer_that_nobody_reads_is_not_kept(path: Path) -> None:
    """A client that stops reading gets what the kernel holds; the rest is let go of after a while."""
    whole = "x" * (8 << 20)

    async def scenario() -> None:
        async with door_at(path, whole) as asked, connected(path) as (reader, writer):
            writer.transport.pause_reading()
            writer.write(b'{"verb":"show"}\n')
            await asked.wait()
            await step(21)
            writer.transport.resume_reading()
            assert 0 < len(await said((reader, writer), b"")) < len(whole) / 2

    on_stepped_time(scenario())


async def test_a_long_answer_that_is_read_comes_whole(path: Path) -> None:
    async with door_at(path, "x" * (8 << 20)), connected(path) as ends:
        assert len(content_of(await said(ends))) == 8 << 20


FAILURES = [
    pytest.param(DeviceError("port_in_use", "taken", "ss"), (SYSTEM, "port_in_use", "taken", "ss"), id="the device"),
    pytest.param(OSError(28, "No space left", "/x"), (SYSTEM, "os_error", "/x: No space left", None), id="the system"),
]


@pytest.mark.parametrize(("error", "answer"), FAILURES)
async def test_what_goes_wrong_in_a_verb_is_answered_with_its_code(path: Path, error: Exception, answer: Any) -> None:
    async with door_at(path, error):
        with pytest.raises(Failure) as failed:
            await asyncio.to_thread(door.ask, path, "fetch", str)
        assert (failed.value.status, failed.value.code, failed.value.message, failed.value.hint) == answer
        async with connected(path) as ends:
            assert msgspec.json.decode(await said(ends))["code"] == answer[1], "the door is still there"
