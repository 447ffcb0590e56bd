"""The names of a network in the hosts file of the coordinator's own host, kept there whatever becomes of the file: what
could not be written is tried again, and a block that somebody overwrote comes back."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from innerd.coordinator.feed import Committed
from innerd.coordinator.names import with_addresses
from innerd.domain.network import Network
from innerd.failure import Failure
from innerd.host import hostsfile
from innerd.wire.ours import Trouble

_LOOK_AGAIN = 5.0  # seconds

_log = structlog.get_logger("innerd")


class HostsBlock:
    """`shown` is the revision that the file shows."""

    def __init__(self, path: Path, interface: str, suffix: str, network: Callable[[], Network]) -> None:
        self.shown = 0
        self._path, self._interface, self._suffix, self._network = path, interface, suffix, network
        self._stirred = asyncio.Event()
        self._trouble: Failure | None = None

    def follow(self, change: Committed) -> None:
        """A follower of the feed."""
        self._stirred.set()

    def troubles(self) -> Iterator[Trouble]:
        if self._trouble is not None:
            failure = self._trouble
            yield Trouble(kind="hosts", code=failure.code, text=failure.message, hint=failure.hint)

    async def run(self) -> None:
        while True:
            await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN):
                    await self._stirred.wait()
            self._stirred.clear()

    async def look(self) -> None:
        """Have the file say what it should. What hinders is said once."""
        network = self._network()
        block = hostsfile.lines_of(with_addresses(network), self._suffix)
        try:
            await asyncio.to_thread(hostsfile.update, self._path, self._interface, block)
        except Failure as failure:
            if self._trouble is None or self._trouble.message != failure.message:
                _log.error("names were not written", path=str(self._path), error=failure.message)
            self._trouble = failure
        else:
            self.shown, self._trouble = network.revision, None
