"""What administrators read of the network as a whole, what a client asks first, and what an admin may do beyond
innernet: PATCH, reissue, remove."""

from typing import Any

import pytest

from innerd.coordinator.presence import Observed, Receipt
from innerd.domain import commands as c
from tests.api.asking import ask, events_after, peer_contents
from tests.world import World, key


async def test_the_network_is_told_at_one_revision(w: World) -> None:
    await w.associate("cats", "ovens")
    w.presence.observe(w.peer("mari").id, Observed("203.0.113.9:4000", w.now - 10, 0, 0))
    w.presence.report_applied(w.peer("mari").id, Receipt(12, w.now))
    answer = await ask(w, "ryo", "GET", "/v1/network")
    network = answer.json()
    assert answer.headers["etag"] == f'"{network["revision"]}"' == f'"{w.writer.network.revision}"'
    assert (network["name"], network["generation"]) == ("kermpany", 1)
    assert network["internal_endpoint"] == "127.42.0.1:51820"
    assert [peer["name"] for peer in network["peers"]] == ["innernet-server", "ryo", "mari", "oven", "tama"]
    assert network["peers"][2] == {
        "id": 3,
        "name": "mari",
        "ip": "127.42.128.2",
        "cidr": "humans",
        "public_key": key("mari"),
        "is_admin": False,
        "is_disabled": False,
        "is_redeemed": True,
        "invite_expires": None,
        "endpoint": None,
        "learned_endpoint": "203.0.113.9:4000",
        "is_online": True,
        "last_handshake": w.now - 10,
        "applied": 12,
        "software": None,
        "is_relay": False,
        "config": None,
    }
    counts = {cidr["name"]: cidr["peers"] for cidr in network["cidrs"]}
    assert counts == {"kermpany": 0, "innernet-server": 1, "humans": 2, "ovens": 1, "cats": 1}
    assert network["cidrs"][0]["parent"] is None
    assert {cidr["parent"] for cidr in network["cidrs"][1:]} == {"kermpany"}
    assert network["associations"] == [{"id": 1, "cidr1": "cats", "cidr2": "ovens"}]


@pytest.mark.parametrize("at", ["10", "2026-09-21T14:13:20Z"], ids=["revision", "time"])
async def test_the_network_as_it_was_is_told_too(w: World, at: str) -> None:
    then = w.writer.network.revision
    await w.do(c.RemovePeer(w.peer("tama").id))
    shown = (await ask(w, "ryo", "GET", f"/v1/network?at={at}")).json()
    assert shown["revision"] == (10 if at == "10" else then)
    assert ("tama" in [peer["name"] for peer in shown["peers"]]) == (at != "10")


async def test_of_the_past_nobody_says_who_was_online(w: World) -> None:
    shown = (await ask(w, "ryo", "GET", "/v1/network?at=10")).json()["peers"]
    assert {(p["is_online"], p["last_handshake"], p["learned_endpoint"], p["applied"]) for p in shown} == {(None,) * 4}


@pytest.mark.parametrize("is_serving", [True, False])
async def test_a_coordinator_that_serves_is_online(w: World, is_serving: bool) -> None:
    w.provide(is_serving=is_serving)
    shown = (await ask(w, "ryo", "GET", "/v1/network")).json()["peers"]
    assert [peer["is_online"] for peer in shown if peer["name"] == "innernet-server"] == [is_serving]


async def test_why_two_peers_see_each_other_is_told(w: World) -> None:
    assert (await ask(w, "ryo", "GET", "/v1/why?a=mari&b=tama")).status == 200
    assert (await ask(w, "mari", "GET", "/v1/why?a=mari&b=ryo")).status == 200
    hidden = await ask(w, "mari", "GET", "/v1/why?a=mari&b=tama")
    nobody = await ask(w, "mari", "GET", "/v1/why?a=mari&b=nobody")
    assert hidden.status == nobody.status == 404
    assert hidden.code == nobody.code == "peer_not_found"


