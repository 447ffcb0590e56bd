"""Lines of the journal that others can cause: few, and with the number of those that were left out."""

import asyncio
import logging

import pytest
import structlog

from innerd.host import sparing
from innerd.host.sparing import OfSource, Sparing, SparingFilter

JUNK = "Invalid HTTP request received."


class Minutes:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_of_a_kind_so_many_are_said_in_a_minute_and_then_how_many_were_not() -> None:
    clock = Minutes()
    lines = Sparing(2, clock)
    assert [lines.admit("junk") for _ in range(5)] == [0, 0, None, None, None]
    assert lines.admit("another") == 0
    clock.now = 60.0
    assert [lines.admit("junk") for _ in range(3)] == [3, 0, None]


def test_sources_without_number_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparing, "_MOST_KINDS", 8)
    lines = Sparing(1, Minutes())
    for source in range(1000):
        assert lines.admit(source) == 0
        assert len(lines._kinds) <= 8


def test_what_a_library_says_of_a_source_is_said_once_a_minute_with_its_name(
    caplog: pytest.LogCaptureFixture, spared: SparingFilter
) -> None:
    spared._sparing._clock = clock = Minutes()
    library = logging.getLogger("uvicorn.error")
    for _ in range(1500):
        OfSource(library, "10.42.128.1").warning(JUNK)
        OfSource(library, "10.42.128.2").warning(JUNK)
        logging.getLogger("asyncio").warning("socket.send() raised exception.")
    clock.now = 61.0
    OfSource(library, "10.42.128.1").warning(JUNK)
    assert [record.getMessage() for record in caplog.records] == [
        f"{JUNK} (from 10.42.128.1)",
        f"{JUNK} (from 10.42.128.2)",
        "socket.send() raised exception.",
        f"{JUNK} (from 10.42.128.1) (1499 more like it before)",
    ]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), BrokenPipeError("gone")])
@pytest.mark.usefixtures("spared")
def test_what_ended_leaves_no_traceback(caplog: pytest.LogCaptureFixture, error: BaseException) -> None:
    logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=error)
    logging.getLogger("uvicorn.error").error("a bug", exc_info=ValueError("of ours"))
    *ended, bug = caplog.records
    assert [(record.getMessage(), record.exc_info) for record in ended] in (
        [],
        [("Exception in ASGI application: gone", None)],
    )
    assert bug.exc_info is not None


def test_our_own_warnings_are_spared_too_and_what_was_asked_for_is_not() -> None:
    spare = sparing.processor()

    def said(method: str, **fields: str) -> bool:
        try:
            spare(None, method, {"event": "the coordinator ended the stream", **fields})
        except structlog.DropEvent:
            return False
        return True

    assert sum(said("warning", interface="one") for _ in range(1000)) == 10
    assert sum(said("warning", interface="two") for _ in range(1000)) == 10
    assert sum(said("info") for _ in range(1000)) == 1000
