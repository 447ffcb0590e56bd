"""The names of a network in the hosts file of the coordinator's own host, kept there whatever becomes of the file: what
could not be written is tried again, and a block that somebody overwrote comes back. While nothing happens that is one
look at when the file was written.

The lines are kept, so that a change costs its own, and the file is written aside, several changes at once where it is
large: no command waits for it."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from innerd.coordinator.feed import Committed
from innerd.coordinator.names import with_addresses
from innerd.domain.network import Network
from innerd.domain.visibility import touched
from innerd.failure import Failure
from innerd.host import hostsfile
from innerd.wire.ours import Trouble

_LOOK_AGAIN = 5.0  # seconds
_LEAST = 0.1  # seconds that it is left alone: changes that come together are written together
_MANY, _REST, _LONGEST = 500, 20.0, 1.0  # names, from which on it is left alone so many times as long as it took; s

_log = structlog.get_logger("innerd")


class HostsBlock:
    """`shown` is the revision that the file shows."""

    def __init__(self, path: Path, interface: str, suffix: str, network: Callable[[], Network]) -> None:
        self.shown = 0
        self._path, self._interface, self._network = path, interface, network
        self._block = hostsfile.Block(suffix)
        self._block.fill(with_addresses(network(), None))
        self._changed: set[int] = set()  # peers
        self._stirred = asyncio.Event()
        self._trouble: Failure | None = None
        self._stamp: hostsfile.Stamp | None = None  # of the file, when it said what it should

    def follow(self, change: Committed) -> None:
        """A follower of the feed."""
        self._changed |= touched(change.events)
        self._stirred.set()

    def troubles(self) -> Iterator[Trouble]:
        if self._trouble is not None:
            failure = self._trouble
            yield Trouble(kind="hosts", code=failure.code, text=failure.message, hint=failure.hint)

    async def run(self) -> None:
        while True:
            began = time.monotonic()
            if await self.look():
                rest = _REST * (time.monotonic() - began) if len(self._block) > _MANY else 0.0
                await asyncio.sleep(min(_LONGEST, max(_LEAST, rest)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN):
                    await self._stirred.wait()
            self._stirred.clear()

    async def look(self) -> bool:
        """Have the file say what it should. What hinders is said once. False where there was nothing to do."""
        network, changed = self._network(), self._changed
        if not changed and self._stamp == hostsfile.stamp_of(self._path):
            self.shown = network.revision
            return False
        self._changed, self._stamp = set(), None
        for number, names in with_addresses(network, changed):
            self._block.put(number, names)
        try:
            stamp = await asyncio.to_thread(hostsfile.keep, self._path, self._interface, self._block.lines())
        except Failure as failure:
            if self._trouble is None or self._trouble.message != failure.message:
                _log.error("names were not written", path=str(self._path), error=failure.message)
            self._trouble = failure
        else:
            self.shown, self._trouble, self._stamp = network.revision, None, stamp
        return True
