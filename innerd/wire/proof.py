"""The proof: who acts for a peer, or as an administrator, holds the peer's private key, not just its address.

Any local user, browser tab or container behind a peer's address can send a request from it. Client and coordinator
share a secret already, X25519 of one's private and the other's public WireGuard key, so:

    X-Innerd-Proof: v1 <unix time> <nonce> <base64 of HMAC-SHA-256>
    key     = HKDF-SHA-256 (RFC 5869; no salt) of the shared secret, info "innerd admin proof v1" ‖ network id
    message = method, raw target with query, Host, SHA-256 of the body, If-Match, Idempotency-Key, time, nonce;
              each part with its length before it (8 bytes, big-endian), absent headers as empty parts

Pure: secrets, time and nonces come in as values.
"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from hashlib import sha256

from msgspec import Struct

from innerd.domain.errors import Refused
from innerd.wire import hkdf

HEADER = "X-Innerd-Proof"
WINDOW = 60  # seconds between the two clocks at most
_MAX_NONCE = 64
_SLACK = 2  # seconds that a client's idea of our clock may be off: it learns whole seconds
MOST_NONCES = 10_000  # of a peer within two windows


class Request(Struct, frozen=True, kw_only=True):
    """The parts of a request that the proof binds. `target` is the raw path with its query."""

    method: str
    target: str
    host: str
    body: bytes = b""
    if_match: str = ""
    idempotency_key: str = ""


def derive_key(shared_secret: bytes, network_id: str) -> bytes:
    return hkdf.derive(shared_secret, b"innerd admin proof v1" + bytes.fromhex(network_id))


def _message(request: Request, time: str, nonce: str) -> bytes:
    parts = (
        request.method.encode(),
        request.target.encode(),
        request.host.encode(),
        sha256(request.body).digest(),
        request.if_match.encode(),
        request.idempotency_key.encode(),
        time.encode(),
        nonce.encode(),
    )
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def prove(key: bytes, request: Request, now: int, nonce: str) -> str:
    """The header's value."""
    mac = hmac.digest(key, _message(request, str(now), nonce), "sha256")
    return f"v1 {now} {nonce} {b64encode(mac).decode()}"


class NonceMemory:
    """The nonces seen lately, by peer: each counts once. They are kept as numbers, in two generations, of which the
    older one is dropped whole when nothing in it can still be within the window.

    `since` is when this memory began: what was proved before may have been seen by whoever was here before.
    """

    def __init__(self, since: float = 0.0) -> None:
        self.since = since
        self._began = since
        self._newer: dict[int, set[int]] = {}
        self._older: dict[int, set[int]] = {}

    def take(self, peer: int, nonce: str, now: float, most: int = MOST_NONCES) -> bool:
        """Whether this nonce is new for this peer. Raises Refused `rate_limited` past `most` of them."""
        if now - self._began > 2 * WINDOW:
            self._older = self._newer if now - self._began <= 4 * WINDOW else {}
            self._newer, self._began = {}, now
        number, seen = hash(nonce), self._newer.setdefault(peer, set())
        if number in seen or number in self._older.get(peer, ()):
            return False
        if len(seen) >= most:
            raise Refused(
                "rate_limited", f"this peer proves more than {most} requests in {2 * WINDOW} s", "wait a while"
            )
        seen.add(number)
        return True


def check(
    header: str,
    key: bytes,
    request: Request,
    peer: int,
    now: float,
    nonces: NonceMemory,
    most: int = MOST_NONCES,
) -> None:
    """Verify a proof. Raises Refused `proof_invalid`, saying what is wrong but never what would be right."""
    version, _, rest = header.partition(" ")
    time, _, rest = rest.partition(" ")
    nonce, _, mac = rest.partition(" ")
    if version != "v1" or not time.isascii() or not time.isdigit() or not 8 <= len(nonce) <= _MAX_NONCE:
        raise Refused("proof_invalid", f"{HEADER} is malformed")
    if abs(int(time[:12]) - now) > WINDOW:
        raise Refused("proof_invalid", f"{HEADER} is {abs(int(time[:12]) - now):.0f} s off", "check the clocks")
    if int(time[:12]) < int(nonces.since) - _SLACK:
        raise Refused("proof_invalid", f"{HEADER} was made before this coordinator started", "make a new one")
    try:
        given = b64decode(mac, validate=True)
    except (Base64Error, ValueError):
        given = b""
    if not hmac.compare_digest(given, hmac.digest(key, _message(request, time, nonce), "sha256")):
        raise Refused("proof_invalid", f"{HEADER} does not belong to this request and key")
    if not nonces.take(peer, nonce, now, most):
        raise Refused("proof_invalid", f"{HEADER} was used before")
