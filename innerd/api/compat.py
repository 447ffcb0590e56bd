"""The door in front of the routes: innernet's path rules, the guards, who is asking.

1. The path is split at `/`, leading slashes are dropped, nothing is percent-decoded. What is not below `v1`
   (but for our three open routes) is 404, whoever asks.
2. A request with `Origin` or `Referer`, or with another `Host`, comes from a browser: 403.
3. Below `v1` authentication comes before routing: an unknown path is 401 to a stranger, 404 to a peer; the admin
   check comes before admin sub-routes.
4. Trailing components are ignored once a route matched; ids are what Rust reads as i64; a wrong method is 404.
5. A body needs a Content-Length and at most 64 KiB (innernet: 16), else 400, before it is read.
"""

import asyncio
from collections.abc import Iterable
from time import perf_counter

from litestar import Litestar

from innerd.api.asgi import SESSION, App, Message, Receive, Scope, Send
from innerd.api.follow import serve_follow
from innerd.api.limits import Buckets
from innerd.api.services import Services
from innerd.api.sessions import Headers, ProofCheck, Session, identify, unauthorized
from innerd.api.stream import serve_stream
from innerd.domain.errors import Refused
from innerd.domain.values import whole_number
from innerd.wire import problems
from innerd.wire.proof import Request

MAX_BODY = 64 * 1024
_BODY = 10.0  # seconds for a body to come in
_ROUTE = "innerd.route"  # in the scope: the route's template, for metrics
_STREAM = "/v1/user/events"

_BURST, _RATE = 2000, 200.0  # requests of a peer that is no administrator: at once, and a second after that
_OPEN = {"metrics", "healthz", "openapi.json"}
_WITH_BODY = {"POST", "PUT", "PATCH"}
_FOR_USERS = {"state", "endpoint", "candidates", "applied", "connect", "events"}

Template = tuple[str, ...]
_ID = "{id}"


class Routes:
    """The known routes as templates, read off the app, so that they are written down once."""

    def __init__(self, app: Litestar) -> None:
        self._templates: dict[str, set[Template]] = {}
        for route in app.routes:
            template = tuple(_ID if "{" in part else part for part in route.path.strip("/").split("/"))
            for method in set(getattr(route, "methods", ())) - {"OPTIONS", "HEAD"}:
                self._templates.setdefault(str(method), set()).add(template)
        every = {template for templates in self._templates.values() for template in templates}
        self._with_ids = {template[:-1] for template in every if template[-1] == _ID}

    def resolve(self, method: str, parts: list[str]) -> tuple[str, str] | None:
        """The route template and the canonical path of a request, or None (404)."""
        templates = self._templates.get(method, set())
        for length in range(len(parts), 0, -1):
            head = parts[:length]
            for template in templates:
                if (path := _fill(template, head)) is not None:
                    return "/" + "/".join(template), path
            if tuple(head[:-1]) in self._with_ids:
                return None  # an id stood here, and nothing takes it
        return None


def _fill(template: Template, parts: list[str]) -> str | None:
    if len(template) != len(parts):
        return None
    filled = []
    for expected, given in zip(template, parts, strict=True):
        if expected != _ID:
            if expected != given:
                return None
            filled.append(given)
            continue
        is_negative = given.startswith("-")
        number = whole_number(given[1:] if given.startswith(("+", "-")) else given, 2**63 - (not is_negative))
        if number is None:
            return None
        filled.append(str(-number if is_negative else number))
    return "/" + "/".join(filled)


