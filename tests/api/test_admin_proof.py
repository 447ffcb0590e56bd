"""The admin proof at the door: who asks for an admin route holds the private key, not just the address."""

import json
from typing import Any

import pytest

from tests.api.asking import Answer, ask, events_after
from tests.api.proofs import proven
from tests.world import World, populated

PEERS = "/v1/admin/peers"
CIDR = {"name": "birds", "cidr": "127.42.5.0/24", "parent": 1}


@pytest.fixture
async def strict() -> World:
    return await populated(proof_required=True)


async def send(w: World, header: str, method: str = "GET", target: str = PEERS, **more: Any) -> Answer:
    headers = [("X-Innerd-Proof", header), *more.pop("headers", ())]
    return await ask(w, more.pop("who", "ryo"), method, target, headers=headers, **more)


async def test_where_it_is_required_an_admin_without_it_is_401(strict: World) -> None:
    for target in (PEERS, "/v1/network", "/v1/admin/events", "/v1/admin/nothing"):
        answer = await ask(strict, "ryo", "GET", target)
        assert (answer.status, answer.code) == (401, "proof_required")
    before = strict.writer.network
    assert (await ask(strict, "ryo", "POST", "/v1/admin/cidrs", json=CIDR)).code == "proof_required"
    assert strict.writer.network is before


async def test_the_routes_of_users_need_none(strict: World) -> None:
    assert (await ask(strict, "ryo", "GET", "/v1/user/state")).status == 200
    capabilities = await ask(strict, "ryo", "GET", "/v1/user/capabilities")
    assert capabilities.json()["admin_proof"] == "required"


async def test_a_proof_opens_the_door(strict: World) -> None:
    assert (await send(strict, proven(strict))).status == 200
    body = json.dumps(CIDR).encode()
    header = proven(strict, "POST", "/v1/admin/cidrs?x=1", body=body, nonce="nonce-0002")
    assert (await send(strict, header, "POST", "/v1/admin/cidrs?x=1", body=body)).status == 201


async def test_where_it_is_optional_none_is_asked_for_but_a_wrong_one_is_refused(w: World) -> None:
    assert (await ask(w, "ryo", "GET", "/v1/user/capabilities")).json()["admin_proof"] == "optional"
    assert (await ask(w, "ryo", "GET", PEERS)).status == 200
    assert (await send(w, proven(w, "GET", PEERS))).status == 200
    assert (await send(w, proven(w, "GET", PEERS, mine="mari", nonce="nonce-0002"))).code == "proof_invalid"


ALTERED = {
    "another's private key": {"mine": "mari"},
    "a secret of zeros": {"secret": bytes(32)},
    "another network": {"network_id": "00" * 16},
    "another method": {"method": "DELETE"},
    "another target": {"target": "/v1/admin/cidrs"},
    "another query": {"target": f"{PEERS}?dry_run=true"},
    "another host": {"host": "127.42.0.1:80"},
    "another body": {"body": b"{}"},
    "an If-Match that was not sent": {"if_match": '"1"'},
    "an Idempotency-Key that was not sent": {"idempotency_key": "12345678"},
}


@pytest.mark.parametrize("changes", ALTERED.values(), ids=ALTERED)
async def test_a_proof_of_another_request_is_refused(strict: World, changes: dict[str, Any]) -> None:
    answer = await send(strict, proven(strict, **changes))
    assert (answer.status, answer.code) == (401, "proof_invalid")


@pytest.mark.parametrize(
    ("field", "header"), [("if_match", "If-Match"), ("idempotency_key", "Idempotency-Key")], ids=["if-match", "key"]
)
async def test_headers_that_decide_what_happens_are_bound(strict: World, field: str, header: str) -> None:
    revision = strict.writer.network.revision
    value = f'"{revision}"' if field == "if_match" else "a-key-of-mine"
    target = f"{PEERS}/{strict.peer('mari').id}"
    proved = proven(strict, "DELETE", target, **{field: value})
    for altered in ([], [(header, value + "0")], [(header, value + " ")]):
        assert (await send(strict, proved, "DELETE", target, headers=altered)).code == "proof_invalid"
    assert events_after(strict, revision) == []
    assert (await send(strict, proved, "DELETE", target, headers=[(header, value)])).status == 204


