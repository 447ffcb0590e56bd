"""`GET /v1/why`: the rule, the sentence, since when and by whom; and that nobody learns more than they may."""

from typing import Any

import pytest

from innerd.domain import commands as c
from innerd.domain.values import Name
from innerd.log.codec import Who
from tests.api.asking import Answer, ask
from tests.world import World, populated


@pytest.fixture
async def land() -> World:
    """Besides the populated world: kuro (invited) in cats; momo in humans, disabled; humans and ovens are associated,
    and bakers (a cidr within humans, with pan) are below them."""
    w = await populated()
    await w.invite("kuro", "cats")
    await w.join("momo", "humans")
    await w.do(c.DisablePeer(w.peer("momo").id), Who("peer:2", "127.42.128.1"))
    await w.add_cidr("bakers", "127.42.200.0/24")
    await w.join("pan", "bakers")
    w.now += 3600
    await w.do(c.AddAssociation(w.cidr_id("ovens"), w.cidr_id("humans")), Who("peer:2", "127.42.128.1"))
    w.now += 3600
    return w


async def why(w: World, who: str | None, query: str) -> Answer:
    return await ask(w, who, "GET", f"/v1/why?{query}")


RULES: list[tuple[str, str, bool, str, dict[str, Any], str]] = [
    ("ryo", "mari", True, "same_cidr", {"cidrs": ["humans"]}, "ryo and mari see each other: both belong to humans"),
    (
        *("ryo", "oven", True, "association", {"cidrs": ["ovens", "humans"]}),
        "ryo and oven see each other: ovens and humans are associated",
    ),
    (
        *("pan", "oven", True, "association", {"cidrs": ["ovens", "humans"]}),
        "pan and oven see each other: ovens and humans are associated",
    ),
    (
        *("tama", "innernet-server", True, "coordinator", {}),
        "tama and innernet-server see each other: one of them is the coordinator",
    ),
    ("ryo", "momo", False, "disabled", {"peer": "momo"}, "ryo and momo don't see each other: momo is disabled"),
    (
        *("kuro", "tama", False, "not_redeemed", {"peer": "kuro"}),
        "kuro and tama don't see each other: kuro has not redeemed its invitation",
    ),
    (
        *("momo", "innernet-server", False, "disabled", {"peer": "momo"}),
        "momo and innernet-server don't see each other: momo is disabled",
    ),
    (
        *("ryo", "tama", False, "no_association", {"cidrs": ["humans", "cats"]}),
        "ryo and tama don't see each other: nothing joins humans and cats",
    ),
    (
        *("pan", "ryo", False, "no_association", {"cidrs": ["bakers", "humans"]}),
        "pan and ryo don't see each other: nothing joins bakers and humans",
    ),
]


@pytest.mark.parametrize(("a", "b", "sees", "rule", "more", "text"), RULES, ids=[f"{r[0]} {r[1]}" for r in RULES])
async def test_the_rule_and_its_sentence(land: World, a, b, sees, rule, more, text) -> None:
    found = (await why(land, "ryo", f"a={a}&b={b}")).json()
    assert {key: found[key] for key in ("a", "b", "sees", "rule", "text")} == {
        "a": a,
        "b": b,
        "sees": sees,
        "rule": rule,
        "text": text,
    }
    assert (found["cidrs"], found["peer"]) == (more.get("cidrs", []), more.get("peer"))
    assert found["revision"] == land.writer.network.revision


@pytest.mark.parametrize(("a", "b"), [r[:2] for r in RULES])
async def test_the_answer_is_the_same_from_both_sides_and_to_local_users(land: World, a: str, b: str) -> None:
    one, other = (await why(land, None, f"a={a}&b={b}")).json(), (await why(land, "ryo", f"a={b}&b={a}")).json()
    assert (one["sees"], one["rule"], one["since"]) == (other["sees"], other["rule"], other["since"])


async def test_since_is_the_event_that_made_it_so_and_who_did_it(land: World) -> None:
    found = (await why(land, "ryo", "a=mari&b=oven")).json()["since"]
    assert found == {
        "seq": land.writer.network.revision,
        "at": "2026-09-21T15:15:20.000000Z",
        "type": "association.added",
        "actor": "peer:2",
        "actor_name": "ryo",
    }
    found = (await why(land, "ryo", "a=ryo&b=mari")).json()["since"]
    assert (found["type"], found["actor_name"]) == ("key.pinned", "mari"), "since the second of them had redeemed"
    found = (await why(land, None, "a=momo&b=mari")).json()["since"]
    assert (found["type"], found["actor_name"]) == ("peer.disabled", "ryo")


async def test_who_did_it_is_called_as_now(land: World) -> None:
    await land.do(c.RenamePeer(2, Name("leo")))
    assert (await why(land, None, "a=mari&b=oven")).json()["since"]["actor_name"] == "leo"


