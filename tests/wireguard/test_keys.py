"""Keys are those of RFC 7748, and so of `wg genkey` and `wg pubkey`."""

from base64 import b64decode, b64encode

from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.wireguard import keys


def base64(text: str) -> str:
    return b64encode(bytes.fromhex(text)).decode()


# RFC 7748 section 6.1
ALICE = base64("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
ALICE_PUBLIC = base64("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB = base64("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
BOB_PUBLIC = base64("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")

PRIVATE = st.binary(min_size=32, max_size=32).map(lambda raw: b64encode(raw).decode())


def test_public_keys_are_those_of_the_rfc() -> None:
    assert (keys.public_key(ALICE), keys.public_key(BOB)) == (ALICE_PUBLIC, BOB_PUBLIC)


def test_the_shared_secret_is_that_of_the_rfc() -> None:
    assert keys.shared_secret(ALICE, keys.public_key(BOB)) == SHARED
    assert keys.shared_secret(BOB, keys.public_key(ALICE)) == SHARED


@settings(deadline=None, max_examples=100)
@given(PRIVATE, PRIVATE)
def test_both_sides_have_the_same_secret(one: str, other: str) -> None:
    assert keys.shared_secret(one, keys.public_key(other)) == keys.shared_secret(other, keys.public_key(one))


@settings(deadline=None, max_examples=100)
@given(PRIVATE)
def test_a_clamped_key_is_the_same_key_with_five_bits_fixed(private: str) -> None:
    raw, fixed = b64decode(private), b64decode(keys.clamped(private))
    assert fixed[0] % 8 == 0
    assert 64 <= fixed[31] < 128
    assert (raw[0] // 8, raw[1:31], raw[31] % 64) == (fixed[0] // 8, fixed[1:31], fixed[31] % 64)
    assert keys.public_key(keys.clamped(private)) == keys.public_key(private)
    assert keys.clamped(keys.clamped(private)) == keys.clamped(private)


def test_generated_keys_are_clamped_and_never_the_same() -> None:
    made = {keys.generate() for _ in range(50)}
    assert len(made) == 50
    assert all(keys.clamped(key) == key and len(b64decode(key)) == 32 for key in made)
