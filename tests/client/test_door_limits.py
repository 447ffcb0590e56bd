"""The agent's socket is for every local user, and none of them may keep the agent from the others, or its memory."""

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from innclient.agent import asking, control
from innerd.failure import SYSTEM, Failure
from innerd.wireguard.device import DeviceError
from tests.client.knocking import PATIENCE, Ends, connected, door_at, is_served, said
from tests.client.support import eventually
from tests.stepped import on_stepped_time, step

MOST = 8  # connections of a user
NOBODY = 65_534


@pytest.fixture
def path() -> Iterator[Path]:
    """A socket in a folder that every local user can reach: pytest's are root's alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder / "sock"
    shutil.rmtree(folder)


async def crowd(path: Path, stack: contextlib.AsyncExitStack, uid: int | None = None) -> list[Ends]:
    return [await stack.enter_async_context(connected(path, uid)) for _ in range(MOST)]


async def test_a_user_may_have_only_so_many_connections(path: Path) -> None:
    async with door_at(path), contextlib.AsyncExitStack() as stack:
        held = await crowd(path, stack)
        for _ in range(3):  # who was cut is not counted, and makes no room
            async with connected(path) as one_more:
                assert await said(one_more) == b""
        assert all([await is_served(ends) for ends in held])
        async with connected(path) as another:
            assert await is_served(another)


async def test_who_is_one_too_many_is_served_when_there_is_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not told that there is no agent, nor that the agent is silent."""
    cut, pause = threading.Event(), time.sleep

    def waits(seconds: float) -> None:
        cut.set()
        pause(seconds)

    monkeypatch.setattr(time, "sleep", waits)
    async with door_at(path), contextlib.AsyncExitStack() as stack:
        held = await crowd(path, stack)
        one_more = asyncio.create_task(asyncio.to_thread(asking.ask, path, "show", str))
        assert await asyncio.to_thread(cut.wait, PATIENCE)
        held[0][1].close()
        assert await one_more == "content"


def test_an_agent_that_hangs_up_on_everybody_is_said_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TIMEOUT", 0.3)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def hang_up() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listening.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(Failure, match="hangs up") as failed:
            asking.ask(path, "show", str)
        listening.shutdown(socket.SHUT_RDWR)
    assert failed.value.code == "agent_silent"


async def test_who_reads_nothing_of_an_answer_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end would wait until what is left was read: a file and a buffer for each, for ever."""
    monkeypatch.setattr(control, "TIMEOUT", 0.2)
    long = "x" * 250_000  # more than the kernel takes, and less than asyncio calls much beside that

    async def answer(request: asking.Request) -> str:
        return long

    served = control.ControlSocket(path, answer)
    await served.open()
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.setblocking(False)
        await loop.sock_connect(deaf, str(path))
        await loop.sock_sendall(deaf, b'{"verb":"show"}\n')
        await eventually(lambda: served._open)
        await eventually(lambda: not served._open)
        came = 0
        with contextlib.suppress(ConnectionError):
            while chunk := await loop.sock_recv(deaf, 65_536):
                came += len(chunk)
        assert 0 < came < len(long)
    await served.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_the_crowd_of_one_user_keeps_no_other_out(path: Path) -> None:
    async with door_at(path), contextlib.AsyncExitStack() as stack:
        await crowd(path, stack, NOBODY)
        async with connected(path, NOBODY) as one_more, connected(path) as root:
            assert await said(one_more) == b""
            assert await is_served(root)


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
                assert await is_served(another), "there is room again"

    on_stepped_time(scenario())


def test_a_line_may_take_a_second(path: Path) -> None:
    async def scenario() -> None:
        async with door_at(path), connected(path) as ends:
            ends[1].write(b'{"verb":')
            await step(1.5)
            assert await is_served(ends, b'"show"}\n')

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


DEVICE = DeviceError("port_in_use", "taken", "ss")
SYSTEM_ERROR = OSError(28, "No space left", "/x")


@pytest.mark.parametrize(("error", "code"), [(DEVICE, "port_in_use"), (SYSTEM_ERROR, "os_error")])
async def test_what_goes_wrong_in_a_verb_is_answered_with_its_code(path: Path, error: Exception, code: str) -> None:
    async with door_at(path, error):
        for _ in range(2):  # the door is still there
            with pytest.raises(Failure) as failed:
                await asyncio.to_thread(asking.ask, path, "fetch", str)
            assert (failed.value.status, failed.value.code) == (SYSTEM, code)
