"""The probe that two peers send each other past WireGuard, from and to its port, to find a way through their NATs.

    magic "inrd" | kind 1 | epoch 4 | sender's peer id 4 | nonce 8 | MAC 16        (big-endian, 37 bytes)

WireGuard drops what begins with an unknown type (its types are 1 to 4). The MAC is HMAC-SHA-256, cut to 16 bytes,
under a key that only the two peers can make: from X25519 of one's private and the other's public key. So nobody else,
the coordinator included, can make a probe, and an answer proves that the way leads to that peer. Pure."""

import hmac
import struct
from hashlib import sha256

from msgspec import Struct

MAGIC = b"inrd"
PING, PONG = 1, 2
_HEAD = struct.Struct(">4sBIIQ")
_MAC = 16
SIZE = _HEAD.size + _MAC


class Probe(Struct, frozen=True):
    """`sender` is a peer id; a pong has the nonce of its ping."""

    kind: int
    epoch: int
    sender: int
    nonce: int


def probe_key(shared_secret: bytes) -> bytes:
    return hmac.digest(shared_secret, b"innerd probe v1", "sha256")


def encode(probe: Probe, key: bytes) -> bytes:
    head = _HEAD.pack(MAGIC, probe.kind, probe.epoch, probe.sender, probe.nonce)
    return head + hmac.new(key, head, sha256).digest()[:_MAC]


def sender_of(data: bytes) -> int | None:
    """Who says that it sent this; None for what is no probe at all."""
    if len(data) != SIZE or not data.startswith(MAGIC) or data[4] not in (PING, PONG):
        return None
    return int(_HEAD.unpack_from(data)[3])


def decode(data: bytes, key: bytes) -> Probe | None:
    """A probe that was made with this key; else None."""
    if sender_of(data) is None:
        return None
    if not hmac.compare_digest(hmac.new(key, data[: _HEAD.size], sha256).digest()[:_MAC], data[_HEAD.size :]):
        return None
    _, kind, epoch, sender, nonce = _HEAD.unpack_from(data)
    return Probe(kind, epoch, sender, nonce)
