"""The event stream as the agent reads it: one connection, its frames as values."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

import httpx2
import msgspec
from msgspec import Struct

from innclient.core.connection import Denied, Lost
from innerd.admin.client import ENDLESS, Proof, TunnelClient, client_of, problem_of, unheard
from innerd.admin.invitation import Parsed
from innerd.domain.errors import CODES
from innerd.domain.unreadable import UNREADABLE
from innerd.wire.caller import RUN
from innerd.wire.stream import DECODERS, KEEPALIVE_INTERVAL, Cursor, FrameParser
from innerd.wireguard.tcp import LIVELY

_READ = KEEPALIVE_INTERVAL * 2.5  # seconds of silence after which the connection is dead


def client(values: Parsed, link: str, auth: Proof | None = None) -> TunnelClient:
    """Requests of the agent, which all tell this run of it from others; with `auth`, proved."""
    made = client_of(values, link, auth, timeout=httpx2.Timeout(10.0, connect=4.0, read=_READ), options=LIVELY)
    made.headers[RUN] = secrets.token_hex(8)
    return made


async def answers(http: httpx2.AsyncClient, seconds: float) -> bool:
    """Whether the coordinator answers within a time, on a connection of its own: an old one may lead nowhere."""
    try:
        async with asyncio.timeout(seconds):
            await http.get("/v1/user/capabilities", headers={"Connection": "close"})
    except (TimeoutError, httpx2.HTTPError):
        return False
    return True


async def put(http: httpx2.AsyncClient, path: str, body: object) -> str | None:
    """Tell the coordinator something. None, or why it has not heard it."""
    return await _tell(http, "PUT", path, body)


async def _tell(http: httpx2.AsyncClient, method: str, path: str, body: object) -> str | None:
    try:
        response = await http.request(method, path, content=msgspec.json.encode(body))
    except httpx2.HTTPError as error:
        return unheard(error)
    return None if response.status_code < 400 else f"the coordinator answered {response.status_code}"


async def post(http: httpx2.AsyncClient, path: str, body: object) -> str | None:
    """Ask the coordinator for something. None, or why it does not."""
    return await _tell(http, "POST", path, body)


@contextlib.asynccontextmanager
async def frames(http: httpx2.AsyncClient, cursor: Cursor | None) -> AsyncIterator[AsyncIterator[list[Struct]]]:
    """Open a stream; what it yields are the frames of one chunk together, so that they are applied together.
    Raises Lost and Denied."""
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(cursor)} if cursor else {})
    try:
        async with http.stream("GET", "/v1/user/events", headers=headers, extensions=ENDLESS) as response:
            if response.status_code != 200:
                await response.aread()
                raise _denied(response)
            yield _read(response)
    except httpx2.HTTPError as error:
        silent = isinstance(error, httpx2.ConnectTimeout | httpx2.ReadTimeout)
        raise Lost(unheard(error), silent=silent) from error


async def _read(response: httpx2.Response) -> AsyncIterator[list[Struct]]:
    parser = FrameParser()
    async for chunk in response.aiter_raw():
        yield frames_of(parser, chunk)  # none: a keep-alive, which says that the coordinator is there
    raise Lost("the coordinator closed the stream")


def frames_of(parser: FrameParser, chunk: bytes) -> list[Struct]:
    """The frames that a chunk makes whole, without those of a later protocol. Raises Lost."""
    try:
        return [DECODERS[found.event].decode(found.data) for found in parser.feed(chunk) if found.event in DECODERS]
    except (*UNREADABLE, ValueError) as error:
        raise Lost(f"a frame can't be read: {error}") from error


def _denied(response: httpx2.Response) -> Exception:
    problem = problem_of(response)
    if not problem.code:
        return Lost(problem.title)
    if CODES.get(problem.code) == "unavailable" or response.status_code >= 500:
        return Lost(problem.title)
    return Denied(problem.code, problem.title)
