"""What every changing admin route takes: `?dry_run=true`, `Idempotency-Key`, `If-Match`. One table over the routes."""

import asyncio
from typing import Any

import pytest

from innerd.domain import commands as c
from tests.api.asking import ask, events_after, peer_contents
from tests.world import World, key

ROUTES: dict[str, tuple[str, str, Any]] = {
    "add peer": ("POST", "/v1/admin/peers", "peer"),
    "put peer": ("PUT", "/v1/admin/peers/{mari}", "renamed"),
    "patch peer": ("PATCH", "/v1/admin/peers/{mari}", {"is_disabled": True}),
    "disable peer": ("DELETE", "/v1/admin/peers/{mari}", None),
    "retire peer": ("DELETE", "/v1/admin/peers/{mari}?remove=true", None),
    "delete invitee": ("DELETE", "/v1/admin/peers/{kuro}?remove=true", None),
    "reissue": ("POST", "/v1/admin/peers/{kuro}/reissue", {"public_key": key("again"), "invite_expires": None}),
    "add cidr": ("POST", "/v1/admin/cidrs", {"name": "birds", "cidr": "127.42.5.0/24", "parent": 1}),
    "rename cidr": ("PUT", "/v1/admin/cidrs/{cats}", {"name": "kittens", "cidr": "127.42.3.0/24", "parent": 1}),
    "delete cidr": ("DELETE", "/v1/admin/cidrs/{empty}", None),
    "delete unknown cidr": ("DELETE", "/v1/admin/cidrs/77", None),
    "associate": ("POST", "/v1/admin/associations", {"cidr_id_1": 3, "cidr_id_2": 4}),
    "dissociate": ("DELETE", "/v1/admin/associations/1", None),
    "set endpoint": ("PUT", "/v1/admin/endpoint", {"endpoint": "192.0.2.9:51820"}),
}
DIFF_FIELDS = ["pairs_gained", "pairs_lost", "gained", "lost", "names_added", "names_removed", "moved"]


@pytest.fixture
async def full(w: World) -> World:
    """Something for every route to change."""
    await w.invite("kuro", "cats")
    await w.add_cidr("empty", "127.42.9.0/24")
    await w.associate("cats", "empty")
    await w.do(c.DeleteAssociation(1))
    await w.associate("cats", "ovens")
    return w


def request(w: World, route: str) -> tuple[str, str, Any]:
    method, target, body = ROUTES[route]
    ids = {name: w.peer(name).id for name in ("mari", "kuro")}
    ids |= {name: w.cidr_id(name) for name in ("cats", "empty")}
    if route == "dissociate":
        target = "/v1/admin/associations/2"
    if body == "peer":
        body = peer_contents(w)
    elif body == "renamed":
        body = peer_contents(w, "mary", endpoint=None)
    return method, target.format(**ids), body


@pytest.mark.parametrize("route", ROUTES)
async def test_a_dry_run_answers_the_difference_and_changes_nothing(full: World, route: str) -> None:
    method, target, body = request(full, route)
    before, records = full.writer.network, len(full.store.records)
    answer = await ask(full, "ryo", method, f"{target}{'&' if '?' in target else '?'}dry_run=true", json=body)
    assert answer.status == 200
    assert [field for field in answer.json() if field != "happens"] == DIFF_FIELDS
    assert full.writer.network is before
    assert len(full.store.records) == records
    assert not full.store.answers


@pytest.mark.parametrize("route", ROUTES)
async def test_a_stale_if_match_is_412_and_changes_nothing(full: World, route: str) -> None:
    method, target, body = request(full, route)
    before = full.writer.network
    stale = [("If-Match", f'"{before.revision - 1}"')]
    answer = await ask(full, "ryo", method, target, json=body, headers=stale)
    assert (answer.status, answer.code) == (412, "revision_mismatch")
    assert full.writer.network is before


@pytest.mark.parametrize("route", ROUTES)
async def test_the_etag_of_a_get_is_an_if_match_that_holds(full: World, route: str) -> None:
    method, target, body = request(full, route)
    tag = (await ask(full, "ryo", "GET", "/v1/admin/peers")).headers["etag"]
    assert tag == f'"{full.writer.network.revision}"'
    answer = await ask(full, "ryo", method, target, json=body, headers=[("If-Match", tag)])
    assert answer.status in (201, 204)
    assert (full.writer.network.revision > int(tag.strip('"'))) == (route != "delete unknown cidr")


@pytest.mark.parametrize("route", ROUTES)
async def test_a_repeated_request_answers_as_the_first_and_appends_nothing(full: World, route: str) -> None:
    method, target, body = request(full, route)
    named = [("Idempotency-Key", f"key of {route}")]
    first = await ask(full, "ryo", method, target, json=body, headers=named)
    assert first.status in (201, 204)
    before = full.writer.network
    again = await ask(full, "ryo", method, target, json=body, headers=named)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers.get("content-type") == first.headers.get("content-type")
    assert full.writer.network is before


