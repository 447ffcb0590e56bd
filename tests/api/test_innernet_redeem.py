"""Redeeming over HTTP: one key, once, in time; and while the address still belongs to the temporary key."""

import asyncio
import time

import pytest

from innerd.domain import commands as c
from tests.api.asking import Answer, ask, events_after
from tests.world import INTERFACE, World, key


async def redeem(w: World, who: str, public_key: str) -> Answer:
    return await ask(w, who, "POST", "/v1/user/redeem", json={"public_key": public_key})


async def test_a_redeem_pins_the_key_and_is_answered_204_without_a_body(w: World) -> None:
    await w.invite("kuro", "cats", expires=int(w.now) + 60)
    answer = await redeem(w, "kuro", key("kuro"))
    assert (answer.status, answer.body) == (204, b"")
    assert w.peer("kuro").public_key == key("kuro")
    assert w.peer("kuro").is_redeemed
    assert w.peer("kuro").invite_expires is None


async def test_the_same_key_again_is_204_and_appends_nothing(w: World) -> None:
    """The first answer may have been lost on the way; the key without its padding is the same key."""
    await w.invite("kuro", "cats")
    assert (await redeem(w, "kuro", key("kuro"))).status == 204
    revision = w.writer.network.revision
    assert (await redeem(w, "kuro", key("kuro"))).status == 204
    assert (await redeem(w, "kuro", key("kuro").rstrip("="))).status == 204
    assert w.writer.network.revision == revision


async def test_another_key_after_a_redeem_is_401_and_changes_nothing(w: World) -> None:
    await w.invite("kuro", "cats")
    await redeem(w, "kuro", key("kuro"))
    answer = await redeem(w, "kuro", key("thief"))
    assert (answer.status, answer.code) == (401, "invitation_used")
    assert w.peer("kuro").public_key == key("kuro")


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("", id="empty"),
        pytest.param("nonsense", id="no base64"),
        pytest.param("A" * 43 + "=", id="all zeros: low order"),
        pytest.param("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", id="one: low order"),
        pytest.param("7P///////////////////////////////////////38=", id="p-1: low order"),
        pytest.param("7f///////////////////////////////////////38=", id="p, which is zero"),
        pytest.param(key("kuro")[:40], id="short"),
        pytest.param(key("kuro") + "\n", id="a newline behind"),
        pytest.param(key("kuro") + "=", id="doubled padding"),
    ],
)
async def test_a_malformed_or_low_order_key_is_400(w: World, bad: str) -> None:
    await w.invite("kuro", "cats")
    answer = await redeem(w, "kuro", bad)
    assert (answer.status, answer.code) == (400, "invalid_key")
    assert not w.peer("kuro").is_redeemed


@pytest.mark.parametrize("spelling", [str, lambda text: text.rstrip("=")], ids=["as it is", "without the padding"])
@pytest.mark.parametrize("owner", ["mari", "coordinator", "kuro invitation", "shiro invitation", "mari invitation"])
async def test_a_key_that_anybody_has_or_had_is_400(w: World, owner: str, spelling: object) -> None:
    """With another's key, an invitee would move that peer's tunnel to itself (innernet's 10.R21)."""
    await w.invite("kuro", "cats")
    await w.invite("shiro", "cats")
    answer = await redeem(w, "kuro", spelling(key(owner)))  # type: ignore[operator]
    assert (answer.status, answer.code) == (400, "key_taken")
    assert not w.peer("kuro").is_redeemed


async def test_the_key_of_a_retired_peer_is_never_taken_again(w: World) -> None:
    await w.do(c.RemovePeer(w.peer("tama").id))
    await w.invite("kuro", "cats", ip="127.42.3.9")
    assert (await redeem(w, "kuro", key("tama"))).code == "key_taken"


