"""The server over TCP (RFC 7766): several questions on a connection, and limits on those that take too much."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.dns.asking import DO, VILLAGE_SEES, host, opt, packet, summary, told, with_opt, zone_of
from tests.dns.serving import HOSTS, MARI, OVEN, RYO, STRANGER, TAMA, Connection, Serving, serving

ASKED = packet("oven.kermpany.wg")
SAID = "NOERROR aa | oven.kermpany.wg. 30 IN A 127.42.64.2"


async def test_a_question_over_tcp_is_answered() -> None:
    async with serving() as served:
        assert await served.ask_tcp("oven.kermpany.wg A") == SAID
        assert (await served.ask_tcp("tama.kermpany.wg A", RYO)).startswith("NXDOMAIN")
        assert (await served.ask_tcp("tama.kermpany.wg A", TAMA)).startswith("NOERROR")


async def test_one_connection_answers_question_after_question() -> None:
    async with serving() as served, served.connection() as connection:
        for number in range(20):
            connection.send(number.to_bytes(2, "big") + ASKED[2:])
            answer = await connection.receive()
            assert (int.from_bytes(answer[:2], "big"), told(answer)) == (number, SAID)


async def test_questions_sent_ahead_of_their_answers_are_all_answered() -> None:
    async with serving() as served, served.connection() as connection:
        connection.send(*(number.to_bytes(2, "big") + ASKED[2:] for number in range(50)))
        answers = [await connection.receive() for _ in range(50)]
        assert {int.from_bytes(answer[:2], "big") for answer in answers} == set(range(50))
        assert {told(answer) for answer in answers} == {SAID}


async def test_a_question_may_come_in_pieces() -> None:
    async with serving() as served, served.connection() as connection:
        for byte in len(ASKED).to_bytes(2, "big") + ASKED:
            connection.writer.write(bytes((byte,)))
            await connection.writer.drain()
        assert told(await connection.receive()) == SAID


async def test_an_error_does_not_end_the_connection() -> None:
    async with serving() as served, served.connection() as connection:
        connection.send(packet(counts=(2, 0, 0, 0)), packet(flags=5 << 11), packet("kermpany.wg", "AXFR"), ASKED)
        said = [summary(await connection.receive()).split()[0] for _ in range(4)]
        assert said == ["FORMERR", "NOTIMP", "REFUSED", "NOERROR"]


async def test_the_largest_message_is_read_and_answered() -> None:
    async with serving() as served, served.connection() as connection:
        connection.send(packet(counts=(10_900, 0, 0, 0), tail=b"\xc0\x0c\0\1\0\1" * 10_900), ASKED)
        assert summary(await connection.receive()) == "FORMERR qr rd 0/0/0/0"
        assert told(await connection.receive()) == SAID


async def test_what_is_cut_over_udp_comes_whole_over_tcp() -> None:
    suffix = ".".join(["s" * 63] * 3 + ["tail"])
    zone, name = zone_of(HOSTS, "127.42.0.0/16", VILLAGE_SEES, suffix=suffix), f"nobody.kermpany.{suffix}"
    async with serving(lambda: zone) as served:
        with served.datagrams() as asker:
            asker.send(packet(name))
            assert summary(await asyncio.get_running_loop().sock_recv(asker, 4096)) == "NXDOMAIN qr aa tc rd 1/0/0/0"
            asker.send(with_opt(opt(1232, DO), name=name))
            whole = await asyncio.get_running_loop().sock_recv(asker, 4096)
            assert summary(whole) == "NXDOMAIN qr aa rd 1/0/1/1 opt:do"
        async with served.connection() as connection:
            connection.send(packet(name))
            assert summary(await connection.receive()) == "NXDOMAIN qr aa rd 1/0/1/0"


@pytest.mark.parametrize("sent", [b"", b"short", packet(flags=0x8000)], ids=["empty", "short", "an-answer"])
async def test_what_deserves_silence_ends_the_connection(sent: bytes) -> None:
    async with serving() as served, served.connection() as connection:
        connection.send(sent, ASKED)
        assert await connection.receive() == b""
        assert served.server.counters.dropped["malformed"] == 1


async def test_an_unknown_source_is_told_nothing_over_tcp() -> None:
    async with serving() as served, served.connection(STRANGER) as connection:
        connection.send(ASKED)
        assert await connection.receive() == b""
        assert served.server.counters.dropped["unknown_source"] == 1
        assert served.server.counters.responses == {}


async def test_a_peer_that_loses_its_place_in_the_network_is_told_nothing_more() -> None:
    zone = zone_of(HOSTS, "127.42.0.0/16", VILLAGE_SEES)
    async with serving(lambda: zone) as served, served.connection() as connection:
        connection.send(ASKED)
        assert told(await connection.receive()) == SAID
        zone = zone_of([h for h in HOSTS if h.name != "ryo"], "127.42.0.0/16", VILLAGE_SEES)
        connection.send(ASKED)
        assert await connection.receive() == b""


@pytest.mark.parametrize("sent", [b"", b"\0", b"\0\x20half"], ids=["at-once", "in-the-length", "in-the-question"])
async def test_an_asker_that_hangs_up_midway_costs_nothing(sent: bytes) -> None:
    async with serving() as served, served.connection() as connection:
        connection.writer.write(sent)
        connection.writer.write_eof()
        assert await connection.receive() == b""
        assert await served.ask_tcp("oven.kermpany.wg A") == SAID


async def test_a_connection_that_is_reset_costs_nothing() -> None:
    async with serving() as served:
        for _ in range(20):
            async with served.connection() as connection:
                # Lingering for 0 seconds: closing is a reset.
                made = connection.writer.get_extra_info("socket")
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.send(ASKED, ASKED)
                connection.writer.transport.abort()
        assert await served.ask_tcp("oven.kermpany.wg A") == SAID


async def admitted(served: Serving, source: str, stack: contextlib.AsyncExitStack) -> Connection | None:
    """One more open connection of an asker, which was answered on it; None if the server closed it instead."""
    connection = await stack.enter_async_context(served.connection(source))
    connection.send(ASKED)
    return connection if await connection.receive() else None


async def crowd(served: Serving, source: str, stack: contextlib.AsyncExitStack) -> list[Connection]:
    """As many connections as one asker may have; one more was closed."""
    held: list[Connection] = []
    while (connection := await admitted(served, source, stack)) is not None:
        held.append(connection)
        assert len(held) < 100, "no end"
    return held


async def test_an_asker_may_have_only_so_many_connections() -> None:
    async with serving() as served, contextlib.AsyncExitStack() as stack:
        held = await crowd(served, RYO, stack)
        assert 2 <= len(held) <= 16
        assert served.server.counters.dropped == {
            "malformed": 0,
            "unknown_source": 0,
            "connections": 1,
            "rate_limited": 0,
        }
        for connection in held:
            connection.send(ASKED)
            assert told(await connection.receive()) == SAID


async def test_a_crowd_of_one_asker_keeps_nobody_else_out() -> None:
    async with serving() as served, contextlib.AsyncExitStack() as stack:
        await crowd(served, RYO, stack)
        for other in (MARI, OVEN, TAMA):
            async with served.connection(other) as connection:
                connection.send(packet("innernet-server.kermpany.wg"))
                assert summary(await connection.receive()).startswith("NOERROR")


async def test_a_connection_that_ended_makes_room_for_another() -> None:
    async with serving() as served, contextlib.AsyncExitStack() as stack:
        held = await crowd(served, RYO, stack)
        held[0].writer.write_eof()
        assert await held[0].receive() == b""
        assert await served.ask_tcp("oven.kermpany.wg A") == SAID
        assert served.server.counters.dropped["connections"] == 1


async def test_all_askers_together_may_have_only_so_many_connections() -> None:
    many = [host(f"p{number}", f"127.42.9.{number}", 3) for number in range(1, 60)]
    zone = zone_of([*HOSTS, *many], "127.42.0.0/16", VILLAGE_SEES)
    held = 0
    async with serving(lambda: zone) as served, contextlib.AsyncExitStack() as stack:
        for asker in many * 8:
            if await admitted(served, str(asker.address), stack) is None:
                break
            held += 1
        assert 128 <= held < 8 * len(many)
        assert await admitted(served, RYO, stack) is None
        assert (await served.ask("ryo.kermpany.wg A")).startswith("NOERROR"), "UDP goes on"


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock is stepped by hand, on top of the real one."""

    def __init__(self) -> None:
        self.stepped = 0.0
        super().__init__()

    def time(self) -> float:
        return super().time() + self.stepped

    async def step(self, seconds: float) -> None:
        """Let time pass, and let what that wakes have its turn."""
        self.stepped += seconds
        for _ in range(5):
            await asyncio.sleep(0)