@pytest.mark.parametrize("route", ROUTES)
async def test_a_key_that_was_used_for_another_request_is_422(full: World, route: str) -> None:
    method, target, body = request(full, route)
    named = [("Idempotency-Key", "one key for two")]
    await ask(full, "ryo", "POST", "/v1/admin/cidrs", json={"name": "x", "cidr": "127.42.11.0/24"}, headers=named)
    before = full.writer.network
    answer = await ask(full, "ryo", method, target, json=body, headers=named)
    assert (answer.status, answer.code) == (422, "idempotency_mismatch")
    assert full.writer.network is before


async def test_disabling_and_removing_are_different_requests(full: World) -> None:
    """They differ in the query alone; a retry must not be answered with what was done to another question."""
    target, named = f"/v1/admin/peers/{full.peer('mari').id}", [("Idempotency-Key", "one key for two")]
    assert (await ask(full, "ryo", "DELETE", target, headers=named)).status == 204
    answer = await ask(full, "ryo", "DELETE", f"{target}?remove=true", headers=named)
    assert (answer.status, answer.code) == (422, "idempotency_mismatch")


async def test_idempotency_keys_belong_to_who_used_them(full: World) -> None:
    named = [("Idempotency-Key", "the same key")]
    one = {"name": "one", "cidr": "127.42.11.0/24"}
    assert (await ask(full, "ryo", "POST", "/v1/admin/cidrs", json=one, headers=named)).status == 201
    other = {"name": "other", "cidr": "127.42.12.0/24"}
    assert (await ask(full, None, "POST", "/v1/admin/cidrs", json=other, headers=named)).status == 201


async def test_a_refusal_is_not_remembered(full: World) -> None:
    named = [("Idempotency-Key", "try and try")]
    target = f"/v1/admin/peers/{full.peer('mari').id}"
    stale = await ask(full, "ryo", "DELETE", target, headers=[*named, ("If-Match", '"1"')])
    assert stale.status == 412
    assert (await ask(full, "ryo", "DELETE", target, headers=named)).status == 204


async def test_a_retry_whose_if_match_its_own_first_try_made_stale_gets_the_first_answer(full: World) -> None:
    headers = [("Idempotency-Key", "lost answer"), ("If-Match", f'"{full.writer.network.revision}"')]
    target = f"/v1/admin/peers/{full.peer('mari').id}"
    assert (await ask(full, "ryo", "DELETE", target, headers=headers)).status == 204
    assert (await ask(full, "ryo", "DELETE", target, headers=headers)).status == 204


async def test_ten_copies_of_a_request_at_once_happen_once(full: World) -> None:
    revision = full.writer.network.revision
    body, named = {"name": "birds", "cidr": "127.42.5.0/24"}, [("Idempotency-Key", "ten at once")]
    copies = (ask(full, "ryo", "POST", "/v1/admin/cidrs", json=body, headers=named) for _ in range(10))
    answers = await asyncio.gather(*copies)
    assert {(answer.status, answer.body) for answer in answers} == {(201, answers[0].body)}
    assert events_after(full, revision) == ["cidr.created"]


async def test_of_ten_changes_with_one_if_match_one_happens(full: World) -> None:
    tag, revision = [("If-Match", f'"{full.writer.network.revision}"')], full.writer.network.revision
    bodies = [{"name": f"c{n}", "cidr": f"127.42.{20 + n}.0/24"} for n in range(10)]
    answers = await asyncio.gather(*(ask(full, "ryo", "POST", "/v1/admin/cidrs", json=b, headers=tag) for b in bodies))
    assert sorted(answer.status for answer in answers) == [201] + [412] * 9
    assert full.writer.network.revision == revision + 1


@pytest.mark.parametrize("name", ["Idempotency-Key", "If-Match"])
async def test_of_several_such_headers_the_first_counts(full: World, name: str) -> None:
    """The admin proof binds the first: a second one must not be what is obeyed."""
    now, target = full.writer.network.revision, f"/v1/admin/peers/{full.peer('mari').id}"
    values = {"If-Match": (f'"{now}"', '"1"'), "Idempotency-Key": ("a good key", "short")}[name]
    assert (await ask(full, "ryo", "DELETE", target, headers=[(name, value) for value in values])).status == 204


async def test_the_answer_says_the_revision_it_is_true_at(full: World) -> None:
    answer = await ask(full, "ryo", "DELETE", f"/v1/admin/peers/{full.peer('mari').id}")
    assert answer.headers["x-innerd-revision"] == str(full.writer.network.revision)


@pytest.mark.parametrize("target", ["peers", "cidrs", "associations", "convergence", "events", "status"])
async def test_every_get_of_admins_carries_the_etag(full: World, target: str) -> None:
    answer = await ask(full, "ryo", "GET", f"/v1/admin/{target}")
    assert answer.headers["etag"] == f'"{full.writer.network.revision}"'
