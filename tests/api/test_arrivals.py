"""Connections that wait to be accepted: all are taken, the lightest source's begin first, and who has no room is sent
away before anything is made for it."""

import asyncio
import contextlib
import errno
import random
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from innerd.api.sources import BURST, HEAVY, MOST_RUNNING, MOST_UNPROVEN, Sources, Visit
from innerd.serve.arrivals import Arrivals, Arrived
from tests.client.support import eventually

AT = "127.42.0.1"
HEAVY_ONE, LIGHT_ONE = "127.42.128.9", "127.42.128.2"


class Begun(asyncio.Protocol):
    """A connection that takes its seat over and says whose it is."""

    is_proven = is_unread = is_held = False

    def __init__(self, sources: Sources, arrived: Arrived, order: list[str]) -> None:
        self._sources, self._arrived, self._order = sources, arrived, order

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._order.append(self._arrived.client[0])
        self._sources.take_over(self._arrived, self, self._arrived.source)
        if self._arrived.is_dropped:
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._sources.unseat(self, self._arrived.source)

    def hold(self) -> None:
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
    arrivals = Arrivals([listening], sources, lambda arrived: Begun(sources, arrived, order), 128)
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


def as_root(listening: socket.socket) -> socket.socket:
    """A connection from a port that only root may have, whichever is free."""
    for port in random.sample(range(600, 1024), 100):
        with contextlib.suppress(OSError):
            return socket.create_connection(listening.getsockname(), source_address=(LIGHT_ONE, port))
    raise AssertionError("no low port is free")


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
            seats = sources.of((LIGHT_ONE, 40_000)).seats
            assert [type(seat) for seat in seats] == [Begun] * MOST_UNPROVEN


async def test_while_a_source_is_held_only_as_many_begin_as_there_is_room_for(
    sources: Sources, order: list[str]
) -> None:
    """Each that begins may bring tens of kilobytes at once. Who is silent begins when there is room left."""
    source, listening = sources.of((LIGHT_ONE, 40_000)), listener()
    visits = [Visit(source) for _ in range(MOST_RUNNING)]
    with knocking(listening, *[LIGHT_ONE] * 5, HEAVY_ONE) as knocked:
        for one in knocked[1:5]:
            one.sendall(b"GET / HTTP/1.1\r\n")
        async with accepting(sources, order, listening):
            await eventually(lambda: order == [HEAVY_ONE] and len(source.seats) == 5)
            visits[0].leave()
            await eventually(lambda: order[1:] == [LIGHT_ONE])
            assert (source.due, source.is_held) == (1, True), "what it sent has its place"
            for visit in visits[1:]:
                visit.leave()
            await eventually(lambda: order[1:] == [LIGHT_ONE] * 4)
            assert (source.due, source.is_held) == (4, True)
            source.no_longer_due()
            await eventually(lambda: order[1:] == [LIGHT_ONE] * 5)
            assert not source.is_held


async def test_one_that_has_its_place_is_not_held_until_it_begins(sources: Sources) -> None:
    """It would be counted a second time when it is let go, and its source never be read again."""
    source, began = sources.of((LIGHT_ONE, 40_000)), list[Arrived]()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        arrived = Arrived(ours, (LIGHT_ONE, 40_000), source, began.append)
        arrived.hold()
        arrived.let_go(is_due=True)
        arrived.hold()
        assert (arrived.is_held, began) == (False, [arrived])


async def test_what_has_its_place_gives_it_back_when_the_listener_ends(sources: Sources, order: list[str]) -> None:
    source, listening = sources.of((LIGHT_ONE, 40_000)), listener()
    visits = [Visit(source) for _ in range(MOST_RUNNING)]
    with knocking(listening, *[LIGHT_ONE] * 5) as knocked:
        for one in knocked:
            one.sendall(b"GET / HTTP/1.1\r\n")
        async with accepting(sources, order, listening):
            await eventually(lambda: len(source.seats) == 5)
            visits[0].leave()
            assert source.due == 1
        await asyncio.sleep(0)  # what was on its way to begin has its turn
        assert (source.due, source.seats, sources.seats, order) == (0, {}, 0, [])


async def test_one_that_gives_way_before_it_has_begun_is_ended(sources: Sources, order: list[str]) -> None:
    """A connection of root's comes, when the source has as many as it may that have proved nothing."""
    source, listening = sources.of((LIGHT_ONE, 700)), listener()
    visits = [Visit(source) for _ in range(MOST_RUNNING)]
    with contextlib.ExitStack() as stack:
        knocked = [stack.enter_context(as_root(listening)) for _ in range(MOST_UNPROVEN + 1)]
        async with accepting(sources, order, listening):
            await eventually(lambda: len(source.seats) == MOST_UNPROVEN)
            await eventually(lambda: all(seat.is_held and not seat.is_gone() for seat in source.seats))
            assert await asyncio.to_thread(knocked[0].recv, 1) == b""
            assert order == []
            for visit in visits:
                visit.leave()
            await eventually(lambda: len(order) == MOST_UNPROVEN)


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
