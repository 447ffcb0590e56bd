"""What hostile peers do: one row a kind. A new way to abuse the coordinator gets a row here."""

import json
import secrets
from collections.abc import Callable, Sequence

from msgspec import Struct

from benchmarks.flood.hostile import (
    Asking,
    Attack,
    Behaviour,
    Deaf,
    Dropping,
    Leaving,
    Make,
    Once,
    Pipelining,
    Trickling,
    Unread,
)
from benchmarks.flood.wire import DNS, PORT, Peer, Target, question

MANY = 28  # connections a peer, of the 32 that it may have
ALL = 32
_BODY = 64 * 1024


class Kind(Struct, frozen=True, kw_only=True):
    name: str
    what: str
    make: Make
    behaviour: Behaviour | None = Asking  # None: datagrams
    group: str = "tenants"
    connections: int = MANY
    port: int = PORT
    history: bool = False  # two peers have changed their endpoints 10,000 times before

    def attack(self, peers: Sequence[Peer], target: Target) -> Attack:
        return Attack(
            behaviour=self.behaviour,
            peers=peers,
            connections=self.connections,
            port=self.port,
            target=target,
            make=self.make,
            is_root=self.group != "honest",  # there, hostile is another user of the administrator's machine
        )


def get(path: str, *, key: bool = True, proved: bool = False, **headers: str) -> Make:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def make(peer: Peer, target: Target, number: int) -> bytes:
        return target.request("GET", path, headers=named, secret=peer.secret if proved else None, server_key=key)

    return make


def send(method: str, path: str, body: Callable[[Peer, int], bytes], *, repeats: bool = False) -> Make:
    """A changing request, proved; with an Idempotency-Key of its own where it may be repeated."""

    def make(peer: Peer, target: Target, number: int) -> bytes:
        headers = {"Idempotency-Key": secrets.token_hex(16)} if repeats else {}
        return target.request(method, path, body(peer, number), headers, peer.secret)

    return make


def _json(content: Callable[[Peer, int], object]) -> Callable[[Peer, int], bytes]:
    return lambda peer, number: json.dumps(content(peer, number)).encode()


def _bytes(content: bytes) -> Make:
    return lambda peer, target, number: content


