"""What only a remembered head tells of a log that holds by itself; and files that are no log."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from innerd.log.verify import NoLog, Tampered, verify_file
from tests.log.tampering import EVENTS, Row, forged, rewrite, rows_of

# -- what only a remembered head tells ------------------------------------------------------------------------------


def head(rows: list[Row], seq: int) -> tuple[int, str]:
    return seq, rows[seq - 1][3].hex()


@pytest.mark.parametrize("seq", [1, 5, EVENTS])
def test_a_remembered_head_that_is_still_there_is_no_trouble(log: Path, seq: int) -> None:
    number, remembered = head(rows_of(log), seq)
    assert verify_file(log, (number, remembered)).events == EVENTS
    assert verify_file(log, (number, remembered.upper())).events == EVENTS


@pytest.mark.parametrize(("cut", "seq"), [((9,), 9), ((6, 7, 8, 9), 6)], ids=["one", "four"])
def test_a_tail_cut_off_holds_by_itself_and_is_missed_by_who_saw_it(log: Path, cut: tuple[int, ...], seq: int) -> None:
    remembered = head(rows_of(log), 9)
    rewrite(log, [row for row in rows_of(log) if row[0] not in cut])
    assert verify_file(log).events == seq - 1
    with pytest.raises(Tampered, match=f"the log ends at {seq - 1}, but 9 was remembered") as found:
        verify_file(log, remembered)
    assert found.value.seq == seq


@pytest.mark.parametrize("fork", [1, 5, 9])
def test_a_forged_continuation_holds_by_itself_and_is_no_news_to_who_saw_the_true_one(log: Path, fork: int) -> None:
    rows = rows_of(log)
    rewrite(log, forged(rows, fork))
    assert verify_file(log).head != rows[-1][3].hex()
    with pytest.raises(Tampered, match="forked before it") as found:
        verify_file(log, head(rows, 9))
    assert found.value.seq == 9
    if fork > 1:  # what was seen before the fork is no witness against it
        assert verify_file(log, head(rows, fork - 1)).events == EVENTS


def test_a_forked_log_that_was_cut_as_well_is_gone_first(log: Path) -> None:
    rows = rows_of(log)
    rewrite(log, forged(rows, 5)[:7])
    with pytest.raises(Tampered, match="event 8: it was seen and is gone"):
        verify_file(log, head(rows, 9))


# -- files that are no log ------------------------------------------------------------------------------------------


def other_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA application_id = 66")


def no_events(path: Path) -> None:
    rewrite(path, [])


def no_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript("DROP VIEW audit; DROP TABLE events;")


NO_LOGS: dict[str, Callable[[Path], object]] = {
    "another application's": other_application,
    "no events": no_events,
    "no table": no_table,
    "text": lambda path: path.write_text("no database at all\n" * 400),
    "empty": lambda path: path.write_bytes(b""),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:5000]),
}


@pytest.mark.parametrize("make", NO_LOGS.values(), ids=NO_LOGS)
def test_a_file_that_is_no_log_is_called_so(log: Path, make: Callable[[Path], object]) -> None:
    make(log)
    with pytest.raises(NoLog):
        verify_file(log)


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify_file(tmp_path / "net.db")
    assert list(tmp_path.iterdir()) == []
