"""What systemd is told: only where it asked to be told, and by the process that it watches."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from innerd.host import systemd
from innerd.host.systemd import keep_told, keep_watched, watched


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket that systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


async def test_a_watched_loop_says_twice_in_each_span_that_it_is_alive(
    told: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    pinging = asyncio.create_task(keep_watched())
    loop = asyncio.get_running_loop()
    spans = []
    for _ in range(4):
        began = loop.time()
        assert await loop.sock_recv(told, 100) == b"WATCHDOG=1"
        spans.append(loop.time() - began)
    pinging.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pinging
    assert sum(spans[1:]) >= 0.14, "no more often than it is asked for"


@pytest.mark.parametrize(("span", "process"), [("", None), ("0", None), ("soon", None), ("100000", "1")])
async def test_who_is_not_watched_says_nothing(
    told: socket.socket, monkeypatch: pytest.MonkeyPatch, span: str, process: str | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", span)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if process is not None:
        monkeypatch.setenv("WATCHDOG_PID", process)
    assert watched() is None
    await keep_watched()
    with pytest.raises(BlockingIOError):
        told.recv(100)


async def test_the_state_is_told_when_it_is_another_one(told: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "_TOLD", 0.001)
    states = iter(["connected", "connected", "connected", "no connection"])
    telling = asyncio.create_task(keep_told(lambda: next(states, "no connection")))
    loop = asyncio.get_running_loop()
    assert [await loop.sock_recv(told, 100) for _ in range(2)] == [b"STATUS=connected", b"STATUS=no connection"]
    telling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await telling