class Door:
    """The ASGI app that the servers run."""

    def __init__(self, app: Litestar, services: Services) -> None:
        self._app: App = app  # type: ignore[assignment]
        self._services = services
        self._routes = Routes(app)
        self._proofs = ProofCheck(services)
        self._requests = Buckets("answers", _BURST, _RATE, services.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began, method, status = perf_counter(), scope["method"], 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        scope[_ROUTE] = "none"
        try:
            await self._enter(scope, receive, counted)
        except Refused as refused:
            await _answer(counted, refused)
        finally:
            if scope[_ROUTE] != _STREAM:  # a stream lasts as long as it lasts
                self._services.observe_request(scope[_ROUTE], method, status, perf_counter() - began)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = scope["path"].lstrip("/").split("/") if not scope.get("raw_path") else _raw_parts(scope)
        headers: Headers = {}
        for name, value in scope["headers"]:
            if name == b"host" and name in headers:
                raise Refused("wrong_host", "there are two Host headers")
            headers.setdefault(name, value)  # of several the first counts
        if parts[0] in _OPEN and len(parts) == 1 and scope["method"] == "GET":
            self._guard(scope, headers)
            scope[SESSION] = None
            scope[_ROUTE] = "/" + parts[0]
            await self._forward(scope, "/" + parts[0], b"", receive, send)
            return
        if parts[0] != "v1":
            raise Refused("not_found", "there is nothing here")
        session = identify(self._services, scope["client"], headers)
        self._guard(scope, headers)
        self._allow(session, parts)
        body = b""
        if scope["method"] in _WITH_BODY:
            body = await _read_body(scope, headers, receive)
            # It may have been long on its way: who asks must still be who began to ask.
            now = identify(self._services, scope["client"], headers)
            session.still(self._services.writer.network, admin=parts[1:2] == ["admin"])
            self._allow(now, parts)
        privileged = parts[1:2] in (["admin"], ["network"]) or (parts[1:2] == ["why"] and session.admin_capable())
        if session.peer is not None and not session.admin_capable():
            self._requests.take(session.peer.id)
        if privileged and session.peer is not None:
            self._proofs.check(session.peer, headers.get(b"x-innerd-proof"), _bound(scope, headers, body))
        if parts[1:3] == ["admin", "events"] and scope["method"] == "GET" and _follows(scope):
            scope[_ROUTE] = _STREAM
            await serve_follow(self._services, session, scope, receive, send)
            return
        found = self._routes.resolve(scope["method"], parts)
        if found is None:
            if parts[1:3] == ["user", "events"] and scope["method"] == "GET":
                scope[_ROUTE] = _STREAM
                await serve_stream(self._services.hub, session.peer, scope, headers, send)
                return
            raise Refused("not_found", "there is no such route")
        scope[SESSION] = session
        scope[_ROUTE], path = found
        await self._forward(scope, path, body, receive, send)

    def _guard(self, scope: Scope, headers: Headers) -> None:
        """Browsers give themselves away: no page may command the network from behind a peer's address."""
        if b"origin" in headers or b"referer" in headers:
            raise Refused("foreign_origin", "requests from web pages are refused")
        host = headers.get(b"host")
        local = scope["client"] is not None and scope["client"][0].startswith("local:")
        if host is not None and not local and host.decode("latin-1") != self._services.internal_endpoint:
            raise Refused("wrong_host", "the Host header names another server")

    def _allow(self, session: Session, parts: list[str]) -> None:
        area, route = (*parts, "", "")[1:3]
        if session.redeeming and (area, route) != ("user", "redeem"):
            raise unauthorized("this peer has not shown its new key yet", "not_redeemed")
        if area == "why" and not (session.is_local or session.user_capable()):
            raise unauthorized("this peer has not redeemed its invitation", "not_redeemed")
        if area in ("admin", "network"):
            if not session.admin_capable():
                raise unauthorized("only administrators may do this", "not_admin")
        elif area == "user" and route in _FOR_USERS and not session.user_capable():
            if session.is_local:
                raise unauthorized("this route is for peers")
            raise unauthorized("this peer has not redeemed its invitation", "not_redeemed")

    async def _forward(self, scope: Scope, path: str, body: bytes, receive: Receive, send: Send) -> None:
        scope["path"], scope["raw_path"] = path, path.encode()
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, _bare(send))


def _bare(send: Send) -> Send:
    """Empty answers without a content type, as innernet's are; a framework always writes one."""

    async def plain(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message["headers"]
            if (b"content-length", b"0") in headers:
                message["headers"] = [header for header in headers if header[0] != b"content-type"]
        await send(message)

    return plain


def _follows(scope: Scope) -> bool:
    return b"follow=true" in scope["query_string"].split(b"&")


def _raw_parts(scope: Scope) -> list[str]:
    raw: bytes = scope["raw_path"]
    return raw.partition(b"?")[0].decode("latin-1").lstrip("/").split("/")


def _bound(scope: Scope, headers: Headers, body: bytes) -> Request:
    """The parts of a request that its proof binds."""
    raw = scope.get("raw_path") or scope["path"].encode()
    query = scope["query_string"]
    target = raw.partition(b"?")[0] + (b"?" + query if query else b"")

    def text(name: bytes) -> str:
        return headers.get(name, b"").decode("latin-1")

    return Request(
        method=scope["method"],
        target=target.decode("latin-1"),
        host=text(b"host"),
        body=body,
        if_match=text(b"if-match"),
        idempotency_key=text(b"idempotency-key"),
    )


async def _read_body(scope: Scope, headers: Headers, receive: Receive) -> bytes:
    length = headers.get(b"content-length", b"")
    if b"transfer-encoding" in headers or not length.isdigit():
        raise Refused("length_required", "a body needs a Content-Length")
    if whole_number(length.decode(), MAX_BODY) is None:
        raise Refused("body_too_large", f"the body has more than {MAX_BODY} bytes, which are the limit")
    try:
        async with asyncio.timeout(_BODY):
            return await _whole_body(receive)
    except TimeoutError:
        raise Refused("invalid_request", f"the body did not come within {_BODY:.0f} seconds") from None


async def _whole_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused("invalid_request", "the body was cut short")
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


async def _answer(send: Send, refused: Refused, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    what = problems.problem(refused)
    body = problems.encode(what)
    await send(
        {
            "type": "http.response.start",
            "status": what.status,
            "headers": [
                (b"content-type", problems.MEDIA_TYPE.encode()),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})
