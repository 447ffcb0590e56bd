"""Moments as people give them on the command line: revisions, this host's clock, how long ago."""

from datetime import UTC, datetime, timedelta

import pytest

from innerd.admin.inspect import moment_of
from innerd.failure import Failure


@pytest.mark.parametrize("text", [None, "1", "4711"])
def test_a_revision_goes_as_it_is(text: str | None) -> None:
    assert moment_of(text) == text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01T12:00:00.25+01:00", "2026-03-01T11:00:00.250000+00:00"),
        ("2026-03-01 12:00+00:00", "2026-03-01T12:00:00+00:00"),
    ],
)
def test_a_time_is_told_in_utc(text: str, moment: str) -> None:
    assert moment_of(text) == moment


def test_a_time_without_an_offset_is_of_this_hosts_clock() -> None:
    local = datetime(2026, 3, 1, 12).astimezone(UTC)
    assert moment_of("2026-03-01 12:00") == moment_of("2026-03-01T12:00:00") == local.isoformat()
    assert moment_of("2026-03-01") == (local - timedelta(hours=12)).isoformat()


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("0s", timedelta()),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_how_long_ago_counts_from_now(text: str, ago: timedelta) -> None:
    before = datetime.now(UTC) - ago
    told = datetime.fromisoformat(moment_of(text) or "")
    assert before <= told <= datetime.now(UTC) - ago


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2 h", "-2h", "2y", "1.5h", "-5", "2026-13-01", "12:00", "9" * 40 + "w", "200000w"),
        *("9999-12-31", "2999-01-01T00:00:00Z", "0001-01-01", "0001-01-01T00:00:00+01:00"),
        "9999-12-31T23:59:59-23:00",
    ],
)
def test_what_is_no_moment_is_a_usage_error(text: str) -> None:
    with pytest.raises(Failure) as failed:
        moment_of(text)
    assert failed.value.status == 2
