"""Work that grows with the network, in slices: no request holds the loop for the size of what it asks for."""

import asyncio
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TypeVar

import msgspec

T = TypeVar("T")
R = TypeVar("R")

_encode = msgspec.json.Encoder().encode
_SLICE = 0.002  # seconds
_AT_ONCE = 16  # things between two looks at the clock
_FEW = 1000


async def made_of(things: Iterable[T], make: Callable[[T], R]) -> list[R]:
    """What is made of each of some things, which must not change meanwhile: parts of a network never do."""
    found: list[R] = []
    ends = perf_counter() + _SLICE
    for thing in things:
        found.append(make(thing))
        if not len(found) % _AT_ONCE and perf_counter() > ends:
            await asyncio.sleep(0)
            ends = perf_counter() + _SLICE
    if len(found) > _FEW:
        await asyncio.sleep(0)  # what is made of all of them takes a while too
    return found


async def encoded(things: Iterable[T], make: Callable[[T], object]) -> list[msgspec.Raw]:
    """The same, as JSON: thousands of values take as long to be written as to be made."""
    return await made_of(things, lambda thing: msgspec.Raw(_encode(make(thing))))
