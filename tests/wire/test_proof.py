"""The admin proof in itself: against an independent computation, and a nonce memory that forgets in time."""

import hashlib
import hmac
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.domain.errors import Refused
from innerd.wire.proof import NonceMemory, Request, check, derive_key, prove

NETWORK = "000102030405060708090a0b0c0d0e0f"
NOW, NONCE = 1_790_000_000, "a-nonce-of-mine"


def by_the_definition(secret: bytes, request: Request, time: int, nonce: str) -> str:
    """HKDF (RFC 5869) and HMAC (RFC 2104) written out: no `hmac`, no code under test."""

    def mac(key: bytes, text: bytes) -> bytes:
        padded = key.ljust(64, b"\0")
        inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + text).digest()
        return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()

    key = mac(mac(b"", secret), b"innerd admin proof v1" + bytes.fromhex(NETWORK) + b"\x01")
    parts = [request.method.encode(), request.target.encode(), request.host.encode()]
    parts += [hashlib.sha256(request.body).digest(), request.if_match.encode(), request.idempotency_key.encode()]
    parts += [str(time).encode(), nonce.encode()]
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return f"v1 {time} {nonce} {b64encode(mac(key, message)).decode()}"


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)
REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    target=TEXT.map(lambda text: "/" + text),
    host=TEXT,
    body=st.binary(max_size=50),
    if_match=TEXT,
    idempotency_key=TEXT,
)
SECRETS = st.binary(min_size=32, max_size=32)


@settings(max_examples=100, deadline=None)
@given(SECRETS, REQUESTS)
def test_a_proof_is_what_its_definition_says(secret: bytes, request: Request) -> None:
    key = derive_key(secret, NETWORK)
    assert prove(key, request, NOW, NONCE) == by_the_definition(secret, request, NOW, NONCE)
    check(by_the_definition(secret, request, NOW, NONCE), key, request, 2, NOW, NonceMemory())


def test_the_derivation_is_hkdf_of_rfc_5869() -> None:
    """Without a salt, which the RFC says is as many zeros as the hash is long."""
    secret = bytes(range(32))
    extracted = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    info = b"innerd admin proof v1" + bytes.fromhex(NETWORK)
    assert derive_key(secret, NETWORK) == hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


@settings(max_examples=100, deadline=None)
@given(REQUESTS, REQUESTS)
def test_the_proof_of_one_request_opens_no_other(one: Request, other: Request) -> None:
    key = derive_key(bytes(32), NETWORK)
    if one == other:
        return
    with pytest.raises(Refused) as refused:
        check(prove(key, one, NOW, NONCE), key, other, 2, NOW, NonceMemory())
    assert refused.value.code == "proof_invalid"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Request(method="GET", target="/a", host="b"), Request(method="GET", target="/ab", host="")),
        (
            Request(method="GET", target="/", host="", if_match="x"),
            Request(method="GET", target="/", host="", idempotency_key="x"),
        ),
        (Request(method="GETX", target="/", host=""), Request(method="GET", target="X/", host="")),
    ],
)
def test_parts_that_run_together_prove_differently(one: Request, other: Request) -> None:
    key = derive_key(bytes(32), NETWORK)
    assert prove(key, one, NOW, NONCE) != prove(key, other, NOW, NONCE)


def test_a_nonce_counts_once_for_each_peer() -> None:
    memory = NonceMemory()
    assert memory.take(2, "one", NOW)
    assert not memory.take(2, "one", NOW)
    assert memory.take(3, "one", NOW)
    assert memory.take(2, "two", NOW)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=40))
def test_no_nonce_is_forgotten_while_its_proof_could_still_be_good(steps: list[tuple[int, int]]) -> None:
    """A proof may be made 60 s ahead and is good until 60 s after its time: 120 s from when it was seen."""
    memory, taken, now = NonceMemory(), {}, float(NOW)
    for forward, number in steps:
        now += forward
        fresh = memory.take(2, f"nonce-{number}", now)
        if number in taken and now - taken[number] <= 120:
            assert not fresh
        if fresh:
            taken[number] = now


def test_nonces_are_forgotten_after_their_time() -> None:
    """Or memory would grow for ever."""
    memory = NonceMemory()
    for second in range(1000):
        memory.take(2, f"nonce-{second}", NOW + second)
    held = sum(len(seen) for kept in (memory._newer, memory._older) for seen in kept.values())
    assert held <= 4 * 61  # nothing outside tells how much it holds


def test_a_nonce_counts_once_as_long_as_its_time_is_within_the_window() -> None:
    for began in range(0, 240, 7):
        memory = NonceMemory(NOW)
        assert memory.take(2, "before", NOW + 1)
        assert memory.take(2, NONCE, NOW + began)
        assert not any(memory.take(2, NONCE, NOW + began + later) for later in range(0, 121, 3))
        assert memory.take(3, NONCE, NOW + began), "each peer has its own"


def test_so_many_nonces_are_remembered_of_a_peer_and_no_more() -> None:
    memory = NonceMemory(NOW)
    for number in range(50):
        memory.take(2, f"nonce-{number}", NOW, most=50)
    with pytest.raises(Refused) as refused:
        memory.take(2, "one more", NOW + 1, most=50)
    assert refused.value.code == "rate_limited"
    assert memory.take(3, "another peer's", NOW + 1, most=50)
    assert memory.take(2, "one more", NOW + 122, most=50)


def test_what_was_proved_before_this_coordinator_started_is_refused() -> None:
    """Who was here before may have seen it, and forgot it when it ended."""
    key = derive_key(bytes(32), NETWORK)
    request = Request(method="GET", target="/v1/admin/peers", host="h")
    header = prove(key, request, NOW, NONCE)
    with pytest.raises(Refused) as refused:
        check(header, key, request, 2, NOW + 5, NonceMemory(NOW + 3))
    assert "before this coordinator started" in refused.value.message
    check(header, key, request, 2, NOW + 5, NonceMemory(NOW + 1))


def test_a_refusal_does_not_say_what_would_be_right() -> None:
    key = derive_key(bytes(32), NETWORK)
    request = Request(method="GET", target="/v1/admin/peers", host="h")
    right = prove(key, request, NOW, NONCE).rpartition(" ")[2]
    with pytest.raises(Refused) as refused:
        check(f"v1 {NOW} {NONCE} {b64encode(bytes(32)).decode()}", key, request, 2, NOW, NonceMemory())
    assert right not in refused.value.message
