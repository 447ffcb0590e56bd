"""Millions of packets, mutated from questions of every kind or made of random bytes, through the server: nothing
raises, nothing takes long, and what goes out is an answer to what came in. Answers are read by this file's own reader,
and some of them by dnspython, which is slower.

The seed is new each time, and said by a failure: DNS_SEED=7 pytest -m slow tests/dns/test_fuzz_million.py
"""

import gc
import os
import time
from collections.abc import Iterator
from itertools import islice
from random import Random

import dns.message
import pytest
from dns.rcode import FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED

from inndns.server import DnsServer
from tests.dns.asking import packet
from tests.dns.generated import Network, network, questions
from tests.dns.test_message import SILENT, TABLE
from tests.dns.test_message_poison import CYCLE, POISONS, quadratic

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("DNS_SEED", time.time_ns() % 1_000_000))
PACKETS = 5_000_000
SAMPLE = 250  # one of so many is read by dnspython
MOST_UDP = 1232
MOST_SECONDS = 0.005
_FRAGMENTS = [
    b"\xc0\x0c",
    b"\xc0",
    b"\0",
    b"\x3f",
    b"\x40",
    b"\xff",
    b"\0\0\x29",
    b"\x01*",
    b"\x04arpa\0",
    b"\0\x0a\0\x08",
]


def networks(rng: Random) -> list[Network]:
    return [
        network(rng, "kermpany", "10.42.0.0/16", 300, records=True),
        network(rng, "sixpany", "fd00:1:2:8::/61", 300),
        network(rng, "halfpany", "192.168.7.128/25", 60),
    ]


def corpus(rng: Random, known: list[Network]) -> list[bytes]:
    """Packets of each kind that there is, none of them long."""
    made = [sent for one in known for sent in islice(questions(rng, one), 1_000)]
    tables = [sent for sent, _ in TABLE.values()] + [*SILENT.values()] + [*POISONS.values()]
    return made + [sent for sent in tables if len(sent) <= 1_500] * 5


def mutants(rng: Random, seeds: list[bytes]) -> Iterator[bytes]:
    """Packets without an end. It must be quick: random numbers are the most of what it costs."""
    rand, getbits = rng.random, rng.getrandbits
    count = len(seeds)
    while True:
        kind = getbits(6)
        if kind == 0:
            yield rng.randbytes(getbits(7))
            continue
        if kind == 1:  # bytes behind a head that is right
            yield (
                getbits(16).to_bytes(2, "big")
                + b"\1\0\0\1\0\0\0\0\0"
                + bytes((getbits(1),))
                + rng.randbytes(getbits(8))
            )
            continue
        made = bytearray(seeds[int(rand() * count)])
        for _ in range(1 + (kind & 3)):
            length = len(made)
            if length < 2:
                break
            at = int(rand() * length)
            match getbits(3):
                case 0 | 1:
                    made[at] = getbits(8)
                case 2:
                    made[at] ^= 1 << getbits(3)
                case 3:
                    del made[at:]
                case 4:
                    del made[at : at + 1 + getbits(2)]
                case 5:
                    made[at:at] = _FRAGMENTS[int(rand() * len(_FRAGMENTS))]
                case 6:
                    other = seeds[int(rand() * count)]
                    made[at:] = other[int(rand() * len(other)) if other else 0 :]
                case _:
                    made[int(rand() * min(length, 12))] = (0, 1, 2, 255)[getbits(2)]
        yield bytes(made)


def fault(sent: bytes, answer: bytes, tcp: bool) -> str:
    """What is wrong with an answer; nothing, as it should be. Written for speed: every record is walked."""
    size = len(answer)
    if size < 12 or answer[:2] != sent[:2]:
        return "its id"
    flags = answer[2]
    if flags & 0x80 == 0 or (flags ^ sent[2]) & 1 or answer[3] & 0xF0:
        return "its flags"
    if size > (65_535 if tcp else MOST_UDP) or (tcp and flags & 2):
        return "its length"
    if flags & 2 and answer[6:10] != b"\0\0\0\0":
        return "records in a cut answer"
    at = 12
    if answer[4:6] == b"\0\1":
        at = _after_name(answer, at) + 4
        if at < 16 or answer[12:at] != sent[12:at]:
            return "its question"
    elif answer[4:6] != b"\0\0":
        return "its question"
    for _ in range(sum(int.from_bytes(answer[field : field + 2], "big") for field in (6, 8, 10))):
        at = _after_name(answer, at) + 10
        if at < 10 or at > size:
            return "a record"
        at += int.from_bytes(answer[at - 2 : at], "big")
    return "" if at == size else "its end"


