"""The hash chain, against its definition written out again and against digests made with `sha256sum`."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.log import chain

ID = "00112233445566778899aabbccddeeff"
SALT = bytes(range(16))


# printf '\x02\x00\x11…\xff' | sha256sum, and so on: nothing of Python took part.
def test_the_digests_are_those_of_sha256sum() -> None:
    start = chain.genesis(ID)
    assert start.hex() == "f13b87a4cfbb801512575571f81322010b50b878ec070c6453a3e60a381f4f12"
    assert chain.leaf(SALT, b"{}").hex() == "1f1651817b28e79df892edea406315358507fc326c4a51055cf7a2fa7cee1223"
    assert chain.link(start, SALT, b"{}").hex() == "40734e72360abd3b098c33628ab6f30bc735cbe24f8fd321d65ba4c555be9a96"


@settings(deadline=None, max_examples=200)
@given(st.binary(min_size=16, max_size=16), st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.binary())))
def test_the_chain_is_its_definition(network: bytes, records: list[tuple[bytes, bytes]]) -> None:
    ours, theirs = chain.genesis(network.hex()), sha256(bytes([2]) + network).digest()
    for salt, record in records:
        ours = chain.link(ours, salt, record)
        theirs = sha256(bytes([1]) + theirs + sha256(bytes([0]) + salt + record).digest()).digest()
    assert ours == theirs


@pytest.mark.parametrize(
    ("before", "salt", "record"),
    [(b"\1" * 32, SALT, b"{}"), (b"\0" * 32, SALT[::-1], b"{}"), (b"\0" * 32, SALT, b"{ }")],
    ids=["what came before", "the salt", "the record"],
)
def test_everything_counts(before: bytes, salt: bytes, record: bytes) -> None:
    assert chain.link(before, salt, record) != chain.link(b"\0" * 32, SALT, b"{}")
