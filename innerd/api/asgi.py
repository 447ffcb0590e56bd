"""ASGI as we use it (plain types, not a framework's), and the keys under which what we add to a scope lies."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def disconnected(receive: Receive) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


PIPE = "innerd.pipe"  # makes the way past the framework that streams write to
SEAT = "innerd.seat"  # the connection, as `sources` knows it
VISIT = "innerd.visit"  # the request in progress, as `sources` counts it


def only_waits(scope: Scope) -> None:
    """From here on a request just waits: it is none of the few of its source that may be in progress."""
    if (visit := scope.get(VISIT)) is not None:
        visit.leave()
