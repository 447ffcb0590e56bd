"""Signed notes (C2SP signed-note): text with signatures, for whoever knows the signer's verifier key. Pure.

    <text: lines, each ended by LF>
    <an empty line>
    — <key name> <base64 of key id (4 bytes) ‖ signature>

    key id       = SHA-256(key name ‖ 0x0A ‖ 0x01 ‖ public key)[:4]
    verifier key = <key name>+<key id in hex>+<base64 of 0x01 ‖ public key>

The dash is U+2014, 0x01 is Ed25519 (RFC 8032), and what is signed is the text with its last LF. Lines of other keys
may stand beside ours (witnesses add theirs) and count for nothing. Go's `golang.org/x/mod/sumdb/note` writes and reads
the same, but for base64 with other spare bits, which it takes and we refuse.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from hashlib import sha256

from msgspec import Struct
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from innerd.domain.errors import Refused

_ED25519 = b"\x01"
_LONGEST, _MOST_SIGNATURES = 16_384, 100  # bytes of a note; lines
_DASH = "\u2014 "
_NAME = re.compile(r"[^\s+]+")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NotSigned(Exception):
    """No signature of this key, or one that does not hold."""


def unbase64(text: str) -> bytes:
    """Base64 that is written in one way only. Raises ValueError."""
    try:
        data = b64decode(text, validate=True)
    except Base64Error as error:
        raise ValueError(str(error)) from None
    if b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data


class Verifier(Struct, frozen=True):
    """Who signs: a name, and 32 bytes of public key. As text it is the verifier key."""

    name: str
    public_key: bytes

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(_ED25519 + self.public_key).decode()}"


def parse_verifier(text: str) -> Verifier:
    """A verifier key. Raises Refused."""
    name, _, rest = text.partition("+")
    identity, _, key = rest.partition("+")
    try:
        data = unbase64(key)
    except ValueError:
        data = b""
    verifier = Verifier(name, data[1:])
    if len(data) != 33 or data[:1] != _ED25519 or not _NAME.fullmatch(name) or verifier.id.hex() != identity:
        raise Refused("invalid_checkpoint", f'"{text[:120]}" is no verifier key (NAME+ID+KEY) of Ed25519')
    return verifier


class Signer:
    """A name and the 32 bytes from which its key pair follows."""

    def __init__(self, name: str, seed: bytes) -> None:
        public, self._private = crypto_sign_seed_keypair(seed)
        self.verifier = Verifier(name, public)

    def sign(self, text: str) -> str:
        """The note of a text. The same text gives the same note."""
        signature = crypto_sign(text.encode(), self._private)[:64]
        return f"{text}\n{_DASH}{self.verifier.name} {b64encode(self.verifier.id + signature).decode()}\n"


def opened(note: str, verifier: Verifier) -> str:
    """The text of a note that this key signed. Raises Refused for what is no note, NotSigned."""
    text, signatures = _parted(note)
    for name, data in signatures:
        if name == verifier.name and data[:4] == verifier.id:
            if not _holds(data[4:], text, verifier):
                raise NotSigned(f"the signature of {name} does not hold")
            return text
    raise NotSigned(f"it is not signed by {verifier}")


def text_of(note: str) -> str:
    """The text of a note, whoever signed it. Raises Refused."""
    return _parted(note)[0]


def _holds(signature: bytes, text: str, verifier: Verifier) -> bool:
    if len(signature) != 64:  # what follows it would count as text
        return False
    try:
        crypto_sign_open(signature + text.encode(), verifier.public_key)
    except BadSignatureError:
        return False
    return True


def _parted(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Text and signatures (key name; key id and signature)."""
    text, blank, lines = note.rpartition("\n\n")
    if not blank or len(note.encode(errors="replace")) > _LONGEST or _CONTROL.search(note) or not lines.endswith("\n"):
        raise _no_note("it is text, an empty line, and lines of signatures, each ended by a line feed")
    found = [_signature(line) for line in lines[:-1].split("\n")]
    if len(found) > _MOST_SIGNATURES:
        raise _no_note(f"it has more than {_MOST_SIGNATURES} signatures")
    return text + "\n", found


def _signature(line: str) -> tuple[str, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        data = unbase64(encoded)
    except ValueError:
        data = b""
    if not line.startswith(_DASH) or not _NAME.fullmatch(name) or len(data) < 5:
        raise _no_note("a line of a signature is: \u2014 NAME BASE64")
    return name, data


def _no_note(why: str) -> Refused:
    return Refused("invalid_checkpoint", f"this is no signed note: {why}")


def parted(text: str) -> list[str]:
    """The notes in a text, one behind the other, with or without empty lines between."""
    notes, lines, signed = [], list[str](), False
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        is_signature = line.startswith(_DASH)
        if signed and not is_signature:
            notes.append("".join(lines))
            lines = []
        signed = is_signature
        if lines or line != "\n":
            lines.append(line)
    return [*notes, "".join(lines)] if lines else notes
