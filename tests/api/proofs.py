"""The admin proof, computed by the words of its definition and not with the code under test.

key     = HKDF-SHA-256 (RFC 5869) of X25519(own private, other's public), no salt, info "innerd admin proof v1" and
          the network's id
message = method, target, Host, SHA-256 of the body, If-Match, Idempotency-Key, time, nonce: each with its length
          (8 bytes, big-endian) before it
"""

import hashlib
import hmac
import struct
from base64 import b64decode, b64encode
from typing import Any

from nacl.bindings import crypto_scalarmult
from nacl.public import PrivateKey

from tests.world import World, private_key


def shared(mine: str, theirs: str) -> bytes:
    """X25519 of two names' keys."""
    public = bytes(PrivateKey(b64decode(private_key(theirs))).public_key)
    return crypto_scalarmult(b64decode(private_key(mine)), public)


def hkdf(secret: bytes, info: bytes) -> bytes:
    pseudorandom = hmac.new(bytes(hashlib.sha256().digest_size), secret, hashlib.sha256).digest()
    return hmac.new(pseudorandom, info + bytes([1]), hashlib.sha256).digest()


def proof(
    secret: bytes,
    network_id: str,
    method: str,
    target: str,
    host: str,
    *,
    body: bytes = b"",
    if_match: str = "",
    idempotency_key: str = "",
    time: int,
    nonce: str,
) -> str:
    key = hkdf(secret, b"innerd admin proof v1" + bytes.fromhex(network_id))
    message = b""
    for part in (
        method.encode(),
        target.encode(),
        host.encode(),
        hashlib.sha256(body).digest(),
        if_match.encode(),
        idempotency_key.encode(),
        str(time).encode(),
        nonce.encode(),
    ):
        message += struct.pack(">Q", len(part)) + part
    mac = hmac.new(key, message, hashlib.sha256).digest()
    return f"v1 {time} {nonce} {b64encode(mac).decode()}"


def proven(w: World, method: str = "GET", target: str = "/v1/admin/peers", **changes: Any) -> str:
    """The header of a request of ryo, or of who is `mine`, now; `changes` says what it proves instead."""
    told = {"body": b"", "time": int(w.now), "nonce": "nonce-0001"} | changes
    secret = told.pop("secret", None) or shared(told.pop("mine", "ryo"), "coordinator")
    network_id = told.pop("network_id", w.writer.network.id)
    host = told.pop("host", w.services.internal_endpoint)
    return proof(secret, network_id, method, target, host, **told)
