"""Request bodies: how long they may be, what JSON is accepted, which fields may be missing or unknown."""

import json
from typing import Any

import pytest

from tests.api.asking import Answer, ask, listed, peer_contents
from tests.world import World, key

CANDIDATES = "/v1/user/candidates"
ENDPOINT = "/v1/user/endpoint"
PEERS = "/v1/admin/peers"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param([], "length_required", id="no length"),
        pytest.param([("Transfer-Encoding", "chunked")], "length_required", id="chunked"),
        pytest.param([("Transfer-Encoding", "chunked"), ("Content-Length", "2")], "length_required", id="both"),
        pytest.param([("Content-Length", "two")], "length_required", id="a word"),
        pytest.param([("Content-Length", "-2")], "length_required", id="negative"),
        pytest.param([("Content-Length", "+2")], "length_required", id="a plus"),
        pytest.param([("Content-Length", "")], "length_required", id="empty"),
        pytest.param([("Content-Length", "65537")], "body_too_large", id="a byte too many"),
        pytest.param([("Content-Length", "9" * 30)], "body_too_large", id="astronomic"),
    ],
)
async def test_a_body_needs_a_readable_content_length(still: World, headers: list[tuple[str, str]], code: str) -> None:
    answer = await ask(still, "mari", "PUT", CANDIDATES, body=b"[]", headers=headers, length=False)
    assert (answer.status, answer.code) == (400, code)


async def test_of_peers_16_kib_are_read_and_of_administrators_64(w: World) -> None:
    body = b"[]" + b" " * (16 * 1024 - 2)
    assert (await ask(w, "mari", "PUT", CANDIDATES, body=body)).status == 204
    assert (await ask(w, "mari", "PUT", CANDIDATES, body=body + b" ")).status == 400
    contents = json.dumps(peer_contents(w)).encode()
    body = contents + b" " * (64 * 1024 - len(contents))
    assert (await ask(w, "ryo", "POST", PEERS, body=body + b" ")).status == 400
    assert (await ask(w, "ryo", "POST", PEERS, body=body)).status == 201


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
async def test_the_content_type_is_not_looked_at(still: World, kind: str) -> None:
    assert (await ask(still, "mari", "PUT", CANDIDATES, json=[], headers=[("Content-Type", kind)])).status == 204


async def test_the_body_of_a_get_is_ignored(w: World) -> None:
    assert (await ask(w, "mari", "GET", "/v1/user/state", body=b"{not json")).status == 200


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut short"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"Unset"', id="a string"),
        pytest.param(b'{"option":"Unset"} x', id="trailing garbage"),
        pytest.param(b'\xef\xbb\xbf{"option":"Unset"}', id="a byte order mark"),
        pytest.param('{"option":"Unset"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"option":"Set","content":"\xff.example:1"}', id="bad UTF-8"),
        pytest.param(b'{"option":"Set","content":"\\ud800.example:1"}', id="a lone surrogate"),
        pytest.param(b"{'option':'Unset'}", id="single quotes"),
        pytest.param(b'{"option":"Unset",}', id="a trailing comma"),
        pytest.param(b"{}", id="a field is missing"),
        pytest.param(b'{"option":3}', id="a wrong type"),
        pytest.param(b'{"option":"unset"}', id="lower case"),
        pytest.param(b'{"option":"Set"}', id="set, but no content"),
        pytest.param(b'{"option":"Set","content":null}', id="set to null"),
        pytest.param(b'{"option":"Unset","content":"1.2.3.4:5"}', id="unset with a content"),
        pytest.param(b'{"Set":"1.2.3.4:5"}', id="externally tagged"),
        pytest.param(b'{"option":"Set","content":"1.2.3.4"}', id="no port"),
        pytest.param(b'{"option":"Unset","option":"Unset"}', id="a known field twice"),
        pytest.param(b"[" * 10_000, id="nested without end"),
    ],
)
async def test_what_is_no_json_of_the_shape_is_400(w: World, body: bytes) -> None:
    answer = await ask(w, "mari", "PUT", ENDPOINT, body=body)
    assert answer.status == 400
    assert answer.code in ("invalid_request", "invalid_endpoint")


