"""How often one peer may ask: so many at once, and so many a second after that. It costs the others nothing."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.api.sources import BURST, RATE, Source, Sources
from innerd.domain import commands as c
from innerd.domain.errors import Refused
from innerd.streaming.limits import Buckets
from innerd.wire import proof
from innerd.wire.stream import Cursor
from tests.api.asking import Answer, ask
from tests.api.sockets import wire
from tests.api.streaming import drained, frames_of, stream_of
from tests.world import Pipe, World

STREAMS, STREAMS_RATE = 30, 1  # of hub.py


async def opens(w: World, who: str, tries: int, cursor: Cursor | None = None) -> int:
    """How many of so many streams are let in."""
    opened = 0
    for _ in range(tries):
        try:
            await w.hub.open(w.peer(who), cursor, Pipe())
            opened += 1
        except Refused as refused:
            if refused.code != "rate_limited":
                raise
    return opened


# -- streams ----------------------------------------------------------------------------------------------------------


async def test_a_peer_that_opens_stream_after_stream_is_refused(w: World) -> None:
    assert await opens(w, "mari", 100) == STREAMS
    assert len(w.hub.streams.by_peer) == 1


async def test_the_others_may_open_theirs_all_the_same(w: World) -> None:
    await opens(w, "mari", 100)
    assert [await opens(w, who, 1) for who in ("ryo", "oven", "tama", "mari")] == [1, 1, 1, 0]


async def test_after_a_while_it_may_again(w: World) -> None:
    await opens(w, "mari", 100)
    w.now += 0.9
    assert await opens(w, "mari", 3) == 0
    w.now += 0.2
    assert await opens(w, "mari", 3) == 1
    w.now += 5 * STREAMS_RATE
    assert await opens(w, "mari", 20) == 5
    w.now += 86_400
    assert await opens(w, "mari", 100) == STREAMS, "what was not used does not add up"


async def test_the_stream_that_it_has_stays_when_one_more_is_refused(w: World) -> None:
    await opens(w, "mari", STREAMS)
    stream = w.hub.streams.by_peer[w.peer("mari").id]
    drained(stream)
    assert await opens(w, "mari", 10) == 0
    await w.do(c.RenamePeer(w.peer("ryo").id, "leo"))  # type: ignore[arg-type]
    assert stream.ending is None
    assert [frame.event for frame in frames_of(drained(stream))] == ["delta"]


async def test_who_is_refused_costs_no_look_into_the_log(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await opens(w, "mari", STREAMS)
    monkeypatch.setattr(w.store, "read", None)
    assert await opens(w, "mari", 10, Cursor(1, 3)) == 0


async def test_over_http_it_is_429_and_the_connection_goes_on(w: World) -> None:
    await opens(w, "mari", STREAMS)
    async with w.listening() as port, wire(w, "mari", port) as mari:
        mari.request("GET /v1/user/events HTTP/1.1")
        status, headers, body = await mari.answer()
        assert (status, headers["content-type"]) == (429, "application/problem+json")
        assert b'"code":"rate_limited"' in body
        mari.request("GET /v1/user/capabilities HTTP/1.1")
        assert (await mari.answer())[0] == 200
        w.now += 1
        async with stream_of(w, "mari", port) as again:
            assert (await again.next()).event == "hello"


async def test_who_is_shut_out_spends_nothing(w: World) -> None:
    w.hub.stopping.set()
    for _ in range(100):
        with pytest.raises(Refused, match="shutting down"):
            await w.hub.open(w.peer("mari"), None, Pipe())
    w.hub.stopping.clear()
    assert await opens(w, "mari", 100) == STREAMS


# -- requests ---------------------------------------------------------------------------------------------------------


async def asks(w: World, who: str | None, times: int, target: str = "/v1/user/capabilities") -> list[Answer]:
    return [await ask(w, who, "GET", target) for _ in range(times)]


def source(w: World, who: str) -> Source:
    """What a peer's requests in these tests come from."""
    return w.services.sources.of((str(w.peer(who).ip), 40_000))


@pytest.fixture
async def spent(w: World) -> World:
    """mari has cost the loop all that she may at once, and a little more."""
    w.provide(sources=Sources(lambda: w.now))
    source(w, "mari").charge(BURST + 0.01)
    return w


