"""Signed notes in files, as verbs are given them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from innerd.failure import TRUST, USAGE, Failure, not_found

if TYPE_CHECKING:
    from innerd.wire.note import Verifier

_LONGEST = 4 << 20  # bytes of a file with notes
_HINT = "inn verify INTERFACE --export prints them"


def notes_of(file: str | Path, by: "Verifier") -> list[str]:
    """The checkpoints in a file (- is stdin), all signed by a key. Raises Failure, Refused."""
    from innerd.domain.errors import Refused
    from innerd.wire.checkpoint import read
    from innerd.wire.note import NotSigned

    notes = notes_in(file)
    for note in notes:
        try:
            read(note, by)
        except Refused as error:
            raise Refused(error.code, f"{file}: {error.message}", _HINT) from None
        except NotSigned as error:
            raise _unsigned(file, note, by, str(error)) from None
    return notes


def notes_in(file: str | Path) -> list[str]:
    """What may be notes in a file (- is stdin). Raises Failure, Refused."""
    from innerd.domain.errors import Refused
    from innerd.wire.note import parted

    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(_LONGEST + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(_LONGEST + 1)
        notes = parted(data.decode())
    except FileNotFoundError:
        raise not_found("file_not_found", f"there is no file {file}") from None
    except UnicodeDecodeError:
        raise Refused("invalid_checkpoint", f"{file} is no text", _HINT) from None
    if not notes or len(data) > _LONGEST:
        raise Refused("invalid_checkpoint", f"{file} holds no checkpoints", _HINT)
    return notes


def _unsigned(file: str | Path, note: str, by: "Verifier", why: str) -> Failure:
    if note.partition("\n")[0] != by.name:
        return Failure(
            USAGE, "invalid_checkpoint", f"{file} is not of this network: it begins otherwise than {by.name}"
        )
    hint = "by itself it proves nothing: compare verifier keys with who gave it; two keys for one network are two logs"
    return Failure(TRUST, "checkpoint_unsigned", f"{file}: {why}", hint)
