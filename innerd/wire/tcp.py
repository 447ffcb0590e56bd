"""WireGuard's packets by TCP, for who is where UDP is blocked: what two ends say in a TLS connection. Pure.

    frame           length 2 (big-endian) | packet
    first of all    a frame of the client's: sealed for the coordinator's key: public key 32 | nonce 16 | MAC 32
    its answer      a frame of the coordinator's: MAC 32

The certificate proves nothing: both MACs cover it (HMAC-SHA-256, under a key that the two alone can make: X25519 of
one's private and the other's public key), so that nobody else stands between the two. What is sent after that is
WireGuard's, which needs nobody's protection: TLS is there to pass where nothing else does."""

import hmac
from hashlib import sha256

from msgspec import Struct

MOST = 0xFFFF  # bytes in a packet
_KEY, NONCE, _MAC = 32, 16, 32
GREETING = _KEY + NONCE + _MAC  # bytes, before it is sealed


class Greeting(Struct, frozen=True):
    """Who says that it is there; what it proves that by covers the certificate that it was shown."""

    public_key: bytes
    nonce: bytes
    mac: bytes


class TooLong(ValueError):
    """A frame that nobody sends."""


def tcp_key(shared_secret: bytes) -> bytes:
    return hmac.digest(shared_secret, b"innerd tcp v1", "sha256")


def greeting(public_key: bytes, key: bytes, certificate: bytes, nonce: bytes) -> bytes:
    """What is to be sealed. `certificate` as it was shown (DER)."""
    return public_key + nonce + _mac(key, b"client", certificate, nonce)


def parse_greeting(opened: bytes) -> Greeting | None:
    if len(opened) != GREETING:
        return None
    return Greeting(opened[:_KEY], opened[_KEY : _KEY + NONCE], opened[_KEY + NONCE :])


def is_proved(found: Greeting, key: bytes, certificate: bytes) -> bool:
    """Whether it has the private key, and was shown this certificate."""
    return hmac.compare_digest(_mac(key, b"client", certificate, found.nonce), found.mac)


def answer(key: bytes, certificate: bytes, nonce: bytes) -> bytes:
    return _mac(key, b"server", certificate, nonce)


def is_answered(said: bytes, key: bytes, certificate: bytes, nonce: bytes) -> bool:
    return hmac.compare_digest(answer(key, certificate, nonce), said)


def _mac(key: bytes, who: bytes, certificate: bytes, nonce: bytes) -> bytes:
    return hmac.digest(key, who + sha256(certificate).digest() + nonce, "sha256")


def framed(packet: bytes) -> bytes:
    return len(packet).to_bytes(2, "big") + packet


class Frames:
    """Bytes in, packets out. With `most`, a longer one raises TooLong."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._left = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        data, at, found = self._left + chunk if self._left else chunk, 0, []
        while len(data) - at >= 2:
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            if end - at - 2 > self.most:
                raise TooLong(f"a frame of {end - at - 2} bytes")
            if end > len(data):
                break
            found.append(data[at + 2 : end])
            at = end
        self._left = data[at:]
        return found
