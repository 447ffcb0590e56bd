"""Looks at where peers are: whoever needs to know it at this moment asks here, and whoever can read the device answers.

So neither has to know the other: streams and meetings ask, the device's own loop looks.
"""

import asyncio
import contextlib
import time

AGAIN = 0.2  # seconds between two looks that somebody asked for, and that one waits for one


class Looks:
    """`stirred` is set where the loop that looks has reason to do something, `at` is when it looked last (by the clock
    that nobody sets)."""

    def __init__(self) -> None:
        self.rest = 0.0  # seconds between two that somebody asked for, where a look takes long
        self.stirred = asyncio.Event()
        self.at = float("-inf")
        self._looked = asyncio.Event()  # set, and another one made, at each look
        self._is_served = False

    def serve(self) -> None:
        """Somebody looks from now on."""
        self._is_served = True

    async def now(self) -> None:
        """See where peers are at this moment; not more often than a device can be read without hurting others, so it is
        waited until it may be read again: what was seen before may be where a peer was. At once, where nobody looks."""
        if not self._is_served:
            return
        await asyncio.sleep(max(0.0, self.at + max(AGAIN, self.rest) - time.monotonic()))
        looked = self._looked
        self.want()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AGAIN):
                await looked.wait()

    def want(self) -> None:
        """What was seen before does not count any more."""
        self.at = float("-inf")
        self.stirred.set()

    def looking(self) -> None:
        self.at = time.monotonic()

    def looked(self) -> None:
        """Tell all that waited."""
        self._looked.set()
        self._looked = asyncio.Event()
