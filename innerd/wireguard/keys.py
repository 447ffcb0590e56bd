"""Key pairs of WireGuard: Curve25519, in base64. Randomness comes from the operating system."""

from base64 import b64decode, b64encode

from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.utils import random

from innerd.domain.values import PublicKey
from innerd.wireguard.device import clamped


def generate() -> str:
    """A new private key, as `wg genkey`."""
    return clamped(b64encode(random(32)).decode())


def public_key(private_key: str) -> PublicKey:
    """The public key of a private one, as `wg pubkey`."""
    return PublicKey(b64encode(crypto_scalarmult_base(b64decode(private_key))).decode())


def shared_secret(private_key: str, other: PublicKey) -> bytes:
    """X25519 of one's private key and the other's public key (RFC 7748): the same 32 bytes on both sides."""
    return crypto_scalarmult(b64decode(private_key), b64decode(other))
