"""How every changing route carries its command out.

It takes `?dry_run=true` (answers what would change), `Idempotency-Key` (a repeated request answers as the first did)
and `If-Match: "<revision>"`.
"""

import asyncio
import re
from functools import partial

from innerd.api.asgi import SEAT
from innerd.api.routing import Answer, Request, json
from innerd.api.services import Services
from innerd.api.sources import Serving
from innerd.coordinator.writer import Asked, Outcome, Render, digest_of, nothing
from innerd.domain.commands import ChangePeer, Command, DisablePeer, Redeem, RemovePeer
from innerd.domain.errors import Refused
from innerd.domain.network import Peer
from innerd.streaming.hub import FAREWELL

_REVISION = re.compile(r"[0-9]{1,18}")


def peer_of(request: Request) -> Peer:
    """The peer that asks. Raises Refused for local users, who are no peer."""
    peer = request.caller.peer
    if peer is None:
        raise Refused("unauthorized", "this route is for peers")
    assert isinstance(peer, Peer)  # noqa: S101 - for the type checker
    return peer


async def carry_out(request: Request, services: Services, command: Command, render: Render = nothing) -> Answer:
    """Submit a command, wait for the device, answer."""
    is_admin_route = request.scope["path"].startswith("/v1/admin/")
    if request.query.get("dry_run") == "true":
        # What a change would do is told in names of peers: that is for administrators.
        if not is_admin_route:
            raise Refused("invalid_request", "only the routes of administrators can be tried with dry_run")
        every = request.query.get("all_pairs") == "true"
        return json(await asyncio.to_thread(services.writer.preview, command, None if every else 100))
    asker = request.caller.peer
    last = services.hub.last_answer() if _is_about(asker, command) else None
    try:
        reply = await services.writer.submit(
            command,
            request.caller.who,
            asked=_asked(request),
            expect=_expected(request),
            render=render,
            allowed=partial(request.caller.still, admin=is_admin_route),
            bounded=not (is_admin_route or isinstance(command, Redeem)),  # an invitation is redeemed once
        )
    except BaseException:
        if last is not None:
            last.set()
        raise
    if last is not None:
        if _is_out(services, asker):  # the device lets go of it when this answer has come
            answer = _answer(reply)
            answer.after = partial(_let_go, last, request.scope.get(SEAT))
            return answer
        last.set()
    await services.settle(reply.revision)
    return _answer(reply)


def _answer(reply: Outcome) -> Answer:
    return Answer(reply.status, reply.body, headers={"X-Innerd-Revision": str(reply.revision)})


def _is_about(asker: Peer | None, command: Command) -> bool:
    return asker is not None and isinstance(command, ChangePeer | DisablePeer | RemovePeer) and command.id == asker.id


def _is_out(services: Services, asker: Peer | None) -> bool:
    now = services.writer.network.peers.get(asker.id) if asker is not None else None
    return now is None or not now.is_active


async def _let_go(last: asyncio.Event, seat: Serving | None) -> None:
    if seat is not None:
        await seat.heard(FAREWELL)
    last.set()


def _asked(request: Request) -> Asked | None:
    key = request.header("idempotency-key")
    if key is None:
        return None
    if not 8 <= len(key) <= 128 or not key.isascii() or not key.isprintable():
        raise Refused("invalid_request", "an Idempotency-Key has 8 to 128 printable ASCII characters")
    scope = request.scope
    method, path, query = scope["method"].encode(), scope["path"].encode(), scope["query_string"]
    return Asked(key, digest_of(method, path, query, request.body))


def _expected(request: Request) -> int | None:
    match = request.header("if-match")
    if match is None:
        return None
    revision = match.strip().strip('"')
    if not _REVISION.fullmatch(revision):
        raise Refused("invalid_request", f"If-Match must be a quoted revision, not {match[:40]!r}")
    return int(revision)
