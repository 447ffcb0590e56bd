"""How often a peer may ask: a token bucket each, so that one that asks without end costs the others nothing."""

from collections.abc import Callable

from innerd.domain.errors import Refused


class Buckets:
    """`burst` at once, `rate` a second after that, for each peer by itself. Raises Refused beyond."""

    def __init__(self, what: str, burst: float, rate: float, clock: Callable[[], float]) -> None:
        self._what = what
        self._burst, self._rate = burst, rate
        self._clock = clock
        self._left: dict[int, tuple[float, float]] = {}  # tokens, and when they were counted

    def take(self, peer: int) -> None:
        """One more. Raises Refused `rate_limited`, with the seconds to wait."""
        now = self._clock()
        tokens, since = self._left.get(peer, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - since) * self._rate)
        if tokens < 1:
            self._left[peer] = (tokens, now)
            wait = (1 - tokens) / self._rate
            raise Refused("rate_limited", f"this peer asks too often for {self._what}", f"wait {wait:.1f} seconds")
        self._left[peer] = (tokens - 1, now)
