"""Walk the chain of a log file, and say what is wrong with the first record that does not fit.

Reads the file as it is, beside whoever serves it, and believes nothing but the network's id in the first record.
"""

import itertools
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from innerd.domain.unreadable import UNREADABLE
from innerd.log import chain, codec
from innerd.log.database import DAMAGED, SELECT, connect, damage_in
from innerd.log.migrate import APPLICATION_ID
from innerd.wire.checkpoint import Checkpoint

Row = tuple[int, bytes, bytes, bytes]


class Verified(Struct, frozen=True, kw_only=True):
    """A log that holds: how many records, and the chain hash behind the last. `hashes` are those at the revisions that
    were asked for, `restores` the last revision before each restore, by the generation that began with it."""

    events: int
    head: str
    network_id: str
    hashes: dict[int, str] = {}
    restores: dict[int, int] = {}


class Tampered(Exception):
    """The chain does not hold. `seq` is the first record that is not what was written; `what` says how, as far as
    that can be known."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(f"event {seq}: {what}")
        self.seq = seq
        self.what = what


class NoLog(Exception):
    """The file is no log of ours."""


class Elsewhere(Exception):
    """A checkpoint of a part of the log that this one does not have: nothing can be said of it."""


class Damaged(Exception):
    """The chain holds, but something else in the file is damaged: an index, a read model, a page that nobody uses."""


def verify_file(
    path: Path,
    remembered: tuple[int, str] | None = None,
    asked: Collection[int] = frozenset(),
    *,
    whole: bool = True,
) -> Verified:
    """Check a log: first its records, then (unless not `whole`) every page of the file. `remembered` is a revision and
    its chain hash that somebody saw; `asked` are revisions whose chain hashes are wanted. Raises Tampered, NoLog,
    Damaged, FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        with closing(connect(path)) as database, _looked_at(path, whole=whole) as look:
            database.execute("PRAGMA query_only = ON")
            if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise NoLog(f"{path} is no log of innerd")
            found = walk(iter(database.execute(SELECT)), remembered, asked)
            broken = look()
    except DAMAGED as error:
        raise NoLog(f"{path}: {error}") from error
    if broken is not None:
        raise Damaged(f"{path}: its {found.events} events are whole, but the file is damaged beside them: {broken}")
    return found


@contextmanager
def _looked_at(path: Path, *, whole: bool) -> Iterator[Callable[[], str | None]]:
    """Look at every page of a file while something else is done: what is wrong with it, once that is asked. SQLite
    looks at all of it in one call, and keeps nobody from the interpreter while it does."""
    if not whole:
        yield lambda: None
        return
    with closing(connect(path, is_shared=True)) as database, ThreadPoolExecutor(1) as beside:
        look = beside.submit(damage_in, database)
        try:
            yield look.result
        finally:
            database.interrupt()  # where nobody waits for it any more


def walk(
    rows: Iterator[Row], remembered: tuple[int, str] | None = None, asked: Collection[int] = frozenset()
) -> Verified:
    """Check records in order."""
    first = next(rows, None)
    if first is None:
        raise NoLog("the log holds no events")
    network_id = _network_id(first)
    link, last = chain.genesis(network_id), 0
    hashes, restores = dict[int, str](), dict[int, int]()
    noted = {*asked, remembered[0]} if remembered is not None else {*asked}
    for row in itertools.chain((first,), rows):
        seq, record, salt, stored = row
        last += 1
        if not (seq == last and bytes is type(record) is type(salt) is type(stored)):
            raise _out_of_place(row, last)
        before, link = link, chain.link(link, salt, record)
        if link != stored or len(salt) != 16 or _seq_of(record) != seq:
            raise _wrong(row, before, next(rows, None))
        if seq in noted:
            hashes[seq] = link.hex()
        if _RESTORED in record:
            restores |= _restore(record)
    if remembered is not None and hashes.get(remembered[0]) != remembered[1].lower():
        if remembered[0] > last:
            raise Tampered(
                last + 1, f"it was seen and is gone: the log ends at {last}, but {remembered[0]} was remembered"
            )
        raise Tampered(remembered[0], "its hash is not the remembered one: the log was forked before it")
    return Verified(events=last, head=link.hex(), network_id=network_id, hashes=hashes, restores=restores)


def _out_of_place(row: Row, expected: int) -> Tampered:
    if row[0] != expected:
        return Tampered(expected, f"it is missing; the next record is {row[0]}")
    return Tampered(expected, "its record, salt or chain hash is not what those are made of")


def _wrong(row: Row, before: bytes, following: Row | None) -> Tampered:
    """What is wrong with a record that does not fit to the chain before it, or to its own number."""
    seq, record, salt, stored = row
    computed = chain.link(before, salt, record)
    if computed != stored:
        return Tampered(seq, _diagnosis(row, computed, following))
    if len(salt) != 16:
        return Tampered(seq, "its record or salt was changed: the salt is not 16 bytes long")
    return Tampered(seq, f"its record says that it is event {_seq_of(record)}")


def hold(found: Verified, checkpoint: Checkpoint, *, is_whole: bool) -> None:
    """Hold a signed checkpoint against a log that holds, and was asked for its revision. `is_whole`: the log of today,
    and no backup, which may end earlier. Raises Tampered where it is of another log, Elsewhere where this one does not
    have that part."""
    revision, generation = checkpoint.revision, checkpoint.generation
    begins = {1: 0} | found.restores
    ends = min((last for began, last in found.restores.items() if began > generation), default=None)
    if checkpoint.network_id != found.network_id:
        raise Elsewhere(f"it is of network {checkpoint.network_id}, the log of {found.network_id}")
    if generation > max(begins) or (ends is None and revision > found.events):
        gone = f"the log ends at revision {found.events} of generation {max(begins)}"
        if is_whole:
            raise Tampered(found.events + 1, f"{revision} of generation {generation} was signed and is gone: {gone}")
        raise Elsewhere(gone)
    if generation not in begins or revision <= begins[generation]:
        raise Tampered(revision, f"it was signed in generation {generation}, and is not of it")
    if ends is not None and revision > ends:
        raise Elsewhere(f"revisions behind {ends} of generation {generation} went with the restore")
    if found.hashes[revision] != checkpoint.hash:
        raise Tampered(revision, "its hash is not the one that was signed: the log was forked before it")


_RESTORED = b'"log.restored"'


def _restore(record: bytes) -> dict[int, int]:
    """The generation that a record begins, if it does, and the last revision before it."""
    try:
        read = codec.envelope(record)
        data = msgspec.json.decode(read.data)
        return {data["generation"]: read.seq - 1} if read.type == "log.restored" else {}
    except (*UNREADABLE, KeyError, TypeError):
        return {}


class _Numbered(Struct, frozen=True, gc=False):
    seq: int


_NUMBERED = msgspec.json.Decoder(_Numbered)


def _seq_of(record: bytes) -> int | None:
    try:
        return _NUMBERED.decode(record).seq
    except UNREADABLE:
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
    except (*UNREADABLE, KeyError, TypeError, ValueError) as error:
        raise Tampered(1, "its record can't be read") from error
    return str(identity)


def _diagnosis(row: Row, computed: bytes, following: Row | None) -> str:
    """What is wrong with a record whose link does not fit."""
    seq, record, _, stored = row
    try:
        says = codec.envelope(record).seq
    except UNREADABLE:
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
