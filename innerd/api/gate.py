"""The gate in front of the routes: what a source may cost, innernet's path rules, the guards, who is asking.

1. Before anything is looked at, the source that asks must have budget left, and it must be its turn (`sources`).
2. What is not below `v1` (but for our three open routes) is 404, whoever asks (`paths`).
3. A request with `Origin` or `Referer`, or without this `Host`, comes from a browser: 403.
4. Below `v1` authentication comes before routing: an unknown path is 401 to a stranger, 404 to a peer; the admin
   check comes before admin sub-routes.
5. A body needs a Content-Length and a bounded size, else 400, before it is read.
6. What acts for a peer, or commands the network, needs the proof of the peer's key (`sessions`).
"""

import asyncio
from collections.abc import Iterable
from time import perf_counter

import structlog
from msgspec import Struct

from innerd.api.asgi import SEAT, VISIT, Message, Receive, Scope, Send
from innerd.api.callers import LOCAL, Caller, Headers, ProofCheck, address_of, identify, unauthorized
from innerd.api.follow import serve_follow
from innerd.api.paths import Routes, parts_of
from innerd.api.routing import Answer, Request, Route
from innerd.api.services import Services
from innerd.api.sources import Metered, Visit
from innerd.api.stream import serve_stream
from innerd.api.turns import Heavy, Turns
from innerd.domain.errors import Refused
from innerd.domain.values import whole_number
from innerd.wire import problems
from innerd.wire.caller import parse_software
from innerd.wire.proof import HEADER
from innerd.wire.proof import Request as Bound

MAX_BODY = 64 * 1024
_USER_BODY = 16 * 1024  # innernet's bound, for peers' own routes but for receipts, which may name many peers
_RECEIPT_BODY = 32 * 1024
_BODY = 10.0  # seconds for a body to come in
_ROUTE = "innerd.route"  # in the scope: the route's template, for metrics
_STREAM = "/v1/user/events"

OPEN = {"metrics", "healthz", "openapi.json"}
_WITH_BODY = {"POST", "PUT", "PATCH"}
_FOR_USERS = {"state", "endpoint", "candidates", "applied", "connect", "router", "events"}
_PROVEN = {"applied", "connect", "router", "events"}  # they act for the peer, and are ours alone
_INNERNETS = {"endpoint", "candidates"}  # they act for the peer too, but innernet's clients have no proof
_TELLING = (("user", "events"), ("user", "state"))  # what keeps a peer, `inn` or innernet's client, asks for these
_PROOF = HEADER.lower().encode()

_log = structlog.get_logger("api")

# Nothing of ours is for a browser to show, or to guess the type of.
_NOT_TO_BE_SHOWN = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


class _Passage(Struct):
    """A request on its way through the gate."""

    scope: Scope
    headers: Headers
    parts: list[str]  # of its path
    place: tuple[str, str]  # the two parts of it behind the version: `user`, `events`
    receive: Receive
    send: Send
    body: bytes = b""

    @property
    def visit(self) -> Visit | None:
        """What it costs its source; None for a local user's, and in process."""
        return self.scope.get(VISIT)