@pytest.mark.parametrize(
    ("body", "endpoint"),
    [
        pytest.param(b'{"option":"Set","content":"1.2.3.4:5"}', "1.2.3.4:5", id="in order"),
        pytest.param(b'{"content":"1.2.3.4:5","option":"Set"}', "1.2.3.4:5", id="in the other order"),
        pytest.param(b' {"option":"Set","content":"1.2.3.4:5","x":{"y":[1]}} \n', "1.2.3.4:5", id="unknown field"),
        pytest.param(b'{"option":"Unset"}', None, id="unset"),
        pytest.param(b'{"option":"Unset","content":null}', None, id="unset with null"),
        pytest.param(b'{"option":"Set","content":"192.0.2.9:0005"}', "192.0.2.9:5", id="canonical"),
        pytest.param(b'{"option":"Set","content":"0:51820"}', "0.0.0.0:51820", id="an unspecified address"),
    ],
)
async def test_an_endpoint_is_set_and_unset(w: World, body: bytes, endpoint: str | None) -> None:
    assert (await ask(w, "mari", "PUT", ENDPOINT, json={"option": "Set", "content": "9.9.9.9:9"})).status == 204
    answer = await ask(w, "mari", "PUT", ENDPOINT, body=body)
    assert (answer.status, answer.body) == (204, b"")
    assert w.peer("mari").endpoint == endpoint


async def _post_without(w: World, *missing: str) -> Answer:
    contents = peer_contents(w)
    return await ask(w, "ryo", "POST", PEERS, json={k: v for k, v in contents.items() if k not in missing})


@pytest.mark.parametrize("field", ["endpoint", "persistent_keepalive_interval", "invite_expires", "candidates"])
async def test_an_option_may_be_left_out(w: World, field: str) -> None:
    answer = await _post_without(w, field)
    assert answer.status == 201
    assert answer.json()[field] == ([] if field == "candidates" else None)


@pytest.mark.parametrize("field", ["name", "cidr_id", "public_key", "is_admin", "is_disabled", "is_redeemed"])
async def test_a_required_field_may_not_be_left_out(still: World, field: str) -> None:
    assert (await _post_without(still, field)).status == 400
    assert still.writer.network.peer_named("neko") is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"cidr_id": "5"}, id="an id as a string"),
        pytest.param({"cidr_id": 5.0}, id="an id as a float"),
        pytest.param({"cidr_id": None}, id="an id as null"),
        pytest.param({"candidates": None}, id="candidates null"),
        pytest.param({"candidates": ["1.2.3.4"]}, id="a candidate without a port"),
        pytest.param({"is_admin": 0}, id="a number for a boolean"),
        pytest.param({"is_admin": "false"}, id="a string for a boolean"),
        pytest.param({"name": None}, id="no name"),
        pytest.param({"name": "ne ko"}, id="a name with a blank"),
        pytest.param({"name": "neko\n127.0.0.1 bank"}, id="a name with a newline"),
        pytest.param({"name": ""}, id="an empty name"),
        pytest.param({"ip": "127.42.3.077"}, id="leading zeros in the address"),
        pytest.param({"ip": "127.42.3.77/32"}, id="an address with a prefix"),
        pytest.param({"ip": 5}, id="an address as a number"),
        pytest.param({"persistent_keepalive_interval": 65_536}, id="keepalive beyond 16 bits"),
        pytest.param({"persistent_keepalive_interval": -1}, id="keepalive below nothing"),
        pytest.param({"endpoint": "nonsense"}, id="a malformed endpoint"),
        pytest.param({"endpoint": ["1.2.3.4", 5]}, id="an endpoint as a list"),
        pytest.param({"public_key": "nonsense"}, id="a malformed key"),
        pytest.param({"public_key": "A" * 43 + "="}, id="a low-order key"),
        pytest.param({"public_key": key("neko") + "="}, id="a key with doubled padding"),
        pytest.param({"public_key": None}, id="no key"),
    ],
)
async def test_a_peer_with_an_ill_typed_field_is_400(still: World, changes: dict[str, Any]) -> None:
    before = still.writer.network
    assert (await ask(still, "ryo", "POST", PEERS, json=peer_contents(still, **changes))).status == 400
    assert still.writer.network is before


TIMESTAMPS = [
    pytest.param({"secs_since_epoch": 1_900_000_000, "nanos_since_epoch": 0}, 1_900_000_000, id="an object"),
    pytest.param({"nanos_since_epoch": 7, "secs_since_epoch": 1_900_000_000}, 1_900_000_000, id="the other order"),
    pytest.param([1_900_000_000, 0], 1_900_000_000, id="an array"),
    pytest.param({"secs_since_epoch": 1_900_000_000, "nanos_since_epoch": 2_500_000_000}, 1_900_000_002, id="carry"),
    pytest.param(None, None, id="null: never"),
    pytest.param({"secs_since_epoch": 1_900_000_000}, 400, id="no nanos"),
    pytest.param({"nanos_since_epoch": 0}, 400, id="no seconds"),
    pytest.param({"secs_since_epoch": 1, "nanos_since_epoch": 0, "x": 1}, 400, id="an extra key"),
    pytest.param({"secs_since_epoch": -1, "nanos_since_epoch": 0}, 400, id="before 1970"),
    pytest.param({"secs_since_epoch": 1.5, "nanos_since_epoch": 0}, 400, id="a float"),
    pytest.param({"secs_since_epoch": 2**63, "nanos_since_epoch": 0}, 400, id="beyond i64"),
    pytest.param({"secs_since_epoch": 2**63 - 1, "nanos_since_epoch": 2**32 - 1}, 400, id="carried beyond i64"),
    pytest.param({"secs_since_epoch": 1, "nanos_since_epoch": 2**32}, 400, id="nanos beyond u32"),
    pytest.param([1_900_000_000], 400, id="an array of one"),
    pytest.param([1_900_000_000, 0, 0], 400, id="an array of three"),
    pytest.param("2030-01-01T00:00:00Z", 400, id="text"),
    pytest.param(1_900_000_000, 400, id="a number"),
]


