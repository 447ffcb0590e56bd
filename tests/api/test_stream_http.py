"""The stream as bytes on a socket: HTTP/1.1 chunks (RFC 9112 7.1), read by hand, and connections that misbehave."""

import asyncio
import contextlib
import socket

import pytest

from innerd.domain import commands as c
from innerd.domain.values import Name
from innerd.streaming.registry import Stream
from innerd.wire import proof
from tests.api.asking import HEADER, SERVER_KEY
from tests.api.sockets import Wire, wire
from tests.api.streaming import PATIENCE, Told, frames_of
from tests.world import World, crowded

EVENTS = "GET /v1/user/events HTTP/1.1"
GET = "GET /v1/user/capabilities HTTP/1.1"


async def head_of(connection: Wire) -> tuple[int, dict[str, str]]:
    """The head of a response, byte by byte as it is."""
    async with asyncio.timeout(PATIENCE):
        status, *lines = (await connection.reader.readuntil(b"\r\n\r\n")).decode("latin-1")[:-4].split("\r\n")
    assert status.startswith("HTTP/1.1 ")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines)


async def chunk_of(connection: Wire) -> bytes:
    """One chunk; the last one is empty. Nothing but what the grammar has, and no extensions."""
    async with asyncio.timeout(PATIENCE):
        size = (await connection.reader.readuntil(b"\r\n"))[:-2]
        assert size == b"%x" % int(size, 16), "hex digits, without signs or blanks"
        data = await connection.reader.readexactly(int(size, 16))
        assert await connection.reader.readexactly(2) == b"\r\n"
        return data


async def chunks_until(connection: Wire, what: bytes) -> bytes:
    """Chunks until something was said."""
    body = b""
    while what not in body:
        chunk = await chunk_of(connection)
        assert chunk, "it ended"
        body += chunk
    return body


async def whole_body(connection: Wire) -> bytes:
    """All chunks until the last, which ends the response."""
    body = b""
    while chunk := await chunk_of(connection):
        body += chunk
    return body


async def opened(w: World, connection: Wire) -> tuple[Stream, bytes]:
    """A stream over a connection, and its first frames."""
    connection.request(EVENTS)
    status, headers = await head_of(connection)
    assert status == 200
    assert headers["transfer-encoding"] == "chunked"
    assert "content-length" not in headers
    body = await chunks_until(connection, b"event: presence")
    return list(w.hub.streams.by_peer.values())[-1], body


async def is_over(w: World, stream: Stream) -> None:
    """The coordinator has noticed, and nothing is left of it."""
    async with asyncio.timeout(PATIENCE):
        await stream.ended.wait()
    assert stream not in w.hub.streams.by_peer.values()
    assert not w.presence.is_online(stream.peer, w.now) or stream.peer in w.hub.streams.by_peer


# -- chunks -----------------------------------------------------------------------------------------------------------


