"""Logs on stderr: readable on terminals, JSON for machines."""

import contextlib
import io
import logging
import sys
from typing import Literal, TextIO, cast

import structlog

from innerd.host import sparing
from innerd.terminal import printable

Format = Literal["text", "json"]


def _escaped(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What is said may be somebody else's words. (What is no text is shown by its repr, which escapes.)"""
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def _traceback(out: TextIO, raised: structlog.typing.ExcInfo) -> None:
    """A traceback, each line escaped: an error quotes what it is about."""
    text = io.StringIO()
    structlog.dev.plain_traceback(text, raised)
    out.write("\n".join(map(printable, text.getvalue().split("\n"))))


class _Stderr:
    """What can't be said (a full disk, a pipe nobody reads) must not keep the work from being done."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure(form: Format, verbosity: int) -> None:
    """`verbosity` 0: what an administrator must know; 1: what happens; 2: everything.

    Tracebacks come without the values of variables: private keys may be among them.
    """
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        sparing.processor(),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[structlog.typing.Processor]
    if form == "json":
        plain = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        final = [structlog.processors.ExceptionRenderer(plain), structlog.processors.JSONRenderer()]
    else:
        final = [
            _escaped,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                sort_keys=False,
                pad_event_to=0,
                exception_formatter=_traceback,
            ),
        ]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Stderr(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    libraries = logging.StreamHandler(sys.stderr)
    libraries.addFilter(sparing.SparingFilter())
    logging.basicConfig(level=logging.WARNING, handlers=[libraries], format="%(levelname)s %(name)s: %(message)s")
