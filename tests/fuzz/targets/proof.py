"""The header of a proof: refused, but for the one that was made; nothing else ever happens."""

import contextlib

from innerd.domain.errors import Refused
from innerd.wire import proof
from innerd.wire.proof import NonceMemory, Request

_KEY = proof.derive_key(b"\1" * 32, "00" * 16)
_NOW = 1_790_000_000
_REQUEST = Request(method="POST", target="/v1/admin/peers", host="10.42.0.1:51820", body=b"{}")
_PROVEN = proof.prove(_KEY, _REQUEST, _NOW, "a-nonce-of-mine").encode()

SEEDS = [_PROVEN, b"v1 1790000000 nonce AAAA", b"", b"v2" + _PROVEN[2:]]
WORDS = [b"v1 ", b" ", b"=", b"1790000000", b"\xb2"]


def check(data: bytes) -> None:
    with contextlib.suppress(Refused):
        proof.check(data.decode("latin-1"), _KEY, _REQUEST, 2, _NOW, NonceMemory())
        assert data[:-2] == _PROVEN[:-2]  # base64 may end in bits that say nothing
