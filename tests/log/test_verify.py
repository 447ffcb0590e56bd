"""What `verify` finds in a file, whatever was done to it: the first event that is not what was written, and how."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.log.verify import NoLog, Tampered, Verified, verify_file, walk
from tests.log.histories import FOUNDING
from tests.log.tampering import EVENTS, Row, first_wrong, flipped, forged, linked, rewrite, rows_of

Tamper = Callable[[list[Row]], list[Row]]

SEQ, RECORD, SALT, CHAIN = range(4)


def with_(seq: int, column: int, value: Callable[[bytes], bytes]) -> Tamper:
    def tamper(rows: list[Row]) -> list[Row]:
        row = list(rows[seq - 1])
        row[column] = value(row[column])
        return [*rows[: seq - 1], tuple(row), *rows[seq:]]  # type: ignore[list-item]

    return tamper


def swapped(a: int, b: int, *columns: int) -> Tamper:
    """Two rows exchange some of their columns."""

    def tamper(rows: list[Row]) -> list[Row]:
        one, other = list(rows[a - 1]), list(rows[b - 1])
        for column in columns:
            one[column], other[column] = other[column], one[column]
        made = list(rows)
        made[a - 1], made[b - 1] = tuple(one), tuple(other)  # type: ignore[call-overload]
        return made

    return tamper


def without(*seqs: int) -> Tamper:
    return lambda rows: [row for row in rows if row[0] not in seqs]


def closed_up(seq: int) -> Tamper:
    """A row is taken out and the rest numbered anew, as if it had never been."""
    return lambda rows: [(n, *row[1:]) for n, row in enumerate(without(seq)(rows), 1)]


def chained_anew(seq: int) -> Tamper:
    """A changed record whose own link was computed anew; the ones behind it were not."""

    def tamper(rows: list[Row]) -> list[Row]:
        record = rows[seq - 1][1].replace(b"local:root", b"local:evil")
        row = (seq, record, rows[seq - 1][2], linked(rows[seq - 2][3], rows[seq - 1][2], record))
        return [*rows[: seq - 1], row, *rows[seq:]]

    return tamper


WAS_CHANGED, CHAIN_CHANGED = "record or salt was changed", "chain hash was changed"
ANY = "record, salt or chain hash was changed"

TAMPERED: dict[str, tuple[Tamper, int, str]] = {
    "a byte of a record": (with_(6, RECORD, lambda x: x.replace(b"root1", b"root7")), 6, WAS_CHANGED),
    "a byte of the first record": (with_(1, RECORD, lambda x: x.replace(b"kermpany", b"kermpanx")), 1, WAS_CHANGED),
    "a byte of the last record": (with_(9, RECORD, lambda x: x.replace(b"root4", b"root7")), 9, ANY),
    "a byte that makes a record unreadable": (with_(6, RECORD, lambda x: b"[" + x[1:]), 6, "can't be read"),
    "a blank behind a record": (with_(6, RECORD, lambda x: x + b" "), 6, WAS_CHANGED),
    "a record emptied": (with_(6, RECORD, lambda x: b""), 6, "can't be read"),
    "the first record unreadable": (with_(1, RECORD, lambda x: b"x" + x[1:]), 1, "can't be read"),
    "the network's id": (with_(1, RECORD, lambda x: x.replace(FOUNDING.id[:4].encode(), b"0000")), 1, WAS_CHANGED),
    "a byte of a salt": (with_(6, SALT, lambda x: flipped(x, 15)), 6, WAS_CHANGED),
    "a byte of the last salt": (with_(9, SALT, flipped), 9, ANY),
    "a salt cut short": (with_(6, SALT, lambda x: x[:15]), 6, "salt"),
    "a byte of a chain hash": (with_(6, CHAIN, lambda x: flipped(x, 31)), 6, CHAIN_CHANGED),
    "a byte of the last chain hash": (with_(9, CHAIN, flipped), 9, ANY),
    "two salts swapped": (swapped(5, 7, SALT), 5, WAS_CHANGED),
    "two neighbours' salts swapped": (swapped(5, 6, SALT), 5, "changed"),
    "two chain hashes swapped": (swapped(5, 7, CHAIN), 5, CHAIN_CHANGED),
    "two records swapped": (swapped(5, 7, RECORD), 5, "holds the record of event 7"),
    "two events swapped whole": (swapped(5, 7, RECORD, SALT, CHAIN), 5, "holds the record of event 7"),
    "the first removed": (without(1), 1, "missing; the first record is 2"),
    "one in the middle removed": (without(5), 5, "missing; the next record is 6"),
    "three in the middle removed": (without(4, 5, 6), 4, "missing; the next record is 7"),
    "one removed and the rest moved up": (closed_up(5), 5, "holds the record of event 6"),
    "one moved far behind": (with_(9, SEQ, lambda x: x + 1), 9, "missing; the next record is 10"),  # type: ignore[operator]
    "one record forged, its link too": (chained_anew(6), 7, "changed"),
    "another network's beginning": (lambda rows: [forged(rows, 1)[0], *rows[1:]], 2, "changed"),
}


@pytest.mark.parametrize(("tamper", "seq", "says"), TAMPERED.values(), ids=TAMPERED)
def test_the_event_at_fault_is_named_and_what_is_wrong_with_it(log, tamper, seq, says) -> None:
    rewrite(log, tamper(rows_of(log)))
    with pytest.raises(Tampered) as found:
        verify_file(log)
    assert (found.value.seq, first_wrong(rows_of(log))) == (seq, seq)
    assert re.search(says, found.value.what)
    assert str(found.value) == f"event {seq}: {found.value.what}"


def test_a_byte_that_moved_from_record_to_salt_is_noticed(log: Path) -> None:
    """A leaf hashes both in a row, so it stays the same: only the salt's length tells."""
    rows = rows_of(log)
    seq, record, salt, chain = rows[5]
    rewrite(log, [*rows[:5], (seq, record[1:], salt + record[:1], chain), *rows[6:]])
    with pytest.raises(Tampered, match="event 6"):
        verify_file(log)


