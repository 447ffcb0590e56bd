"""TCP connections that are held, stuffed or left cost their asker its places for a while, and nobody else anything.

What a plain connection may do, and the limits as such, are in test_server_tcp.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from inndns.connection import Connection as TcpConnection
from inndns.records import Host
from tests.dns.asking import VILLAGE_SEES, opt, packet, summary, told, with_opt, zone_of
from tests.dns.serving import HOSTS, MARI, PATIENCE, RYO, Connection, Serving, serving
from tests.dns.test_server_tcp import ASKED, SAID, on_stepped_time, stepped_loop

PLACES = 8  # of one asker; the tests of limits find it out, these need not
# With an unknown option, so that a question is long and its answer is short of it.
LONG = with_opt(opt(options=b"\xfd\xe9\x01\x00" + b"x" * 256), name="oven.kermpany.wg")


def length(size: int) -> bytes:
    return size.to_bytes(2, "big")


HOLDING: dict[str, bytes] = {
    "nothing": b"",
    "half-a-length": b"\0",
    "a-length-alone": length(len(ASKED)),
    "a-byte-of-a-question": length(len(ASKED)) + ASKED[:1],
    "all-but-a-byte": length(len(ASKED)) + ASKED[:-1],
    "the-largest-length": b"\xff\xff",
    "the-largest-length-and-half-of-it": b"\xff\xff" + b"x" * 32_000,
}


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop run until it is so."""
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - of no event that could be waited for
            await asyncio.sleep(0)


async def holders(served: Serving, stack: contextlib.AsyncExitStack, sent: bytes) -> list[Connection]:
    """All places of one asker, held with the beginning of a question; the server has them all."""
    held = [await stack.enter_async_context(served.connection(RYO)) for _ in range(PLACES)]
    for connection in held:
        connection.writer.write(sent)
        await connection.writer.drain()
    await until(lambda: len(served.server._open) == PLACES)
    return held


@pytest.mark.parametrize("sent", HOLDING.values(), ids=HOLDING)
def test_who_holds_all_its_places_keeps_nobody_waiting_and_loses_them(sent: bytes) -> None:
    async def scenario() -> None:
        async with serving() as served, contextlib.AsyncExitStack() as stack:
            held = await holders(served, stack, sent)
            assert await served.ask_tcp("oven.kermpany.wg A", MARI) == SAID
            assert await served.ask("oven.kermpany.wg A", MARI) == SAID
            assert await served.ask("oven.kermpany.wg A", RYO) == SAID, "its own questions over UDP too"
            await stepped_loop().step(10.5)
            assert [await connection.receive() for connection in held] == [b""] * PLACES
            assert await served.ask_tcp("oven.kermpany.wg A", RYO) == SAID
            assert sum(served.server.counters.responses.values()) == 4, "what was begun was never answered"

    on_stepped_time(scenario())


def test_a_byte_a_minute_holds_a_place_for_ten_seconds() -> None:
    async def scenario() -> None:
        async with serving() as served, contextlib.AsyncExitStack() as stack:
            held = await holders(served, stack, b"\0")
            await stepped_loop().step(60)
            for connection in held:
                connection.writer.write(b"\x20")
                assert await connection.receive() == b""
            await until(lambda: not served.server._open)

    on_stepped_time(scenario())


async def test_a_question_that_ends_in_the_middle_is_not_answered() -> None:
    async with serving() as served:
        for cut in range(1, len(ASKED) + 2):
            async with served.connection() as connection:
                connection.writer.write((length(len(ASKED)) + ASKED)[:cut])
                connection.writer.write_eof()
                assert await connection.receive() == b""
        assert served.server.counters.responses == {}
        assert await served.ask_tcp("oven.kermpany.wg A") == SAID


async def test_what_was_asked_before_an_end_in_the_middle_is_answered() -> None:
    async with serving() as served, served.connection() as connection:
        connection.send(ASKED, ASKED)
        connection.writer.write(length(len(ASKED)) + ASKED[:9])
        connection.writer.write_eof()
        assert [told(answer) if answer else "" for answer in [await connection.receive() for _ in range(3)]] == [
            SAID,
            SAID,
            "",
        ]


async def test_an_empty_message_between_questions_ends_the_connection_and_not_the_server() -> None:
    async with serving() as served, served.connection() as connection:
        connection.send(ASKED, b"", ASKED)
        assert told(await connection.receive()) == SAID
        assert await connection.receive() == b""
        assert await served.ask_tcp("oven.kermpany.wg A") == SAID


