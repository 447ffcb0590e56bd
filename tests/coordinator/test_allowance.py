"""What a peer may write to the log: ten events an hour, over restarts too; administrators change what they like."""

import pytest

from innerd.coordinator.allowance import MOST
from innerd.domain import commands as c
from innerd.domain.errors import Refused
from innerd.domain.values import Endpoint
from innerd.log.codec import Who
from innerd.log.store import StoreError
from tests.api.asking import Answer, ask
from tests.coordinator.bench import Bench, bench, cidr
from tests.world import World, key, populated


async def move(w: World, who: str, number: int, *headers: tuple[str, str]) -> Answer:
    content = {"option": "Set", "content": f"198.51.100.7:{1000 + number}"}
    return await ask(w, who, "PUT", "/v1/user/endpoint", json=content, headers=headers)


async def spent(who: str = "mari") -> World:
    """A world where somebody has written all that it may."""
    w = await populated()
    for number in range(MOST):
        w.now += 60
        assert (await move(w, who, number)).status == 204
    return w


async def test_ten_an_hour_and_then_it_is_told_how_long_to_wait() -> None:
    w = await spent()
    revision = w.writer.network.revision
    for number in range(50, 60):
        answer = await move(w, "mari", number)
        assert (answer.status, answer.code) == (429, "rate_limited")
    assert answer.json()["hint"] == "wait 51 minutes, or ask an administrator"
    assert w.writer.network.revision == revision
    w.now += 51 * 60
    assert (await move(w, "mari", 60)).status == 204
    assert (await move(w, "mari", 61)).status == 429, "the second of them was a minute later"
    w.now += 60
    assert (await move(w, "mari", 62)).status == 204


async def test_however_long_it_goes_on_the_log_and_the_keys_grow_by_ten_an_hour() -> None:
    w = await populated()
    revision, hours = w.writer.network.revision, 5
    for number in range(hours * 60):
        await move(w, "mari", number, ("Idempotency-Key", f"key-number-{number}"))
        w.now += 60
    assert w.writer.network.revision - revision <= hours * MOST
    assert len(w.store.answers) <= hours * MOST


async def test_what_is_so_already_and_what_is_repeated_are_not_counted() -> None:
    w = await spent()
    assert (await move(w, "mari", MOST - 1)).status == 204, "it is there already"
    w = await populated()
    for _ in range(3 * MOST):
        assert (await move(w, "mari", 1, ("Idempotency-Key", "the-same-one"))).status == 204
    assert (await move(w, "mari", 2)).status == 204


async def test_the_others_are_not_concerned_and_administrators_are_not_as_such() -> None:
    w = await spent("ryo")
    assert (await move(w, "ryo", 99)).status == 429
    assert (await move(w, "mari", 99)).status == 204
    for number in range(3 * MOST):
        change = {"endpoint": f"203.0.113.7:{1000 + number}"}
        answer = await ask(w, "ryo", "PATCH", f"/v1/admin/peers/{w.peer('mari').id}", json=change)
        assert answer.status == 204
    assert (await move(w, "mari", 100)).status == 204, "what an administrator did to it is not its own doing"


async def test_a_start_of_the_coordinator_makes_it_no_more() -> None:
    w = await spent()
    await w.start()
    assert (await move(w, "mari", 99)).code == "rate_limited"
    w.now += 51 * 60
    assert (await move(w, "mari", 99)).status == 204


async def test_redeeming_always_works() -> None:
    w = await populated()
    for number in range(2 * MOST):
        peer = await w.invite(f"p{number}", "cats")
        answer = await ask(w, peer.name, "POST", "/v1/user/redeem", json={"public_key": key(peer.name)})
        assert answer.status == 204
    for _ in range(2 * MOST):  # again, as the answer may have been lost
        assert (await ask(w, "mari", "POST", "/v1/user/redeem", json={"public_key": key("mari")})).status == 204


async def own(b: Bench, number: int) -> None:
    await b.do(c.OverrideEndpoint(2, Endpoint(f"198.51.100.7:{number}")), Who("peer:2", "10.42.1.1"), bounded=True)


async def peopled() -> Bench:
    b = await bench()
    await b.do(cidr(1))
    await b.do(c.AddPeer(name="mari", cidr=3, ip=None, public_key=key("mari"), is_redeemed=True))  # type: ignore[arg-type]
    return b


async def test_what_could_not_be_written_was_not_written() -> None:
    b = await peopled()
    for number in range(3 * MOST):
        b.store.failures = 1
        with pytest.raises(Refused, match="disk full"):
            await own(b, number)
    b.store.broken = StoreError("disk full")
    with pytest.raises(Refused, match="disk full"):
        await own(b, 1)
    b.store.broken = None
    for number in range(MOST):
        await own(b, number)
    with pytest.raises(Refused, match="10 events"):
        await own(b, MOST)


async def test_a_clock_that_was_ahead_keeps_nobody_out_for_longer_than_an_hour() -> None:
    b = await peopled()
    b.now += 30 * 86_400
    for number in range(MOST):
        await own(b, number)
    b.now -= 30 * 86_400
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await own(b, 99)
        assert refused.value.hint == "wait 60 minutes, or ask an administrator"
        await b.start()
    await b.start()
    b.now += 1
    with pytest.raises(Refused):
        await own(b, 99)
    b.now += 3600
    await own(b, 99)
