"""Bytes over a real socket, from a peer's own address: what a library would not let a test send."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from innerd.wire import proof
from tests.api.asking import HEADER, SERVER_KEY
from tests.world import OURS, World

PATIENCE = 5  # seconds: only a broken server takes that long


class Wire:
    """One TCP connection of a peer to the coordinator."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, w: World, who: str) -> None:
        self.reader, self.writer, self.host = reader, writer, w.services.internal_endpoint
        self._world, self._who = w, who

    def send(self, text: str) -> None:
        self.writer.write(text.encode("latin-1"))

    def request(self, line: str, *headers: str, body: str = "") -> None:
        """A request line and headers, with Host and server key in front, and a proof where one is needed."""
        lines = [line, f"Host: {self.host}", f"{HEADER}: {SERVER_KEY}", *headers]
        method, target, *_ = line.split(" ")
        if OURS.match(target):
            bound = b"" if method == "GET" else body.encode("latin-1")
            lines.append(f"{proof.HEADER}: {self._world.proof(self._who, method, target, bound)}")
        self.send("\r\n".join(lines) + "\r\n\r\n" + body)

    async def answer(self, *, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        """One response; its header names as they were sent."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head.strip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            length = int(headers.get("content-length", 0)) if has_body else 0
            return int(status.split()[1]), headers, await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()


class Deaf:
    """A connection of a peer whose kernel takes little and acknowledges no more until somebody reads."""

    def __init__(self, w: World, who: str, port: int) -> None:
        self._wire = Wire(None, self, w, who)  # type: ignore[arg-type]
        self._world, self._who, self._port = w, who, port
        self._socket = socket.socket()

    async def connect(self) -> None:
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.bind((str(self._world.peer(self._who).ip), 0))
        await asyncio.get_running_loop().sock_connect(self._socket, (str(self._world.services.own_address), self._port))

    def write(self, data: bytes) -> None:
        assert self._socket.send(data) == len(data)

    def request(self, line: str, body: str = "") -> None:
        self._wire.request(line, *([f"Content-Length: {len(body)}"] if body else []), body=body)

    async def read_until(self, what: bytes) -> bytes:
        """All that was not read so far, up to something and a little more."""
        data = b""
        async with asyncio.timeout(PATIENCE):
            while what not in data:
                more = await asyncio.get_running_loop().sock_recv(self._socket, 1 << 16)
                assert more, "it ended"
                data += more
        return data

    def close(self) -> None:
        self._socket.close()


@contextlib.asynccontextmanager
async def deaf(w: World, who: str, port: int) -> AsyncIterator[Deaf]:
    connection = Deaf(w, who, port)
    try:
        await connection.connect()
        yield connection
    finally:
        connection.close()


@contextlib.asynccontextmanager
async def wire(w: World, who: str, port: int) -> AsyncIterator[Wire]:
    host = str(w.services.own_address)
    reader, writer = await asyncio.open_connection(host, port, local_addr=(str(w.peer(who).ip), 0), limit=1 << 24)
    try:
        yield Wire(reader, writer, w, who)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
