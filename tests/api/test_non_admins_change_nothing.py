"""The property behind all levels: no request of a non-admin changes the network, but for its own redeem and its own
endpoint."""

import asyncio
import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from innerd.domain import commands as c
from innerd.log.codec import Who
from tests.api.asking import HEADER, SERVER_KEY, ask
from tests.world import World, key, populated

METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
WORDS = st.sampled_from(
    ["v1", "", "user", "admin", "peers", "cidrs", "associations", "network", "events", "redeem", "endpoint", "state"]
    + [
        "candidates",
        "applied",
        "convergence",
        "status",
        "reissue",
        "capabilities",
        "why",
        "..",
        "%61dmin",
        "1",
        "3",
        "+2",
    ]
)
KNOWN = [
    "/v1/admin/peers",
    "/v1/admin/peers/2",
    "/v1/admin/peers/5?remove=true",
    "/v1/admin/peers/6/reissue",
    "/v1/admin/cidrs",
    "/v1/admin/cidrs/5",
    "/v1/admin/associations",
    "/v1/admin/associations/1",
    "/v1/admin/endpoint",
    "/v1/user/redeem",
    "/v1/user/endpoint",
    "/v1/user/candidates",
    "/v1/user/applied",
]
TARGETS = st.one_of(
    st.sampled_from(KNOWN),
    st.builds(lambda slashes, known: slashes + known, st.sampled_from(["/", "//", "/./"]), st.sampled_from(KNOWN)),
    st.lists(WORDS, min_size=1, max_size=6).map(lambda parts: "/" + "/".join(parts)),
)
PEER = {"name": "evil", "ip": "127.42.3.66", "cidr_id": 3, "public_key": key("evil"), "is_admin": True}
BODIES = st.sampled_from(
    [
        None,
        {},
        PEER | {"is_disabled": False, "is_redeemed": True},
        {"name": "evil", "cidr": "127.42.77.0/24", "parent": 1},
        {"cidr_id_1": 3, "cidr_id_2": 4},
        {"public_key": key("evil"), "invite_expires": None},
        {"public_key": key("mari")},
        {"option": "Set", "content": "6.6.6.6:6"},
        {"endpoint": "6.6.6.6:6", "is_admin": True},
        {"revision": 9},
        ["6.6.6.6:6"],
    ]
)
HEADERS = st.lists(
    st.sampled_from(
        [
            ("X-Forwarded-For", "127.42.128.1"),
            ("X-Real-IP", "127.42.128.1"),
            ("Forwarded", "for=127.42.128.1"),
            (HEADER, SERVER_KEY),
            ("X-Innerd-Proof", "v1 1790000120 nonce-0001 AAAA"),
            ("Idempotency-Key", "a used key"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("If-Match", '"15"'),
        ]
    ),
    max_size=3,
)
WHO = st.sampled_from(["mari", "oven", "kuro", "shiro", "127.42.9.9", "127.42.0.1"])
ALLOWED = {"key.pinned", "endpoint.overridden", "endpoint.override_cleared"}


async def attack(steps: list[tuple[Any, ...]]) -> None:
    w = await populated()
    await w.invite("kuro", "cats")
    await w.invite("shiro", "cats")
    await w.do(c.DisablePeer(w.peer("shiro").id))
    await w.associate("cats", "ovens")
    # An answer of the admin's, which nobody else may hear, lies under a key that others can guess.
    await ask(w, "ryo", "POST", "/v1/admin/cidrs", json={"name": "secret", "cidr": "127.42.8.0/24"},
              headers=[("Idempotency-Key", "a used key")])  # fmt: skip
    begin = len(w.store.records)
    for who, method, target, body, headers in steps:
        if method == "GET" and "events" in target and "user" in target:
            continue  # streams have their own tests
        answer = await ask(w, who, method, target, json=body, headers=headers)
        if not target.lstrip("/").startswith(("v1/user/state", "v1/user/events")):  # CIDRs are known to all
            assert b"secret" not in answer.body
        if "admin" in target.split("/"):
            assert answer.status in (401, 404)
    for stored in w.store.records[begin:]:
        record = json.loads(stored.record)
        assert record["type"] in ALLOWED
        assert record["actor"] == record["subject"], "a peer changes nothing but itself"
        assert record["actor"] in {Who(f"peer:{w.peer(name).id}").actor for name in ("mari", "oven", "kuro")}


STEPS = st.lists(st.tuples(WHO, METHODS, TARGETS, BODIES, HEADERS), min_size=1, max_size=25)


@example([("mari", "POST", "/v1/admin/associations", {"cidr_id_1": 3, "cidr_id_2": 4}, [])])
@example([("kuro", "POST", "/v1/user/redeem", {"public_key": key("evil")}, []), ("kuro", "DELETE", KNOWN[1], None, [])])
@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_no_request_of_a_non_admin_changes_more_than_its_own_key_and_endpoint(steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(attack(steps))


async def test_the_attack_would_be_noticed(w: World) -> None:
    """The same requests of an admin do change the network: the property is about who asks, not about bad requests."""
    before = w.writer.network.revision
    for target, body in (("/v1/admin/associations", {"cidr_id_1": 3, "cidr_id_2": 4}), ("/v1/admin/cidrs", None)):
        body = body or {"name": "evil", "cidr": "127.42.77.0/24", "parent": 1}
        assert (await ask(w, "ryo", "POST", target, json=body)).status == 201
    assert w.writer.network.revision == before + 2
