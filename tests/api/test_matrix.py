"""Who may ask for what: every route, with every method, by everybody who could stand at the door.

The routes are read off the app; the answers are written here by hand, by classes of routes, and nothing of them is
taken from the code that decides. A route that is new needs a class, or the suite says so.
"""

import json
import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from innerd.api.app import ROUTES as KNOWN
from innerd.api.app import description
from innerd.domain import commands as c
from innerd.domain.values import COORDINATOR, Name
from innerd.wire import proof
from tests.api.asking import Answer, ask, peer_contents
from tests.api.proofs import proven
from tests.world import World, key, populated

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")
RAW = {("GET", "/v1/user/events"), ("GET", "/v1/admin/events?follow=true")}  # past the framework: no table has them


# -- the routes: of which class, with which body, and what who is let in is answered ------------------------------


class Route(NamedTuple):
    kind: str
    granted: int
    body: Callable[[World, str], Any] = lambda w, name: None
    query: str = ""


def _new_key(w: World, name: str) -> Any:
    """Who is in the transition repeats what it said: its first answer may have been lost."""
    return {"public_key": key("shiro" if name == "shiro" else "fresh")}


def _anew(w: World, name: str) -> Any:
    return {"public_key": key("fresh"), "invite_expires": int(w.now) + 3600}


def _as_it_is(w: World, name: str) -> Any:
    return peer_contents(w, "tama", ip=str(w.peer("tama").ip), public_key=key("tama"), is_redeemed=True)


ROUTES = {
    ("GET", "/healthz"): Route("open", 200),
    ("GET", "/openapi.json"): Route("open", 200),
    ("GET", "/metrics"): Route("metrics", 200),
    ("GET", "/v1/user/capabilities"): Route("greeting", 200),
    ("POST", "/v1/user/redeem"): Route("redeem", 204, _new_key),
    ("GET", "/v1/user/state"): Route("state", 200),
    ("PUT", "/v1/user/endpoint"): Route("innernet", 204, lambda w, name: {"option": "Set", "content": "192.0.2.9:9"}),
    ("PUT", "/v1/user/candidates"): Route("innernet", 204, lambda w, name: ["192.0.2.9:9"]),
    ("PUT", "/v1/user/applied"): Route("ours", 204, lambda w, name: {"revision": 0}),
    ("POST", "/v1/user/router"): Route("ours", 200, lambda w, name: {"port": 9, "nonce": "0" * 32}),
    ("POST", "/v1/user/connect"): Route("ours", 204, lambda w, name: {"peer": w.peer(_beside(name)).id}),
    ("GET", "/v1/user/events"): Route("ours", 400),  # let in; that no tunnel carries it here is said after that
    ("GET", "/v1/why"): Route("why", 200, query="?a=mari&b=ryo"),
    ("GET", "/v1/network"): Route("admin", 200),
    ("GET", "/v1/admin/status"): Route("admin", 200),
    ("GET", "/v1/admin/convergence"): Route("admin", 200),
    ("GET", "/v1/admin/events"): Route("admin", 200),
    ("GET", "/v1/admin/events?follow=true"): Route("admin", 200),
    ("GET", "/v1/admin/peers"): Route("admin", 200),
    ("POST", "/v1/admin/peers"): Route("admin", 201, lambda w, name: peer_contents(w)),
    ("PUT", "/v1/admin/peers/{id}"): Route("admin", 204, _as_it_is),
    ("PATCH", "/v1/admin/peers/{id}"): Route("admin", 204, lambda w, name: {"name": "neko"}),
    ("DELETE", "/v1/admin/peers/{id}"): Route("admin", 204),
    ("POST", "/v1/admin/peers/{id}/reissue"): Route("admin", 204, _anew),
    ("GET", "/v1/admin/peers/{id}/config"): Route("admin", 200),
    ("POST", "/v1/admin/peers/{id}/config"): Route("admin", 204),
    ("GET", "/v1/admin/cidrs"): Route("admin", 200),
    ("POST", "/v1/admin/cidrs"): Route("admin", 201, lambda w, name: {"name": "birds", "cidr": "127.42.5.0/24"}),
    ("PUT", "/v1/admin/cidrs/{id}"): Route("admin", 204, lambda w, name: {"name": "birds", "cidr": "127.42.5.0/24"}),
    ("DELETE", "/v1/admin/cidrs/{id}"): Route("admin", 204),
    ("GET", "/v1/admin/associations"): Route("admin", 200),
    ("POST", "/v1/admin/associations"): Route("admin", 201, lambda w, name: {"cidr_id_1": 3, "cidr_id_2": 4}),
    ("DELETE", "/v1/admin/associations/{id}"): Route("admin", 204),
    ("GET", "/v1/admin/records"): Route("admin", 200),
    ("POST", "/v1/admin/records"): Route("admin", 201, lambda w, name: {"name": "a.ryo", "type": "TXT", "value": "a"}),
    ("DELETE", "/v1/admin/records/{id}"): Route("admin", 204),
    ("PUT", "/v1/admin/endpoint"): Route("admin", 204, lambda w, name: {"endpoint": "192.0.2.9:9"}),
    ("PUT", "/v1/admin/relays/{id}"): Route("admin", 204),
    ("DELETE", "/v1/admin/relays/{id}"): Route("admin", 204),
    ("POST", "/v1/admin/rebuild"): Route("admin", 200),
    # The framework's own, which the door leads nobody to.
}
WHAT_FOLLOWS_IS_IGNORED = {f"/v1/admin/peers/{{id}}/{last}": "/v1/admin/peers/{id}" for last in ("reissue", "config")}


