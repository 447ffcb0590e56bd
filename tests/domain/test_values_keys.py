"""Public keys: 32 bytes in standard base64, in one spelling, and no point of small order (RFC 7748)."""

from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_scalarmult

from innerd.domain.errors import Refused
from innerd.domain.values import key_bytes, parse_public_key

PLAIN = bytes(range(1, 33))
TEXT = b64encode(PLAIN).decode()
P = 2**255 - 19


def code_of(text: str) -> str:
    with pytest.raises(Refused) as caught:
        parse_public_key(text)
    return caught.value.code


@pytest.mark.parametrize("text", [TEXT, TEXT[:-1]], ids=["with =", "without ="])
def test_a_key_has_one_spelling(text: str):
    """Else "the same key less its =" would be another key, as in innernet (10.R21)."""
    assert parse_public_key(text) == TEXT
    assert key_bytes(parse_public_key(text)) == PLAIN


def with_last(text: str, sign: str) -> str:
    return text[:42] + sign + "="


NO_KEYS = {
    "empty": "",
    "31 bytes": b64encode(PLAIN[:31]).decode(),
    "33 bytes": b64encode(PLAIN + b"\1").decode(),
    "33 bytes and no padding": b64encode(PLAIN + b"\1").decode().rstrip("="),
    "30 bytes": b64encode(PLAIN[:30]).decode(),
    "two padding signs": TEXT + "=",
    "padding in front": "=" + TEXT[:-1],
    "only padding": "=" * 44,
    "blank before": " " + TEXT,
    "blank behind": TEXT + " ",
    "newline behind": TEXT + "\n",
    "newline for padding": TEXT[:-1] + "\n",
    "blank inside": TEXT[:20] + " " + TEXT[20:],
    "blank in place of a sign": TEXT[:20] + " " + TEXT[21:],
    "hexadecimal": PLAIN.hex(),
    "not ASCII": "ä" * 43 + "=",
    "NUL": "\0" * 44,
    "unused bits not zero": with_last(TEXT, chr(ord(TEXT[42]) + 1)),
    "endless": "A" * 100_000,
}


@pytest.mark.parametrize("text", NO_KEYS.values(), ids=NO_KEYS)
def test_anything_else_is_no_key(text: str):
    assert code_of(text) == "invalid_key"


def test_the_url_safe_alphabet_is_refused():
    raw = bytes([251, 239, 190] * 10 + [1, 2])
    standard, url_safe = b64encode(raw).decode(), urlsafe_b64encode(raw).decode()
    assert "+" in standard
    assert "-" in url_safe
    assert parse_public_key(standard) == standard
    assert code_of(url_safe) == "invalid_key"
    assert code_of(standard.replace("+", "-", 1)) == "invalid_key"


@given(st.binary(min_size=32, max_size=32))
@settings(max_examples=200, deadline=None)
def test_of_the_64_last_signs_only_those_with_no_spare_bits_are_good(raw: bytes):
    text = b64encode(raw).decode()
    assume(int.from_bytes(raw, "little") & (2**255 - 1) > 1)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    spare = alphabet[alphabet.index(text[42]) | 1]
    assert code_of(with_last(text, spare)) == "invalid_key"
    assert parse_public_key(text[:43]) == text


def encoded(number: int, top: int = 0) -> str:
    return b64encode((number | top << 255).to_bytes(32, "little")).decode()


# The points of order 1, 2, 4 and 8, written as libsodium and cr.yp.to/ecdh list them: little-endian bytes.
ORDER_8 = (
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
)
LOW_ORDER = {
    "0": 0,
    "1": 1,
    "order 8": int.from_bytes(bytes.fromhex(ORDER_8[0]), "little"),
    "order 8, the other": int.from_bytes(bytes.fromhex(ORDER_8[1]), "little"),
    "p - 1": P - 1,
    "p, which is 0": P,
    "p + 1, which is 1": P + 1,
}


@pytest.mark.parametrize("top", [0, 1], ids=["", "with the top bit"])
@pytest.mark.parametrize("number", LOW_ORDER.values(), ids=LOW_ORDER)
def test_a_point_of_small_order_is_no_key(number: int, top: int):
    """Its shared secret with anybody is zero; the top bit is ignored (RFC 7748 section 5)."""
    assert code_of(encoded(number, top)) == "invalid_key"


@pytest.mark.parametrize("number", LOW_ORDER.values(), ids=LOW_ORDER)
def test_libsodium_agrees_that_these_points_are_of_small_order(number: int):
    """The table above is typed by hand: multiplying one by any key gives zero, which libsodium refuses."""
    with pytest.raises(RuntimeError):
        crypto_scalarmult(PLAIN, number.to_bytes(32, "little"))


# Next to those points lie ordinary ones; 2 to 18 have two more spellings, p + n.
ORDINARY = {"2": 2, "9, the base point": 9, "p - 2": P - 2, "p + 2": P + 2, "p + 18": P + 18}


@pytest.mark.parametrize("top", [0, 1], ids=["", "with the top bit"])
@pytest.mark.parametrize("number", ORDINARY.values(), ids=ORDINARY)
def test_an_ordinary_point_is_a_key_as_written(number: int, top: int):
    assert parse_public_key(encoded(number, top)) == encoded(number, top)
    assert crypto_scalarmult(PLAIN, (number | top << 255).to_bytes(32, "little")) != bytes(32)
