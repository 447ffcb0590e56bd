"""A connection that is held when it begins, on a transport that is stepped by hand: else a loop's own timing decides
whether it is let go or hears more first."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from innerd.api.sources import Sources
from innerd.serve.arrivals import Arrived
from innerd.serve.listener import Listener, TunnelProtocol
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


def held(w: World, unused: socket.socket) -> tuple[TunnelProtocol, Stepped]:
    """A connection that was held while it began."""
    sources, client = Sources(), (str(w.peer("mari").ip), CLIENT_PORT)
    source, transport = sources.of(client), Stepped()
    arrived = Arrived(unused, client, source, lambda _: None)
    sources.seat(arrived, source)
    arrived.hold()
    protocol = TunnelProtocol(sources, arrived, **Listener(w.app, unused, sources=sources)._options())
    protocol.connection_made(transport)
    return protocol, transport


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
