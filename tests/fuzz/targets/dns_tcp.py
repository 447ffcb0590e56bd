"""A whole TCP connection to the DNS server, in two pieces: each question that came whole is answered in its turn, up to
the first that deserves silence."""

import asyncio
import contextlib

from tests.dns.asking import reply
from tests.dns.serving import PATIENCE, RYO, ZONE, serving
from tests.fuzz.targets import dns_message

EXAMPLES = 100
WORDS = dns_message.WORDS


def _framed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


# The first byte says where the pieces part.
SEEDS = [
    bytes((number,)) + _framed(*dns_message.SEEDS[number : number + 3])
    for number in range(0, len(dns_message.SEEDS) - 3, 4)
]


def check(data: bytes) -> None:
    asyncio.run(_converse(data[:1], data[1:]))


async def _converse(cut: bytes, sent: bytes) -> None:
    at = int.from_bytes(cut) % (len(sent) + 1)
    async with serving(lambda: ZONE) as served, served.connection() as connection:
        said = b""
        with contextlib.suppress(ConnectionError):  # closed while more was on its way
            for piece in (sent[:at], sent[at:]):
                connection.writer.write(piece)
                await connection.writer.drain()
            connection.writer.write_eof()
            async with asyncio.timeout(PATIENCE):
                while piece := await connection.reader.read(65_536):
                    said += piece
            assert said == _expected(sent)
        assert _expected(sent).startswith(said)


def _expected(sent: bytes) -> bytes:
    said = b""
    while len(sent) >= 2:
        length = int.from_bytes(sent[:2])
        if len(sent) < 2 + length:
            break
        answer = reply(sent[2 : 2 + length], zone=ZONE, source=RYO, tcp=True)
        if answer is None:
            break
        said, sent = said + _framed(answer), sent[2 + length :]
    return said