async def test_a_body_is_bound(strict: World) -> None:
    body = json.dumps(CIDR).encode()
    header = proven(strict, "POST", "/v1/admin/cidrs", body=body)
    altered = await send(strict, header, "POST", "/v1/admin/cidrs", body=body.replace(b"birds", b"beast"))
    assert altered.code == "proof_invalid"
    assert (await send(strict, header, "POST", "/v1/admin/cidrs", body=body)).status == 201


@pytest.mark.parametrize("sent", ["//v1/admin/peers", "/v1/admin/peers/x", "/v1/admin/peers?a=2"])
async def test_the_target_is_bound_as_it_was_sent(strict: World, sent: str) -> None:
    assert (await send(strict, proven(strict), "GET", sent)).code == "proof_invalid"


async def test_a_nonce_counts_once(strict: World) -> None:
    header = proven(strict)
    assert (await send(strict, header)).status == 200
    again = await send(strict, header)
    assert (again.status, again.code) == (401, "proof_invalid")
    strict.now += 59  # still within the window: still remembered
    assert (await send(strict, header)).code == "proof_invalid"


async def test_a_proof_made_ahead_of_the_clock_is_remembered_as_long_as_it_is_good(strict: World) -> None:
    header = proven(strict, time=int(strict.now) + 60)
    assert (await send(strict, header)).status == 200
    for _ in range(120):
        strict.now += 1
        assert (await send(strict, header)).code == "proof_invalid"


@pytest.mark.parametrize(("off", "status"), [(-61, 401), (-60, 200), (0, 200), (60, 200), (61, 401)])
async def test_the_clocks_may_differ_by_a_minute(strict: World, off: int, status: int) -> None:
    strict.now = float(int(strict.now))
    assert (await send(strict, proven(strict, time=int(strict.now) + off))).status == status


async def test_a_refused_proof_burns_no_nonce(strict: World) -> None:
    """Or anybody behind the address could block an admin by guessing."""
    wrong = proven(strict, mine="mari")
    assert (await send(strict, wrong)).status == 401
    assert (await send(strict, proven(strict))).status == 200


@pytest.mark.parametrize(
    "header",
    ["", "v1", "v2 {time} nonce-0001 {mac}", "v1 {time} short {mac}", "v1 {time} " + "n" * 65 + " {mac}",
     "v1 -5 nonce-0001 {mac}", "v1 \xb2 nonce-0001 {mac}", "v1 " + "1" * 5000 + " nonce-0001 {mac}",
     "v1 {time} nonce-0001 ", "v1 {time} nonce-0001 \xe9", "v1 {time} nonce-0001 {mac}A", "v1  {time} nonce-0001 {mac}",
     "V1 {time} nonce-0001 {mac}", "v1 {time} nonce-0001 {mac} x"],
)  # fmt: skip
async def test_a_malformed_proof_is_refused(strict: World, header: str) -> None:
    _, time, _, mac = proven(strict).split(" ")
    answer = await send(strict, header.format(time=time, mac=mac))
    assert (answer.status, answer.code) == (401, "proof_invalid")


async def test_the_proof_of_one_who_is_no_admin_makes_no_admin(strict: World) -> None:
    header = proven(strict, mine="mari")
    answer = await send(strict, header, who="mari")
    assert (answer.status, answer.code) == (401, "not_admin")


async def test_an_admin_who_must_prove_and_local_root_who_must_not(strict: World) -> None:
    assert (await ask(strict, None, "GET", PEERS)).status == 200
