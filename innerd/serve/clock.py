"""Whether the clock of this host can be believed: wall time against the time since the boot, which nobody sets.

The two run side by side (CLOCK_BOOTTIME goes on while a machine sleeps), so their difference, the time of the boot, is
always the same. If it is not, somebody set the clock. Perhaps it was wrong before, perhaps it is now: what destroys
(an expired invitation takes its peer away, old answers are forgotten) waits until the clock is right again, or the new
time has held for a day. Everything else goes by the clock as it is, since that is reversible.
"""

import time
from collections.abc import Callable
from pathlib import Path

import structlog

_log = structlog.get_logger("innerd")

TOLERANCE = 60.0  # seconds by which a clock may be set without a word
BELIEVED = 86_400.0  # seconds after which another time is believed
_PROVEN = 3600.0  # seconds after the start before which nothing is destroyed: a host sets its clock soon after a boot


def since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Which boot of this host it is."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Clock:
    """`epoch`: the time of this boot as an earlier process knew it, None where none did."""

    def __init__(
        self, epoch: float | None, wall: Callable[[], float] = time.time, steady: Callable[[], float] = since_boot
    ) -> None:
        self._wall, self._steady = wall, steady
        self._began = steady()
        self.epoch = wall() - self._began if epoch is None else epoch
        self._jumped: tuple[float, float] | None = None  # the epoch that is claimed, and since when (steady)

    def look(self) -> float:
        """Compare the two; the seconds that the clock is off by what it should be, 0.0 while it can be believed."""
        now = self._steady()
        claimed = self._wall() - now
        off = claimed - self.epoch
        if abs(off) <= TOLERANCE:
            if self._jumped is not None:
                self._jumped = None
                _log.info("the clock is right again")
            return 0.0
        if self._jumped is None or abs(claimed - self._jumped[0]) > TOLERANCE:
            self._jumped = claimed, now
            _log.error("the clock was set: nothing expires for good meanwhile", off=round(off, 1))
        elif now - self._jumped[1] >= BELIEVED:
            self.epoch, self._jumped = claimed, None
            _log.warning("the clock has held for a day: it is believed", off=round(off, 1))
            return 0.0
        return off

    @property
    def trouble(self) -> str | None:
        """What is wrong with it, in words."""
        off = self.look()
        if not off:
            return None
        assert self._jumped is not None  # noqa: S101 - look() has set it
        hours = (BELIEVED - (self._steady() - self._jumped[1])) / 3600
        how = f"{_length(abs(off))} {'ahead of' if off > 0 else 'behind'}"
        return f"it was set {how} what it was; if it stays so, it is believed in {hours:.0f} h"

    def may_destroy(self) -> bool:
        """Whether what can't be taken back may be done by the time that it shows now."""
        return not self.look() and self._steady() - self._began >= _PROVEN


def _length(seconds: float) -> str:
    for span, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * span:
            return f"{seconds / span:.0f} {name}"
    return f"{seconds:.0f} s"
