"""The frames of the stream on the wire: parsing in any chunks, bounds, cursors."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.wire.stream import KEEPALIVE, Bye, Cursor, Event, FrameParser, frame, parse_cursor

NAMES = st.sampled_from(["hello", "snapshot", "delta", "presence", "bye", "connect"])
IDS = st.one_of(st.none(), st.builds(lambda g, r: f"{g}.{r}", st.integers(1, 99), st.integers(0, 10**9)))
DATA = st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=20)), max_size=3)


def written(event: str, data: object, identity: str | None) -> bytes:
    """A frame by the words of the standard, as a server writes it."""
    head = f"id: {identity}\n" if identity else ""
    return f"{head}event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, object, str | None]]]:
    """Frames with keep-alive comments between them, and what they say."""
    raw, told = b"", []
    for event, data, identity in draw(st.lists(st.tuples(NAMES, DATA, IDS), max_size=6)):
        raw += draw(st.sampled_from([b"", b": \n\n", b":\n\n", b": still there\n\n"]))
        raw += written(event, data, identity)
        told.append((event, data, identity))
    return raw, told


@settings(max_examples=200, deadline=None)
@given(stream=streams(), cuts=st.lists(st.integers(0, 400), max_size=12))
def test_frames_come_out_the_same_however_the_bytes_are_cut(
    stream: tuple[bytes, list[tuple[str, object, str | None]]], cuts: list[int]
) -> None:
    raw, told = stream
    edges = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    parser, found = FrameParser(), []
    for begin, end in pairwise(edges):
        found += parser.feed(raw[begin:end])
    assert [(event.event, json.loads(event.data), event.id) for event in found] == told


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b": \n\n", [], id="a comment"),
        pytest.param(b"\n\n\n\n", [], id="empty lines"),
        pytest.param(b"event: x\n\n", [], id="no data: no event"),
        pytest.param(b"data: {}\n\n", [Event("message", b"{}", None)], id="no name: a message"),
        pytest.param(b"data:{}\n\n", [Event("message", b"{}", None)], id="no blank behind the colon"),
        pytest.param(b"data:  {}\n\n", [Event("message", b" {}", None)], id="one blank goes, not two"),
        pytest.param(b"event: x\ndata: a: b\n\n", [Event("x", b"a: b", None)], id="colons in data"),
        pytest.param(b": hm\nevent: x\ndata: 1\n\n", [Event("x", b"1", None)], id="a comment inside"),
        pytest.param(b"retry: 5\nevent: x\ndata: 1\n\n", [Event("x", b"1", None)], id="an unknown field"),
        pytest.param(b"id: 1.7\nevent: x\ndata: 1\n\n", [Event("x", b"1", "1.7")], id="an id"),
        pytest.param(b"id: \xff\nevent: x\ndata: 1\n\n", [Event("x", b"1", "�")], id="an id that is not ASCII"),
        pytest.param(b"data: 1\n", [], id="not finished"),
    ],
)
def test_a_block_reads_as_the_standard_says(raw: bytes, events: list[Event]) -> None:
    assert FrameParser().feed(raw) == events


@pytest.mark.parametrize(("chunk", "taken"), [(1, 100), (7, 98), (1000, 0)])
def test_an_endless_line_is_an_error_before_it_takes_the_memory(chunk: int, taken: int) -> None:
    parser = FrameParser(most=100)
    for _ in range(taken // chunk):
        assert parser.feed(b"x" * chunk) == []
    with pytest.raises(ValueError, match="100"):
        parser.feed(b"x" * chunk)


def test_a_frame_of_exactly_the_bound_is_read() -> None:
    raw = b"data: " + b"x" * 92 + b"\n\n"
    assert len(raw) == 100
    assert len(FrameParser(most=100).feed(raw)) == 1
    with pytest.raises(ValueError, match="99"):
        FrameParser(most=99).feed(raw)


def test_many_small_frames_in_one_read_are_no_oversize_frame() -> None:
    assert len(FrameParser(most=100).feed(b"data: 1\n\n" * 50)) == 50


@pytest.mark.parametrize(
    ("text", "cursor"),
    [
        ("1.7", Cursor(1, 7)),
        ("12.123456789012345", Cursor(12, 123456789012345)),
        ("1.0", Cursor(1, 0)),
        ("01.007", Cursor(1, 7)),
        (None, None),
        ("", None),
        ("7", None),
        (".7", None),
        ("1.", None),
        ("1.7.8", None),
        ("-1.7", None),
        ("1.-7", None),
        ("+1.7", None),
        (" 1.7", None),
        ("1.7\n", None),
        ("1.7e3", None),
        ("1_0.7", None),
        ("1.٣", None),
        ("²." + "7", None),
        ("1." + "7" * 16, None),
        ("1" * 10 + ".7", None),
        ("9" * 5000, None),
    ],
)
def test_a_cursor_is_two_plain_numbers_or_none_at_all(text: str | None, cursor: Cursor | None) -> None:
    assert parse_cursor(text) == cursor


@given(st.integers(1, 10**9 - 1), st.integers(0, 10**15 - 1))
@settings(max_examples=50, deadline=None)
def test_a_cursor_as_written_reads_as_it_was(generation: int, revision: int) -> None:
    assert parse_cursor(str(Cursor(generation, revision))) == Cursor(generation, revision)


def test_a_frame_is_two_or_three_lines() -> None:
    assert frame("bye", Bye(reason="disabled")) == b'event: bye\ndata: {"reason":"disabled"}\n\n'
    with_id = frame("delta", Bye(reason="x\ny"), Cursor(1, 7))
    assert with_id == b'id: 1.7\nevent: delta\ndata: {"reason":"x\\ny"}\n\n'


def test_a_keep_alive_is_a_comment() -> None:
    assert KEEPALIVE.startswith(b":")
    assert FrameParser().feed(KEEPALIVE) == []