async def test_every_byte_of_the_response_is_accounted_for(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        _, body = await opened(w, mari)
        for name in ("leo", "lea", "lena"):
            await w.do(c.RenamePeer(2, Name(name)))
            body += await chunks_until(mari, f'"name":"{name}"'.encode())
        await w.do(c.DisablePeer(w.peer("mari").id))
        body += await whole_body(mari)
        mari.request(GET)  # nothing stands between the last chunk and the next response
        assert (await mari.answer())[0] == 401
        told = Told()
        told.hear(body)
        events = [event for event in told.events() if event != "presence"]
        assert events == ["hello", "snapshot", "delta", "delta", "delta", "bye"]
        assert body.endswith(b'event: bye\ndata: {"reason":"disabled"}\n\n')


async def test_each_frame_lies_whole_in_a_chunk(w: World) -> None:
    """A client that hands chunks on as they come need not put frames together."""
    async with w.listening() as port, wire(w, "mari", port) as mari:
        await opened(w, mari)
        told = Told()
        for number in range(5):
            await w.do(c.RenamePeer(2, Name(f"ryo-{number}")))
        while told.cursor != f"1.{w.writer.network.revision}":
            chunk = await chunk_of(mari)
            assert chunk.startswith((b"id: ", b"event: "))
            assert chunk.endswith(b"\n\n")
            told.hear(chunk)
        assert [peer["name"] for peer in told.peers.values()] == ["ryo-4"]


async def test_a_large_frame_is_one_chunk_and_arrives_whole(w: World) -> None:
    await w.add_cidr("crowd", "127.42.16.0/21")
    await crowded(w, "crowd", "127.42.16.0", 1000)
    async with w.listening() as port, wire(w, "crowd-0", port) as one:
        stream, body = await opened(w, one)
        told = Told()
        told.hear(body)
        assert len(body) > 200_000
        assert told.events()[:3] == ["hello", "snapshot", "presence"]
        assert len(told.peers) == 1001
        assert stream.cursor == w.writer.network.revision


async def test_a_client_of_http_1_0_is_told_that_its_connection_ends(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        mari.request("GET /v1/user/events HTTP/1.0")
        status, headers = await head_of(mari)
        assert (status, headers["connection"]) == (200, "close")
        await chunks_until(mari, b"event: presence")
        await w.hub.shut_down()
        assert (await mari.rest()).endswith(b'data: {"reason":"shutting_down"}\n\n\r\n0\r\n\r\n')


# -- the connection after a stream ------------------------------------------------------------------------------------


async def test_a_connection_serves_on_after_a_bye(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        first, _ = await opened(w, mari)
        w.hub.streams.end(first, "interface_remade")
        assert frames_of(await whole_body(mari))[-1].data == {"reason": "interface_remade"}
        mari.request(GET)
        assert (await mari.answer())[0] == 200
        again, body = await opened(w, mari)
        assert again is not first
        assert [frame.event for frame in frames_of(body)][:3] == ["hello", "snapshot", "presence"]
        await w.do(c.RenamePeer(2, Name("leo")))
        await chunks_until(mari, b'"name":"leo"')
        mari.writer.transport.abort()
        await is_over(w, again)
        assert w.hub.streams.ended == {"interface_remade": 1, "disconnected": 1}


async def test_streams_one_after_the_other_on_one_connection(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        for number in range(10):
            stream, body = await opened(w, mari)
            assert body.count(b"event: hello") == 1
            w.hub.streams.end(stream, "interface_remade")
            await whole_body(mari)
            await is_over(w, stream)
            assert w.hub.streams.ended == {"interface_remade": number + 1}
        assert not w.hub.streams.by_peer


async def test_requests_sent_ahead_wait_for_the_end_of_the_stream(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        stream, _ = await opened(w, mari)
        mari.request(GET)
        mari.request("GET /v1/nothing HTTP/1.1")
        await w.do(c.RenamePeer(2, Name("leo")))
        await chunks_until(mari, b'"name":"leo"')  # the stream goes on
        w.hub.streams.end(stream, "interface_remade")
        await whole_body(mari)
        assert [(await mari.answer())[0] for _ in range(2)] == [200, 404]


async def test_a_stream_that_is_sent_ahead_begins_behind_the_answer(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        mari.request("GET /v1/user/state HTTP/1.1")
        mari.request(EVENTS)
        assert (await mari.answer())[0] == 200
        status, _ = await head_of(mari)
        assert status == 200
        body = await chunks_until(mari, b"event: presence")
        assert [frame.event for frame in frames_of(body)][:3] == ["hello", "snapshot", "presence"]


# -- clients that misbehave -------------------------------------------------------------------------------------------

GARBAGE = {
    "no HTTP": "\x00\xff\x16\x03\x01 hello\r\n\r\n",
    "text": "what is this?\r\n\r\n",
    "half a request": "GET /v1/us",
    "blank lines": "\r\n\r\n\r\n",
    "a request of its own kind": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "very much": "x" * 400_000,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_behind_the_request_harms_nobody_else(w: World, garbage: str) -> None:
    """Whoever sends it may lose its stream; the others hear of everything, and it may come again."""
    async with w.listening() as port, wire(w, "ryo", port) as ryo:
        await opened(w, ryo)
        async with wire(w, "mari", port) as mari:
            mari.request(EVENTS, body=garbage)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                async with asyncio.timeout(PATIENCE):
                    await mari.reader.readuntil(b"\n\n")
            await w.do(c.RenamePeer(2, Name("leo")))
            await chunks_until(ryo, b'"name":"leo"')
            mari.writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            while len(w.hub.streams.by_peer) > 1:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.005)
        async with wire(w, "mari", port) as again:
            stream, _ = await opened(w, again)
            assert stream.peer == w.peer("mari").id


async def test_a_body_behind_the_request_is_of_no_matter(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        mari.request(EVENTS, "Content-Length: 5", body="hello")
        assert (await head_of(mari))[0] == 200
        await chunks_until(mari, b"event: presence")
        await w.do(c.RenamePeer(2, Name("leo")))
        await chunks_until(mari, b'"name":"leo"')


async def test_a_client_that_half_closes_has_no_stream_any_more(w: World) -> None:
    """It says that it will never ask again; a stream whose reader may be gone is worth nothing."""
    async with w.listening() as port, wire(w, "mari", port) as mari:
        stream, _ = await opened(w, mari)
        mari.writer.write_eof()
        await is_over(w, stream)
        assert w.hub.streams.ended == {"disconnected": 1}
        rest = await mari.rest()
        assert rest.count(b"event: ") == rest.count(b"event: presence"), "at most its own, which was on its way"
        assert rest == b"" or rest.endswith(b"\n\n\r\n")


async def test_a_client_that_half_closes_with_its_request_leaves_nothing_behind(w: World) -> None:
    async with w.listening() as port, wire(w, "mari", port) as mari:
        mari.request(EVENTS)
        mari.writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            while not w.hub.streams.ended and not await nobody(w):  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.005)
            await mari.reader.read()
        assert await nobody(w)


async def nobody(w: World) -> bool:
    await asyncio.sleep(0.05)
    return not w.hub.streams.by_peer and not w.presence.streaming


async def test_a_client_that_resets_leaves_nothing_behind(w: World) -> None:
    async with w.listening() as port:
        async with wire(w, "mari", port) as mari:
            stream, _ = await opened(w, mari)
            mari.writer.transport.abort()
        await is_over(w, stream)
        assert await nobody(w)


# -- a thousand -------------------------------------------------------------------------------------------------------

MANY = 1000


class Client(asyncio.Protocol):
    """Takes all that comes; `greeted` and `ended` when that has happened."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.greeted, self.ended = asyncio.Event(), asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        if b"event: presence" in self.data:
            self.greeted.set()
        if self.data.endswith(b"\r\n0\r\n\r\n"):
            self.ended.set()

    @property
    def body(self) -> bytes:
        """The body of its one response; the chunks are taken apart to the last byte."""
        rest, body = bytes(self.data).partition(b"\r\n\r\n")[2], b""
        while True:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            body += rest[:length]
            assert rest[length : length + 2] == b"\r\n"
            rest = rest[length + 2 :]
            if not length:
                assert rest == b""
                return body


async def client(w: World, port: int, name: str, cursor: str) -> Client:
    made = socket.socket()
    made.setblocking(False)
    made.bind((str(w.peer(name).ip), 0))
    loop = asyncio.get_running_loop()
    await loop.sock_connect(made, (str(w.services.own_address), port))
    transport, protocol = await loop.create_connection(Client, sock=made)
    lines = [EVENTS, f"Host: {w.services.internal_endpoint}", f"{HEADER}: {SERVER_KEY}", f"Last-Event-ID: {cursor}"]
    lines.append(f"{proof.HEADER}: {w.proof(name, 'GET', '/v1/user/events')}")
    transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    return protocol


async def test_a_thousand_streams_hear_why_the_coordinator_ends(w: World) -> None:
    await w.add_cidr("crowd", "127.42.16.0/21")
    names = await crowded(w, "crowd", "127.42.16.0", MANY)
    cursor = f"1.{w.writer.network.revision}"
    async with w.listening() as port:
        clients = [await client(w, port, name, cursor) for name in names]
        async with asyncio.timeout(60):
            for one in clients:
                await one.greeted.wait()
        assert len(w.hub.streams.by_peer) == MANY
        streams = list(w.hub.streams.by_peer.values())
        stopping = asyncio.create_task(w.hub.shut_down())
        await asyncio.sleep(0)
        assert {stream.ending for stream in streams} == {"shutting_down"}, "none waits for another"
        async with asyncio.timeout(60):
            for one in clients:
                await one.ended.wait()
            for stream in streams:
                await stream.ended.wait()
            await stopping
        assert not w.hub.streams.by_peer
        assert not w.presence.streaming
        assert w.hub.streams.ended == {"shutting_down": MANY}
        for one in clients:
            assert frames_of(one.body)[-1].data == {"reason": "shutting_down"}
            assert one.body.count(b"event: bye") == 1
            one.transport.close()
