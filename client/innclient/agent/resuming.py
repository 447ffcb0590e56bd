"""Going on where the log was seen last.

Who holds the network is told what is new since then, and the coordinator shows the log's hash at that place. Who holds
nothing of it (its cache was damaged, or it was shut out) has to be told all, which needs no place in the log, so no
hash is shown. Then it is asked for first, on a connection that takes nothing but the hello: the head is believed on no
way without its hash.
"""

import contextlib
from collections.abc import AsyncIterator

import httpx2
from msgspec import Struct
from msgspec.structs import replace

from innclient.agent import stream
from innclient.core.connection import Lost
from innclient.core.netmap import Netmap, greet
from innerd.wire.stream import Hello


@contextlib.asynccontextmanager
async def resumed(http: httpx2.AsyncClient, netmap: Netmap) -> AsyncIterator[AsyncIterator[list[Struct]]]:
    """The stream from where a netmap stands, by chunks. Raises Lost, Denied, and LogForked."""
    if netmap.is_emptied and netmap.revision:
        await _prove(http, replace(netmap, is_emptied=False))
    async with stream.frames(http, netmap.cursor) as chunks:
        yield chunks


async def _prove(http: httpx2.AsyncClient, seen: Netmap) -> None:
    async with stream.frames(http, seen.cursor) as chunks:
        async for frames in chunks:
            for frame in frames:
                if not isinstance(frame, Hello):
                    raise Lost("the stream does not begin with a hello")
                greet(seen, frame)
                return
