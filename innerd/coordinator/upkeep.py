"""Whether the log can be written, what is wrong if it can't, and making anew what was made of it.

A disk gets better by itself (there is room again, the lock is gone): that is tried. A damaged file does not, though
some rows can still be written to it: it is damaged until it is made anew.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from innerd.coordinator.replay import replayed_rows
from innerd.domain.errors import Refused
from innerd.log.projection import as_rows, difference
from innerd.log.store import Store, StoreCorrupt, StoreError, StoreUncertain

_log = structlog.get_logger("writer")


class Upkeep:
    def __init__(self, store: Store, fatal: Callable[[str], None]) -> None:
        self.storing = asyncio.Lock()  # one thing at a time is written
        self._store, self._fatal = store, fatal
        self._broken: StoreError | None = None  # why the log could not be written when that was tried last

    @property
    def trouble(self) -> str | None:
        """Why the log can't be written."""
        return None if self._broken is None else str(self._broken)

    @property
    def help(self) -> str | None:
        """What helps against it."""
        return None if self._broken is None else self._broken.hint

    @property
    def is_damaged(self) -> bool:
        return self._broken is not None and self._broken.is_damage

    def failed(self, error: StoreError) -> Refused:
        """A commit failed; what those are told who waited for it."""
        self._broken = error
        return unavailable(error)

    async def probe(self, *, write: bool = True) -> None:
        """See whether the log can be written. Raises Refused."""
        if self._broken is not None and self._broken.is_damage:
            raise unavailable(self._broken)
        try:
            await self._store.probe(write=write)
        except StoreError as error:
            raise self.failed(error) from error
        except StoreUncertain as error:
            self._fatal(str(error))
            raise unknown(error) from error
        self._broken = None

    async def look(self) -> None:
        """The same, without being asked for a change: who looks at the coordinator should know how its log is."""
        before = self.trouble
        with contextlib.suppress(Refused):
            await self.probe(write=before is not None)
        if before is None and self.trouble is not None:
            _log.error("the log can't be written", trouble=self.trouble)
        elif before is not None and self.trouble is None:
            _log.info("the log can be written again")

    async def look_for_damage(self) -> None:
        """Look at every page of the store. Raises StoreError where that can't be done."""
        damage = await self._store.damage()
        if damage is not None and not self.is_damaged:
            self._broken = StoreCorrupt(f"the database is damaged: {damage}", "corrupt")
            _log.error("the database is damaged", damage=damage, hint=self.help)

    async def rebuild(self) -> tuple[int, str | None]:
        """Make the read models anew from the log and put them in place of the old; how many rows differed (0, unless
        somebody wrote to them), and what was damaged: then all but the records was made anew. Changes wait meanwhile.
        Raises Refused where the store can't."""
        async with self.storing:
            try:
                differing, damage = await self._made_anew()
            except StoreError as error:
                raise unavailable(error) from error
            except StoreUncertain as error:
                self._fatal(str(error))
                raise unknown(error) from error
        self._broken = None
        if damage is not None:
            _log.error("the database was damaged, and is made anew from its records", damage=damage)
        if differing:
            _log.error("the read models were not what the log says", rows=differing)
        return differing, damage

    async def _made_anew(self) -> tuple[int, str | None]:
        damage = await self._store.damage()
        fresh = await replayed_rows(self._store)
        try:
            there = {} if damage is not None else await self._store.rows()
        except StoreCorrupt as error:  # whole pages, and text in them that is none
            damage = str(error)
        if damage is not None:
            await self._store.renew(as_rows(fresh))
            return 0, damage
        differing = difference(there, fresh)
        await self._store.replace_rows(as_rows(fresh))
        return differing, None


def unavailable(error: StoreError) -> Refused:
    code = "log_corrupt" if error.is_damage else "store_unavailable"
    return Refused(code, f"the log can't be written: {error}", f"nothing was changed; {error.hint}")


def unknown(error: Exception) -> Refused:
    return Refused(
        "store_unavailable",
        f"the log may or may not have been written: {error}",
        "the coordinator stops, and knows when it starts again: look before you repeat it",
    )
