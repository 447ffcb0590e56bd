"""Another machine has this peer's key, as the coordinator sees it: that is said, and no race for the place begins."""

from collections.abc import Callable

import structlog

from innerd.domain.values import Endpoint, parse_endpoint

_PAUSE = 120.0  # seconds between connections, half of it at least: whoever connects takes the other's place

_log = structlog.get_logger("agent")


class Sharing:
    """`at`: the two endpoints at which the coordinator sees this peer in turns; none while it is one machine."""

    def __init__(self, note: Callable[[str, str, str], None]) -> None:
        self.at: list[Endpoint] = []
        self._note = note

    def told(self, twins: list[str] | None) -> None:
        """What a hello says of it. Raises Refused."""
        before, self.at = self.at, [parse_endpoint(text) for text in (twins or ())[:2]]
        if self.at and not before:
            text = f"another machine has this peer's key: it is seen at {' and '.join(self.at)} in turns"
            _log.error(text)
            self._note("key.shared", "key", text)

    def pause(self, seconds: float) -> float:
        """How long to wait before the next connection, where it would be so long otherwise."""
        return _PAUSE if self.at else seconds
