"""Levels: what an invitee, a disabled peer, a user and an admin may ask. Every failure is 401, never 403."""

import pytest

from innerd.domain import commands as c
from tests.api.asking import ask, events_after
from tests.world import World, key

BODIES = {
    ("POST", "/v1/user/redeem"): {"public_key": key("fresh")},
    ("PUT", "/v1/user/endpoint"): {"option": "Set", "content": "198.51.100.7:999"},
    ("PUT", "/v1/user/candidates"): ["198.51.100.7:999"],
    ("PUT", "/v1/user/applied"): {"revision": 0},
}

# (method, route) -> what an invitee, a user, an admin and the local root get; a disabled peer gets 401 everywhere
LEVELS = {
    ("GET", "/v1/user/state"): (401, 200, 200, 401),
    ("GET", "/v1/user/capabilities"): (200, 200, 200, 200),
    ("PUT", "/v1/user/endpoint"): (401, 204, 204, 401),
    ("PUT", "/v1/user/candidates"): (401, 204, 204, 401),
    ("PUT", "/v1/user/applied"): (401, 204, 204, 401),
    ("GET", "/v1/user/nothing"): (404, 404, 404, 404),
    ("GET", "/v1/nothing"): (404, 404, 404, 404),
    ("GET", "/v1/admin/peers"): (401, 401, 200, 200),
    ("GET", "/v1/admin/cidrs"): (401, 401, 200, 200),
    ("GET", "/v1/admin/associations"): (401, 401, 200, 200),
    ("GET", "/v1/admin/status"): (401, 401, 200, 200),
    ("GET", "/v1/admin/convergence"): (401, 401, 200, 200),
    ("GET", "/v1/admin/events"): (401, 401, 200, 200),
    ("GET", "/v1/network"): (401, 401, 200, 200),
    ("GET", "/v1/admin/nothing"): (401, 401, 404, 404),
    ("DELETE", "/v1/admin/associations/77"): (401, 401, 204, 204),
    ("PUT", "/v1/admin/peers/77"): (401, 401, 400, 400),
    ("POST", "/v1/user/redeem"): (204, 401, 401, 401),  # last: it changes the level
}
WHO = ["invitee", "user", "admin", "local root", "disabled user", "disabled admin", "disabled invitee"]


async def _as(w: World, who: str) -> str | None:
    if who == "local root":
        return None
    if "invitee" in who:
        await w.invite("kuro", "cats")
    name = {"invitee": "kuro", "user": "mari", "admin": "ryo"}[who.removeprefix("disabled ")]
    if who.startswith("disabled"):
        await w.do(c.DisablePeer(w.peer(name).id))
    return name


@pytest.mark.parametrize("who", WHO)
async def test_a_level_decides_what_is_answered(w: World, who: str) -> None:
    name = await _as(w, who)
    answered = {}
    for method, target in LEVELS:
        before = w.writer.network.revision
        answer = await ask(w, name, method, target, json=BODIES.get((method, target)))
        answered[method, target] = answer.status
        if answer.status == 401:
            assert events_after(w, before) == []
    column = WHO.index(who)
    assert answered == {route: 401 if column > 3 else statuses[column] for route, statuses in LEVELS.items()}


@pytest.mark.parametrize("target", ["/v1/user/endpoint", "/v1/user/candidates", "/v1/user/applied"])
async def test_the_user_level_precedes_reading_the_body(w: World, target: str) -> None:
    await w.invite("kuro", "cats")
    assert (await ask(w, "kuro", "PUT", target, body=b"{")).status == 401
    assert (await ask(w, "mari", "PUT", target, body=b"{")).status == 400


@pytest.mark.parametrize("route", ["peers", "cidrs"])
async def test_an_id_that_is_no_number_is_404_before_the_body_is_looked_at(w: World, route: str) -> None:
    assert (await ask(w, "ryo", "PUT", f"/v1/admin/{route}/x", body=b"{")).status == 404
    assert (await ask(w, "ryo", "PUT", f"/v1/admin/{route}/77", body=b"{")).status == 400


async def test_the_row_is_looked_for_before_the_name_is_judged(w: World) -> None:
    contents = {"name": "No Name", "cidr": "127.42.9.0/24", "parent": 1}
    assert (await ask(w, "ryo", "PUT", "/v1/admin/cidrs/77", json=contents)).status == 404
    assert (await ask(w, "ryo", "PUT", f"/v1/admin/cidrs/{w.cidr_id('cats')}", json=contents)).status == 400


async def test_rights_that_are_taken_away_are_gone_with_the_next_request(w: World) -> None:
    assert (await ask(w, "ryo", "GET", "/v1/admin/peers")).status == 200
    await w.do(c.RevokeAdmin(w.peer("ryo").id))
    answer = await ask(w, "ryo", "GET", "/v1/admin/peers")
    assert (answer.status, answer.code) == (401, "not_admin")