def on_stepped_time(scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        runner.run(scenario)


def stepped_loop() -> SteppedLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    return loop


def test_a_silent_connection_is_dropped_after_ten_seconds_and_not_before() -> None:
    async def scenario() -> None:
        async with serving() as served, served.connection() as connection:
            connection.send(ASKED)
            assert told(await connection.receive()) == SAID
            await stepped_loop().step(9)
            connection.send(ASKED)
            assert told(await connection.receive()) == SAID, "9 seconds are not too long"
            await stepped_loop().step(9)
            connection.send(ASKED)
            assert told(await connection.receive()) == SAID, "each question has its own time"
            await stepped_loop().step(10.5)
            assert await connection.receive() == b""

    on_stepped_time(scenario())


def test_a_question_that_trickles_in_is_dropped_after_ten_seconds_all_the_same() -> None:
    async def scenario() -> None:
        async with serving() as served, served.connection() as connection:
            connection.send(ASKED)
            assert told(await connection.receive()) == SAID
            for byte in (b"\0", b"\x20", b"\x12"):
                connection.writer.write(byte)
                await stepped_loop().step(4)
            assert await connection.receive() == b""
            assert served.server.counters.dropped["malformed"] == 0

    on_stepped_time(scenario())


def test_a_dropped_connection_makes_room() -> None:
    async def scenario() -> None:
        async with serving() as served, contextlib.AsyncExitStack() as stack:
            await crowd(served, RYO, stack)
            await stepped_loop().step(10.5)
            assert len(await crowd(served, RYO, stack)) >= 2

    on_stepped_time(scenario())