def _beside(name: str) -> str:
    """Whom a peer sees."""
    return "mari" if name == "ryo" else "ryo"


# -- who asks ------------------------------------------------------------------------------------------------------


class Who(NamedTuple):
    """One that could stand at the door. `proofs` are those of its requests, one after the other: what counts is the
    answer to the last."""

    name: str | None  # of a peer, or an address; None: the local root
    proofs: tuple[dict[str, Any] | None, ...] = (None,)
    headers: tuple[tuple[str, str], ...] = ()
    server_key: str | None = key("coordinator")
    optional: bool = False  # admin-proof
    proved_before: bool = False
    has_host: bool = True
    process: int = 4711  # of a local user


def _made_by(name: str, **more: Any) -> dict[str, Any]:
    return {"mine": name} | more


RYO, MARI = _made_by("ryo"), _made_by("mari")
PAGE = "http://evil.example"
ASKING = {
    "a stranger": Who("127.42.9.9", (RYO,)),
    "without a server key": Who("ryo", (RYO,), server_key=None),
    "with another server key": Who("ryo", (RYO,), server_key=key("another")),
    "the coordinator's own address": Who("127.42.0.1", (RYO,)),
    "an invitee": Who("kuro", (_made_by("kuro invitation"),)),
    "an invited admin": Who("kuroi", (_made_by("kuroi invitation"),)),
    "a peer in the redeem transition": Who("shiro", (_made_by("shiro"),)),
    "a disabled peer": Who("gin", (_made_by("gin"),)),
    "a retired peer": Who("127.42.3.99", (_made_by("kin"),)),
    "a peer": Who("mari", (MARI,)),
    "a peer, no proof": Who("mari"),
    "a peer, no proof, once proved": Who("mari", proved_before=True),
    "a peer, another's proof": Who("mari", (_made_by("tama"),)),
    "a peer, an admin's proof": Who("mari", (RYO,)),
    "a peer, a proof used before": Who("mari", (MARI, MARI)),
    "an admin": Who("ryo", (RYO,)),
    "an admin, no proof": Who("ryo"),
    "an admin, no proof, once proved": Who("ryo", proved_before=True),
    "an admin, another's proof": Who("ryo", (MARI,)),
    "an admin, a proof used before": Who("ryo", (RYO, RYO)),
    "innernet's client, a peer": Who("mari", optional=True),
    "innernet's client, an admin": Who("ryo", optional=True),
    "a page (Origin)": Who("ryo", (RYO,), (("Origin", PAGE),)),
    "a page (Referer)": Who("ryo", (RYO,), (("Referer", PAGE),)),
    "a page (another Host)": Who("ryo", (_made_by("ryo", host="evil.example"),), (("Host", "evil.example"),)),
    "an empty Host": Who("ryo", (_made_by("ryo", host=""),), (("Host", ""),)),
    "no Host": Who("ryo", (_made_by("ryo", host=""),), has_host=False),
    "a page on the coordinator's host": Who(None, headers=(("Origin", PAGE),)),
    "local root": Who(None),
    "in the same process": Who(None, process=-1),
}

# -- what they are answered ----------------------------------------------------------------------------------------


class Later(str):
    """A refusal of the route itself, behind the door: with another method there is no such route."""

    __slots__ = ()


IN, NONE = "let in", "404 not_found"
NOBODY, NOT_ADMIN, NOT_YET = "401 unauthorized", "401 not_admin", "401 not_redeemed"
UNPROVED, FORGED = "401 proof_required", "401 proof_invalid"
ORIGIN, HOST = "403 foreign_origin", "403 wrong_host"
ONCE = Later("401 invitation_used")
NO_PEER = Later("401 unauthorized")

