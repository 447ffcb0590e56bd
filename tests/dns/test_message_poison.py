"""Packets that keep a general parser busy for up to a minute. Here they must cost no more than a plain question.

Work is counted in executed lines of our code, so a slow machine changes nothing.
"""

import sys
from struct import pack
from types import FrameType
from typing import Any

import pytest

from tests.dns.asking import ID, RD, opt, packet, reply, summary, with_opt

# What the largest legal message costs: five names of 127 labels are walked, and nothing twice.
MOST_LINES = 5 * 127 * 5

FORMERR = "FORMERR qr rd 0/0/0/0"


def counted(sent: bytes) -> tuple[str, int]:
    """What is answered, and how many lines of code that took."""
    lines = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        answer = reply(sent)
    finally:
        sys.settrace(before)
    return summary(answer), lines


def quadratic(size: int, counts: tuple[int, int, int, int] | None = None) -> bytes:
    """One long name of one-byte labels, then as many questions of six bytes that point at it."""
    name = b"\x01a" * (size // 4) + b"\0"
    pointers = (b"\xc0\x0c" + pack(">HH", 1, 1)) * ((size - 12 - len(name)) // 6)
    return pack(">HHHHHH", ID, RD, *(counts or (len(pointers) // 6 + 1, 0, 0, 0))) + name + b"\0\1\0\1" + pointers


def chained(hops: int) -> bytes:
    """Pointers that each point at the one before: legal, and a thousand deep."""
    chain = b"".join(pack(">H", 0xC000 | max(12, 12 + 2 * (hop - 1))) for hop in range(hops))
    return pack(">HHHHHH", ID, RD, 1, 0, 0, 0) + chain + b"\0\1\0\1"


def in_additional(size: int, count: int) -> bytes:
    """A plain question, and behind it records whose owner is the long name or points into it."""
    name = b"\x01a" * (size // 4) + b"\0"
    record = pack(">HHIH", 1, 1, 0, 0)
    return packet(counts=(1, 0, 0, count), tail=name + record + (b"\xc0\x21" + record) * (size // 24))


CYCLE = bytes.fromhex("000101000001000000000000c00d01000204010300000003000004c00c01020401c0160200010001")
ONE = (1, 0, 0, 0)

POISONS = {
    "two-pointers-in-a-cycle": CYCLE,
    "chain-of-1200-pointers": chained(1_200),
    "512-bytes-of-questions": quadratic(512),
    "1231-bytes-of-questions": quadratic(1_231),
    "4091-bytes-of-questions": quadratic(4_091),
    "16-kB-of-questions": quadratic(16_000),
    "65-kB-of-questions": quadratic(65_000),
    "1231-bytes-that-say-one-question": quadratic(1_231, ONE),
    "65-kB-that-say-one-question": quadratic(65_000, ONE),
    "1231-bytes-in-owners-of-4-records": in_additional(1_231, 4),
    "65-kB-in-owners-of-4-records": in_additional(65_000, 4),
    "1231-bytes-of-records": in_additional(1_231, 50),
    "65-kB-of-records": in_additional(65_000, 2_700),
    "1231-bytes-of-options": with_opt(opt(options=b"\xfd\xe9\0\0" * 295)),
    "65-kB-of-options": with_opt(opt(options=b"\xfd\xe9\0\0" * 16_000)),
    "65535-records-of-nothing": packet(counts=(1, 0, 0, 65_535), tail=b"\0" * 65_000),
}


@pytest.mark.parametrize("sent", POISONS.values(), ids=POISONS)
def test_a_poison_packet_is_refused_with_no_more_work_than_a_question(sent: bytes) -> None:
    said, lines = counted(sent)
    assert said == FORMERR
    assert lines <= MOST_LINES


def test_a_hundred_times_the_poison_is_not_a_line_more_work() -> None:
    for small, large in (
        (quadratic(1_231), quadratic(65_000)),
        (quadratic(1_231, (1, 0, 0, 0)), quadratic(65_000, (1, 0, 0, 0))),
        (in_additional(1_231, 4), in_additional(65_000, 4)),
    ):
        assert counted(small)[1] == counted(large)[1]


def test_the_longest_legal_question_is_answered_within_the_same_bound() -> None:
    said, lines = counted(packet(b"\x01a" * 120 + b"\x0d" + b"a" * 13 + b"\0"))
    assert said == "REFUSED qr rd 1/0/0/0"
    assert lines <= MOST_LINES


def test_the_deepest_reverse_name_below_ours_is_answered_within_the_same_bound() -> None:
    said, lines = counted(packet(b"\x011" * 110 + b"\x0242\x0210\x07in-addr\x04arpa\0", "PTR"))
    assert said == "NXDOMAIN qr aa rd 1/0/1/0"
    assert lines <= MOST_LINES