class Gate:
    """The ASGI app that the servers run."""

    def __init__(self, routes: Iterable[Route], services: Services) -> None:
        self._services = services
        self._routes = Routes(routes)
        self._proofs = ProofCheck(services)
        self._turns, self._heavy = Turns(), Heavy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["client"] is None or _is_local(scope):
            await self._serve(scope, receive, send)
            return
        if (visit := scope.get(VISIT)) is None:  # a connection begins it as it reads the request
            visit = scope[VISIT] = Visit(self._services.sources.of(scope["client"]))
        try:
            await Metered(self._serve(scope, receive, send), visit.charge)
        finally:
            visit.leave()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, method, status = perf_counter(), scope["method"], 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_NOT_TO_BE_SHOWN]
            await send(message)

        scope[_ROUTE] = "none"
        try:
            await self._enter(scope, receive, counted)
        except Refused as refused:
            if (visit := scope.get(VISIT)) is not None:
                visit.turn_down()
            await _problem(problems.problem(refused)).send(counted)
        finally:
            if scope[_ROUTE] != _STREAM:  # a stream lasts as long as it lasts
                self._services.observe_request(scope[_ROUTE], method, status, perf_counter() - began)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Its turn, who asks, whether they may, its body, its proof, its route. Raises Refused at the first that is
        missing."""
        parts = parts_of(scope)
        passage = _Passage(scope, _headers(scope), parts, _place(parts), receive, send)
        await self._await_turn(passage)
        if (seat := scope.get(SEAT)) is not None and seat.is_gone():
            return  # it was dropped meanwhile: what would be made for it costs the others
        if passage.parts[0] in OPEN and len(passage.parts) == 1 and scope["method"] == "GET":
            await self._let_anybody_in(passage)
            return
        if passage.parts[0] != "v1":
            raise Refused("not_found", "there is nothing here")
        caller = identify(self._services, scope["client"], passage.headers)
        self._guard(passage)
        _require_rights(caller, passage)
        if scope["method"] in _WITH_BODY:
            is_there = seat is not None and seat.has_body
            passage.body = await _read_body(_most(passage.parts), passage.headers, receive, is_there=is_there)
            self._require_the_same(caller, passage)
        self._require_proof(caller, passage)
        await self._dispatch(caller, passage)

    async def _let_anybody_in(self, passage: _Passage) -> None:
        self._guard(passage)
        found = self._routes.resolve("GET", passage.parts)
        assert found is not None  # noqa: S101 - it is one of OPEN
        await self._take(passage, None, found[0], [])

    async def _await_turn(self, passage: _Passage) -> None:
        visit = passage.visit
        if visit is None:
            return
        # An administrator has no budget.
        may_be_an_admin = _PROOF in passage.headers and self._is_admins(passage.scope["client"][0])
        if not may_be_an_admin or passage.parts[0] != "v1":
            visit.source.require_budget()
        if not may_be_an_admin:
            await self._heavy.enter(visit)
        await self._turns.take(visit)

    def _is_admins(self, host: str) -> bool:
        peer = self._services.writer.network.peer_at(address_of(host))
        return peer is not None and peer.is_admin

    def _guard(self, passage: _Passage) -> None:
        """Browsers give themselves away: no page may command the network from behind a peer's address."""
        headers = passage.headers
        if b"origin" in headers or b"referer" in headers:
            raise Refused("foreign_origin", "requests from web pages are refused")
        host = headers.get(b"host", b"").decode("latin-1")
        if not _is_local(passage.scope) and host != self._services.internal_endpoint:
            raise Refused("wrong_host", "the Host header names another server" if host else "there is no Host header")

    def _require_the_same(self, caller: Caller, passage: _Passage) -> None:
        """The body may have been long on its way: who asks must still be who began to ask."""
        now = identify(self._services, passage.scope["client"], passage.headers)
        caller.still(self._services.writer.network, admin=passage.place[0] == "admin")
        _require_rights(now, passage)

    def _require_proof(self, caller: Caller, passage: _Passage) -> None:
        """The proof of the peer's key, where one is given or needed; what it says of itself is believed with it. Raises
        Refused."""
        peer = caller.peer
        if peer is None:
            return
        header, visit = passage.headers.get(_PROOF), passage.visit
        is_proven = header is not None and caller.user_capable()
        if header is not None and is_proven:
            self._proofs.check(peer, header, _bound(passage))
            self._services.presence.prove(peer.id)
            if (seat := passage.scope.get(SEAT)) is not None:
                seat.is_proven = True
        elif self._needs_proof(caller, passage):
            raise _proof_required(passage)
        if is_proven or peer.id not in self._services.presence.proven:
            self._note_software(caller, peer.id, passage)
        if visit is not None and is_proven and caller.admin_capable():
            visit.excuse()
        elif visit is not None and header is not None:
            visit.source.require_budget()

    def _needs_proof(self, caller: Caller, passage: _Passage) -> bool:
        area, route = passage.place
        if area in ("admin", "network") or (area == "why" and caller.admin_capable()):
            return self._services.proof_required
        if area == "user" and route in _INNERNETS:
            return caller.peer is not None and caller.peer.id in self._services.presence.proven
        return area == "why" or (area == "user" and route in _PROVEN)

    def _note_software(self, caller: Caller, number: int, passage: _Passage) -> None:
        if passage.place not in _TELLING or not caller.user_capable():
            return
        software = parse_software(passage.headers.get(b"user-agent", b"").decode("latin-1"))
        if software is not None:
            self._services.presence.report_software(number, software)

    async def _dispatch(self, caller: Caller, passage: _Passage) -> None:
        scope, is_get = passage.scope, passage.scope["method"] == "GET"
        if passage.parts[1:3] == ["admin", "events"] and is_get and _follows(scope):
            scope[_ROUTE] = _STREAM
            await serve_follow(self._services, caller, scope, passage.receive, passage.send)
            return
        found = self._routes.resolve(scope["method"], passage.parts)
        if found is not None:
            await self._take(passage, caller, *found)
        elif passage.parts[1:3] == ["user", "events"] and is_get:
            scope[_ROUTE] = _STREAM
            await serve_stream(self._services.hub, caller.peer, scope, passage.headers, passage.send)
        else:
            raise Refused("not_found", "there is no such route")

    async def _take(self, passage: _Passage, caller: Caller | None, route: Route, ids: list[int]) -> None:
        """What a route says; a bug of ours goes to the log, and the client gets no inside."""
        scope = passage.scope
        scope[_ROUTE], scope["path"] = route.path, "/".join(_filled(route.path, ids))
        request = Request(scope, passage.headers, passage.body, caller)
        try:
            answer = await route.handler(request, self._services, *ids)
        except Refused as refused:
            answer = _problem(problems.problem(refused))
        except Exception as error:
            _log.exception("internal error", method=scope["method"], path=scope["path"], exc_info=error)
            answer = _problem(problems.Problem(title="internal error", status=500, code="internal", hint="see the log"))
        await answer.send(passage.send)


