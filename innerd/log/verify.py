"""Walk the chain of a log file, and say what is wrong with the first record that does not fit.

Reads the file as it is, beside whoever serves it, and believes nothing but the network's id in the first record.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from innerd.log import chain, codec
from innerd.log.migrate import APPLICATION_ID

_SELECT = "SELECT seq, CAST(record AS BLOB), salt, chain FROM events ORDER BY seq"

Row = tuple[int, bytes, bytes, bytes]


class Verified(Struct, frozen=True, kw_only=True):
    """A log that holds: how many records, and the chain hash behind the last."""

    events: int
    head: str
    network_id: str


class Tampered(Exception):
    """The chain does not hold. `seq` is the first record that is not what was written; `what` says how, as far as
    that can be known."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(f"event {seq}: {what}")
        self.seq = seq
        self.what = what


class NoLog(Exception):
    """The file is no log of ours."""


def verify_file(path: Path, remembered: tuple[int, str] | None = None) -> Verified:
    """Check a whole log. `remembered` is a revision and its chain hash that somebody saw. Raises Tampered, NoLog,
    FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("PRAGMA query_only = ON")
            if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise NoLog(f"{path} is no log of innerd")
            return walk(iter(database.execute(_SELECT)), remembered)
    except sqlite3.DatabaseError as error:
        raise NoLog(f"{path}: {error}") from error


def walk(rows: Iterator[Row], remembered: tuple[int, str] | None = None) -> Verified:
    """Check records in order."""
    first = next(rows, None)
    if first is None:
        raise NoLog("the log holds no events")
    network_id = _network_id(first)
    link, last, row = chain.genesis(network_id), 0, first
    seen = ""
    while True:
        seq, record, salt, stored = row
        if seq != last + 1:
            raise Tampered(last + 1, f"it is missing; the next record is {seq}")
        if not all(isinstance(part, bytes) for part in row[1:]):
            raise Tampered(seq, "its record, salt or chain hash is not what those are made of")
        computed = chain.link(link, salt, record)
        following = next(rows, None)
        if computed != stored:
            raise Tampered(seq, _diagnosis(row, computed, following))
        if len(salt) != 16:
            raise Tampered(seq, "its record or salt was changed: the salt is not 16 bytes long")
        if (says := _seq_of(record)) != seq:
            raise Tampered(seq, f"its record says that it is event {says}")
        link, last = stored, seq
        if remembered is not None and seq == remembered[0]:
            seen = stored.hex()
        if following is None:
            break
        row = following
    if remembered is not None and seen != remembered[1].lower():
        if remembered[0] > last:
            raise Tampered(
                last + 1, f"it was seen and is gone: the log ends at {last}, but {remembered[0]} was remembered"
            )
        raise Tampered(remembered[0], "its hash is not the remembered one: the log was forked before it")
    return Verified(events=last, head=link.hex(), network_id=network_id)


class _Numbered(Struct, frozen=True, gc=False):
    seq: int


_NUMBERED = msgspec.json.Decoder(_Numbered)


def _seq_of(record: bytes) -> int | None:
    try:
        return _NUMBERED.decode(record).seq
    except msgspec.DecodeError:
        return None


def _network_id(first: Row) -> str:
    if first[0] != 1:
        raise Tampered(1, f"it is missing; the first record is {first[0]}")
    try:
        read = codec.envelope(first[1])
        if read.type != "network.created":
            raise Tampered(1, f"it is a {read.type}, but a log begins with network.created")
        identity = msgspec.json.decode(read.data)["id"]
        bytes.fromhex(identity)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise Tampered(1, "its record can't be read") from error
    return str(identity)


def _diagnosis(row: Row, computed: bytes, following: Row | None) -> str:
    """What is wrong with a record whose link does not fit."""
    seq, record, _, stored = row
    try:
        says = codec.envelope(record).seq
    except msgspec.DecodeError:
        return "its record was changed: it can't be read any more"
    if says != seq:
        return f"it holds the record of event {says}: records were swapped or moved"
    if following is not None:
        link = chain.link(stored, following[2], following[1])
        if link == following[3]:
            return "its record or salt was changed: the records behind it go on from the hash that it had"
        if chain.link(computed, following[2], following[1]) == following[3]:
            return "its chain hash was changed: record and salt are what the records behind it go on from"
    return "its record, salt or chain hash was changed"
