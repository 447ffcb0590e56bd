"""WireGuard's messages as far as somebody can tell who has none of the keys (whitepaper 5.4): their types, the indices
that sender and receiver know a session by, and for whom a handshake is meant. Pure.

Indices are little-endian in a message; here they are the four bytes as they lie in it.
"""

from base64 import b64decode
from functools import lru_cache
from hashlib import blake2s
from hmac import compare_digest

from msgspec import Struct

from innerd.domain.values import PublicKey

INITIATION, RESPONSE, COOKIE, DATA = 1, 2, 3, 4
SIZES = {INITIATION: 148, RESPONSE: 92, COOKIE: 64}  # bytes; data has 32 at least
LEAST_DATA = 32
_MAC1 = {INITIATION: 116, RESPONSE: 60}  # where it is; it covers what is before it
_LABEL_MAC1 = b"mac1----"


class Message(Struct, frozen=True, gc=False):
    """`sender`: the index by which its sender wants to be answered; `receiver`: by which its receiver knows the
    session. Empty where a message has none."""

    kind: int
    sender: bytes = b""
    receiver: bytes = b""


def parse(datagram: bytes) -> Message | None:
    """What a datagram is; None where it is no message of WireGuard's."""
    kind = datagram[0] if datagram[1:4] == b"\0\0\0" else 0
    if kind == DATA:
        return Message(DATA, b"", datagram[4:8]) if len(datagram) >= LEAST_DATA else None
    if SIZES.get(kind) != len(datagram):
        return None
    if kind == COOKIE:
        return Message(COOKIE, b"", datagram[4:8])
    return Message(kind, datagram[4:8], datagram[8:12] if kind == RESPONSE else b"")


@lru_cache(1 << 17)
def mac1_key(receiver: PublicKey) -> bytes:
    """The key of the mac1 of what is meant for a peer (whitepaper 5.4.4)."""
    return blake2s(_LABEL_MAC1 + b64decode(receiver)).digest()


def is_meant_for(datagram: bytes, key: bytes) -> bool:
    """Whether an initiation or a response, that was parsed, is for the peer of a `mac1_key`."""
    at = _MAC1[datagram[0]]
    return compare_digest(blake2s(datagram[:at], digest_size=16, key=key).digest(), datagram[at : at + 16])
