"""`GET /v1/admin/events`: who did what, when, to what; filters and pages."""

import json
from typing import Any

import pytest

from innerd.domain import commands as c
from innerd.log.codec import Who
from innerd.log.store import StoreError
from tests.api.asking import ask, peer_contents
from tests.world import World, key

EVENTS = "/v1/admin/events"


@pytest.fixture
async def busy(w: World) -> World:
    """Root founded the network; ryo adds kuro, kuro redeems, ryo carves birds, the coordinator does something."""
    await ask(
        w, "ryo", "POST", "/v1/admin/peers", json=peer_contents(w, "kuro"), headers=[("Idempotency-Key", "k" * 8)]
    )
    await ask(w, "kuro", "POST", "/v1/user/redeem", json={"public_key": key("kuro")})
    w.now += 3600
    await ask(w, "ryo", "POST", "/v1/admin/cidrs", json={"name": "birds", "cidr": "127.42.5.0/24"})
    await w.do(c.DisablePeer(w.peer("tama").id), Who("coordinator"))
    return w


async def audit(w: World, query: str = "") -> dict[str, Any]:
    answer = await ask(w, "ryo", "GET", f"{EVENTS}?{query}")
    assert answer.status == 200
    found: dict[str, Any] = answer.json()
    return found


async def seqs(w: World, query: str = "") -> list[int]:
    return [event["seq"] for event in (await audit(w, query))["events"]]


async def test_the_whole_log_is_told_oldest_first(busy: World) -> None:
    page = await audit(busy)
    assert page["revision"] == busy.writer.network.revision == 19
    assert [event["seq"] for event in page["events"]] == list(range(1, 20))
    assert page["next"] is None


async def test_a_record_says_who_did_what_when_and_to_what(busy: World) -> None:
    (event,) = (await audit(busy, "after=15&limit=1"))["events"]
    stored = busy.store.records[15]
    assert event["data"].pop("public_key") == key("kuro invitation")
    assert event == {
        "seq": 16,
        "type": "peer.added",
        "version": 1,
        "at": "2026-09-21T14:15:20.000000Z",
        "actor": "peer:2",
        "actor_name": "ryo",
        "origin": "127.42.128.1",
        "request": "kkkkkkkk",
        "subject": "peer:6",
        "data": {
            "id": 6,
            "name": "kuro",
            "ip": "127.42.3.77",
            "is_admin": False,
            "is_redeemed": False,
            "invite_expires": None,
            "endpoint": None,
        },
        "chain": stored.chain.hex(),
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("type=peer.", [4, 8, 10, 12, 14, 16, 19]),
        ("type=peer.disabled", [19]),
        ("type=key", [9, 11, 13, 15, 17]),
        ("type=nothing", []),
        ("subject=peer:6", [16, 17]),
        ("subject=cidr:6", [18]),
        ("subject=peer", []),
        ("actor=peer:2", [9, 16, 18]),
        ("actor=ryo", [9, 16, 18]),
        ("actor=coordinator", [19]),
        ("actor=local:root&type=cidr", [2, 3, 5, 6, 7]),
        ("actor=ryo&type=peer&subject=peer:6", [16]),
        ("after=17", [18, 19]),
        ("after=19", []),
        ("after=99", []),
        ("after=17&type=cidr", [18]),
        ("since=17", [18, 19]),
        ("until=3", [1, 2, 3]),
        ("since=15&until=17", [16, 17]),
        ("since=2026-09-21T15:00:00Z", [18, 19]),
        ("until=2026-09-21T14:14:00Z", list(range(1, 16))),
        ("since=2026-09-21T14:15:00Z&until=2026-09-21T16:00:00%2B01:00", [16, 17]),
    ],
)
async def test_filters_narrow_what_is_told(busy: World, query: str, expected: list[int]) -> None:
    assert await seqs(busy, query) == expected


@pytest.mark.parametrize("limit", [1, 2, 5, 19, 100])
@pytest.mark.parametrize("filter_", ["", "type=peer"])
async def test_pages_add_up_to_the_whole(busy: World, limit: int, filter_: str) -> None:
    found: list[int] = []
    after: int | None = 0
    while after is not None:
        page = await audit(busy, f"{filter_}&limit={limit}&after={after}")
        assert len(page["events"]) <= limit
        found += [event["seq"] for event in page["events"]]
        after = page["next"]
    assert found == await seqs(busy, filter_)


async def test_a_page_holds_a_hundred_unless_asked_and_a_thousand_at_most(w: World) -> None:
    for _ in range(600):
        await w.do(c.DisablePeer(w.peer("tama").id))
        await w.do(c.EnablePeer(w.peer("tama").id))
    assert len(await seqs(w)) == 100
    assert len(await seqs(w, "limit=5000")) == 1000
    assert len(await seqs(w, "limit=1000")) == 1000


@pytest.mark.parametrize("name", ["after", "limit"])
@pytest.mark.parametrize(
    "value", ["x", "-1", "1.5", "%C2%B2", "1" * 5000], ids=["word", "-1", "1.5", "squared", "long"]
)
async def test_a_bound_that_is_no_number_is_400(busy: World, name: str, value: str) -> None:
    answer = await ask(busy, "ryo", "GET", f"{EVENTS}?{name}={value}")
    assert answer.status == 400


async def test_a_limit_of_nothing_is_not_a_limit_of_everything(busy: World) -> None:
    answer = await ask(busy, "ryo", "GET", f"{EVENTS}?limit=0")
    assert answer.status == 400


async def test_json_lines_for_who_accepts_them(busy: World) -> None:
    answer = await ask(busy, "ryo", "GET", EVENTS, headers=[("Accept", "application/x-ndjson")])
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, 20))


async def test_an_actor_is_named_as_it_is_called_now(busy: World) -> None:
    await busy.do(c.RenamePeer(busy.peer("ryo").id, "leo"))  # type: ignore[arg-type]
    answer = await ask(busy, "leo", "GET", f"{EVENTS}?actor=leo")
    assert [(event["actor"], event["actor_name"]) for event in answer.json()["events"]] == [("peer:2", "leo")] * 3


async def test_a_retired_actor_keeps_its_name_in_the_audit(busy: World) -> None:
    await busy.do(c.RemovePeer(busy.peer("kuro").id))
    (event,) = (await audit(busy, "type=key&after=15"))["events"]
    assert (event["actor"], event["actor_name"]) == ("peer:6", "kuro")


async def test_what_does_not_commit_is_not_in_the_audit(busy: World) -> None:
    busy.store.broken = StoreError("disk full")
    assert (await ask(busy, "ryo", "DELETE", "/v1/admin/peers/3")).status == 503
    assert await seqs(busy) == list(range(1, 20))
