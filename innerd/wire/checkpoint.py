"""Checkpoints of the log's head: what a coordinator said, signed, so that it can't say otherwise elsewhere. Pure.

    innerd/<network id>         the origin: a checkpoint of one network is none of another
    <revision>
    <base64 of the chain hash there>
    generation <n>

It is a C2SP checkpoint (tlog-checkpoint) in form. In substance our log is a chain and no Merkle tree, so where the
format has a tree's size and root there are revision and chain hash, and no proof of inclusion or consistency can be
made from it: two checkpoints of one generation and revision must be equal, and who has the log can hold any against it.

The key is Ed25519, and follows from the coordinator's WireGuard key: nothing more to keep, to back up or to move.
"""

import re
from base64 import b64encode

from msgspec import Struct

from innerd.domain.errors import Refused
from innerd.wire import hkdf
from innerd.wire.note import NotSigned, Signer, Verifier, opened, unbase64

_INFO = b"innerd checkpoint key v1"
_TEXT = re.compile(
    r"(?P<origin>innerd/[0-9a-f]{32})\n"
    r"(?P<revision>[1-9][0-9]{0,14})\n"
    r"(?P<hash>[A-Za-z0-9+/]{43}=)\n"
    r"generation (?P<generation>[1-9][0-9]{0,8})\n"
    r"(?P<more>(?:[^\n]+\n)*)"
)


class Checkpoint(Struct, frozen=True):
    """The log of a network (by its id) at a revision of a generation. `hash` is the chain hash in hex."""

    network_id: str
    generation: int
    revision: int
    hash: str

    @property
    def at(self) -> tuple[int, int]:
        """Two of one network that are at the same place must be equal."""
        return self.generation, self.revision

    @property
    def text(self) -> str:
        root = b64encode(bytes.fromhex(self.hash)).decode()
        return f"{origin(self.network_id)}\n{self.revision}\n{root}\ngeneration {self.generation}\n"


def origin(network_id: str) -> str:
    """What a network's checkpoints begin with, and the name of their key."""
    return f"innerd/{network_id}"


def signer(private_key: bytes, network_id: str) -> Signer:
    """Who signs for a network: of the coordinator's WireGuard key, 32 bytes as they are used (clamped)."""
    return Signer(origin(network_id), hkdf.derive(private_key, _INFO + bytes.fromhex(network_id)))


def sign(by: Signer, checkpoint: Checkpoint) -> str:
    return by.sign(checkpoint.text)


def read(note: str, by: Verifier) -> Checkpoint:
    """A checkpoint that this key signed. Raises Refused for what is none, NotSigned."""
    checkpoint = parse(opened(note, by))
    if origin(checkpoint.network_id) != by.name:
        raise NotSigned(f"it is of {origin(checkpoint.network_id)}, and signed for {by.name}")
    return checkpoint


def parse(text: str) -> Checkpoint:
    """What a note's text says. Further lines may be added to the format, and are left aside. Raises Refused."""
    found = _TEXT.fullmatch(text)
    try:
        if found is None or "\ngeneration " in f"\n{found['more']}":
            raise ValueError(text)
        hash_ = unbase64(found["hash"]).hex()
    except ValueError:
        lines = "innerd/NETWORK-ID, a revision, a hash in base64, generation N"
        raise Refused("invalid_checkpoint", f"this is no checkpoint of innerd: its lines are {lines}") from None
    network_id = found["origin"].removeprefix("innerd/")
    return Checkpoint(network_id, int(found["generation"]), int(found["revision"]), hash_)
