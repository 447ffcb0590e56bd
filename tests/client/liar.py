"""A coordinator that says whatever a test wants: raw bytes on a stream, one script a connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from msgspec import Struct

from innerd.wire.stream import frame
from tests.client.support import COORDINATOR

OPEN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


# What a client asks before it can prove itself: the id that `told.ID` is.
_ID = b'{"network":"kermpany","network_id":"%s","suffix":"wg","admin_proof":"required","version":"0"}' % (b"a" * 32)
_CAPABILITIES = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_ID), _ID)


def presence(whole: bool = True) -> bytes:
    return b'event: presence\ndata: {"whole":%s,"peers":[]}\n\n' % (b"true" if whole else b"false")


def told(*frames: Struct | bytes) -> bytes:
    """Frames as they go over the wire; the name of a frame follows from its shape."""
    names = {"Hello": "hello", "Snapshot": "snapshot", "DeltaJson": "delta", "Bye": "bye", "PresenceJson": "presence"}
    return b"".join(f if isinstance(f, bytes) else frame(names[type(f).__name__], f) for f in frames)


class Liar:
    """`scripts` are answers to streams, in turn; the last one is repeated. `reports` is what was PUT."""

    def __init__(self, *scripts: bytes) -> None:
        self.scripts = list(scripts)
        self.streams = 0
        self.cursors: list[str | None] = []  # with which streams were asked for
        self.reports: list[tuple[str, object]] = []
        self.stirred = asyncio.Condition()
        self._open: set[asyncio.Task[None]] = set()
        self._streaming: asyncio.StreamWriter | None = None

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, COORDINATOR, 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def asked(self, times: int, within: float = 10) -> None:
        """Until so many streams were asked for: whoever asks again has survived the one before."""
        async with asyncio.timeout(within), self.stirred:
            await self.stirred.wait_for(lambda: self.streams >= times)

    async def say(self, more: bytes) -> None:
        """More on the stream that is open."""
        assert self._streaming is not None
        self._streaming.write(more)
        await self._streaming.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if head.startswith("GET /v1/user/events"):
                    sent = [x.partition(": ")[2] for x in head.split("\r\n") if x.lower().startswith("last-event-id:")]
                    self.cursors.append(sent[0] if sent else None)
                    await self._stream(writer)
                    break
                if head.startswith("GET /v1/user/capabilities"):
                    writer.write(_CAPABILITIES)
                    continue
                length = next(int(x.split(":")[1]) for x in head.split("\r\n") if x.lower().startswith("content-len"))
                body = await reader.readexactly(length)
                self.reports.append((head.split()[1], msgspec.json.decode(body)))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        script = self.scripts[min(self.streams, len(self.scripts) - 1)]
        async with self.stirred:
            self.streams += 1
            self.stirred.notify_all()
        self._streaming = writer
        writer.write(script)
        await writer.drain()
        if script.endswith(b"\n\n"):  # a stream that goes on; everything else is cut off
            await asyncio.Event().wait()
