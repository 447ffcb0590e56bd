"""Connections that wait to be accepted: all are taken, the lightest source's begin first, and who has no room is sent
away before anything is made for it."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from innerd.api.sources import BURST, HEAVY, MOST_UNPROVEN, Source, Sources
from innerd.serve.arrivals import Arrivals
from tests.client.support import eventually

AT = "127.42.0.1"
HEAVY_ONE, LIGHT_ONE = "127.42.128.9", "127.42.128.2"


class Begun(asyncio.Protocol):
    """A connection that takes its seat and says whose it is."""

    is_proven = is_unread = False

    def __init__(self, sources: Sources, source: Source, client: tuple[str, int], order: list[str]) -> None:
        self._sources, self._source, self._client, self._order = sources, source, client, order

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._order.append(self._client[0])
        self._sources.seat(self, self._source)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sources.unseat(self, self._source)

    def hold(self, held: bool) -> None:
        """Nothing is read here."""

    def is_gone(self) -> bool:
        return self.transport.is_closing()

    def drop(self) -> None:
        self.transport.close()


@pytest.fixture
def sources() -> Sources:
    return Sources()


@pytest.fixture
def order() -> list[str]:
    return []


@contextlib.asynccontextmanager
async def accepting(sources: Sources, order: list[str], listening: socket.socket) -> AsyncIterator[Arrivals]:
    arrivals = Arrivals([listening], sources, lambda source, client: Begun(sources, source, client, order), 128)
    try:
        yield arrivals
    finally:
        arrivals.close()


@contextlib.contextmanager
def knocking(listening: socket.socket, *whose: str) -> "contextlib._GeneratorContextManager[list[socket.socket]]":
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(listening.getsockname(), source_address=(who, 0)))
            for who in whose
        ]


def listener() -> socket.socket:
    listening = socket.create_server((AT, 0), backlog=128)
    listening.setblocking(False)
    return listening


async def test_the_lightest_begins_first_however_many_came_before(sources: Sources, order: list[str]) -> None:
    sources.of((HEAVY_ONE, 40_000)).charge(2 * HEAVY)
    listening = listener()
    with knocking(listening, *[HEAVY_ONE] * 10, LIGHT_ONE):
        async with accepting(sources, order, listening):
            await eventually(lambda: len(order) == 11, "all to begin")
        assert order.index(LIGHT_ONE) <= 1, "the first found nobody waiting"


async def test_who_has_no_room_is_sent_away_and_counted(sources: Sources, order: list[str]) -> None:
    listening = listener()
    with knocking(listening, *[LIGHT_ONE] * (MOST_UNPROVEN + 3)) as knocked:
        async with accepting(sources, order, listening):
            await eventually(lambda: len(order) == MOST_UNPROVEN and sources.turned_away == 3)
            for one in knocked[-3:]:
                with pytest.raises(ConnectionResetError):
                    one.recv(1)
            source = sources.of((LIGHT_ONE, 40_000))
            assert (source.arriving, len(source.seats)) == (0, MOST_UNPROVEN)


async def test_who_is_over_its_budget_gets_no_connection_more(sources: Sources, order: list[str]) -> None:
    sources.of((HEAVY_ONE, 40_000)).charge(2 * BURST)
    listening = listener()
    with knocking(listening, HEAVY_ONE, LIGHT_ONE):
        async with accepting(sources, order, listening):
            await eventually(lambda: order == [LIGHT_ONE] and sources.turned_away == 1)


async def test_when_it_is_closed_nobody_is_left_waiting(sources: Sources, order: list[str]) -> None:
    listening = listener()
    with knocking(listening, *[LIGHT_ONE] * 5):
        async with accepting(sources, order, listening) as arrivals:
            await eventually(lambda: order)
            await arrivals.wait_closed()
        assert listening.fileno() == -1


@pytest.mark.parametrize(("number", "pause"), [(errno.EMFILE, 0.01), (errno.ECONNABORTED, 3600.0)])
async def test_what_can_not_be_accepted_keeps_no_other_out(
    sources: Sources, order: list[str], monkeypatch: pytest.MonkeyPatch, number: int, pause: float
) -> None:
    """Without a file left it is tried again after a moment; a connection that broke is no reason to wait."""

    class Poor(socket.socket):
        left = 2

        def accept(self) -> tuple[socket.socket, object]:
            Poor.left -= 1
            if Poor.left >= 0:
                raise OSError(number, "refused")
            return super().accept()

    monkeypatch.setattr("innerd.serve.arrivals._PAUSE", pause)
    made = listener()
    listening = Poor(fileno=made.detach())
    with knocking(listening, LIGHT_ONE):
        async with accepting(sources, order, listening):
            await eventually(lambda: order == [LIGHT_ONE])