@pytest.mark.parametrize(("given", "stored"), TIMESTAMPS)
async def test_a_timestamp_is_rusts_system_time(w: World, given: Any, stored: int | None) -> None:
    answer = await ask(w, "ryo", "POST", PEERS, json=peer_contents(w, invite_expires=given))
    if stored == 400:
        assert answer.status == 400
        return
    assert answer.status == 201
    expected = None if stored is None else {"secs_since_epoch": stored, "nanos_since_epoch": 0}
    assert (await listed(w, "neko"))["invite_expires"] == expected


async def test_the_echo_of_a_new_peer_carries_the_nanos_that_were_posted(w: World) -> None:
    expires = {"secs_since_epoch": 1_900_000_000, "nanos_since_epoch": 123_456_789}
    answer = await ask(w, "ryo", "POST", PEERS, json=peer_contents(w, invite_expires=expires))
    assert answer.json()["invite_expires"] == expires


async def test_unknown_fields_are_ignored_everywhere_else(w: World) -> None:
    assert (await ask(w, "ryo", "POST", PEERS, json=peer_contents(w) | {"colour": "red", "id": 99})).status == 201
    cidr = {"name": "birds", "cidr": "127.42.5.0/24", "parent": 1, "colour": "red"}
    assert (await ask(w, "ryo", "POST", "/v1/admin/cidrs", json=cidr)).status == 201
    pair = {"cidr_id_1": 3, "cidr_id_2": 4, "colour": "red"}
    assert (await ask(w, "ryo", "POST", "/v1/admin/associations", json=pair)).status == 201


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/admin/associations", b'{"cidr_id_1":3,"cidr_id_1":3,"cidr_id_2":4}'),
        ("/v1/admin/cidrs", b'{"name":"birds","name":"dogs","cidr":"127.42.5.0/24","parent":1}'),
        (
            "/v1/user/redeem",
            json.dumps({"public_key": key("a")}).encode()[:-1] + b',"public_key":"%b"}' % key("b").encode(),
        ),
    ],
    ids=["association", "cidr", "redeem"],
)
async def test_a_known_field_twice_is_400(w: World, target: str, body: bytes) -> None:
    """Two readers of such a body need not agree about what it says."""
    await w.invite("kuro", "cats")
    before = w.writer.network
    answer = await ask(w, "kuro" if "redeem" in target else "ryo", "POST", target, body=body)
    assert answer.status == 400
    assert w.writer.network is before


@pytest.mark.parametrize(("count", "status"), [(0, 204), (10, 204), (11, 413), (800, 413)])
async def test_more_than_ten_candidates_are_413(w: World, count: int, status: int) -> None:
    reported = [f"192.0.2.{n % 250}:{n + 1}" for n in range(count)]
    assert (await ask(w, "mari", "PUT", CANDIDATES, json=reported)).status == status
    assert (await listed(w, "mari"))["candidates"] == (reported if status == 204 else [])


async def test_the_admin_routes_have_no_limit_of_ten_candidates(w: World) -> None:
    reported = [f"192.0.2.{n}:1" for n in range(11)]
    assert (await ask(w, "ryo", "POST", PEERS, json=peer_contents(w, candidates=reported))).status == 201


@pytest.mark.parametrize(
    "changes",
    [{"ip": "nonsense"}, {"endpoint": "nonsense"}, {"candidates": ["nonsense"]}, {"cidr_id": "3"}, {"is_redeemed": 1}],
    ids=lambda changes: next(iter(changes)),
)
async def test_the_fields_that_a_put_ignores_must_be_well_typed(w: World, changes: dict[str, Any]) -> None:
    contents = await listed(w, "mari") | changes
    assert (await ask(w, "ryo", "PUT", f"/v1/admin/peers/{w.peer('mari').id}", json=contents)).status == 400


async def test_a_rename_of_a_cidr_must_carry_a_range(w: World) -> None:
    contents = {"name": "kittens", "cidr": "nonsense", "parent": 1}
    assert (await ask(w, "ryo", "PUT", f"/v1/admin/cidrs/{w.cidr_id('cats')}", json=contents)).status == 400