async def test_time_of_the_loop_is_what_is_counted(w: World) -> None:
    w.provide(sources=Sources(lambda: w.now))
    await asks(w, "mari", 3)
    for_three = source(w, "mari").cost
    assert for_three > 0
    await asks(w, "oven", 30)
    assert source(w, "oven").cost > 2 * for_three
    assert source(w, "mari").cost == for_three, "each pays for itself"


@pytest.mark.parametrize(
    "ask_for", ["/openapi.json", "/healthz", "/metrics", "/nothing", "/v1/nothing", "/v1/admin/peers"]
)
async def test_open_routes_and_refusals_cost_too(w: World, ask_for: str) -> None:
    w.provide(sources=Sources(lambda: w.now))
    await asks(w, "mari", 3, ask_for)
    assert source(w, "mari").cost > 0


async def test_a_stranger_pays_as_well(w: World) -> None:
    w.provide(sources=Sources(lambda: w.now))
    answers = [await ask(w, "127.42.99.99", "GET", "/v1/user/state", server_key=None) for _ in range(3)]
    assert {answer.status for answer in answers} == {401}
    assert w.services.sources.of(("127.42.99.99", 40_000)).cost > 0


async def test_a_peer_that_asks_without_end_is_refused(spent: World) -> None:
    refused = await asks(spent, "mari", 20)
    assert {(answer.status, answer.code) for answer in refused} == {(429, "rate_limited")}
    assert "wait" in refused[0].json()["hint"]


async def test_the_others_are_answered_all_the_same(spent: World) -> None:
    assert (await asks(spent, "mari", 1))[0].status == 429
    for who in ("ryo", "oven", "tama", None):
        assert (await asks(spent, who, 1, "/v1/user/state" if who else "/v1/admin/peers"))[0].status == 200


async def test_it_is_answered_again_after_a_while(spent: World) -> None:
    spent.now += 0.01 / RATE + 5
    assert (await asks(spent, "mari", 1))[0].status == 200


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/openapi.json"),
        ("GET", "/healthz"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
        ("GET", "/v1/nothing"),
        ("GET", "/v1/user/state"),
        ("PUT", "/v1/user/candidates"),
        ("GET", "/v1/admin/peers"),
    ],
)
async def test_whatever_it_asks_for_is_refused(spent: World, method: str, target: str) -> None:
    """Routes that are open, that are not there, and bodies that can't be read, cost as much."""
    body = b"x" if method == "PUT" else None
    assert (await ask(spent, "mari", method, target, body=body)).status == 429


async def test_a_change_that_is_refused_did_not_happen(spent: World) -> None:
    before = spent.writer.network
    content = {"option": "Set", "content": "198.51.100.66:6"}
    assert (await ask(spent, "mari", "PUT", "/v1/user/endpoint", json=content)).status == 429
    assert (await ask(spent, "mari", "PUT", "/v1/user/applied", json={"revision": 0})).status == 429
    assert spent.writer.network is before
    assert spent.presence.applied(spent.peer("mari").id) is None


async def test_an_administrators_address_is_counted_like_any(w: World) -> None:
    """Another user of that machine, or a container behind it, has no proof."""
    w.provide(sources=Sources(lambda: w.now))
    source(w, "ryo").charge(BURST + 0.01)
    assert (await ask(w, "ryo", "GET", "/v1/admin/peers")).status == 429


async def test_an_administrator_with_a_proof_is_served_whatever_others_do_at_its_address(w: World) -> None:
    w.provide(sources=Sources(lambda: w.now))
    source(w, "ryo").charge(BURST + 0.01)
    before = source(w, "ryo").cost
    proved = [(proof.HEADER, w.proof("ryo", "GET", "/v1/admin/peers"))]
    assert (await ask(w, "ryo", "GET", "/v1/admin/peers", headers=proved)).status == 200
    assert source(w, "ryo").cost <= before, "and its work costs it nothing"
    before = source(w, "ryo").cost
    forged = [(proof.HEADER, w.proof("mari", "GET", "/v1/admin/peers"))]
    assert (await ask(w, "ryo", "GET", "/v1/admin/peers", headers=forged)).status == 401
    assert source(w, "ryo").cost > before


