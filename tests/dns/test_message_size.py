"""How much is sent: over UDP what the asker takes, at least 512 and at most 1,232 bytes, or else only "come by TCP"."""

import dns.message
import pytest

from inndns.message import Answer, parse, write
from inndns.zone import Zone
from tests.dns.asking import ADDRESS, DO, VILLAGE_HOSTS, opt, packet, question_of, reply, summary, with_opt, zone_of

LIMITS = {None: 512, 0: 512, 511: 512, 512: 512, 513: 513, 1231: 1231, 1232: 1232, 1233: 1232, 4096: 1232, 65_535: 1232}


def written(size: int | None, length: int, *, tcp: bool = False) -> bytes:
    """The answer to an asker that takes `size`, whose record is such that uncut the whole is `length` bytes long."""
    asked = packet() if size is None else with_opt(opt(size))
    question = parse(asked)
    assert question is not None
    head = 12 + len(question_of(asked)) + (0 if size is None else 11)
    return write(question, Answer(0, True, b"r" * (length - head), 1), tcp=tcp)


@pytest.mark.parametrize(("size", "limit"), LIMITS.items())
def test_an_answer_of_exactly_the_limit_goes_whole(size: int | None, limit: int) -> None:
    answer = written(size, limit)
    assert len(answer) == limit
    assert b"rrrr" in answer


@pytest.mark.parametrize(("size", "limit"), LIMITS.items())
def test_an_answer_one_byte_over_the_limit_is_cut_to_nothing(size: int | None, limit: int) -> None:
    answer = written(size, limit + 1)
    assert summary(answer) == "NOERROR qr aa tc rd " + ("1/0/0/0" if size is None else "1/0/0/1 opt")


@pytest.mark.parametrize("size", LIMITS)
def test_over_tcp_nothing_is_cut(size: int | None) -> None:
    assert len(written(size, 9_000, tcp=True)) == 9_000


@pytest.mark.parametrize("size", LIMITS)
def test_what_no_message_can_hold_is_cut_over_tcp_too(size: int | None) -> None:
    assert len(written(size, 65_535, tcp=True)) == 65_535
    answer = written(size, 65_536, tcp=True)
    assert summary(answer) == "NOERROR qr aa tc rd " + ("1/0/0/0" if size is None else "1/0/0/1 opt")


def roomy() -> Zone:
    """A zone with a name so long that its SOA does not fit into 512 bytes."""
    return zone_of(VILLAGE_HOSTS, suffix=".".join(["s" * 63] * 3 + ["tail"]))


LONG_NAME = "nobody.kermpany." + ".".join(["s" * 63] * 3 + ["tail"])


def test_a_negative_answer_that_does_not_fit_says_so_and_comes_whole_by_tcp() -> None:
    asked = packet(LONG_NAME)
    cut, whole = (reply(asked, zone=roomy(), tcp=tcp) for tcp in (False, True))
    assert summary(cut) == "NXDOMAIN qr aa tc rd 1/0/0/0"
    assert summary(whole) == "NXDOMAIN qr aa rd 1/0/1/0"
    assert whole is not None
    assert len(whole) > 512


def test_a_negative_answer_that_does_not_fit_comes_whole_to_who_takes_more() -> None:
    answer = reply(with_opt(opt(1232, DO), name=LONG_NAME), zone=roomy())
    assert summary(answer) == "NXDOMAIN qr aa rd 1/0/1/1 opt:do"
    assert answer is not None
    assert 512 < len(answer) <= 1232


def test_a_cut_answer_keeps_the_question() -> None:
    answer = reply(packet(LONG_NAME), zone=roomy(), source=ADDRESS["tama"])
    assert answer is not None
    assert [str(rrset.name) for rrset in dns.message.from_wire(answer).question] == [LONG_NAME + "."]
