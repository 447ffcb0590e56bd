"""How much may pass: rates as people write them, what they let through at once, and what has passed. Pure."""

import re
from typing import Protocol

from msgspec import Struct

from innerd.domain.errors import Refused

_RATE = re.compile(r"([0-9]{1,6})\s*([kKMG])bit/s")
_UNITS = {"k": 1_000, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}


_BURST, _LEAST_BURST = 5, 200_000  # parts of a second; bytes


class Limits(Struct, frozen=True):
    """Bytes a second of what each peer may have relayed, and all together; None: as much as goes through."""

    per_peer: int | None = None
    total: int | None = None


class Total(Struct, frozen=True):
    """What an edge has carried: packets and bytes, and the packets that it held back as they were above a limit."""

    packets: int = 0
    bytes: int = 0
    held: int = 0

    def __add__(self, other: "Total") -> "Total":
        return Total(self.packets + other.packets, self.bytes + other.bytes, self.held + other.held)

    def since(self, before: "Total") -> "Total":
        """What came since then; all of it, where the counters began anew meanwhile."""
        if self.packets < before.packets or self.held < before.held:
            return self
        return Total(self.packets - before.packets, self.bytes - before.bytes, self.held - before.held)


def parse_rate(text: str) -> int | None:
    """Bytes a second of "50 Mbit/s"; None of "none". Raises Refused."""
    if text.strip() == "none":
        return None
    match = _RATE.fullmatch(text.strip())
    if match is None or not int(match[1]):
        raise Refused("invalid_rate", f'"{text}" is no rate', 'write "50 Mbit/s", "800 kbit/s", "1 Gbit/s" or "none"')
    return int(match[1]) * _UNITS[match[2]] // 8


class _Section(Protocol):
    per_peer: str
    total: str


def limits_of(section: _Section) -> Limits:
    """Of the rates of a configuration's `[relay]`. Raises Refused."""
    return Limits(parse_rate(section.per_peer), parse_rate(section.total))


def burst_of(limit: int) -> int:
    """Bytes that may pass at once, where so many may in a second."""
    return max(_LEAST_BURST, limit // _BURST)
