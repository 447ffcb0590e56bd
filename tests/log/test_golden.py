"""Stored events are for ever: one exact record of every event type and version, never rewritten.

A new version of an event gets a new file and an upcaster; `golden/SHA256SUMS` (checked by `sha256sum -c` too) says
so to whoever edits an old one. The files are made by hand or by a release, never by this test.
"""

from hashlib import sha256
from pathlib import Path
from typing import get_args

import pytest

from innerd.domain import events as e
from innerd.log import codec
from tests.log.examples import EVENTS, NOW, SEQ, WHO

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.json"))


def golden(event: e.Event) -> bytes:
    return (GOLDEN / f"{e.type_of(event)}.v{event.version}.json").read_bytes()


@pytest.mark.parametrize("event", EVENTS, ids=e.type_of)
def test_a_golden_record_is_read_as_its_event(event: e.AnyEvent) -> None:
    assert codec.decode(golden(event)) == event


@pytest.mark.parametrize("event", EVENTS, ids=e.type_of)
def test_an_event_is_written_as_its_golden_record(event: e.AnyEvent) -> None:
    assert codec.encode(event, SEQ, NOW, WHO) == golden(event)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_golden_record_says_what_its_name_says(path: Path) -> None:
    read = codec.envelope(path.read_bytes())
    assert path.name == f"{read.type}.v{read.version}.json"


def test_every_event_type_and_version_has_a_golden_record() -> None:
    classes: tuple[type[e.Event], ...] = get_args(e.AnyEvent)
    wanted = {f"{cls.__struct_config__.tag}.v{v}.json" for cls in classes for v in range(1, cls.version + 1)}
    assert {path.name for path in FILES} == wanted


def test_no_golden_record_was_ever_edited() -> None:
    lines = (GOLDEN / "SHA256SUMS").read_text().splitlines()
    assert lines == [f"{sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in FILES]
