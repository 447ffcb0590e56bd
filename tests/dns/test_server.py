"""The server on real sockets over UDP: who is answered, who is not, and what is counted."""

import asyncio
import socket
from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from inndns import server
from inndns.message import parse
from inndns.server import BUCKETS, Counters
from tests.dns.asking import VILLAGE_SEES, host, packet, summary, told, zone_of
from tests.dns.serving import AT, HOSTS, MARI, RYO, STRANGER, TAMA, ZONE, Serving, pair, serving


async def answer_to(asker: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(asker, 4096)


async def test_a_question_over_udp_is_answered() -> None:
    async with serving() as served:
        assert await served.ask("oven.kermpany.wg A") == "NOERROR aa | oven.kermpany.wg. 30 IN A 127.42.64.2"
        assert (await served.ask("2.64.42.127.in-addr.arpa PTR")).endswith("PTR oven.kermpany.wg.")
        assert await served.ask("example.com A") == "REFUSED"


async def test_the_source_address_decides_what_exists() -> None:
    async with serving() as served:
        assert (await served.ask("tama.kermpany.wg A", RYO)).startswith("NXDOMAIN")
        assert (await served.ask("tama.kermpany.wg A", TAMA)).endswith("A 127.42.200.9")
        assert (await served.ask("ryo.kermpany.wg A", TAMA)).startswith("NXDOMAIN")
        assert (await served.ask("tama.kermpany.wg A", AT)).endswith("A 127.42.200.9")


async def test_an_unknown_source_gets_silence_and_is_counted() -> None:
    async with serving() as served:
        with served.datagrams(STRANGER) as stranger:
            stranger.send(packet("ryo.kermpany.wg"))
            stranger.send(packet("example.com"))
            stranger.send(b"rubbish")
            # Datagrams are read in the order they came: with this answer, those before it are dealt with.
            assert (await served.ask("ryo.kermpany.wg A")).startswith("NOERROR")
            with pytest.raises(BlockingIOError):
                stranger.recv(4096)
        assert served.server.counters.dropped == {
            "malformed": 0,
            "unknown_source": 3,
            "connections": 0,
            "rate_limited": 0,
        }


async def test_what_is_no_question_gets_silence_and_is_counted() -> None:
    async with serving() as served:
        with served.datagrams() as asker:
            for sent in (b"", b"short", packet(flags=0x8000)):
                asker.send(sent)
            await served.ask("ryo.kermpany.wg A")
            with pytest.raises(BlockingIOError):
                asker.recv(4096)
        assert served.server.counters.dropped == {
            "malformed": 3,
            "unknown_source": 0,
            "connections": 0,
            "rate_limited": 0,
        }
        assert sum(served.server.counters.responses.values()) == 1


async def test_a_burst_longer_than_one_run_is_answered_to_the_last() -> None:
    async with serving() as served:
        with served.datagrams() as asker:
            for number in range(150):
                asker.send(number.to_bytes(2, "big") + packet()[2:])
            answers = [await answer_to(asker) for _ in range(150)]
        assert sorted(int.from_bytes(answer[:2], "big") for answer in answers) == list(range(150))
        assert {told(answer) for answer in answers} == {"NOERROR aa | ryo.kermpany.wg. 30 IN A 127.42.3.5"}


async def test_a_datagram_of_60_kilobytes_is_a_broken_question_like_any() -> None:
    async with serving() as served:
        with served.datagrams() as asker:
            asker.send(packet(counts=(10_000, 0, 0, 0), tail=b"\xc0\x0c\0\1\0\1" * 9_900))
            assert summary(await answer_to(asker)) == "FORMERR qr rd 0/0/0/0"
        assert (await served.ask("ryo.kermpany.wg A")).startswith("NOERROR")


async def test_two_askers_at_once_get_their_own_answers() -> None:
    async with serving() as served:
        said = await asyncio.gather(*(served.ask("tama.kermpany.wg A", source) for source in (RYO, TAMA) * 20))
        assert [text.split()[0] for text in said] == ["NXDOMAIN", "NOERROR"] * 20


async def test_the_zone_of_the_moment_is_asked_each_time() -> None:
    zone = ZONE
    async with serving(lambda: zone) as served:
        assert (await served.ask("neko.kermpany.wg A")).startswith("NXDOMAIN")
        zone = zone_of([*HOSTS, host("neko", "127.42.3.9", 3)], "127.42.0.0/16", VILLAGE_SEES)
        assert (await served.ask("neko.kermpany.wg A")).endswith("A 127.42.3.9")
        assert (await served.ask("ryo.kermpany.wg A", "127.42.3.9")).endswith("A 127.42.3.5")
        zone = zone_of(HOSTS[:2], "127.42.0.0/16", VILLAGE_SEES)
        with served.datagrams(MARI) as mari:
            mari.send(packet())
            await served.ask("ryo.kermpany.wg A")
            with pytest.raises(BlockingIOError):
                mari.recv(4096)


async def test_answers_are_counted_by_transport_type_and_rcode() -> None:
    async with serving() as served:
        for question in ("ryo.kermpany.wg A", "ryo.kermpany.wg A", "nobody.kermpany.wg AAAA", "ryo.kermpany.wg HTTPS"):
            await served.ask(question)
        await served.ask("ryo.kermpany.wg TYPE65280")
        await served.ask("example.com ANY")
        await served.ask("ryo.kermpany.wg A", use_edns=1)
        await served.ask_tcp("5.3.42.127.in-addr.arpa PTR")
        counters = served.server.counters
        assert counters.responses == {
            ("udp", "A", "NOERROR"): 2,
            ("udp", "AAAA", "NXDOMAIN"): 1,
            ("udp", "HTTPS", "NOERROR"): 1,
            ("udp", "other", "NOERROR"): 1,
            ("udp", "ANY", "REFUSED"): 1,
            ("udp", "A", "BADVERS"): 1,
            ("tcp", "PTR", "NOERROR"): 1,
        }
        assert sum(counters.durations) == sum(counters.responses.values())
        assert counters.seconds > 0


async def test_errors_are_counted_as_answers() -> None:
    async with serving() as served:
        with served.datagrams() as asker:
            asker.send(packet(counts=(0, 0, 0, 0)))
            asker.send(packet(flags=5 << 11))
            assert [summary(await answer_to(asker)).split()[0] for _ in range(2)] == ["FORMERR", "NOTIMP"]
        assert served.server.counters.responses == {("udp", "other", "FORMERR"): 1, ("udp", "other", "NOTIMP"): 1}


@pytest.mark.parametrize(
    ("seconds", "slot"),
    [(0.0, 0), *((edge, n) for n, edge in enumerate(BUCKETS)), (BUCKETS[0] * 1.01, 1), (1.0, len(BUCKETS))],
)
def test_a_duration_is_counted_in_the_bucket_whose_edge_it_does_not_pass(seconds: float, slot: int) -> None:
    counters = Counters()
    question = parse(packet())
    assert question is not None
    counters.count("udp", question, 0, seconds)
    assert counters.durations.index(1) == slot


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[MutableMapping[str, Any]]:
    """What the server logs, at any level."""
    capture = LogCapture()
    told_all = structlog.make_filtering_bound_logger(0)
    logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[capture], wrapper_class=told_all)
    monkeypatch.setattr(server, "_log", logger)
    return capture.entries