async def test_the_status_counts_who_takes_part(w: World) -> None:
    await w.invite("kuro", "cats")
    await w.do(c.DisablePeer(w.peer("tama").id))
    w.now += 1000  # seconds: all of them joined before that
    w.presence.stream_opened(w.peer("ryo").id)
    w.presence.observe(w.peer("mari").id, Observed(None, w.now - 179, 0, 0))
    w.presence.observe(w.peer("oven").id, Observed(None, w.now - 180, 0, 0))
    status = (await ask(w, "ryo", "GET", "/v1/admin/status")).json()
    assert (status["peers"], status["online"], status["streams"]) == (3, 2, 0)
    assert status["lagging"] == ["ryo"]
    assert (status["revision"], status["generation"]) == (w.writer.network.revision, 1)
    assert status["head"] == w.store.records[-1].chain.hex()
    assert status["endpoint"] == "192.0.2.1:51820"
    assert status["network"] == "kermpany"
    assert status["is_serving"] is False
    assert status["follower_errors"] == {"streams": 0}


async def test_capabilities_say_what_a_client_must_know_before_it_begins(w: World) -> None:
    await w.invite("kuro", "cats")
    answer = await ask(w, "kuro", "GET", "/v1/user/capabilities")
    assert answer.json() == {
        "unspecified_ip_in_override_endpoint": True,
        "protocol": 1,
        "events": True,
        "network": "kermpany",
        "network_id": w.writer.network.id,
        "suffix": "wg",
        "admin_proof": "optional",
        "version": answer.json()["version"],
    }


@pytest.mark.parametrize(
    ("change", "event"),
    [
        ({"name": "mary"}, "peer.renamed"),
        ({"is_admin": True}, "peer.admin_granted"),
        ({"is_disabled": True}, "peer.disabled"),
        ({"endpoint": "1.2.3.4:5"}, "endpoint.overridden"),
        ({"endpoint": None}, None),
        ({}, None),
        ({"name": "mari", "is_admin": False, "is_disabled": False}, None),
    ],
    ids=str,
)
async def test_a_patch_changes_what_is_given(w: World, change: dict[str, Any], event: str | None) -> None:
    revision = w.writer.network.revision
    answer = await ask(w, "ryo", "PATCH", f"/v1/admin/peers/{w.peer('mari').id}", json=change)
    assert (answer.status, answer.body) == (204, b"")
    assert events_after(w, revision) == ([] if event is None else [event])


async def test_a_patch_with_null_clears_an_override_and_without_it_leaves_it(w: World) -> None:
    target = f"/v1/admin/peers/{w.peer('mari').id}"
    await ask(w, "ryo", "PATCH", target, json={"endpoint": "1.2.3.4:5"})
    await ask(w, "ryo", "PATCH", target, json={"is_admin": True})
    assert w.peer("mari").endpoint == "1.2.3.4:5"
    await ask(w, "ryo", "PATCH", target, json={"endpoint": None})
    assert w.peer("mari").endpoint is None


async def test_remove_deletes_an_invitee_and_frees_its_name_and_address(w: World) -> None:
    kuro = await w.invite("kuro", "cats", ip="127.42.3.9")
    assert (await ask(w, "ryo", "DELETE", f"/v1/admin/peers/{kuro.id}?remove=true")).status == 204
    again = peer_contents(w, "kuro", ip="127.42.3.9", public_key=key("another invitation"))
    answer = await ask(w, "ryo", "POST", "/v1/admin/peers", json=again)
    assert answer.status == 201
    assert answer.json()["id"] != kuro.id


async def test_remove_retires_a_redeemed_peer_and_burns_its_address(w: World) -> None:
    tama, revision = w.peer("tama"), w.writer.network.revision
    assert (await ask(w, "ryo", "DELETE", f"/v1/admin/peers/{tama.id}?remove=true")).status == 204
    assert events_after(w, revision) == ["peer.retired"]
    body = {"name": "tama", "ip": str(tama.ip), "cidr_id": w.cidr_id("cats"), "public_key": key("new")}
    body |= {"is_admin": False, "is_disabled": False, "is_redeemed": False}
    answer = await ask(w, "ryo", "POST", "/v1/admin/peers", json=body)
    assert (answer.status, answer.code) == (400, "address_burnt")
    assert (await ask(w, "ryo", "DELETE", f"/v1/admin/peers/{tama.id}?remove=true")).status == 404


