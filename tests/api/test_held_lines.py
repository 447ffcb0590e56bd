"""A connection that is held when it begins, on a transport that is stepped by hand: else a loop's own timing decides
whether it is let go or hears more first."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from innerd.api.sources import MOST_RUNNING, Sources
from innerd.serve.arrivals import Arrived
from innerd.serve.listener import Listener, TunnelProtocol
from tests.api.chairs import Chair
from tests.api.sockets import PATIENCE
from tests.world import World, key

CLIENT_PORT = 40_000


class Stepped:
    """A transport of which the test decides when something comes."""

    def __init__(self) -> None:
        self.is_read, self.sent, self.answered = True, b"", asyncio.Event()

    def write(self, data: bytes) -> None:
        self.sent += data
        self.answered.set()

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: object) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None:
        raise AssertionError("it was dropped")


def begun(w: World, sources: Sources, arrived: Arrived) -> tuple[TunnelProtocol, Stepped]:
    protocol = TunnelProtocol(sources, arrived, **Listener(w.app, arrived.connection, sources=sources)._options())
    transport = Stepped()
    protocol.connection_made(transport)
    return protocol, transport


def accepted(w: World, unused: socket.socket) -> tuple[Sources, Arrived]:
    sources, client = Sources(), (str(w.peer("mari").ip), CLIENT_PORT)
    arrived = Arrived(unused, client, sources.of(client), lambda _: None)
    sources.seat(arrived, arrived.source)
    return sources, arrived


def held(w: World, unused: socket.socket) -> tuple[TunnelProtocol, Stepped]:
    """A connection that was held while it began."""
    sources, arrived = accepted(w, unused)
    arrived.hold()
    return begun(w, sources, arrived)


@pytest.fixture
def unused() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


async def test_what_came_while_it_was_held_is_parsed_before_what_comes_later(w: World, unused: socket.socket) -> None:
    protocol, transport = held(w, unused)
    fields = f"Host: {w.services.internal_endpoint}\r\nX-Innernet-Server-Key: {key('coordinator')}\r\n"
    first, later = f"GET /v1/user/capabilities HTTP/1.1\r\n{fields}".encode(), b"X-More: x\r\n\r\n"
    protocol.data_received(first)  # a loop begins to read whatever it was told before
    assert (protocol.is_held, transport.is_read, protocol.has_more()) == (True, False, True)
    protocol.let_go(is_due=False)
    protocol.data_received(later)
    async with asyncio.timeout(PATIENCE):
        await transport.answered.wait()
    assert transport.sent.startswith(b"HTTP/1.1 200")
    protocol.connection_lost(None)


async def test_half_a_request_gives_its_place_to_the_next_and_waits(w: World, unused: socket.socket) -> None:
    sources, arrived = accepted(w, unused)
    source = arrived.source
    arrived.is_due, source.due = True, MOST_RUNNING
    source.settle()
    next_one = Chair()
    sources.seat(next_one, source)
    next_one.has_sent = True
    protocol, transport = begun(w, sources, arrived)
    protocol.data_received(b"GET /v1/user/capabilities HTTP/1.1\r\n")
    assert (next_one.is_due, source.due) == (True, MOST_RUNNING)
    assert (protocol.is_held, transport.is_read) == (True, False)
    protocol.connection_lost(None)
