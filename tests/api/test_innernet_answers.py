"""innernet's answers byte for byte where its clients look: status, empty bodies, types of content, order of fields."""

from typing import Any

import pytest

from innerd.coordinator.presence import Observed
from tests.api.asking import ask, peer_contents
from tests.world import World, key

PEER_FIELDS = [
    "id",
    "name",
    "ip",
    "cidr_id",
    "public_key",
    "endpoint",
    "persistent_keepalive_interval",
    "is_admin",
    "is_disabled",
    "is_redeemed",
    "invite_expires",
    "candidates",
]


def changing(w: World) -> list[tuple[str, str, Any, int]]:
    """Every request that innernet answers without a body: method, route, body, status."""
    mari = {
        "name": "mari",
        "is_admin": False,
        "is_disabled": False,
        "is_redeemed": True,
        "cidr_id": w.cidr_id("humans"),
    }
    mari |= {"ip": str(w.peer("mari").ip), "public_key": key("mari")}
    cats = {"name": "cats", "cidr": "127.42.3.0/24", "parent": 1}
    return [
        ("PUT", "/v1/user/endpoint", {"option": "Unset"}, 204),
        ("PUT", "/v1/user/candidates", [], 204),
        ("PUT", f"/v1/admin/peers/{w.peer('mari').id}", mari | {"name": "mary"}, 204),
        ("PUT", f"/v1/admin/peers/{w.peer('mari').id}", mari | {"name": "mary"}, 204),  # already so
        ("DELETE", f"/v1/admin/peers/{w.peer('oven').id}", None, 204),
        ("DELETE", f"/v1/admin/peers/{w.peer('oven').id}", None, 204),  # already so
        ("PUT", f"/v1/admin/cidrs/{w.cidr_id('cats')}", cats | {"name": "kittens"}, 204),
        ("POST", "/v1/admin/associations", {"cidr_id_1": 3, "cidr_id_2": 4}, 201),
        ("DELETE", "/v1/admin/associations/1", None, 204),
        ("DELETE", "/v1/admin/associations/1", None, 204),  # unknown by now
        ("DELETE", "/v1/admin/cidrs/77", None, 204),  # never was
    ]


async def test_changes_are_answered_with_an_empty_body_and_no_content_type(w: World) -> None:
    for method, target, body, status in changing(w):
        answer = await ask(w, "ryo", method, target, json=body)
        assert (target, answer.status, answer.body) == (target, status, b"")
        assert "content-type" not in answer.headers


async def test_a_peer_has_innernets_fields_in_its_order(w: World) -> None:
    posted = await ask(w, "ryo", "POST", "/v1/admin/peers", json=peer_contents(w))
    assert posted.headers["content-type"] == "application/json"
    assert list(posted.json()) == PEER_FIELDS
    for peer in (await ask(w, "ryo", "GET", "/v1/admin/peers")).json():
        assert list(peer) == PEER_FIELDS
    state = (await ask(w, "mari", "GET", "/v1/user/state")).json()
    assert list(state) == ["peers", "cidrs"]
    assert all(list(peer) == PEER_FIELDS for peer in state["peers"])


async def test_cidrs_and_associations_have_innernets_fields_in_its_order(w: World) -> None:
    await w.associate("cats", "ovens")
    for cidr in (await ask(w, "ryo", "GET", "/v1/admin/cidrs")).json():
        assert list(cidr) == ["id", "name", "cidr", "parent"]
    (association,) = (await ask(w, "ryo", "GET", "/v1/admin/associations")).json()
    assert association == {"id": 1, "cidr_id_1": w.cidr_id("cats"), "cidr_id_2": w.cidr_id("ovens")}
    assert list(association) == ["id", "cidr_id_1", "cidr_id_2"]
    posted = await ask(w, "ryo", "POST", "/v1/admin/cidrs", json={"name": "birds", "cidr": "127.42.5.9/24"})
    assert list(posted.json()) == ["id", "name", "cidr", "parent"]


async def test_a_peer_reads_as_innernet_writes_it(w: World) -> None:
    w.presence.observe(w.peer("mari").id, Observed("203.0.113.9:4000", w.now, 1, 2))
    w.presence.report_candidates(w.peer("mari").id, ("192.168.1.7:51820",))
    state = (await ask(w, "ryo", "GET", "/v1/user/state")).json()
    assert next(peer for peer in state["peers"] if peer["name"] == "mari") == {
        "id": 3,
        "name": "mari",
        "ip": "127.42.128.2",
        "cidr_id": 3,
        "public_key": key("mari"),
        "endpoint": "203.0.113.9:4000",
        "persistent_keepalive_interval": 25,
        "is_admin": False,
        "is_disabled": False,
        "is_redeemed": True,
        "invite_expires": None,
        "candidates": ["192.168.1.7:51820"],
    }


async def test_the_capabilities_have_innernets_flag(w: World) -> None:
    answer = await ask(w, "mari", "GET", "/v1/user/capabilities")
    assert answer.json()["unspecified_ip_in_override_endpoint"] is True
    assert answer.headers["content-type"] == "application/json"