async def test_answers_of_a_pipeline_are_told_apart_by_their_ids_in_whatever_order_they_come() -> None:
    names = [("oven.kermpany.wg", "NOERROR"), ("nobody.kermpany.wg", "NXDOMAIN"), ("example.com", "REFUSED")] * 20
    async with serving() as served, served.connection() as connection:
        connection.send(*(length(number) + packet(name)[2:] for number, (name, _) in enumerate(names)))
        answers = [await connection.receive() for _ in names]
        found = {int.from_bytes(answer[:2], "big"): summary(answer).split()[0] for answer in answers}
        assert found == {number: rcode for number, (_, rcode) in enumerate(names)}


# -- who asks and does not listen -------------------------------------------------------------------------------------


async def stuffed(served: Serving, stack: contextlib.ExitStack) -> None:
    """A connection of ryo on which questions are sent and no answer is read, until the server has no place for more."""
    made = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.bind((RYO, 0))
    made.setblocking(False)
    known = set(served.server._open)
    await asyncio.get_running_loop().sock_connect(made, (served.address, served.tcp))
    await until(lambda: len(served.server._open - known) == 1)
    (connection,) = served.server._open - known
    block, at = (length(len(ASKED)) + ASKED) * 500, 0

    def is_full() -> bool:
        nonlocal at
        with contextlib.suppress(BlockingIOError):
            at = (at + made.send(block[at:])) % len(block)
        return connection.transport.get_write_buffer_size() > 64 * 1024

    await until(is_full)


def sockets() -> int:
    """How many this process has: the server's and the askers'."""
    return sum(entry.is_socket() for entry in Path("/proc/self/fd").iterdir())


async def paced(scenario: Callable[[Serving], Coroutine[Any, Any, None]]) -> None:
    async with serving() as served:
        await scenario(served)


def test_who_reads_no_answer_keeps_nobody_waiting() -> None:
    async def scenario(served: Serving) -> None:
        with contextlib.ExitStack() as stack:
            await stuffed(served, stack)
            assert await served.ask_tcp("oven.kermpany.wg A", MARI) == SAID
            assert await served.ask("oven.kermpany.wg A", RYO) == SAID

    on_stepped_time(paced(scenario))


def test_who_reads_no_answer_holds_no_socket_of_the_servers_after_ten_seconds() -> None:
    async def scenario(served: Serving) -> None:
        before = sockets()
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                await stuffed(served, stack)
            assert sockets() == before + 4
            await stepped_loop().step(10.5)
            await until(lambda: not served.server._open)
            await stepped_loop().step(60)
            assert sockets() == before + 2

    on_stepped_time(paced(scenario))


# -- who asks for much at once ----------------------------------------------------------------------------------------

BIG = Host("big", ip_address("127.42.3.77"), 3, tuple(("@", "TXT", f"{number:03}" + "x" * 900) for number in range(60)))
MUCH = packet("big.kermpany.wg", "TXT")  # 35 bytes, answered by 54,000


def much(served: Serving) -> tuple[int, int]:
    """What is kept of questions and of answers for the one connection."""
    (connection,) = served.server._open
    return len(connection._came), connection.transport.get_write_buffer_size()


async def test_long_answers_to_many_short_questions_are_kept_back_until_they_are_taken() -> None:
    zone = zone_of([*HOSTS, BIG], "127.42.0.0/16", VILLAGE_SEES)
    async with serving(lambda: zone) as served, served.connection() as connection:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        connection.send(*[MUCH] * 1_000)
        most = [0, 0]
        for _ in range(300):
            await asyncio.sleep(0)
            most = [max(pair) for pair in zip(most, much(served), strict=True)] if served.server._open else most
        assert most[0] <= 2 * 4_096
        assert 0 < most[1] <= 65_536 + 2 * 55_000
        connection.writer.transport.resume_reading()  # type: ignore[attr-defined]
        answers = [await connection.receive() for _ in range(1_000)]
        assert {len(answer) for answer in answers} == {len(answers[0])}
        assert len(answers[0]) > 54_000


async def test_who_sends_questions_without_end_is_answered_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as served, served.connection() as connection:
        turns, real = [0], served.server.respond

        def counted(packet: bytes, source: str, transport: str) -> bytes | None:
            turns[-1] += 1
            return real(packet, source, transport)

        monkeypatch.setattr(await opened_of(served), "_respond", counted)
        connection.send(*[ASKED] * 2_000)
        while sum(turns) < 2_000:
            await asyncio.sleep(0)
            turns.append(0)
        assert max(turns) <= 4_096 // len(ASKED) + 1


async def opened_of(served: Serving) -> TcpConnection:
    await until(lambda: bool(served.server._open))
    (opened,) = served.server._open
    return opened


async def test_a_long_option_that_means_nothing_is_read_and_not_echoed() -> None:
    async with serving() as served, served.connection() as connection:
        connection.send(LONG, LONG)
        assert {summary(await connection.receive()) for _ in range(2)} == {"NOERROR qr aa rd 1/1/0/1 opt"}
