"""The lines of the audit: which of them need more than the event itself."""

import pytest

from innerd.admin.inspect import _learn, _speaks_of_others, audit_line
from innerd.api.audit import audit_record
from innerd.domain import events as e
from innerd.domain.network import EMPTY
from innerd.log import codec
from innerd.log.store import Stored
from tests.log.examples import EVENTS, NOW, SEQ, WHO

NOW_CALLED = {"peer:5": "now", "cidr:1": "all", "cidr:3": "three", "cidr:4": "four", "record:3": "r", "network": "n"}


@pytest.mark.parametrize("event", EVENTS, ids=e.type_of)
def test_only_a_line_that_speaks_of_others_needs_the_names_of_the_network(event: e.AnyEvent) -> None:
    record = audit_record(Stored(SEQ, codec.encode(event, SEQ, NOW, WHO), b"s" * 16, b"c" * 32), EMPTY)
    lines = []
    for names in ({}, dict(NOW_CALLED)):
        _learn(names, record)
        lines.append(audit_line(record, names))
    assert lines[0] == lines[1] or _speaks_of_others(record)


def test_of_the_most_frequent_no_line_does() -> None:
    frequent = [event for event in EVENTS if e.type_of(event).partition(".")[0] in ("peer", "key", "endpoint")]
    records = [audit_record(Stored(SEQ, codec.encode(x, SEQ, NOW, WHO), b"", b""), EMPTY) for x in frequent]
    assert len(records) > 10
    assert not any(map(_speaks_of_others, records))