KINDS = ("open", "metrics", "greeting", "redeem", "state", "innernet", "ours", "why", "admin")
EXPECTED: dict[str, tuple[str, ...]] = {
    #                                   open metrics greeting redeem state   innernet ours    why      admin
    "a stranger":                       (IN, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY),
    "without a server key":             (IN, IN, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY),
    "with another server key":          (IN, IN, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY),
    "the coordinator's own address":    (IN, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY),
    "an invitee":                       (IN, NOBODY, IN, IN, NOT_YET, NOT_YET, NOT_YET, NOT_YET, NOT_ADMIN),
    "an invited admin":                 (IN, NOBODY, IN, IN, NOT_YET, NOT_YET, NOT_YET, NOT_YET, NOT_ADMIN),
    "a peer in the redeem transition":  (IN, NOBODY, NOT_YET, IN, NOT_YET, NOT_YET, NOT_YET, NOT_YET, NOT_YET),
    "a disabled peer":                  (IN, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY),
    "a retired peer":                   (IN, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY, NOBODY),
    "a peer":                           (IN, NOBODY, IN, ONCE, IN, IN, IN, IN, NOT_ADMIN),
    "a peer, no proof":                 (IN, NOBODY, IN, ONCE, IN, IN, UNPROVED, UNPROVED, NOT_ADMIN),
    "a peer, no proof, once proved":    (IN, NOBODY, IN, ONCE, IN, UNPROVED, UNPROVED, UNPROVED, NOT_ADMIN),
    "a peer, another's proof":          (IN, NOBODY, FORGED, FORGED, FORGED, FORGED, FORGED, FORGED, NOT_ADMIN),
    "a peer, an admin's proof":         (IN, NOBODY, FORGED, FORGED, FORGED, FORGED, FORGED, FORGED, NOT_ADMIN),
    "a peer, a proof used before":      (IN, NOBODY, FORGED, FORGED, FORGED, FORGED, FORGED, FORGED, NOT_ADMIN),
    "an admin":                         (IN, IN, IN, ONCE, IN, IN, IN, IN, IN),
    "an admin, no proof":               (IN, IN, IN, ONCE, IN, IN, UNPROVED, UNPROVED, UNPROVED),
    "an admin, no proof, once proved":  (IN, IN, IN, ONCE, IN, UNPROVED, UNPROVED, UNPROVED, UNPROVED),
    "an admin, another's proof":        (IN, IN, FORGED, FORGED, FORGED, FORGED, FORGED, FORGED, FORGED),
    "an admin, a proof used before":    (IN, IN, FORGED, FORGED, FORGED, FORGED, FORGED, FORGED, FORGED),
    "innernet's client, a peer":        (IN, NOBODY, IN, ONCE, IN, IN, UNPROVED, UNPROVED, NOT_ADMIN),
    "innernet's client, an admin":      (IN, IN, IN, ONCE, IN, IN, UNPROVED, IN, IN),
    "a page (Origin)":                  (ORIGIN,) * 9,
    "a page (Referer)":                 (ORIGIN,) * 9,
    "a page (another Host)":            (HOST,) * 9,
    "an empty Host":                    (HOST,) * 9,
    "no Host":                          (HOST,) * 9,
    "a page on the coordinator's host": (ORIGIN,) * 9,
    "local root":                       (IN, IN, IN, NO_PEER, NOBODY, NOBODY, NOBODY, IN, IN),
    "in the same process":              (IN, IN, IN, NO_PEER, NOBODY, NOBODY, NOBODY, IN, IN),
}  # fmt: skip


# -- asking --------------------------------------------------------------------------------------------------------


async def a_world(who: Who) -> World:
    """All that stand at the door, each in its state."""
    w = await populated(proof_required=not who.optional)
    await w.invite("kuro", "cats")
    await w.invite("kuroi", "cats", admin=True)
    for name in ("shiro", "gin"):
        await w.join(name, "cats")
    await w.join("kin", "cats", ip="127.42.3.99")
    await w.add_cidr("spare", "127.42.6.0/24")
    await w.associate("cats", "ovens")
    await w.do(c.AddRecord(name="git.ryo", rrtype="TXT", value="a"))
    await w.do(c.DisablePeer(w.peer("gin").id))
    await w.do(c.RemovePeer(w.peer("kin").id))
    await w.do(c.AddPeer(name=Name("phone"), cidr=w.cidr_id("cats"), public_key=key("phone"), ip=None, is_plain=True))
    w.provide(is_redeeming=lambda peer: peer.name == "shiro")
    if who.proved_before:
        assert who.name is not None
        header = proven(w, "GET", "/v1/user/state", mine=who.name, nonce="nonce-of-before")
        await ask(w, who.name, "GET", "/v1/user/state", headers=[(proof.HEADER, header)])
    return w


