"""What can be told of WireGuard's messages without a key, against messages that a real WireGuard sent."""

import socket
import subprocess
from base64 import b64decode, b64encode
from hashlib import blake2s, sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innerd.domain.values import PublicKey
from innerd.relay.messages import COOKIE, DATA, INITIATION, RESPONSE, Message, is_meant_for, mac1_key, parse


def key(name: str) -> PublicKey:
    return PublicKey(b64encode(sha256(name.encode()).digest()).decode())


def initiation(receiver: PublicKey, index: bytes = b"\1\2\3\4") -> bytes:
    """One as the whitepaper has it (5.4.2), of which only mac1 is true; it is made here by another way than there."""
    body = b"\1\0\0\0" + index + bytes(range(108))
    inner = blake2s(b"mac1----" + b64decode(receiver)).digest()
    return body + blake2s(body, key=inner, digest_size=16).digest() + bytes(16)


def response(receiver: PublicKey, sender: bytes, answers: bytes) -> bytes:
    body = b"\2\0\0\0" + sender + answers + bytes(48)
    inner = blake2s(b"mac1----" + b64decode(receiver)).digest()
    return body + blake2s(body, key=inner, digest_size=16).digest() + bytes(16)


def test_what_each_message_bears() -> None:
    assert parse(initiation(key("b"))) == Message(INITIATION, b"\1\2\3\4")
    assert parse(response(key("a"), b"abcd", b"\1\2\3\4")) == Message(RESPONSE, b"abcd", b"\1\2\3\4")
    assert parse(b"\3\0\0\0wxyz" + bytes(56)) == Message(COOKIE, b"", b"wxyz")
    assert parse(b"\4\0\0\0wxyz" + bytes(24)) == Message(DATA, b"", b"wxyz")


@pytest.mark.parametrize(
    "datagram",
    [b"", b"\1", b"\1\0\0\0" + bytes(143), b"\1\0\0\1" + bytes(144), b"\2\0\0\0" + bytes(89), b"\5\0\0\0" + bytes(140)],
    ids=["nothing", "a byte", "cut", "another type", "too long", "type 5"],
)
def test_what_is_no_message(datagram: bytes) -> None:
    assert parse(datagram) is None


@given(st.binary(max_size=200))
def test_no_bytes_are_a_fault(datagram: bytes) -> None:
    message = parse(datagram)
    if message is not None and message.kind in (INITIATION, RESPONSE):
        is_meant_for(datagram, mac1_key(key("anybody")))


def test_a_handshake_is_for_one_alone() -> None:
    made = initiation(key("mari"))
    assert is_meant_for(made, mac1_key(key("mari")))
    assert not is_meant_for(made, mac1_key(key("ryo")))
    assert not is_meant_for(made[:115] + b"\xff" + made[116:], mac1_key(key("mari")))


def test_a_real_wireguard_says_the_same() -> None:
    """wireguard-go sends an initiation to a port of ours; its mac1 is for the peer that it was given."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        heard.settimeout(10)
        from innerd.wireguard.plan import SetKey, SetPeer
        from innerd.wireguard.userspace import UserspaceBackend
        from tests.contract.test_backend import NAMES, secret

        backend, name, port = UserspaceBackend(), NAMES[0], heard.getsockname()[1]
        try:
            backend.create(name)
        except FileNotFoundError:
            pytest.skip("there is no wireguard-go")
        try:
            at = f"127.0.0.1:{port}"
            peer = SetPeer(public_key=key("mari"), is_new=True, allowed_ips=frozenset(), endpoint=at, keepalive=25)  # type: ignore[arg-type]
            backend.apply(name, [SetKey(secret("a")), peer])
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
            datagram = heard.recv(2000)
        finally:
            backend.delete(name)
    message = parse(datagram)
    assert message is not None
    assert message.kind == INITIATION
    assert is_meant_for(datagram, mac1_key(key("mari")))
