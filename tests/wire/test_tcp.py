"""What two ends say to each other by TCP: frames, however they are cut, and who is taken for whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innerd.wire import tcp

PACKETS = st.lists(st.binary(max_size=300), max_size=20)
KEY, CERTIFICATE, NONCE = b"k" * 32, b"certificate", b"n" * tcp.NONCE
OWN = b"p" * 32


@given(PACKETS, st.lists(st.integers(1, 50)))
def test_packets_come_out_as_they_went_in_however_they_are_cut(packets: list[bytes], cuts: list[int]) -> None:
    sent, frames, found = b"".join(map(tcp.framed, packets)), tcp.Frames(), list[bytes]()
    for cut in [*cuts, len(sent)]:
        found += frames.feed(sent[:cut])
        sent = sent[cut:]
    assert found == packets


@given(st.integers(0, tcp.MOST), st.integers(0, tcp.MOST))
def test_a_frame_that_is_too_long_is_refused_before_it_has_come(length: int, most: int) -> None:
    frames = tcp.Frames(most)
    if length > most:
        with pytest.raises(tcp.TooLong):
            frames.feed(length.to_bytes(2, "big"))
    else:
        assert frames.feed(length.to_bytes(2, "big")) == ([] if length else [b""])


def test_a_greeting_proves_the_key_and_the_certificate() -> None:
    found = tcp.parse_greeting(tcp.greeting(OWN, KEY, CERTIFICATE, NONCE))
    assert found is not None
    assert (found.public_key, found.nonce) == (OWN, NONCE)
    assert tcp.is_proved(found, KEY, CERTIFICATE)
    assert not tcp.is_proved(found, b"x" * 32, CERTIFICATE)
    assert not tcp.is_proved(found, KEY, b"of whoever stands between")


def test_an_answer_is_of_who_was_greeted_and_nobody_else() -> None:
    said = tcp.answer(KEY, CERTIFICATE, NONCE)
    assert tcp.is_answered(said, KEY, CERTIFICATE, NONCE)
    assert not tcp.is_answered(said, KEY, b"of whoever stands between", NONCE)
    assert not tcp.is_answered(said, KEY, CERTIFICATE, b"another".ljust(tcp.NONCE))
    own = tcp.parse_greeting(tcp.greeting(OWN, KEY, CERTIFICATE, NONCE))
    assert own is not None
    assert not tcp.is_answered(own.mac, KEY, CERTIFICATE, NONCE), "what was said to it"


@given(st.binary(max_size=200))
def test_what_is_no_greeting_is_none(data: bytes) -> None:
    assert (tcp.parse_greeting(data) is None) == (len(data) != tcp.GREETING)
