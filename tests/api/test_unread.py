"""Who sends requests and reads no answer: dropped after a while, by then holding no more than buffers do."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop

from innerd.domain.values import endpoint_of
from innerd.serve import unread
from innerd.serve.listener import Listener
from tests.api.asking import HEADER, SERVER_KEY
from tests.api.sockets import wire
from tests.client.support import eventually
from tests.world import World, populated

MANY = 24  # connections of one peer, which may have 32


def asking(w: World, more: str = "") -> bytes:
    head = f"GET /openapi.json HTTP/1.1\r\nHost: {w.services.internal_endpoint}\r\n{HEADER}: {SERVER_KEY}\r\n{more}\r\n"
    return head.encode()


@contextlib.asynccontextmanager
async def listening(w: World) -> AsyncIterator[tuple[int, set[Any]]]:
    """The coordinator's port, and the connections to it; the kernel keeps little of what is not read."""
    accepting = socket.create_server((str(w.services.own_address), 0))
    accepting.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    accepting.setblocking(False)
    port = int(accepting.getsockname()[1])
    w.provide(internal_endpoint=endpoint_of(str(w.services.own_address), port))
    listener = Listener(w.app, accepting, sources=w.services.sources)
    await listener.start()
    yield port, listener.server_state.connections
    await listener.stop()


async def deaf(w: World, port: int, stack: contextlib.ExitStack, request: bytes) -> socket.socket:
    """A connection of mari's that asks and never reads."""
    connection = stack.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    connection.bind((str(w.peer("mari").ip), 0))
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (str(w.services.own_address), port))
    await loop.sock_sendall(connection, request)
    return connection


@pytest.mark.parametrize(("more", "times"), [("", 8), ("Connection: close\r\n", 1)], ids=["many", "and close"])
async def test_who_reads_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch, more: str, times: int) -> None:
    monkeypatch.setattr(unread, "_SECONDS", 0.3)
    w = await populated()
    async with listening(w) as (port, connections):
        with contextlib.ExitStack() as stack:
            for _ in range(MANY):
                await deaf(w, port, stack, asking(w, more) * times)
            assert connections
            await eventually(lambda: not connections, "all are dropped")
        async with wire(w, "mari", port) as another:
            another.request("GET /v1/user/capabilities HTTP/1.1")
            assert (await another.answer())[0] == 200


async def test_who_reads_slowly_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "_SECONDS", 0.1)
    w = await populated()
    async with listening(w) as (port, _):
        with contextlib.ExitStack() as stack:
            connection = await deaf(w, port, stack, asking(w) * 7 + asking(w, "Connection: close\r\n"))
            whole = bytearray()
            while chunk := await asyncio.get_running_loop().sock_recv(connection, 65_536):
                whole += chunk
                await asyncio.sleep(0.01)
    assert whole.count(b"HTTP/1.1 200 OK") == 8


EARLY = [
    "GET /v1/user/state HTTP/1.1\r\n{0}\r\n",
    "GET /v1/user/events HTTP/1.1\r\n{0}\r\n",
    "GET /openapi.json HTTP/1.1\r\n{0}\r\n",
    "GET /v1/admin/events?follow=true HTTP/1.1\r\n{0}\r\n",
    "PUT /v1/user/candidates HTTP/1.1\r\n{0}Content-Length: 50\r\n\r\n[",
    "PUT /v1/user/candidates HTTP/1.1\r\n{0}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    "GET /v1/user/state HTTP/1.1\r\n{0}\r\njunk\r\n\r\n",
    "GET /v1/user/events HTTP/1.1\r\n{0}\r\njunk\r\n\r\n",
]


@pytest.mark.parametrize("request_", EARLY)
async def test_who_closes_early_leaves_no_traceback(caplog: pytest.LogCaptureFixture, request_: str) -> None:
    w = await populated()
    async with listening(w) as (port, connections):
        sent = request_.format(f"Host: {w.services.internal_endpoint}\r\n{HEADER}: {SERVER_KEY}\r\n").encode()
        for length in (len(sent), len(sent), len(sent) - 1, len(sent) // 2):
            for reset in (b"\1\0\0\0\0\0\0\0", b"\0" * 8):  # SO_LINGER: at once, or in order
                with contextlib.ExitStack() as stack:
                    connection = await deaf(w, port, stack, sent[:length])
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        await eventually(lambda: not connections)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_who_goes_while_it_is_answered_leaves_no_traceback(caplog: pytest.LogCaptureFixture, ahead: int) -> None:
    """On the loop that serves, which refuses to write where a connection is gone; with requests sent ahead too."""
    uvloop.run(gone_while_it_is_answered(ahead))
    assert not [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"]


async def gone_while_it_is_answered(ahead: int) -> None:
    w, answered, held = await populated(), asyncio.Event(), list[set[Any]]()

    async def page() -> bytes:
        for connection in list(held[0]):
            connection.drop()
        await eventually(lambda: not held[0])
        answered.set()
        return b"1"

    w.provide(may_read_metrics=lambda peer: True, render_metrics=page)
    async with listening(w) as (port, connections):
        held.append(connections)
        with contextlib.ExitStack() as stack:
            asked = asking(w).replace(b"/openapi.json", b"/metrics")
            await deaf(w, port, stack, asked * (1 + ahead))
            await answered.wait()


@pytest.mark.usefixtures("spared")
async def test_a_thousand_requests_that_are_none_are_one_line_of_their_source(caplog: pytest.LogCaptureFixture) -> None:
    w = await populated()
    with caplog.at_level(logging.WARNING):
        async with w.listening() as port:
            for who in ("mari", "ryo"):
                for _ in range(50):
                    async with wire(w, who, port) as connection:
                        connection.send("no request\r\n\r\n")
                        await connection.rest()
    assert [record.getMessage() for record in caplog.records] == [
        f"Invalid HTTP request received. (from {w.peer(who).ip})" for who in ("mari", "ryo")
    ]
