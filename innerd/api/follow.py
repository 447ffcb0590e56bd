"""`GET /v1/admin/events?follow=true`: the audit as it goes on, a raw ASGI handler like the event stream's.

JSON lines: what the filters find from `since` on, then each event as it is committed, an empty line now and then to
keep the connection alive. It ends when who asked may not ask any more.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec

from innerd.api.asgi import Receive, Scope, Send, disconnected, only_waits
from innerd.api.audit import audit_query, audit_record
from innerd.api.callers import Caller
from innerd.api.services import Services
from innerd.coordinator.feed import Committed
from innerd.domain.errors import Refused

_PAGE = 1000
_KEEPALIVE = 20.0  # seconds


async def serve_follow(services: Services, session: Caller, scope: Scope, receive: Receive, send: Send) -> None:
    asked = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    audit_query(services.writer.network, asked)  # a wrong filter is refused before anything is answered
    if "limit" in asked:
        raise Refused("invalid_request", "limit and follow exclude each other", "leave one out")
    async with services.history.follows.take():
        await _follow(services, session, asked, scope, receive, send)


async def _follow(
    services: Services, session: Caller, asked: Mapping[str, str], scope: Scope, receive: Receive, send: Send
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")],
        }
    )
    only_waits(scope)
    sender = asyncio.create_task(_send(services, session, asked, send))
    gone = asyncio.create_task(disconnected(receive))
    stopping = asyncio.create_task(services.hub.stopping.wait())
    try:
        await asyncio.wait((sender, gone, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sender, gone, stopping):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(services: Services, session: Caller, asked: Mapping[str, str], send: Send) -> None:
    writer, moved = services.writer, asyncio.Event()
    name = f"audit {id(moved)}"

    def follow(change: Committed) -> None:
        moved.set()

    writer.feed.follow(name, follow)
    try:
        last = 0
        while True:
            moved.clear()
            session.still(writer.network, admin=True)
            query = audit_query(writer.network, {**asked, "after": str(max(last, int(asked.get("after", "0"))))})
            found = await writer.store.find(query, _PAGE)
            if found:
                last = found[-1].seq
                lines = [msgspec.json.encode(audit_record(stored, writer.network)) for stored in found]
                await send({"type": "http.response.body", "body": b"\n".join(lines) + b"\n", "more_body": True})
                continue
            last = max(last, query.upto or 0)
            try:
                async with asyncio.timeout(_KEEPALIVE):
                    await moved.wait()
            except TimeoutError:
                await send({"type": "http.response.body", "body": b"\n", "more_body": True})
    except Refused:
        pass  # no administrator any more
    finally:
        writer.feed.unfollow(name)
