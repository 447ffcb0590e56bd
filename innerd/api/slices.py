"""Work that grows with the network, in slices: no request holds the loop for the size of what it asks for."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from time import perf_counter
from typing import TypeVar

import msgspec

T = TypeVar("T")
R = TypeVar("R")

_encode = msgspec.json.Encoder().encode
_SLICE = 0.002  # seconds
_AT_ONCE = 16  # things between two looks at the clock


async def made_of(things: Iterable[T], make: Callable[[T], R], at_once: int = _AT_ONCE) -> list[R]:
    """What is made of each of some things, which must not change meanwhile: parts of a network never do. Where that
    took more than one slice, what is made of all of them begins in a turn of its own."""
    found: list[R] = []
    ends, is_long = perf_counter() + _SLICE, False
    for thing in things:
        found.append(make(thing))
        if not len(found) % at_once and perf_counter() > ends:
            await asyncio.sleep(0)
            ends, is_long = perf_counter() + _SLICE, True
    if is_long:
        await asyncio.sleep(0)
    return found


async def encoded(things: Iterable[T], make: Callable[[T], object]) -> list[msgspec.Raw]:
    """The same, as JSON: thousands of values take as long to be written as to be made, and to be freed. So they are
    joined a few at a time, with the commas between them: a list of these is written as the list of them all."""
    return await made_of(_few(things), lambda few: msgspec.Raw(b",".join(_encode(make(one)) for one in few)), 1)


def _few(things: Iterable[T]) -> Iterator[tuple[T, ...]]:
    left = iter(things)
    while few := tuple(islice(left, _AT_ONCE)):
        yield few
