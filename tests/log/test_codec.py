"""Events to records and back; what a newer release wrote is named, never guessed at."""

import contextlib
import json
from datetime import UTC, datetime
from types import NoneType
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.domain import events as e
from innerd.domain.unreadable import UNREADABLE
from innerd.log import codec
from innerd.log.codec import UPCASTERS, UnknownEvent, Who
from tests.log.examples import EVENTS, NOW, SEQ, WHO

CLASSES: tuple[type[e.Event], ...] = get_args(e.AnyEvent)
BY_TYPE = {
    int: st.integers(-(2**63), 2**63 - 1),
    str: st.text(st.characters(exclude_categories=["Cs"])),
    bool: st.booleans(),
    NoneType: st.none(),
}

_MORE = ["peer:5"] * 3 + ["peer:1"] * 2 + ["record:3"] * 2 + ["network"]
SUBJECTS = ["network"] * 2 + ["cidr:3"] * 3 + ["peer:5"] * 11 + ["association:2"] * 2 + _MORE


def of_class(cls: type[e.Event]) -> st.SearchStrategy[e.Event]:
    fields = {
        field.encode_name: st.one_of([BY_TYPE[kind] for kind in get_args(field.type) or (field.type,)])
        for field in msgspec.structs.fields(cls)
    }
    return st.builds(cls, **fields)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(CLASSES).flatmap(of_class))
def test_an_event_comes_back_from_its_record(event: e.AnyEvent) -> None:
    assert codec.decode(codec.encode(event, SEQ, NOW, WHO)) == event


@pytest.mark.parametrize("event", EVENTS, ids=e.type_of)
def test_a_record_is_the_whole_envelope_in_one_order(event: e.AnyEvent) -> None:
    read = json.loads(codec.encode(event, SEQ, NOW, WHO))
    assert list(read) == ["seq", "type", "version", "at", "actor", "origin", "request", "subject", "data"]
    assert {k: read[k] for k in ("seq", "version", "at", "actor", "origin", "request")} == {
        "seq": 7,
        "version": 1,
        "at": "2026-03-01T12:00:00.250000Z",
        "actor": "peer:2",
        "origin": "10.42.0.2",
        "request": "4f1c",
    }
    assert read["data"] == {name: getattr(event, name) for name in event.__struct_fields__}


@pytest.mark.parametrize(
    ("event", "subject"),
    list(zip(EVENTS, SUBJECTS, strict=True)),
    ids=[e.type_of(event) for event in EVENTS],
)
def test_the_envelope_names_the_subject(event: e.AnyEvent, subject: str) -> None:
    assert codec.envelope(codec.encode(event, SEQ, NOW, WHO)).subject == subject


def test_a_request_without_an_id_is_null() -> None:
    record = codec.encode(EVENTS[0], 1, NOW, Who("coordinator"))
    assert json.loads(record)["request"] is None
    assert json.loads(record)["origin"] == ""


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_772_366_400, "2026-03-01T12:00:00.000000Z"),
        (1_772_366_400.000_001, "2026-03-01T12:00:00.000001Z"),
        (1_772_366_399.999_999_9, "2026-03-01T12:00:00.000000Z"),
    ],
    ids=["beginning", "whole second keeps its zeros", "a microsecond", "rounded up"],
)
def test_time_is_utc_with_microseconds(now: float, text: str) -> None:
    assert codec.timestamp(now) == text


@settings(deadline=None, max_examples=200)
@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)))  # noqa: DTZ001 - hypothesis wants them naive
def test_the_time_of_an_envelope_is_the_time_of_the_event(moment: datetime) -> None:
    seconds = moment.replace(tzinfo=UTC).timestamp()
    record = codec.encode(EVENTS[0], 1, seconds, WHO)
    assert codec.envelope(record).time == pytest.approx(seconds, abs=2e-6)


def record(**changes: Any) -> bytes:
    return json.dumps(json.loads(codec.encode(EVENTS[2], SEQ, NOW, WHO)) | changes).encode()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"type": "cidr.painted"}, "cidr.painted"),
        ({"version": 2}, "version 2"),
        ({"version": 0}, "version 0"),
        ({"type": "cidr"}, "cidr"),
    ],
    ids=["type", "newer version", "version zero", "half a type"],
)
def test_what_this_release_does_not_know_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UnknownEvent, match=named) as refused:
        codec.decode(record(**changes))
    assert "event 7" in str(refused.value)


def test_whitespace_and_unknown_fields_of_the_envelope_are_read_over() -> None:
    spaced = b" " + record(colour="blue").replace(b'"data": {', b'"data":  {  ')
    assert codec.decode(spaced) == EVENTS[2]


def test_every_older_version_has_an_upcaster() -> None:
    older = {(str(cls.__struct_config__.tag), version) for cls in CLASSES for version in range(1, cls.version)}
    assert set(UPCASTERS) == older


def careful(record: bytes) -> e.AnyEvent:
    """An event read in two steps, as any release could: its envelope, then its data by the type that it names."""
    read = codec.envelope(record)
    kinds = {e.type_of(cls): cls for cls in CLASSES}  # type: ignore[arg-type]
    if read.type not in kinds or read.version != 1:
        raise UnknownEvent(read.type)
    found: e.AnyEvent = msgspec.json.decode(read.data, type=kinds[read.type])
    return found


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(EVENTS), st.data())
def test_reading_at_once_is_reading_in_two_steps(event: e.AnyEvent, data: st.DataObject) -> None:
    """Whatever became of a record's bytes: the same event, or none."""
    record = bytearray(codec.encode(event, SEQ, NOW, WHO))
    for _ in range(data.draw(st.integers(0, 2))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.sampled_from(b'0129",:{}x _\\\xff'))
    try:
        expected = careful(bytes(record))
    except UnknownEvent:
        with pytest.raises(UnknownEvent):
            codec.decode(bytes(record))
    except UNREADABLE:  # of an envelope that is not read for its event there is more that may be wrong
        with contextlib.suppress(UnknownEvent, *UNREADABLE):
            codec.decode(bytes(record))
    else:
        assert codec.decode(bytes(record)) == expected
