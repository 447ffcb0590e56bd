"""Nothing about an invisible peer in any byte: not in states, streams, resumes, presence, refusals or metrics."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.coordinator.presence import Observed, Receipt
from innerd.domain import commands as c
from tests.api.asking import ask
from tests.api.streaming import drained, stream_of
from tests.world import World, key, populated

SECRETS = [
    b"tama",
    b"127.42.3.1",
    key("tama").encode(),
    key("tama invitation").encode(),
    b"203.0.113.77",
    b"198.51.100.77",
    b"192.168.77.7",
]


def has_soft_state(w: World, name: str = "tama") -> None:
    w.presence.observe(w.peer(name).id, Observed("203.0.113.77:4000", w.now, 0, 0))  # type: ignore[arg-type]
    w.presence.report_candidates(w.peer(name).id, ("192.168.77.7:51820",))  # type: ignore[arg-type]
    w.presence.report_applied(w.peer(name).id, Receipt(3, w.now))


def found(raw: bytes) -> list[bytes]:
    """The secrets in some bytes; `127.42.3.1` must not be the beginning of another address or range."""
    return [secret for secret in SECRETS if secret in raw.replace(b'"cidr":"127.42.3.', b"")]


async def test_the_secrets_are_told_to_who_may_see_them(w: World) -> None:
    """Or the tests below would look for what is never told to anybody."""
    has_soft_state(w)
    await w.do(c.OverrideEndpoint(w.peer("tama").id, "198.51.100.77:5"))  # type: ignore[arg-type]
    stream = await w.open("tama")
    assert set(SECRETS) - set(found(drained(stream))) == {key("tama invitation").encode()}


async def test_no_byte_of_a_stream_speaks_of_an_invisible_peer(w: World) -> None:
    has_soft_state(w)
    async with w.listening() as port, stream_of(w, "mari", port) as mari:
        await mari.next("presence")
        cursor = mari.cursor
        await w.do(c.OverrideEndpoint(w.peer("tama").id, "198.51.100.77:5"))  # type: ignore[arg-type]
        async with stream_of(w, "tama", port) as tama:
            await tama.next("presence")
            has_soft_state(w)
            await w.hub.sender.tell_presence()
        await w.do(c.DisablePeer(w.peer("tama").id))
        await w.do(c.EnablePeer(w.peer("tama").id))
        await w.associate("cats", "ovens")
        await w.do(c.GrantAdmin(w.peer("tama").id))
        await w.do(c.RemovePeer(w.peer("tama").id))
        await w.do(c.RenamePeer(w.peer("ryo").id, "leo"))  # type: ignore[arg-type]
        while mari.cursor != f"1.{w.writer.network.revision}":
            await mari.next("delta")
        assert found(mari.raw) == []
        async with stream_of(w, "mari", port, f"?since={cursor}") as again:
            await again.next("presence")
            assert found(again.raw) == []


async def test_a_peer_that_goes_out_of_sight_is_gone_by_its_id_and_nothing_else(w: World) -> None:
    await w.associate("humans", "cats")
    stream = await w.open("mari")
    await w.hub.sender.tell_presence()
    drained(stream)
    await w.do(c.DeleteAssociation(1))
    raw = drained(stream)
    assert f'"gone":[{w.peer("tama").id}]'.encode() in raw
    assert found(raw) == []
    has_soft_state(w)
    await w.hub.sender.tell_presence()
    assert drained(stream) == b""


async def test_a_disabled_or_unredeemed_peer_is_invisible_even_in_ones_own_cidr(w: World) -> None:
    await w.join("kuro", "humans")
    await w.invite("shiro", "humans")
    await w.do(c.DisablePeer(w.peer("kuro").id))
    for name in ("kuro", "shiro"):
        has_soft_state(w, name)
    stream = await w.open("mari")
    has_soft_state(w, "kuro")
    await w.hub.sender.tell_presence()
    raw = drained(stream) + (await ask(w, "mari", "GET", "/v1/user/state")).body
    for name in ("kuro", "shiro"):
        for told in (name, str(w.peer(name).ip), w.peer(name).public_key):
            assert f'"{told}"'.encode() not in raw
    assert b"203.0.113.77" not in raw


async def test_no_answer_to_a_user_speaks_of_an_invisible_peer(w: World) -> None:
    has_soft_state(w)
    requests: list[tuple[str, str, Any]] = [
        ("GET", "/v1/user/state", None),
        ("GET", "/v1/user/capabilities", None),
        ("GET", "/v1/admin/peers", None),
        ("GET", "/v1/network", None),
        ("GET", "/v1/why?a=mari&b=tama", None),
        ("GET", "/metrics", None),
        ("GET", "/openapi.json", None),
        ("POST", "/v1/user/redeem", {"public_key": key("tama")}),
        ("PUT", "/v1/user/endpoint?dry_run=true&all_pairs=true", {"option": "Set", "content": "1.2.3.4:5"}),
        ("PUT", "/v1/user/applied", {"revision": 3, "refused": [{"peer": w.peer("tama").id, "reason": "pin"}]}),
    ]
    for method, target, body in requests:
        answer = await ask(w, "mari", method, target, json=body)
        assert (target, found(answer.body)) == (target, [])
        assert found(repr(answer.headers).encode()) == []


async def test_an_invitee_learns_no_names_before_it_redeems(w: World) -> None:
    """A dry run of its redeem would say whom it is going to see."""
    await w.invite("kuro", "cats")
    target = "/v1/user/redeem?dry_run=true&all_pairs=true"
    answer = await ask(w, "kuro", "POST", target, json={"public_key": key("kuro")})
    assert found(answer.body) == []
    assert not w.peer("kuro").is_redeemed


# -- the property ----------------------------------------------------------------------------------------------

PLACES = {"ryo": "humans", "mari": "humans", "oven": "ovens", "tama": "cats"}
PAIRS = st.lists(st.sampled_from([("humans", "ovens"), ("humans", "cats"), ("ovens", "cats")]), unique=True, max_size=2)


def sees(pairs: list[tuple[str, str]], one: str, other: str) -> bool:
    """The rule of visibility, for leaf CIDRs: the same one, or associated."""
    a, b = PLACES[one], PLACES[other]
    return a == b or (a, b) in pairs or (b, a) in pairs


async def tell_everything(pairs: list[tuple[str, str]]) -> None:
    w = await populated()
    for one, other in pairs:
        await w.associate(one, other)
    streams = {name: await w.open(name) for name in PLACES}
    for number, name in enumerate(PLACES):
        w.presence.observe(w.peer(name).id, Observed(f"203.0.113.{number}:1", w.now, 0, 0))  # type: ignore[arg-type]
        await w.do(c.OverrideEndpoint(w.peer(name).id, f"198.51.100.{number}:1"))  # type: ignore[arg-type]
    await w.hub.sender.tell_presence()
    for asker, stream in streams.items():
        raw = drained(stream) + (await ask(w, asker, "GET", "/v1/user/state")).body
        for number, name in enumerate(PLACES):
            marks = [f'"{name}"', w.peer(name).public_key, f"203.0.113.{number}:1", f"198.51.100.{number}:1"]
            told = [mark for mark in marks if mark.encode() in raw]
            assert bool(told) == sees(pairs, asker, name), (asker, name, told)


@settings(max_examples=15, deadline=None)
@given(PAIRS)
def test_every_byte_to_a_peer_is_about_peers_that_it_sees(pairs: list[tuple[str, str]]) -> None:
    asyncio.run(tell_everything(pairs))
