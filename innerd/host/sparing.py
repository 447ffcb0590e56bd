"""What others send must not fill the journal: lines that are alike are said a few times a minute for each who causes
them, and how many were left out is said with the next one."""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, MutableMapping
from typing import Any

import structlog
from msgspec import Struct

_WINDOW = 60.0  # seconds
_MOST_OF_OTHERS, _MOST_OF_OURS = 1, 10  # lines alike in one: what strangers can cause, and what our own code says
_MOST_KINDS = 4096  # that are remembered; sources are without number


class _Kind(Struct):
    since: float
    said: int = 0
    left_out: int = 0


class Sparing:
    """Lets `most` lines of a kind through in a minute."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._kinds: dict[Hashable, _Kind] = {}

    def admit(self, kind: Hashable) -> int | None:
        """None where a line is to be left out; else how many like it were, since one was said."""
        now = self._clock()
        known = self._kinds.get(kind)
        if known is None:
            if len(self._kinds) >= _MOST_KINDS:
                self._forget(now)
            known = self._kinds[kind] = _Kind(now)
        if now - known.since >= _WINDOW:
            known.since, known.said = now, 0
        if known.said >= self._most:
            known.left_out += 1
            return None
        known.said += 1
        left_out, known.left_out = known.left_out, 0
        return left_out

    def _forget(self, now: float) -> None:
        """Those whose minute is over; all, where there are too many even so: then some are said once more."""
        self._kinds = {kind: known for kind, known in self._kinds.items() if now - known.since < _WINDOW}
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds = {}


class SparingFilter(logging.Filter):
    """For what libraries log (of requests that are none, of sockets that broke): by logger, text and source. What was
    ended on purpose is not worth a line, and a connection that broke no traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._sparing = Sparing(_MOST_OF_OTHERS)

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, asyncio.CancelledError):
            return False
        if isinstance(error, OSError):
            record.msg, record.args, record.exc_info = f"{record.getMessage().rstrip()}: {error}", None, None
        left_out = self._sparing.admit((record.name, record.levelno, record.msg, getattr(record, "source", None)))
        if left_out:
            record.msg, record.args = f"{record.getMessage().rstrip()} ({left_out} more like it before)", None
        return left_out is not None


class OfSource(logging.LoggerAdapter[logging.Logger]):
    """A library's logger that says whose bytes it speaks of."""

    def __init__(self, logger: logging.Logger, source: str) -> None:
        super().__init__(logger, {"source": source})
        self._source = source
        self.level = logger.level  # libraries look at it

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return f"{str(msg).rstrip()} (from {self._source})", {**kwargs, "extra": self.extra}


def processor() -> structlog.typing.Processor:
    """For our own warnings and errors: by text, and by what they are about. What is asked for with -v is all said."""
    sparing = Sparing(_MOST_OF_OURS)

    def spare(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if method in ("debug", "info"):
            return event
        about = tuple(str(event.get(name)) for name in ("interface", "peer", "source", "path", "code"))
        left_out = sparing.admit((method, event.get("event"), about))
        if left_out is None:
            raise structlog.DropEvent
        return {**event, "left_out": left_out} if left_out else event

    return spare