async def request(w: World, who: Who, method: str, target: str, content: Any) -> Answer:
    """All the requests of who asks, which differ in their proofs, but not in the nonce; the last answer."""
    body, nonce = b"" if content is None else json.dumps(content).encode(), secrets.token_hex(12)
    for told in who.proofs:
        headers = list(who.headers)
        if told is not None:
            headers.append((proof.HEADER, proven(w, method, target, body=body, nonce=nonce, **told)))
        answer = await ask(
            w,
            who.name,
            method,
            target,
            body=body,
            headers=headers,
            server_key=who.server_key,
            proven=False,
            host=who.has_host,
            process=who.process,
        )
    return answer


def outcome(answer: Answer, granted: int) -> str:
    if answer.status == granted:
        return IN
    return f"{answer.status} {answer.code}" if answer.body else str(answer.status)


def meant(method: str, path: str) -> tuple[str, str]:
    """The row of a request: innernet takes a route for what begins with one."""
    shorter = method, WHAT_FOLLOWS_IS_IGNORED.get(path, path)
    return shorter if (method, path) not in ROUTES and shorter in ROUTES else (method, path)


def expected(identity: str, method: str, path: str) -> str:
    """The cell of the table. With a method that a path has not there is nothing, for who is let in."""
    row = meant(method, path)
    if not path.startswith("/v1") and row not in ROUTES:
        return NONE
    kind = next(route.kind for (_, known), route in ROUTES.items() if known == row[1])
    cell = EXPECTED[identity][KINDS.index(kind)]
    if row in ROUTES:
        return cell
    return NONE if cell == IN or isinstance(cell, Later) else cell


def target_of(w: World, method: str, path: str) -> str:
    """The path with the number of something that can be changed in every way."""
    names = {"reissue": "kuro", "config": "phone"}
    peer = w.peer(names.get(meant(method, path)[1].rpartition("/")[2], "tama"))
    ids = {"peers": peer.id, "cidrs": w.cidr_id("spare"), "associations": 1, "records": 1, "relays": COORDINATOR}
    return path.replace("{id}", str(next((number for word, number in ids.items() if word in path), "index.html")))


def state_of(w: World) -> tuple[Any, ...]:
    """What a request may change."""
    return w.writer.network, dict(w.presence.receipts), dict(w.presence.candidates), set(w.presence.streaming)


@pytest.mark.parametrize("identity", ASKING)
async def test_every_route_answers_everybody_as_it_is_written_here(identity: str) -> None:
    who, wrong = ASKING[identity], {}
    shared = await a_world(who)
    for path in dict.fromkeys(path for _, path in ROUTES):
        for method in METHODS:
            cell, row = expected(identity, method, path), ROUTES.get(meant(method, path), Route("", 0))
            # A world of its own where something may happen (to who proves twice, the first time); in the shared one
            # nothing may.
            changing = method != "GET" and meant(method, path) in ROUTES
            w = await a_world(who) if changing and (cell == IN or len(who.proofs) > 1) else shared
            before = state_of(w)
            target = target_of(w, method, path) + row.query
            found = outcome(await request(w, who, method, target, row.body(w, who.name or "")), row.granted)
            if found != cell:
                wrong[f"{method} {path}"] = f"{found}, not {cell}"
            if w is shared and state_of(w) != before:
                wrong[f"{method} {path}"] = f"{found}, and something was changed"
    assert wrong == {}


def known_routes() -> set[tuple[str, str]]:
    """Of the app: its table, and what its description has beside it."""
    found = RAW | {(route.method, route.path) for route in KNOWN}
    for path, item in json.loads(description())["paths"].items():
        found |= {(method.upper(), path) for method in item if method != "parameters"}
    return found


def test_every_route_has_a_row() -> None:
    known = known_routes()
    assert len(known) > 30
    for method, path in known - set(ROUTES):
        pytest.fail(f"{method} {path} is new: say of which class it is (tests/api/test_matrix.py, ROUTES)")
    for method, path in set(ROUTES) - known:
        pytest.fail(f"{method} {path} is gone: take its row away")


def test_every_identity_has_a_row_and_every_class_a_column() -> None:
    assert set(EXPECTED) == set(ASKING)
    assert all(len(row) == len(KINDS) for row in EXPECTED.values())
    assert {route.kind for route in ROUTES.values()} == set(KINDS)
