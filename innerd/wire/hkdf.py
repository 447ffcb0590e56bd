"""HKDF-SHA-256 (RFC 5869): one key of 32 bytes from a secret, for one purpose. Pure."""

import hmac


def derive(secret: bytes, info: bytes) -> bytes:
    """With an empty salt: extract, then one block of expand (RFC 5869 2.2, 2.3). Another `info` is another key, and
    from neither can the other or the secret be found."""
    extracted = hmac.digest(b"\x00" * 32, secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")
