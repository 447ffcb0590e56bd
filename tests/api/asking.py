"""Requests as raw as a test wants them: any path, any header as often as it likes, any body, from any peer.

`ask` speaks ASGI as uvicorn does, so that nothing between test and app tidies up what was sent.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote

from innerd.wire import proof
from tests.world import OURS, World, key

SERVER_KEY = key("coordinator")
HEADER = "X-Innernet-Server-Key"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The stable code of a refusal; empty where there is no body."""
        return str(self.json()["code"]) if self.body else ""


async def ask(
    w: World,
    who: str | None,
    method: str,
    target: str,
    *,
    json: Any = None,
    body: bytes | None = None,
    headers: Iterable[tuple[str, str]] = (),
    server_key: str | None = SERVER_KEY,
    length: bool = True,
    proven: bool = True,
) -> Answer:
    """One request of a peer by name, of a bare address, or (None) of the local root; `proven`: with the proof that `inn` makes
    where one is needed."""
    content = body if body is not None else b"" if json is None else _encoded(json)
    sent = [("host", w.services.internal_endpoint)]
    if server_key is not None and who is not None:
        sent.append((HEADER, server_key))
    if length and (content or method in ("POST", "PUT", "PATCH")):
        sent.append(("content-length", str(len(content))))
    given = {name.lower() for name, _ in headers}
    if (
        proven
        and who is not None
        and OURS.match(target)
        and proof.HEADER.lower() not in given
        and w.holder(who) is not None
    ):
        sent.append((proof.HEADER, w.proof(who, method, target, content)))
    sent = [(name, value) for name, value in sent if name.lower() not in given] + list(headers)
    return await _call(w, _source(w, who), method, target, sent, content)


def _encoded(content: Any) -> bytes:
    return json.dumps(content).encode()


def _source(w: World, who: str | None) -> str:
    if who is None:
        return "local:0"
    peer = w.writer.network.peer_named(who)
    return who if peer is None else str(peer.ip)


async def _call(
    w: World, source: str, method: str, target: str, headers: list[tuple[str, str]], content: bytes
) -> Answer:
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": (source, 40_000),
        "server": ("127.42.0.1", 51820),
    }
    inbox = [{"type": "http.request", "body": content, "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        return inbox.pop() if inbox else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await w.app(scope, receive, send)
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent[1:]))


def peer_contents(w: World, name: str = "neko", **changes: Any) -> dict[str, Any]:
    """A new invitee in `cats`, as innernet's client posts it."""
    return {
        "name": name,
        "ip": "127.42.3.77",
        "cidr_id": w.cidr_id("cats"),
        "public_key": key(f"{name} invitation"),
        "endpoint": None,
        "persistent_keepalive_interval": 25,
        "is_admin": False,
        "is_disabled": False,
        "is_redeemed": False,
        "invite_expires": None,
        "candidates": [],
    } | changes


async def listed(w: World, name: str) -> dict[str, Any]:
    """A peer as the admin route lists it: what innernet's client changes and puts back."""
    peers = (await ask(w, "ryo", "GET", "/v1/admin/peers")).json()
    found: dict[str, Any] = next(peer for peer in peers if peer["name"] == name)
    return found


def events_after(w: World, revision: int) -> list[str]:
    """The types of the events appended since a revision."""
    return [json.loads(stored.record)["type"] for stored in w.store.records[revision:]]