_OBJECTS = b"[" + b"{}," * (_BODY // 3 - 1) + b"{}]"
_NESTED = b"[" * (_BODY // 2) + b"]" * (_BODY // 2)
_CHANGED = _json(lambda peer, number: {"option": "Set", "content": f"198.51.100.7:{1 + number % 60_000}"})
_UNCHANGED = _json(lambda peer, number: {"option": "Unset"})
_CANDIDATES = _json(lambda peer, number: [f"192.0.2.{n}:{1 + number % 60_000}" for n in range(1, 9)])
_RECEIPT = _json(lambda peer, number: {"revision": 2**62})


def _neighbour(peer: Peer, number: int) -> object:
    return {"peer": 3 + number % 200}


def _why(peer: Peer, target: Target, number: int) -> bytes:
    other = "tenants-1" if peer.name == "tenants-0" else "tenants-0"
    return target.request("GET", f"/v1/why?a={peer.name}&b={other}", secret=peer.secret)


def _stream(peer: Peer, target: Target, number: int) -> bytes:
    return target.request("GET", "/v1/user/events", secret=peer.secret)


def _wrong_proof(peer: Peer, target: Target, number: int) -> bytes:
    """The dearest to check: all that it binds must be hashed before it is found wrong."""
    return target.request("PUT", "/v1/admin/peers/2", b" " * _BODY, secret=b"\0" * 32)


def _forged_user(peer: Peer, target: Target, number: int) -> bytes:
    return target.request("PUT", "/v1/user/candidates", b" " * _BODY, secret=b"\0" * 32)


def _name(peer: Peer, target: Target, number: int) -> bytes:
    return question(f"honest-{number % 64}.floodnet.wg", number)


def _nobody(peer: Peer, target: Target, number: int) -> bytes:
    return question(f"{secrets.token_hex(8)}.floodnet.wg", number)


def _over_tcp(peer: Peer, target: Target, number: int) -> bytes:
    asked = _nobody(peer, target, number)
    return len(asked).to_bytes(2, "big") + asked


def _junk(peer: Peer, target: Target, number: int) -> bytes:
    return secrets.token_bytes(512)


_HEAD = b"GET /healthz HTTP/1.1\r\n"
_HUGE = _HEAD + b"".join(b"X-%d: " % n + b"a" * 1000 + b"\r\n" for n in range(64)) + b"\r\n"
_SLOW = _HEAD + b"Host: 10.42.0.1:51820\r\nX-Slow: " + b"a" * 4096

KINDS = [
    Kind(name="openapi", what="/openapi.json", make=get("/openapi.json", key=False)),
    Kind(
        name="openapi-invitee",
        what="/openapi.json, asked with invitations that nobody has redeemed",
        make=get("/openapi.json", key=False),
        group="invitees",
    ),
    Kind(name="metrics", what="/metrics, by peers that may read it", make=get("/metrics"), group="monitors"),
    Kind(name="metrics-refused", what="/metrics, by peers that may not", make=get("/metrics")),
    Kind(name="healthz", what="/healthz", make=get("/healthz", key=False)),
    Kind(name="no-key", what="no server key: 401", make=get("/v1/user/state", key=False)),
    Kind(name="origin", what="a page in a browser: 403", make=get("/v1/user/state", Origin="http://evil.example")),
    Kind(name="not-found", what="a path that is none: 404", make=get("/v1/user/nothing")),
    Kind(
        name="objects",
        what="64 KiB of empty objects",
        make=send("PUT", "/v1/user/candidates", lambda peer, number: _OBJECTS),
    ),
    Kind(
        name="nested",
        what="64 KiB of nested arrays",
        make=send("PUT", "/v1/user/candidates", lambda peer, number: _NESTED),
    ),
    Kind(name="overrides", what="another endpoint with each request", make=send("PUT", "/v1/user/endpoint", _CHANGED)),
    Kind(
        name="no-ops",
        what="the same endpoint, each time with an Idempotency-Key",
        make=send("PUT", "/v1/user/endpoint", _UNCHANGED, repeats=True),
    ),
    Kind(name="why", what="why, of peers with 10,000 events each", make=_why, history=True),
    Kind(name="state", what="the state", make=get("/v1/user/state", proved=True)),
    Kind(name="candidates", what="other candidates each time", make=send("PUT", "/v1/user/candidates", _CANDIDATES)),
    Kind(name="receipts", what="receipts of revision 2^62", make=send("PUT", "/v1/user/applied", _RECEIPT)),
    Kind(name="connect", what="meetings with everybody", make=send("POST", "/v1/user/connect", _json(_neighbour))),
    Kind(name="streams-dropped", what="streams opened and dropped", make=_stream, behaviour=Dropping),
    Kind(name="streams-kept", what="28 streams a peer, of which one may stay", make=_stream, behaviour=Once),
    Kind(name="streams-unread", what="streams that are never read", make=_stream, behaviour=Unread),
    Kind(name="silent", what="32 connections that never send", make=_bytes(b""), behaviour=Once, connections=ALL),
    Kind(
        name="deaf",
        what="32 connections that ask and never read",
        make=get("/v1/user/state", proved=True),
        behaviour=Deaf,
        connections=ALL,
    ),
    Kind(
        name="trickle",
        what="32 connections that send a byte a second",
        make=_bytes(_SLOW),
        behaviour=Trickling,
        connections=ALL,
    ),
    Kind(name="pipelined", what="requests 64 at a time", make=get("/v1/user/state"), behaviour=Pipelining),
    Kind(name="pipelined-open", what="/healthz 64 at a time", make=get("/healthz"), behaviour=Pipelining),
    Kind(name="connections", what="connections opened and dropped", make=_bytes(b""), behaviour=Leaving),
    Kind(name="junk", what="bytes that are no HTTP", make=_junk, behaviour=Dropping),
    Kind(name="headers", what="64 KiB of headers", make=_bytes(_HUGE), behaviour=Once),
    Kind(name="dns", what="names over UDP", make=_name, behaviour=None, port=DNS),
    Kind(name="dns-nobody", what="names that are not there, over UDP", make=_nobody, behaviour=None, port=DNS),
    Kind(name="dns-junk", what="datagrams that are no DNS", make=_junk, behaviour=None, port=DNS),
    Kind(name="dns-tcp", what="names over TCP, 64 at a time", make=_over_tcp, behaviour=Pipelining, port=DNS),
    Kind(name="dns-tcp-connections", what="connections to DNS, dropped", make=_junk, behaviour=Leaving, port=DNS),
    Kind(name="wrong-proofs", what="wrong proofs of an admin's 64 KiB", make=_wrong_proof, group="admins"),
    Kind(name="wrong-user-proofs", what="wrong proofs of a peer's 64 KiB", make=_forged_user),
    Kind(
        name="no-real-proof",
        what="a header that is no proof, on open routes",
        make=get("/healthz", key=False, X_Innerd_Proof="x"),
    ),
    Kind(
        name="no-proof",
        what="an admin's address without a proof",
        make=get("/v1/admin/peers"),
        group="admins",
    ),
    Kind(
        name="lodger-asks",
        what="a local user of the honest admin's own machine, without a proof",
        make=get("/v1/admin/peers"),
        group="honest",
    ),
    Kind(
        name="lodger-silent",
        what="the same, with 31 connections that never send",
        make=_bytes(b""),
        behaviour=Once,
        group="honest",
        connections=31,
    ),
]