def _filled(path: str, ids: list[int]) -> Iterable[str]:
    left = iter(ids)
    return (str(next(left)) if part == "{id}" else part for part in path.split("/"))


def _require_rights(caller: Caller, passage: _Passage) -> None:
    """Raises Refused."""
    area, route = passage.place
    if caller.redeeming and (area, route) != ("user", "redeem"):
        raise unauthorized("this peer has not shown its new key yet", "not_redeemed")
    if area == "why" and not (caller.is_local or caller.user_capable()):
        raise unauthorized("this peer has not redeemed its invitation", "not_redeemed")
    if area in ("admin", "network"):
        if not caller.admin_capable():
            raise unauthorized("only administrators may do this", "not_admin")
    elif area == "user" and route in _FOR_USERS and not caller.user_capable():
        if caller.is_local:
            raise unauthorized("this route is for peers")
        raise unauthorized("this peer has not redeemed its invitation", "not_redeemed")


def _proof_required(passage: _Passage) -> Refused:
    optional = '; or set admin-proof = "optional" on the coordinator for innernet\'s client'
    hint = "use inn, which makes it" + (optional if passage.place[0] == "admin" else "")
    return unauthorized(
        f"requests that act for a peer, or for the network, must carry {HEADER}", "proof_required", hint
    )


def _is_local(scope: Scope) -> bool:
    return scope["client"] is not None and scope["client"][0].startswith(LOCAL)


def _place(parts: list[str]) -> tuple[str, str]:
    _, area, route, *_ = (*parts, "", "")
    return area, route


def _headers(scope: Scope) -> Headers:
    headers: Headers = {}
    for name, value in scope["headers"]:
        if name == b"host" and name in headers:
            raise Refused("wrong_host", "there are two Host headers")
        headers.setdefault(name, value)  # of several the first counts
    return headers


def _follows(scope: Scope) -> bool:
    return b"follow=true" in scope["query_string"].split(b"&")


def _bound(passage: _Passage) -> Bound:
    """The parts of a request that its proof binds."""
    scope, headers, body = passage.scope, passage.headers, passage.body
    raw = scope.get("raw_path") or scope["path"].encode()
    query = scope["query_string"]
    target = raw.partition(b"?")[0] + (b"?" + query if query else b"")

    def text(name: bytes) -> str:
        return headers.get(name, b"").decode("latin-1")

    return Bound(
        method=scope["method"],
        target=target.decode("latin-1"),
        host=text(b"host"),
        body=body,
        if_match=text(b"if-match"),
        idempotency_key=text(b"idempotency-key"),
    )


def too_long(scope: Scope) -> bool:
    """Whether a request's body, as it is announced, has more bytes than its route takes."""
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return not length.isdigit() or whole_number(length.decode(), _most(parts_of(scope))) is None


def _most(parts: list[str]) -> int:
    """The bytes that a body may have: what peers say of themselves is short."""
    if parts[1:2] != ["user"]:
        return MAX_BODY
    return _RECEIPT_BODY if parts[2:3] == ["applied"] else _USER_BODY


async def _read_body(most: int, headers: Headers, receive: Receive, *, is_there: bool) -> bytes:
    length = headers.get(b"content-length", b"")
    if b"transfer-encoding" in headers or not length.isdigit():
        raise Refused("length_required", "a body needs a Content-Length")
    if whole_number(length.decode(), most) is None:
        raise Refused("body_too_large", f"the body has more than {most} bytes, which are the limit")
    if is_there:  # as nearly always: a timer would cost more than the reading
        return await _whole_body(receive)
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


def _problem(what: problems.Problem) -> Answer:
    return Answer(what.status, problems.encode(what), problems.MEDIA_TYPE)
