"""How often a peer may ask: a token bucket each, so that one that asks without end costs the others nothing."""

from collections.abc import Callable

from innerd.domain.bucket import Bucket
from innerd.domain.errors import Refused


class Buckets:
    """`burst` at once, `rate` a second after that, for each peer by itself. Raises Refused beyond."""

    def __init__(self, what: str, burst: float, rate: float, clock: Callable[[], float]) -> None:
        self._what = what
        self._burst, self._rate = burst, rate
        self._clock = clock
        self._each: dict[int, Bucket] = {}

    def take(self, peer: int) -> None:
        """One more. Raises Refused `rate_limited`, with the seconds to wait."""
        bucket = self._each.setdefault(peer, Bucket(self._rate, self._burst))
        if not bucket.take(1, self._clock()):
            wait = (1 - bucket.left) / self._rate
            raise Refused("rate_limited", f"this peer asks too often for {self._what}", f"wait {wait:.1f} seconds")
