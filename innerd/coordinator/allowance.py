"""What a peer may write to the log by itself: ten events an hour, whatever it asks for.

The log is for ever, so what a peer that is owned can add to it is small. What was written before this start counts
too: it is looked up in the log when a peer writes for the first time. Redeeming is not counted, as it happens once;
nor is what an administrator changes as an administrator.
"""

from collections import deque
from collections.abc import Callable
from math import ceil

from innerd.domain.errors import Refused
from innerd.log import codec
from innerd.log.store import Query, Store

MOST = 10  # events
_WITHIN = 3600.0  # seconds
_TYPES = "endpoint."  # what a peer can write of itself


class Allowance:
    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._written: dict[str, deque[float]] = {}  # actor -> when it wrote lately, oldest first

    async def recall(self, actor: str) -> None:
        """Know what an actor wrote before this start. Raises StoreError."""
        if actor in self._written:
            return
        now = self._clock()
        query = Query(actors=(actor,), type=_TYPES, since=codec.timestamp(now - _WITHIN), newest=True)
        found = await self._store.find(query, MOST)
        # Who asked meanwhile may have written by now: that stays.
        self._written.setdefault(actor, deque(codec.envelope(stored.record).time for stored in found))

    def take(self, actor: str, count: int) -> None:
        """So many events more, of an actor that was recalled. Raises Refused `rate_limited`, with the time to wait."""
        now, written = self._clock(), self._written[actor]
        while written and not now - _WITHIN < written[0] <= now:  # too old, or of a clock that was ahead
            if written.popleft() > now:
                written.append(now)
        if len(written) + count > MOST:
            wait = ceil((written[0] + _WITHIN - now) / 60) if written else ceil(_WITHIN / 60)
            raise Refused(
                "rate_limited",
                f"this peer has written {MOST} events to the log within an hour, which is the limit",
                f"wait {wait} minutes, or ask an administrator",
            )
        written.extend([now] * count)

    def give_back(self, actor: str, count: int) -> None:
        """So many of the last that were taken were never written."""
        for _ in range(count):
            self._written[actor].pop()
