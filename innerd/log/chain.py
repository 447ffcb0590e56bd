"""The hash chain over the log.

    leaf_n  = SHA-256(0x00 ‖ salt_n ‖ record_n)
    chain_n = SHA-256(0x01 ‖ chain_{n-1} ‖ leaf_n)
    chain_0 = SHA-256(0x02 ‖ network id, 16 bytes)

The stored bytes of a record are what is hashed, so that nothing needs a canonical form. The prefixes keep the
three apart (RFC 6962 2.1). The salt makes it possible to prove a leaf to a reader who may not see its neighbours.
"""

from hashlib import sha256


def genesis(network_id: str) -> bytes:
    """chain_0 of a network; `network_id` is 16 bytes in hex."""
    return sha256(b"\x02" + bytes.fromhex(network_id)).digest()


def leaf(salt: bytes, record: bytes) -> bytes:
    return sha256(b"\x00" + salt + record).digest()


def link(chain: bytes, salt: bytes, record: bytes) -> bytes:
    """The chain hash after one more record."""
    return sha256(b"\x01" + chain + leaf(salt, record)).digest()
