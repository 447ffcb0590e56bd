"""What a coordinator does beside serving, until cancelled: looks whether its log can be written and is whole, and lets
go of what is past its time."""

import asyncio
import gc
import time
from itertools import count

import structlog

from innerd.coordinator.writer import ANSWERS_KEPT, Writer
from innerd.domain.commands import ExpireInvitations
from innerd.domain.errors import Refused
from innerd.log.codec import Who
from innerd.log.store import StoreError
from innerd.serve.clock import Clock

_log = structlog.get_logger("innerd")

_TRIES = 10.0  # seconds between looks whether the log can be written
_HOUSEKEEPING = 60.0  # seconds
_GARBAGE, _ALL_GARBAGE = 600.0, 36  # seconds between looks for it, and how many until one is at all that was made
_DAY = 86_400.0  # seconds between looks at every page of the log


async def keep_trying(writer: Writer) -> None:
    """Who waits for the disk should not have to change something to learn that it is well again, nor that it is not."""
    while True:
        await asyncio.sleep(_TRIES)
        await writer.upkeep.look()


async def keep_whole(writer: Writer) -> None:
    """Damage where nobody has looked for years is found while there are still backups from before it."""
    while True:
        try:
            await writer.upkeep.look_for_damage()
        except StoreError as error:
            _log.warning("the log can't be looked through", error=str(error))
        await asyncio.sleep(_DAY)


async def keep_house(writer: Writer, clock: Clock) -> None:
    """Expire what is a day past its time, forget old answers."""
    while True:
        try:
            await clean(writer, clock)
        except (Refused, StoreError) as error:  # the disk: said anew each time, and tried again
            _log.warning("housekeeping failed", error=str(error))
        except Exception:
            _log.exception("housekeeping")
        await asyncio.sleep(_HOUSEKEEPING)


async def keep_clear() -> None:
    """What points at itself and is seldom made (an error, say) goes in time, where nothing else makes the collector
    look: at what is young, and each sixth hour at all of it, which holds the loop the longer the more streams there
    are."""
    for look in count(1):
        await asyncio.sleep(_GARBAGE)
        gc.collect(2 if look % _ALL_GARBAGE == 0 else 1)


async def clean(writer: Writer, clock: Clock) -> None:
    """Once. A clock that can't be believed destroys nothing."""
    if clock.may_destroy():
        await writer.submit(ExpireInvitations(), Who("coordinator"))
        await writer.store.forget_answers(int(time.time()) - ANSWERS_KEPT)