@pytest.mark.parametrize("target", ["/healthz", "/openapi.json", "/nothing", "/v1/nothing", "/v1/user/state"])
async def test_a_header_that_proves_nothing_buys_nothing(spent: World, target: str) -> None:
    answer = await ask(spent, "mari", "GET", target, headers=[(proof.HEADER, "x")])
    assert (answer.status, answer.code) == (429, "rate_limited")


@pytest.mark.parametrize("target", ["/healthz", "/nothing", "/v1/user/state", "/v1/admin/peers"])
async def test_who_forges_proofs_at_an_administrators_address_is_not_heard_for_a_while(w: World, target: str) -> None:
    w.provide(sources=Sources(lambda: w.now))
    source(w, "ryo").charge(BURST + 0.01)
    forged = [(proof.HEADER, w.proof("mari", "GET", target))]
    assert (await ask(w, "ryo", "GET", target, headers=forged)).status in (401, 404, 429)
    assert source(w, "ryo").is_held


async def test_a_peer_with_a_proof_has_its_budget_and_no_more(spent: World) -> None:
    stream_needs = [(proof.HEADER, spent.proof("mari", "PUT", "/v1/user/applied", b'{"revision": 0}'))]
    answer = await ask(spent, "mari", "PUT", "/v1/user/applied", body=b'{"revision": 0}', headers=stream_needs)
    assert answer.status == 429


# -- the arithmetic ---------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(buckets: Buckets, peer: int, times: int) -> int:
    got = 0
    for _ in range(times):
        with contextlib.suppress(Refused):
            buckets.take(peer)
            got += 1
    return got


def test_a_burst_and_then_so_many_a_second() -> None:
    clock = Clock()
    buckets = Buckets("cakes", 5, 2.0, clock)
    assert taken(buckets, 7, 9) == 5
    clock.now += 0.5
    assert taken(buckets, 7, 9) == 1
    clock.now += 1.75
    assert taken(buckets, 7, 9) == 3
    clock.now += 0.25
    assert taken(buckets, 7, 9) == 1, "the half that was left counts"
    clock.now += 1e9
    assert taken(buckets, 7, 9) == 5


def test_each_peer_has_its_own() -> None:
    buckets = Buckets("cakes", 5, 2.0, Clock())
    assert [taken(buckets, peer, 9) for peer in (7, 8, 7, 9)] == [5, 5, 0, 5]


def test_a_refusal_says_for_what_and_how_long() -> None:
    clock = Clock()
    buckets = Buckets("cakes", 1, 0.1, clock)
    buckets.take(7)
    clock.now += 2.5
    with pytest.raises(Refused) as refused:
        buckets.take(7)
    assert refused.value.code == "rate_limited"
    assert "cakes" in refused.value.message
    assert refused.value.hint == "wait 7.5 seconds"
    clock.now += 7.5
    buckets.take(7)


def test_a_clock_that_jumps_back_gives_nothing_and_takes_nothing() -> None:
    clock = Clock()
    buckets = Buckets("cakes", 5, 2.0, clock)
    assert taken(buckets, 7, 3) == 3
    clock.now -= 500
    assert taken(buckets, 7, 9) == 2
    clock.now += 1
    assert taken(buckets, 7, 9) == 2, "and it goes on from there"
    clock.now -= 500
    assert taken(buckets, 7, 9) == 0
    clock.now += 1
    assert taken(buckets, 7, 9) == 2, "also where nothing was left"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 20)), max_size=20))
def test_in_no_stretch_of_time_more_than_the_burst_and_the_rate(rounds: list[tuple[float, int]]) -> None:
    clock = Clock()
    buckets = Buckets("cakes", 5, 2.0, clock)
    got: list[float] = []
    for pause, times in rounds:
        clock.now += pause
        got += [clock.now] * taken(buckets, 7, times)
    for first in range(len(got)):
        for last in range(first, len(got)):
            assert last - first + 1 <= 5 + 2.0 * (got[last] - got[first]) + 1e-6


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0.5, 10), max_size=40))
def test_who_keeps_to_the_rate_is_never_refused(pauses: list[float]) -> None:
    clock = Clock()
    buckets = Buckets("cakes", 5, 2.0, clock)
    for pause in pauses:
        buckets.take(7)
        clock.now += pause
