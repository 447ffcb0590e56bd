"""Rights that end while a request is on its way: its body is held back, or the log is busy. It changes nothing."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from innerd.domain import commands as c
from innerd.domain.values import Name
from tests.api.asking import ask, events_after
from tests.api.sockets import Wire, wire
from tests.coordinator.bench import BenchStore
from tests.world import LOCAL, World, key, populated

Asks = tuple[str, str, str, Any]
Revoke = Callable[[int], c.Command]

ADMIN = ("ryo", "POST", "/v1/admin/cidrs", {"name": "dogs", "cidr": "127.42.9.0/24", "parent": 1})
OWN = ("mari", "PUT", "/v1/user/endpoint", {"option": "Set", "content": "198.51.100.66:666"})
SOFT = ("mari", "PUT", "/v1/user/candidates", ["198.51.100.66:666"])
REDEEM = ("kuro", "POST", "/v1/user/redeem", {"public_key": key("whoever found the old invitation")})


def demoted(number: int) -> c.Command:
    return c.ChangePeer(id=number, is_admin=False)


def reissued(number: int) -> c.Command:
    return c.ReissueInvitation(number, key("another invitation"), None)


CASES = {
    "an administrator who is none any more": (ADMIN, demoted, "not_admin"),
    "an administrator who was disabled": (ADMIN, c.DisablePeer, "unauthorized"),
    "an administrator who was retired": (ADMIN, c.RemovePeer, "unauthorized"),
    "a peer that was disabled": (OWN, c.DisablePeer, "unauthorized"),
    "a peer that was retired": (OWN, c.RemovePeer, "unauthorized"),
    "an invitation that was reissued": (REDEEM, reissued, "unauthorized"),
    "an invitation that was taken back": (REDEEM, c.RemovePeer, "unauthorized"),
}
of_each_case = pytest.mark.parametrize(("asks", "revoke", "code"), CASES.values(), ids=CASES)


@contextlib.asynccontextmanager
async def held(w: World, who: str, method: str, target: str, content: Any) -> AsyncIterator[tuple[Wire, str]]:
    """A request that was let in, and waits for its body: the server says 100 when it begins to read one."""
    body = json.dumps(content)
    async with w.listening() as port, wire(w, who, port) as connection:
        connection.request(f"{method} {target} HTTP/1.1", f"Content-Length: {len(body)}", "Expect: 100-continue")
        assert (await connection.answer())[0] == 100
        yield connection, body


async def answered(connection: Wire) -> tuple[int, str]:
    status, _, body = await connection.answer()
    return status, json.loads(body)["code"] if status >= 400 else ""


@pytest.fixture
async def kermpany() -> World:
    w = await populated()
    await w.invite("kuro", "cats", ip="127.42.3.66")
    return w


@of_each_case
async def test_a_body_held_back_does_not_outlive_the_rights(
    kermpany: World, asks: Asks, revoke: Revoke, code: str
) -> None:
    async with held(kermpany, *asks) as (connection, body):
        await kermpany.do(revoke(kermpany.peer(asks[0]).id))
        before = kermpany.writer.network.revision
        connection.send(body)
        assert await answered(connection) == (401, code)
        assert events_after(kermpany, before) == []


async def test_a_body_held_back_does_not_outlive_the_rights_to_report_either(kermpany: World) -> None:
    """Candidates are no event: no command asks again who may."""
    mari = kermpany.peer("mari").id
    async with held(kermpany, *SOFT) as (connection, body):
        await kermpany.do(c.DisablePeer(mari))
        connection.send(body)
        assert await answered(connection) == (401, "unauthorized")
        assert kermpany.presence.candidates.get(mari, ()) == ()


async def test_who_got_an_address_meanwhile_is_not_redeemed_by_who_had_it(kermpany: World) -> None:
    async with held(kermpany, *REDEEM) as (connection, body):
        await kermpany.do(c.RemovePeer(kermpany.peer("kuro").id))
        await kermpany.invite("neko", "cats", ip="127.42.3.66")
        connection.send(body)
        assert await answered(connection) == (401, "unauthorized")
        assert not kermpany.peer("neko").is_redeemed


async def test_a_body_held_back_is_taken_while_the_rights_last(kermpany: World) -> None:
    async with held(kermpany, *ADMIN) as (connection, body):
        await kermpany.do(demoted(kermpany.peer("mari").id))
        connection.send(body)
        assert (await answered(connection))[0] == 201


@pytest.fixture
async def busy(kermpany: World) -> World:
    """The same network on a store whose commits can be held."""
    store = BenchStore()
    store.records, store.tables = kermpany.store.records, kermpany.store.tables
    made = World(store)
    made.now = kermpany.now
    await made.start()
    return made


@contextlib.asynccontextmanager
async def uncommitted(w: World, command: c.Command) -> AsyncIterator[None]:
    """Within, the command is decided and nobody sees it yet; afterwards it is committed."""
    w.store.hold()
    task = asyncio.create_task(w.do(command))
    await w.store.entered.wait()
    yield
    w.store.release()
    await task


@of_each_case
async def test_a_right_that_is_taken_but_not_committed_yet_is_taken(
    busy: World, asks: Asks, revoke: Revoke, code: str
) -> None:
    who, method, target, content = asks
    before = busy.writer.network.revision
    async with uncommitted(busy, revoke(busy.peer(who).id)):
        asked = asyncio.create_task(ask(busy, who, method, target, json=content))
        await asyncio.wait([asked], timeout=0.05)  # what would be let in waits for the commit
    answer = await asked
    assert (answer.status, answer.code) == (401, code)
    assert len(events_after(busy, before)) == 1, "the one that took the right"


async def test_who_may_is_asked_of_the_network_that_is_decided_on(busy: World) -> None:
    seen, rename = [], c.RenameCidr(busy.cidr_id("ovens"), Name("stoves"))
    async with uncommitted(busy, c.RenameCidr(busy.cidr_id("cats"), Name("felines"))):
        asked = asyncio.create_task(busy.writer.submit(rename, LOCAL, allowed=seen.append))
    await asked
    (network,) = seen
    assert [network.cidr_named(name) is not None for name in ("felines", "stoves")] == [True, False]