async def test_the_state_holds_the_caller_the_coordinator_and_who_is_visible(w: World) -> None:
    await w.invite("kuro", "humans")
    await w.join("shiro", "humans")
    await ask(w, "ryo", "DELETE", f"/v1/admin/peers/{w.peer('shiro').id}")
    state = (await ask(w, "mari", "GET", "/v1/user/state")).json()
    assert [peer["name"] for peer in state["peers"]] == ["innernet-server", "ryo", "mari"]
    assert [cidr["name"] for cidr in state["cidrs"]] == ["kermpany", "innernet-server", "humans", "ovens", "cats"]


async def test_the_state_tells_no_user_of_associations(w: World) -> None:
    await w.associate("cats", "ovens")
    body = (await ask(w, "mari", "GET", "/v1/user/state")).body
    assert b"association" not in body
    assert b"tama" not in body
    assert b'oven"' not in body


async def test_the_list_of_admins_holds_everybody_by_id(w: World) -> None:
    await w.invite("kuro", "cats", expires=1_900_000_000)
    await ask(w, "ryo", "DELETE", f"/v1/admin/peers/{w.peer('oven').id}")
    peers = (await ask(w, "ryo", "GET", "/v1/admin/peers")).json()
    assert [peer["name"] for peer in peers] == ["innernet-server", "ryo", "mari", "oven", "tama", "kuro"]
    assert [peer["is_disabled"] for peer in peers] == [False, False, False, True, False, False]
    assert peers[-1]["invite_expires"] == {"secs_since_epoch": 1_900_000_000, "nanos_since_epoch": 0}
    assert peers[-1]["is_redeemed"] is False


async def test_the_echo_says_the_narrowest_cidr_not_the_posted_one(w: World) -> None:
    """Membership is derived: a peer posted into the root with an address of the cats is a cat."""
    answer = await ask(w, "ryo", "POST", "/v1/admin/peers", json=peer_contents(w, cidr_id=1))
    assert (answer.status, answer.json()["cidr_id"]) == (201, w.cidr_id("cats"))


async def test_a_peer_without_an_address_gets_the_first_free_one(w: World) -> None:
    answer = await ask(w, "ryo", "POST", "/v1/admin/peers", json=peer_contents(w, ip=None))
    assert (answer.status, answer.json()["ip"]) == (201, "127.42.3.2")


async def test_what_an_admin_posts_as_redeemed_takes_part_at_once(w: World) -> None:
    contents = peer_contents(w, is_redeemed=True, public_key=key("static"), endpoint="203.0.113.5:99")
    assert (await ask(w, "ryo", "POST", "/v1/admin/peers", json=contents)).status == 201
    names = [peer["name"] for peer in (await ask(w, "tama", "GET", "/v1/user/state")).json()["peers"]]
    assert "neko" in names
    assert (await ask(w, "neko", "GET", "/v1/user/state")).status == 200


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (("POST", "/v1/admin/associations", {"cidr_id_1": 3, "cidr_id_2": 3}), 400, "association_with_itself"),
        (("POST", "/v1/admin/associations", {"cidr_id_1": 3, "cidr_id_2": 99}), 400, "invalid_request"),
        (("POST", "/v1/admin/cidrs", {"name": "birds", "cidr": "127.42.5.1"}), 400, "invalid_range"),
        (("POST", "/v1/admin/cidrs", {"name": "birds", "cidr": "10.0.0.0/8"}), 400, "cidr_outside_parent"),
        (("POST", "/v1/admin/cidrs", {"name": "cats", "cidr": "127.42.5.0/24"}), 400, "name_taken"),
        (("DELETE", "/v1/admin/cidrs/1", None), 400, "cidr_reserved"),
        (("DELETE", "/v1/admin/peers/1", None), 400, "coordinator_protected"),
        (("DELETE", "/v1/admin/peers/77", None), 404, "peer_not_found"),
        (("PUT", "/v1/admin/cidrs/77", {"name": "x", "cidr": "127.42.5.0/24"}), 404, "cidr_not_found"),
    ],
)
async def test_a_refusal_has_innernets_status_and_our_code(w: World, request_: Any, status: int, code: str) -> None:
    method, target, body = request_
    before = w.writer.network
    answer = await ask(w, "ryo", method, target, json=body)
    assert (answer.status, answer.code) == (status, code)
    assert w.writer.network is before


async def test_a_new_peer_in_a_cidr_that_is_not_there_is_404(w: World) -> None:
    answer = await ask(w, "ryo", "POST", "/v1/admin/peers", json=peer_contents(w, cidr_id=99))
    assert (answer.status, answer.code) == (404, "cidr_not_found")
    named = await ask(w, "ryo", "POST", "/v1/admin/peers", json=peer_contents(w, cidr_id=99, name="No"))
    assert (named.status, named.code) == (400, "invalid_name"), "the name is judged first"
