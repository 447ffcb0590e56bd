"""Bytes flipped in the rows of a log: the walk of the chain finds the first that does not fit, as an independent
reading of the definition does, and never falls over."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from innerd.log.verify import NoLog, Tampered, walk
from tests.log.tampering import Row, first_wrong, honest

# Groups of four bytes: a row, one of its values, a place in it, what to flip there. A mask of zero takes a row out.
SEEDS = [b"\0\1\0\1", b"\3\2\5\x80", b"\x08\3\1\xff", b"\4\0\0\0", b"\2\1\x10\x01\2\2\0\1", b""]
WORDS = [b"\0\0\0\0"]


@cache
def _rows() -> list[Row]:
    with TemporaryDirectory(prefix="innerd-fuzz-") as folder:
        return honest(Path(folder) / "log.db")


def check(data: bytes) -> None:
    rows = list(_rows())
    for at in range(0, len(data) - 3, 4):
        if rows:
            _tamper(rows, *data[at : at + 4])
    wrong = first_wrong(rows) if rows else 0
    try:
        walk(iter(rows))
    except NoLog:
        told = 0
    except Tampered as error:
        told = error.seq
    else:
        told = None
    assert told == wrong or (wrong is None and rows != _rows())  # it sees more than hashes


def _tamper(rows: list[Row], row: int, value: int, place: int, mask: int) -> None:
    number = row % len(rows)
    if not mask:
        del rows[number]
        return
    seq, *parts = rows[number]
    which = value % 3
    old = parts[which]
    at = place % len(old)
    parts[which] = old[:at] + bytes([old[at] ^ mask]) + old[at + 1 :]
    rows[number] = (seq, *parts)  # type: ignore[assignment]