@pytest.mark.parametrize("query", ["remove=false", "remove=1", "remove=True", "removed=true", "x"])
async def test_only_remove_true_removes(w: World, query: str) -> None:
    await ask(w, "ryo", "DELETE", f"/v1/admin/peers/{w.peer('tama').id}?{query}")
    assert w.peer("tama").is_disabled


async def test_a_reissued_invitation_has_a_new_key_and_a_new_end(w: World) -> None:
    kuro = await w.invite("kuro", "cats", expires=int(w.now) - 5)
    new = {"public_key": key("second"), "invite_expires": int(w.now) + 60}
    answer = await ask(w, "ryo", "POST", f"/v1/admin/peers/{kuro.id}/reissue", json=new)
    assert answer.status == 204
    assert (w.peer("kuro").public_key, w.peer("kuro").invite_expires) == (key("second"), int(w.now) + 60)
    redeemed = await ask(w, "kuro", "POST", "/v1/user/redeem", json={"public_key": key("kuro")})
    assert redeemed.status == 204


@pytest.mark.parametrize(
    ("who", "body", "status", "code"),
    [
        ("mari", {"public_key": key("second"), "invite_expires": None}, 400, "peer_redeemed"),
        ("kuro", {"public_key": key("mari"), "invite_expires": None}, 400, "key_taken"),
        ("kuro", {"public_key": "nonsense", "invite_expires": None}, 400, "invalid_key"),
        ("kuro", {"public_key": key("second")}, 400, "invalid_request"),
        ("kuro", {"public_key": key("second"), "invite_expires": 2**63}, 400, None),
        ("kuro", {"public_key": key("second"), "invite_expires": 2**70}, 400, None),
    ],
    ids=["redeemed", "a taken key", "a malformed key", "no expiry", "expiry beyond i64", "expiry beyond u64"],
)
async def test_a_reissue_that_cannot_be_is_400(
    w: World, who: str, body: dict[str, Any], status: int, code: str | None
) -> None:
    """An expiry beyond what SQLite holds would fail in the commit, where it takes the coordinator down."""
    await w.invite("kuro", "cats")
    before = w.writer.network
    answer = await ask(w, "ryo", "POST", f"/v1/admin/peers/{w.peer(who).id}/reissue", json=body)
    assert answer.status == status
    assert code in (None, answer.code)
    assert w.writer.network is before


async def test_all_pairs_of_a_dry_run_are_told_only_when_asked_for(w: World) -> None:
    for number in range(15):
        await w.join(f"human-{number}", "humans")
        await w.join(f"cat-{number}", "cats")
    body = {"cidr_id_1": w.cidr_id("humans"), "cidr_id_2": w.cidr_id("cats")}
    humans, cats = 17, 16
    some = (await ask(w, "ryo", "POST", "/v1/admin/associations?dry_run=true", json=body)).json()
    assert (some["pairs_gained"], some["pairs_lost"], len(some["gained"])) == (humans * cats, 0, 100)
    every = (await ask(w, "ryo", "POST", "/v1/admin/associations?dry_run=true&all_pairs=true", json=body)).json()
    assert len({tuple(pair) for pair in every["gained"]}) == humans * cats
    assert ["cat-0", "mari"] in every["gained"]


async def test_the_networks_endpoint_moves_for_everybody(w: World) -> None:
    answer = await ask(w, "ryo", "PUT", "/v1/admin/endpoint", json={"endpoint": "Example.ORG:51820"})
    assert (answer.status, w.writer.network.coordinator.endpoint) == (204, "example.org:51820")
    peers = (await ask(w, "mari", "GET", "/v1/user/state")).json()["peers"]
    assert peers[0]["endpoint"] == "example.org:51820"


@pytest.mark.parametrize("endpoint", ["0.0.0.0:51820", "[::]:51820", "192.0.2.1:0", "192.0.2.1", ""])
async def test_an_endpoint_that_nobody_reaches_is_refused(w: World, endpoint: str) -> None:
    answer = await ask(w, "ryo", "PUT", "/v1/admin/endpoint", json={"endpoint": endpoint})
    assert (answer.status, answer.code) == (400, "invalid_endpoint")
