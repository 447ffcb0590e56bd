"""Whatever comes in: nothing raises, and what goes out is an answer to it that an independent reader can read."""

from struct import pack

import dns.flags
import dns.message
from hypothesis import given
from hypothesis import strategies as st

from inndns.zone import Zone
from tests.dns.asking import ADDRESS, VILLAGE, VILLAGE_HOSTS, question_of, reply, zone_of
from tests.dns.oracle import examples

# Answers of this one do not fit into 512 bytes.
ROOMY = zone_of(VILLAGE_HOSTS, suffix=".".join(["s" * 63] * 3 + ["tail"]))
NO_EDNS = 0  # stands for the 512 bytes that everybody takes

zones = st.sampled_from([VILLAGE, ROOMY])
askers = st.sampled_from(sorted(ADDRESS.values()))
numbers = st.integers(0, 0xFFFF)


def check(sent: bytes, answer: bytes, limit: int | None) -> None:
    assert answer[:2] == sent[:2]
    assert answer[2] & 0x80, "QR"
    assert answer[3] & 0xF0 == 0, "RA, Z, AD, CD"
    assert answer[2] & 1 == sent[2] & 1, "RD is copied"
    if answer[4:6] == b"\0\1":
        assert question_of(answer) == question_of(sent)
    else:
        assert len(answer) == 12
    read = dns.message.from_wire(answer)
    if read.flags & dns.flags.TC:
        assert answer[6:10] == b"\0\0\0\0", "a cut answer holds no records"
    if limit is not None:
        assert len(answer) <= limit


@examples(400)
@given(sent=st.binary(max_size=600), zone=zones, source=askers, tcp=st.booleans())
def test_arbitrary_bytes_get_silence_or_a_readable_answer(sent: bytes, zone: Zone, source: str, tcp: bool) -> None:
    answer = reply(sent, zone=zone, source=source, tcp=tcp)
    is_question = len(sent) >= 12 and not sent[2] & 0x80
    assert (answer is not None) == is_question
    if answer is not None:
        check(sent, answer, None if tcp else 1232)


labels = st.one_of(
    st.sampled_from([b"ryo", b"RYO", b"tama", b"innernet-server", b"nobody", b"10", b"42", b"3", b"5", b"arpa", b"a"]),
    st.binary(min_size=1, max_size=63),
)
tails = st.sampled_from(
    ["kermpany.wg", "wg", "42.10.in-addr.arpa", "3.42.10.in-addr.arpa", ROOMY.domain.removesuffix("."), ""]
)
options = st.lists(st.tuples(numbers, st.binary(max_size=12)), max_size=3)


@st.composite
def questions(draw: st.DrawFn) -> tuple[bytes, int]:
    """A packet that is nearly right, and the size its asker takes."""
    own = draw(st.lists(labels, max_size=3))
    end = [label.encode() for label in draw(tails).split(".") if label]
    name = b"".join(bytes((len(label),)) + label for label in own + end) + b"\0"
    type_ = draw(st.sampled_from([1, 2, 6, 12, 28, 65, 251, 252, 255]) | numbers)
    class_ = draw(st.sampled_from([1, 1, 1, 3, 255]) | numbers)
    head = pack(">HH", draw(numbers), draw(st.sampled_from([0, 0x0100, 0x03F0]) | st.integers(0, 0x7FFF)))
    body = name + pack(">HH", type_, class_)
    if draw(st.booleans()):
        return head + pack(">HHHH", 1, 0, 0, 0) + body, NO_EDNS
    size = draw(st.sampled_from([0, 512, 600, 1232, 4096]) | numbers)
    data = b"".join(pack(">HH", number, len(value)) + value for number, value in draw(options))
    ttl = draw(st.sampled_from([0, 0x8000, 0x10000]) | st.integers(0, 0xFFFF_FFFF))
    record = b"\0" + pack(">HHIH", 41, size, ttl, len(data)) + data
    return head + pack(">HHHH", 1, 0, 0, 1) + body + record, size


@examples(600)
@given(asked=questions(), zone=zones, source=askers)
def test_a_question_over_udp_is_answered_within_what_the_asker_takes(
    asked: tuple[bytes, int], zone: Zone, source: str
) -> None:
    sent, size = asked
    answer = reply(sent, zone=zone, source=source)
    assert answer is not None
    check(sent, answer, min(max(size, 512), 1232))


@examples(200)
@given(asked=questions(), zone=zones, source=askers)
def test_over_tcp_nothing_is_cut_and_the_rcode_is_the_same(asked: tuple[bytes, int], zone: Zone, source: str) -> None:
    over_udp, over_tcp = (reply(asked[0], zone=zone, source=source, tcp=tcp) for tcp in (False, True))
    assert over_udp is not None
    assert over_tcp is not None
    check(asked[0], over_tcp, None)
    assert not over_tcp[2] & 2, "TC"
    assert over_tcp[3] == over_udp[3]


@examples(300)
@given(asked=questions(), cut=st.integers(0, 400), at=st.integers(0, 400), junk=st.binary(max_size=6))
def test_a_mangled_question_gets_silence_or_a_readable_answer(
    asked: tuple[bytes, int], cut: int, at: int, junk: bytes
) -> None:
    sent = asked[0][: len(asked[0]) - cut % len(asked[0])]
    sent = sent[: at % (len(sent) + 1)] + junk + sent[at % (len(sent) + 1) + len(junk) :]
    answer = reply(sent)
    if answer is not None:
        check(sent, answer, 1232)
