"""Bytes changed in the file of a log: it holds as before, or it is said what does not; nothing else."""

import contextlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from innerd.log.verify import Damaged, NoLog, Tampered, Verified, verify_file
from tests.log.tampering import honest

EXAMPLES = 150
# Groups of four bytes: a place in the file (three bytes), what to write there.
SEEDS = [b"\0\0\0\0", b"\0\x10\0\xff", b"\0\0\x10\2\0\0\x12\7", b"\0\x20\0\x0d\0\x30\x05\xff", b"\xff\xff\xff\0"]
WORDS = [b"\0\0\x14\xff", b"\0\x10\x08\x0d"]


@cache
def _file() -> tuple["TemporaryDirectory[str]", Path, bytes, Verified]:
    made = TemporaryDirectory(prefix="innerd-fuzz-")
    path = Path(made.name) / "log.db"
    honest(path)
    return made, path, path.read_bytes(), verify_file(path)


def check(data: bytes) -> None:
    _, path, whole, verified = _file()
    changed = bytearray(whole)
    for at in range(0, len(data) - 3, 4):
        changed[int.from_bytes(data[at : at + 3]) % len(changed)] = data[at + 3]
    path.write_bytes(changed)
    for beside in path.parent.glob("log.db-*"):
        beside.unlink()
    with contextlib.suppress(NoLog, Tampered, Damaged):
        assert verify_file(path).events <= verified.events
