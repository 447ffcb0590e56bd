"""What every route does the same way: read the body, carry out a command, answer.

A changing route takes `?dry_run=true` (answers what would change), `Idempotency-Key` (a repeated request answers as
the first did) and `If-Match: "<revision>"`.
"""

import asyncio
import re
from functools import partial
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.background_tasks import BackgroundTask

from innerd.api.asgi import SEAT, SESSION
from innerd.api.services import Services
from innerd.api.sources import Seat
from innerd.coordinator.writer import Asked, Outcome, Render, digest_of, nothing
from innerd.domain.commands import ChangePeer, Command, DisablePeer, Redeem, RemovePeer
from innerd.domain.errors import Refused
from innerd.domain.network import Peer
from innerd.streaming.hub import FAREWELL
from innerd.wire.innernet import decode

Asgi = Request[Any, Any, Any]

_JSON = "application/json"
_REVISION = re.compile(r"[0-9]{1,18}")


def session_of(request: Asgi) -> Any:
    return request.scope[SESSION]  # type: ignore[literal-required]


def peer_of(request: Asgi) -> Peer:
    """The peer that asks. Raises Refused for local users, who are no peer."""
    peer = session_of(request).peer
    if peer is None:
        raise Refused("unauthorized", "this route is for peers")
    assert isinstance(peer, Peer)  # noqa: S101 - for the type checker
    return peer


async def body_of(request: Asgi, type_: Any) -> Any:
    return decode(await request.body(), type_)


def json(content: Any, revision: int | None = None, status: int = 200) -> Response[bytes]:
    headers = {} if revision is None else {"ETag": f'"{revision}"'}
    return Response(msgspec.json.encode(content), media_type=_JSON, status_code=status, headers=headers)


def empty(status: int) -> Response[bytes]:
    """A status without a body or a content type, as innernet answers."""
    return Response(b"", status_code=status, media_type="")


async def carry_out(request: Asgi, services: Services, command: Command, render: Render = nothing) -> Response[bytes]:
    """Submit a command, wait for the device, answer."""
    is_admin_route = request.scope["path"].startswith("/v1/admin/")
    if request.query_params.get("dry_run") == "true":
        # What a change would do is told in names of peers: that is for administrators.
        if not is_admin_route:
            raise Refused("invalid_request", "only the routes of administrators can be tried with dry_run")
        every = request.query_params.get("all_pairs") == "true"
        return json(services.writer.preview(command, None if every else 100))
    asker = session_of(request).peer
    last = services.hub.last_answer() if _is_about(asker, command) else None
    try:
        reply = await services.writer.submit(
            command,
            session_of(request).who,
            asked=await _asked(request),
            expect=_expected(request),
            render=render,
            allowed=partial(session_of(request).still, admin=is_admin_route),
            bounded=not (is_admin_route or isinstance(command, Redeem)),  # an invitation is redeemed once
        )
    except BaseException:
        if last is not None:
            last.set()
        raise
    if last is not None:
        if _is_out(services, asker):  # the device lets go of it when this answer has come
            seat: Seat | None = request.scope.get(SEAT)  # type: ignore[assignment]
            return _answer(reply, BackgroundTask(_let_go, last, seat))
        last.set()
    await services.settle(reply.revision)
    return _answer(reply)


def _answer(reply: Outcome, after: BackgroundTask | None = None) -> Response[bytes]:
    headers = {"X-Innerd-Revision": str(reply.revision)}
    kind = _JSON if reply.body else ""
    return Response(reply.body, status_code=reply.status, media_type=kind, headers=headers, background=after)


def _is_about(asker: Peer | None, command: Command) -> bool:
    return asker is not None and isinstance(command, ChangePeer | DisablePeer | RemovePeer) and command.id == asker.id


def _is_out(services: Services, asker: Peer | None) -> bool:
    now = services.writer.network.peers.get(asker.id) if asker is not None else None
    return now is None or not now.is_active


async def _let_go(last: asyncio.Event, seat: Seat | None) -> None:
    if seat is not None:
        await seat.heard(FAREWELL)
    last.set()


async def _asked(request: Asgi) -> Asked | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 8 <= len(key) <= 128 or not key.isascii() or not key.isprintable():
        raise Refused("invalid_request", "an Idempotency-Key has 8 to 128 printable ASCII characters")
    scope = request.scope
    method, path, query = request.method.encode(), scope["path"].encode(), scope["query_string"]
    return Asked(key, digest_of(method, path, query, await request.body()))


def _expected(request: Asgi) -> int | None:
    match = request.headers.get("if-match")
    if match is None:
        return None
    revision = match.strip().strip('"')
    if not _REVISION.fullmatch(revision):
        raise Refused("invalid_request", f"If-Match must be a quoted revision, not {match[:40]!r}")
    return int(revision)
