"""A server on real loopback sockets, and clients that ask from addresses of their own."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import dns.asyncquery
import dns.message

from inndns.server import DnsServer
from inndns.zone import Zone
from tests.dns.asking import VILLAGE_HOSTS, VILLAGE_SEES, host, told, zone_of

# The village again, where any process may bind any address.
HOSTS = [host(h.name, str(h.address).replace("10.", "127.", 1), h.class_) for h in VILLAGE_HOSTS]
ZONE = zone_of(HOSTS, "127.42.0.0/16", VILLAGE_SEES)
AT = "127.42.0.1"
RYO, MARI, OVEN, TAMA = (str(h.address) for h in HOSTS[1:])
STRANGER = "127.42.7.7"
PATIENCE = 10  # seconds until a test that hangs fails; nothing here waits for it


def pair(address: str = AT) -> tuple[socket.socket, socket.socket]:
    """A bound UDP socket and a listening TCP one, as the caller of `listen` makes them."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.bind((address, 0))
    return udp, socket.create_server((address, 0), family=family)


@dataclass
class Serving:
    server: DnsServer
    address: str
    udp: int
    tcp: int

    async def ask(self, question: str, source: str = RYO, **kwargs: Any) -> str:
        """Over UDP, by dnspython."""
        query = dns.message.make_query(*question.split(), **kwargs)
        answer = await dns.asyncquery.udp(query, self.address, PATIENCE, self.udp, source)
        return told(answer.to_wire())

    async def ask_tcp(self, question: str, source: str = RYO) -> str:
        query = dns.message.make_query(*question.split())
        answer = await dns.asyncquery.tcp(query, self.address, PATIENCE, self.tcp, source)
        return told(answer.to_wire())

    @contextlib.asynccontextmanager
    async def connection(self, source: str = RYO) -> AsyncIterator["Connection"]:
        reader, writer = await asyncio.open_connection(self.address, self.tcp, local_addr=(source, 0))
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @contextlib.contextmanager
    def datagrams(self, source: str = RYO) -> Any:
        """A UDP socket that sends to the server; it never waits, so that silence can be seen at once."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.bind((source, 0))
            made.connect((self.address, self.udp))
            made.setblocking(False)
            yield made


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *messages: bytes) -> None:
        self.writer.write(b"".join(len(message).to_bytes(2, "big") + message for message in messages))

    async def receive(self) -> bytes:
        """The next message, or nothing when the server has closed."""
        async with asyncio.timeout(PATIENCE):
            try:
                length = await self.reader.readexactly(2)
            except (asyncio.IncompleteReadError, ConnectionResetError):
                return b""
            return await self.reader.readexactly(int.from_bytes(length, "big"))


@contextlib.asynccontextmanager
async def serving(
    zone: Callable[[], Zone] = lambda: ZONE, *, address: str = AT, **kwargs: Any
) -> AsyncIterator[Serving]:
    """A server of a zone. Nothing may go wrong unseen: what the loop complains of fails the test."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    server = DnsServer(zone, **kwargs)
    udp, tcp = pair(address)
    ports = udp.getsockname()[1], tcp.getsockname()[1]
    await server.listen(udp, tcp)
    try:
        yield Serving(server, address, *ports)
    finally:
        await server.close()
    assert complaints == []