@pytest.mark.parametrize(("after", "status"), [(-1, 204), (0, 401), (1, 401), (86_400, 401)])
async def test_an_invitation_ends_at_its_second(w: World, after: int, status: int) -> None:
    await w.invite("kuro", "cats", expires=int(w.now) + 60)
    w.now += 60 + after
    answer = await redeem(w, "kuro", key("kuro"))
    assert answer.status == status
    if status == 401:
        assert answer.code == "invitation_expired"
    assert w.peer("kuro").is_redeemed == (status == 204)


async def test_a_disabled_invitee_gets_401(w: World) -> None:
    await w.invite("kuro", "cats")
    await w.do(c.DisablePeer(w.peer("kuro").id))
    assert (await redeem(w, "kuro", key("kuro"))).status == 401
    assert not w.peer("kuro").is_redeemed


async def test_of_a_hundred_redeems_at_once_exactly_one_wins(w: World) -> None:
    await w.invite("kuro", "cats")
    revision = w.writer.network.revision
    keys = [key(f"kuro {n}") for n in range(100)]
    answers = await asyncio.gather(*(redeem(w, "kuro", one) for one in keys))
    statuses = [answer.status for answer in answers]
    assert sorted(statuses) == [204] + [401] * 99
    assert w.peer("kuro").public_key == keys[statuses.index(204)]
    assert events_after(w, revision) == ["key.pinned"]


async def test_of_two_invitees_at_once_with_one_key_exactly_one_wins(w: World) -> None:
    await w.invite("kuro", "cats")
    await w.invite("shiro", "cats")
    answers = await asyncio.gather(redeem(w, "kuro", key("one")), redeem(w, "shiro", key("one")))
    assert sorted(answer.status for answer in answers) == [204, 400]
    assert sum(w.peer(name).is_redeemed for name in ("kuro", "shiro")) == 1


async def in_transition(w: World, *, admin: bool = False) -> None:
    """A peer that redeemed just now, on a device where its own key has not shaken hands."""
    w.now = time.time()  # the device's loop compares with the wall clock
    sync = w.device_sync()
    w.writer.feed.follow("device", sync.follow)
    w.provide(is_redeeming=sync.is_redeeming)
    await w.invite("kuro", "cats", admin=admin)
    await sync.sync()
    assert (await redeem(w, "kuro", key("kuro"))).status == 204
    await sync.sync()


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/v1/user/state", None),
        ("GET", "/v1/user/events", None),
        ("GET", "/v1/user/capabilities", None),
        ("PUT", "/v1/user/endpoint", {"option": "Unset"}),
        ("PUT", "/v1/user/candidates", []),
        ("PUT", "/v1/user/applied", {"revision": 1}),
        ("GET", "/v1/admin/peers", None),
        ("GET", "/v1/network", None),
        ("GET", "/metrics", None),
    ],
)
async def test_during_the_redeem_transition_only_redeem_is_answered(
    w: World, method: str, target: str, body: object
) -> None:
    """Whoever still holds the invitation's key must not be taken for the peer."""
    await in_transition(w, admin=True)
    assert (await ask(w, "kuro", method, target, json=body)).status == 401
    assert (await redeem(w, "kuro", key("kuro"))).status == 204
    assert (await redeem(w, "kuro", key("thief"))).status == 401


async def test_the_transition_ends_with_the_first_handshake_of_the_new_key(w: World) -> None:
    w.now = time.time()
    sync = w.device_sync()
    w.writer.feed.follow("device", sync.follow)
    w.provide(is_redeeming=sync.is_redeeming)
    await w.invite("kuro", "cats")
    await sync.sync()
    address = frozenset({f"{w.peer('kuro').ip}/32"})
    await redeem(w, "kuro", key("kuro"))
    await sync.sync()
    device = w.backend.get(INTERFACE).peers
    assert device[key("kuro invitation")].allowed_ips == address
    assert device[key("kuro")].allowed_ips == frozenset()
    w.backend.hear(INTERFACE, key("kuro"), w.now)
    await sync.sync()
    device = w.backend.get(INTERFACE).peers
    assert key("kuro invitation") not in device
    assert device[key("kuro")].allowed_ips == address
    assert (await ask(w, "kuro", "GET", "/v1/user/state")).status == 200