async def test_questions_are_logged_only_where_that_is_wanted(logged) -> None:
    async with serving() as served:
        await served.ask("ryo.kermpany.wg A", MARI)
    assert logged == []
    async with serving(log_queries=True) as served:
        await served.ask("ryo.kermpany.wg A", MARI)
    (entry,) = logged
    assert (entry["event"], entry["peer"], entry["type"], entry["rcode"]) == ("query", "mari", 1, 0)


async def test_a_name_in_the_log_can_forge_no_line(logged) -> None:
    async with serving(log_queries=True) as served:
        with served.datagrams() as asker:
            asker.send(packet(b"\x06a\n\x1b[2J\x08kermpany\x02wg\0"))
            assert summary(await answer_to(asker)).startswith("NXDOMAIN")
    assert [entry["name"].isprintable() for entry in logged] == [True]


async def test_one_server_may_listen_on_several_addresses() -> None:
    async with serving() as served:
        udp, tcp = pair("127.42.3.5")
        there = Serving(served.server, "127.42.3.5", udp.getsockname()[1], tcp.getsockname()[1])
        await served.server.listen(udp, tcp)
        for place in (served, there):
            assert (await place.ask("mari.kermpany.wg A")).endswith("A 127.42.3.6")
            assert (await place.ask_tcp("mari.kermpany.wg A")).endswith("A 127.42.3.6")


async def test_a_closed_server_has_let_go_of_its_sockets_and_may_listen_again() -> None:
    async with serving() as served:
        await served.server.close()
        with served.datagrams() as asker:
            asker.send(packet())
            with pytest.raises(ConnectionRefusedError):
                await answer_to(asker)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(served.address, served.tcp)
        udp, tcp = pair()
        again = Serving(served.server, AT, udp.getsockname()[1], tcp.getsockname()[1])
        await served.server.listen(udp, tcp)
        assert (await again.ask("ryo.kermpany.wg A")).startswith("NOERROR")


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_a_network_of_ipv6_is_served_over_ipv6() -> None:
    zone = zone_of([host("innernet-server", "::1", None)], "::/64")
    async with serving(lambda: zone, address="::1") as served:
        assert (await served.ask("innernet-server.kermpany.wg AAAA", "::1")).endswith("AAAA ::1")
        assert (await served.ask_tcp("innernet-server.kermpany.wg AAAA", "::1")).endswith("AAAA ::1")
