"""Time tells nothing either: a name that is there for others is answered as fast as one that is not there at all.

Their bytes are compared in test_zone_visibility.
"""

import asyncio
from collections.abc import Callable
from itertools import cycle
from random import Random
from statistics import median
from time import perf_counter

import pytest

from inndns.server import DnsServer
from tests.dns.asking import SERVER, host, packet, zone_of
from tests.dns.serving import serving

pytestmark = pytest.mark.slow  # timings never fail CI

HUMANS, CATS = 3, 5
HALF = 1_000
ROUNDS = 41
MOST = 0.1e-6  # seconds


def address(net: int, number: int) -> str:
    return f"127.42.{net + number // 200}.{number % 200 + 1}"


HOSTS = [
    host(SERVER, "127.42.0.1", None),
    *(host(f"ryo{n:04}", address(10, n), HUMANS) for n in range(HALF)),
    *(host(f"cat{n:04}", address(100, n), CATS) for n in range(HALF)),
]
ZONE = zone_of(HOSTS, "127.42.0.0/16", {HUMANS: {HUMANS}, CATS: {CATS}})
ASKER = address(10, 0)


def reverse(net: int, number: int) -> str:
    return ".".join(reversed(address(net, number).split("."))) + ".in-addr.arpa"


# Questions about what is hidden, and as long ones about what is absent.
Pair = tuple[Callable[[int], bytes], Callable[[int], bytes]]
PAIRS: dict[str, Pair] = {
    "names": (lambda n: packet(f"cat{n:04}.kermpany.wg"), lambda n: packet(f"dog{n:04}.kermpany.wg")),
    "below-names": (lambda n: packet(f"x.cat{n:04}.kermpany.wg"), lambda n: packet(f"x.dog{n:04}.kermpany.wg")),
    "addresses": (lambda n: packet(reverse(100, n), "PTR"), lambda n: packet(reverse(200, n), "PTR")),
    "nodes": (
        lambda n: packet(reverse(100, n).partition(".")[2], "PTR"),
        lambda n: packet(reverse(200, n).partition(".")[2], "PTR"),
    ),
}


def compared(times: tuple[list[float], list[float]]) -> float:
    """How far apart the medians are, as a share."""
    hidden, absent = (median(each) for each in times)
    return abs(hidden / absent - 1)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
async def test_who_measures_answers_over_the_network_can_not_tell_hidden_from_absent(pair: Pair) -> None:
    rng, loop = Random(7), asyncio.get_running_loop()
    async with serving(lambda: ZONE) as served:
        with served.datagrams(ASKER) as asker:

            async def ask(sent: bytes) -> float:
                began = perf_counter()
                asker.send(sent)
                await loop.sock_recv(asker, 4096)
                return perf_counter() - began

            for _ in range(3):  # a busy machine may blur one run
                times: tuple[list[float], list[float]] = [], []
                for number in range(HALF):
                    for which in rng.sample([0, 1], 2):
                        times[which].append(await ask(pair[which](number)))
                if compared(times) < 0.1:
                    return
            assert compared(times) < 0.1


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_the_server_itself_takes_no_tenth_of_a_microsecond_more_for_the_hidden(pair: Pair) -> None:
    """The best of interleaved runs, of its function alone: without system calls there is hardly any noise, and what
    there is only adds."""
    respond = DnsServer(lambda: ZONE).respond
    questions = [[make(number) for number in range(HALF)] for make in pair]

    def run(sent: list[bytes]) -> float:
        began = perf_counter()
        for one in sent:
            respond(one, ASKER, "udp")
        return (perf_counter() - began) / len(sent)

    order, difference = cycle([[0, 1], [1, 0]]), 0.0
    for _ in range(3):  # a busy machine may blur one run
        times: tuple[list[float], list[float]] = [], []
        for _ in range(ROUNDS):
            for which in next(order):
                times[which].append(run(questions[which]))
        hidden, absent = (min(each) for each in times)
        difference = abs(hidden - absent)
        if difference < MOST:
            return
    assert difference < MOST
