"""Lets the coordinator find out whether the router in front of this host minds strangers
(`innerd.streaming.strangers`): where it does not, ways through it are found sooner."""

import asyncio
import contextlib
import secrets
import socket

import httpx2
import msgspec

from innerd.domain.unreadable import UNREADABLE
from innerd.domain.values import Endpoint, split_endpoint, version_of
from innerd.wire.ours import RouterTest, RouterTested

_SENT = (0.0, 0.1, 0.3)  # seconds between packets that say the same, as some get lost


async def tell(http: httpx2.AsyncClient, coordinator: Endpoint) -> None:
    """Have it tested, from a port that is used for nothing else. What does not work is not known then."""
    if version_of(coordinator) != 4:
        return
    nonce = secrets.token_hex(16)
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with own, contextlib.suppress(OSError, httpx2.HTTPError, *UNREADABLE):
        own.setblocking(False)
        own.bind(("", 0))
        body = msgspec.json.encode(RouterTest(port=own.getsockname()[1], nonce=nonce))
        response = await http.post("/v1/user/router", content=body)
        if response.status_code != 200:
            return
        port = msgspec.json.decode(response.content, type=RouterTested).port
        for pause in _SENT if port is not None else ():
            await asyncio.sleep(pause)
            own.sendto(nonce.encode(), (split_endpoint(coordinator)[0], port))