def test_an_id_that_is_none_is_the_first_events_fault(log: Path) -> None:
    rewrite(log, with_(1, RECORD, lambda x: x.replace(FOUNDING.id.encode(), b"g" * 32))(rows_of(log)))
    with pytest.raises(Tampered, match="event 1: its record can't be read"):
        verify_file(log)


def test_a_log_that_holds_says_its_length_its_head_and_its_network(log: Path) -> None:
    rows = rows_of(log)
    assert first_wrong(rows) is None
    assert verify_file(log) == Verified(events=EVENTS, head=rows[-1][3].hex(), network_id=FOUNDING.id)


def test_verifying_changes_nothing_in_the_folder(log: Path) -> None:
    before = {file.name: file.read_bytes() for file in log.parent.iterdir()}
    verify_file(log)
    assert {file.name: file.read_bytes() for file in log.parent.iterdir()} == before


@st.composite
def tampered(draw: st.DrawFn, rows: list[Row]) -> list[Row]:
    """A few things done to a log, one after the other."""
    for _ in range(draw(st.integers(1, 3))):
        a, b = (draw(st.integers(1, len(rows))) for _ in range(2))
        column = draw(st.sampled_from([RECORD, SALT, CHAIN]))
        position, bit = draw(st.integers(0, 15)), 1 << draw(st.integers(0, 7))
        flip = with_(a, column, lambda x, at=position, mask=bit: flipped(x, at, mask))
        deeds: list[Tamper] = [flip, swapped(a, b, column), lambda rows, at=a: [*rows[: at - 1], *rows[at:]]]
        rows = draw(st.sampled_from(deeds))(rows)
    return rows


HONEST: list[Row] = []


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_the_first_wrong_event_is_found_whatever_was_done(original: Path, data: st.DataObject) -> None:
    HONEST[:] = HONEST or rows_of(original)
    rows = data.draw(tampered(HONEST))
    wrong = first_wrong(rows) if rows else 1
    try:
        found: int | None = None if walk(iter(rows)).events == len(rows) else -1
    except Tampered as error:
        found = error.seq
    except NoLog:
        found = 1
    assert found == wrong