async def test_as_it_was(land: World) -> None:
    head = land.writer.network.revision
    before = (await why(land, "ryo", f"a=mari&b=oven&at={head - 1}")).json()
    assert (before["sees"], before["rule"], before["revision"]) == (False, "no_association", head - 1)
    assert before["since"]["seq"] < head
    at = (await why(land, "ryo", "a=mari&b=oven&at=2026-09-21T15:00:00Z")).json()
    assert (at["sees"], at["revision"]) == (False, head - 1)
    now = (await why(land, "ryo", "a=mari&b=oven&at=2026-09-21T15:15:20Z")).json()
    assert (now["sees"], now["revision"]) == (True, head)


async def test_names_are_those_of_that_time(land: World) -> None:
    head = land.writer.network.revision
    await land.do(c.RemovePeer(land.peer("mari").id))
    assert (await why(land, "ryo", "a=mari&b=oven")).status == 404
    assert (await why(land, "ryo", f"a=mari&b=oven&at={head}")).json()["sees"] is True
    assert (await why(land, "ryo", "a=mari&b=ryo&at=9")).status == 404, "she was not there yet"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("a=ryo&b=nobody", 404, "peer_not_found"),
        ("a=nobody&b=ryo", 404, "peer_not_found"),
        ("a=ryo&b=ryo", 400, "invalid_request"),
        ("b=mari", 400, "invalid_request"),
        ("", 400, "invalid_request"),
        ("a=ryo&b=mari&at=yesterday", 400, "invalid_request"),
        ("a=ryo&b=mari&at=999", 400, "invalid_request"),
        ("a=ryo&b=mari&at=2030-01-01T00:00:00Z", 400, "invalid_request"),
    ],
)
async def test_what_can_not_be_answered_is_said_so(land: World, query: str, status: int, code: str) -> None:
    answer = await why(land, None, query)
    assert (answer.status, answer.code) == (status, code)


async def test_without_b_a_peer_asks_about_itself(land: World) -> None:
    found = (await why(land, "mari", "a=oven")).json()
    assert (found["a"], found["b"], found["sees"]) == ("mari", "oven", True)
    found = (await why(land, None, "a=oven")).json()
    assert (found["a"], found["b"]) == ("innernet-server", "oven"), "root of the coordinator's host is no other peer"
    assert (await why(land, "mari", "")).status == 400, "about whom?"


# -- who may know what ----------------------------------------------------------------------------------------------


async def test_others_ask_about_their_own_pairs(land: World) -> None:
    assert (await why(land, "mari", "a=mari&b=ryo")).json()["rule"] == "same_cidr"
    assert (await why(land, "mari", "a=oven&b=mari")).json()["rule"] == "association"
    assert (await why(land, "tama", "a=innernet-server")).json()["rule"] == "coordinator"
    answer = await why(land, "mari", "a=ryo&b=oven")
    assert (answer.status, answer.code) == (401, "not_admin")


INVISIBLE = ["tama", "kuro", "momo", "pan"]  # to mari: another CIDR, not redeemed, disabled, a carved CIDR
SHAPES = [
    "a=mari&b={}",
    "a={}&b=mari",
    "a={}",
    "a=ryo&b={}",
    "a={}&b=ryo",
    "a={0}&b={0}",
    "a={}&b=ghost",
    "a=ghost&b={}",
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", INVISIBLE)
async def test_who_is_out_of_sight_does_not_exist(land: World, shape: str, name: str) -> None:
    hidden, absent = await why(land, "mari", shape.format(name)), await why(land, "mari", shape.format("none"))
    assert hidden.status == absent.status == 404
    assert hidden.body.replace(name.encode(), b"none") == absent.body


async def test_only_administrators_look_back(land: World) -> None:
    for at in ("1", "yesterday", "999"):
        answer = await why(land, "mari", f"a=mari&b=ryo&at={at}")
        assert (answer.status, answer.code) == (401, "not_admin")


async def test_who_has_not_redeemed_or_is_disabled_asks_nothing(land: World) -> None:
    for who in ("kuro", "momo", "127.42.9.9"):
        assert (await why(land, who, "a=innernet-server")).status == 401


@pytest.mark.parametrize("who", ["ryo", "mari"])
async def test_who_asks_proves_that_it_holds_the_key(who: str) -> None:
    w = await populated(proof_required=True)
    answer = await ask(w, who, "GET", "/v1/why?a=mari&b=ryo", proven=False)
    assert (answer.status, answer.code) == (401, "proof_required")
    assert (await why(w, who, "a=mari&b=ryo")).status == 200


async def test_an_administrator_out_of_sight_has_no_name() -> None:
    w = await populated()
    await w.do(c.AddAssociation(w.cidr_id("ovens"), w.cidr_id("cats")), Who("peer:2", "127.42.128.1"))
    found = (await why(w, "tama", "a=oven")).json()["since"]
    assert (found["actor"], found["actor_name"]) == ("administrator", "an administrator")
    assert (await why(w, "ryo", "a=oven&b=tama")).json()["since"]["actor_name"] == "ryo"
    await w.associate("humans", "cats")
    assert (await why(w, "tama", "a=oven")).json()["since"]["actor_name"] == "ryo", "in sight by now"
    assert (await why(w, "tama", "a=mari")).json()["since"]["actor"] == "administrator", "root is no peer of hers"
    await w.do(c.RemovePeer(2))
    assert (await why(w, "tama", "a=oven")).json()["since"]["actor_name"] == "an administrator", "gone"