def _after_name(answer: bytes, at: int) -> int:
    """The offset behind a name; a pointer must lead back, into the message. -1 for what is no name."""
    while at < len(answer):
        length = answer[at]
        if length == 0:
            return at + 1
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | answer[at + 1] if at + 1 < len(answer) else at
            return at + 2 if 12 <= target < at else -1
        if length > 63:
            return -1
        at += length + 1
    return -1


def test_millions_of_packets_are_answered_or_dropped_and_none_of_them_takes_long() -> None:
    rng = Random(SEED)
    known = networks(rng)
    served = [(DnsServer(lambda one=one: one.zone).respond, one.asker) for one in known]  # type: ignore[misc]
    made = mutants(rng, corpus(rng, known))
    clock, slow, rcodes = time.perf_counter, [], [0] * 16
    gc.collect()
    gc.freeze()
    for number in range(PACKETS):
        sent = next(made)
        respond, asker = served[number % 3]
        tcp = number & 8 != 0
        began = clock()
        try:
            answer = respond(sent, asker, "tcp" if tcp else "udp")
        except Exception as error:
            raise AssertionError(f"DNS_SEED={SEED} packet {number}: {sent.hex()}") from error
        if clock() - began > MOST_SECONDS:
            slow.append((respond, sent, asker))
        if answer is None:
            assert len(sent) < 12 or sent[2] & 0x80, f"DNS_SEED={SEED} packet {number}: silence to {sent.hex()}"
            continue
        rcodes[answer[3] & 15] += 1
        wrong = fault(sent, answer, tcp)
        assert not wrong, f"DNS_SEED={SEED} packet {number}: {wrong} to {sent.hex()}: {answer.hex()}"
        if number % SAMPLE == 0:
            assert dns.message.from_wire(answer).id == int.from_bytes(sent[:2], "big")
    gc.unfreeze()
    assert sum(rcodes) > PACKETS / 2
    assert min(rcodes[rcode] for rcode in (NOERROR, FORMERR, NXDOMAIN, NOTIMP, REFUSED)) > PACKETS / 100, rcodes
    assert [sent.hex() for respond, sent, asker in slow if took(respond, sent, asker) > MOST_SECONDS] == []


def took(respond: object, sent: bytes, asker: str) -> float:
    """The least of five: what the machine did meanwhile is no fault of the packet."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        respond(sent, asker, "udp")  # type: ignore[operator]
        times.append(time.perf_counter() - began)
    return min(times)


@pytest.mark.parametrize("sent", [quadratic(1_231), quadratic(65_000), CYCLE], ids=["1231-bytes", "65-kB", "cycle"])
def test_a_known_poison_packet_costs_less_than_a_millisecond(sent: bytes) -> None:
    known = networks(Random(SEED))[0]
    assert took(DnsServer(lambda: known.zone).respond, sent, known.asker) < 0.001


def test_the_reader_of_answers_sees_what_is_wrong() -> None:
    known = networks(Random(SEED))[0]
    sent = packet(f"nobody.{known.domain}")
    answer = DnsServer(lambda: known.zone).respond(sent, known.asker, "udp") or b""
    assert fault(sent, answer, False) == ""
    spoilt = {
        "its id": b"\0\0" + answer[2:],
        "its flags": answer[:3] + b"\x80" + answer[4:],
        "its length": answer + b"\0" * 1300,
        "its question": answer[:13] + b"x" + answer[14:],
        "a record": answer[:9] + b"\2" + answer[10:],
        "its end": answer + b"\0",
        "records in a cut answer": answer[:2] + b"\x87" + answer[3:],
    }
    assert {wrong: fault(sent, bad, False) for wrong, bad in spoilt.items()} == {wrong: wrong for wrong in spoilt}
