"""How a route is declared: an async function of a request, with what it is called, takes and answers; and what goes in
and comes out of it. Plain ASGI, as the event stream's: a framework took longer for a request than the command in it."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from innerd.api.asgi import Scope, Send
from innerd.wire.innernet import decode

JSON = "application/json"


class Request:
    """`headers` as they came, the first of several; `caller` is None where anybody may ask."""

    def __init__(self, scope: Scope, headers: Mapping[bytes, bytes], body: bytes, caller: Any) -> None:
        self.scope, self.body, self.caller = scope, body, caller
        self._headers = headers

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters behind the path; of several with one name the first counts."""
        found: dict[str, str] = {}
        for name, value in parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True):
            found.setdefault(name, value)
        return found

    def header(self, name: str) -> str | None:
        value = self._headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    def read(self, type_: Any) -> Any:
        """The body as a value. Raises Refused."""
        return decode(self.body, type_)


class Answer(Struct):
    """What a request is answered with; an empty one has no content type, as innernet's. `after` is awaited when it is
    written."""

    status: int = 200
    body: bytes = b""
    kind: str = JSON
    headers: dict[str, str] = {}
    after: Callable[[], Awaitable[None]] | None = None

    async def send(self, send: Send) -> None:
        headers = [(b"content-type", self.kind.encode())] if self.body else []
        headers += [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        if self.status != 204:  # RFC 9110 8.6
            headers.append((b"content-length", str(len(self.body)).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})
        if self.after is not None:
            await self.after()


def json(content: Any, revision: int | None = None, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(content), headers=etag(revision))


def etag(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"ETag": f'"{revision}"'}


Handler = Callable[..., Awaitable[Answer]]  # of a request, the services, and the ids in its path


class Route(Struct, frozen=True, kw_only=True):
    """`body` and `answer` are the types of what is read and written (None: nothing); `status` is that of success, and
    `kind` the content type of it."""

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    body: Any = None
    answer: Any = None
    status: int = 200
    kind: str = JSON


def route(method: str, path: str, name: str, summary: str, **more: Any) -> Callable[[Handler], Route]:
    """Declare a route; ids in its path are written `{id}`."""

    def declare(handler: Handler) -> Route:
        return Route(method=method, path=path, name=name, summary=summary, handler=handler, **more)

    return declare
