"""Two machines with one key are told from one that moves."""

import pytest

from innerd.coordinator.presence import Observed, Presence
from innerd.domain.values import Endpoint

A, B, C = (Endpoint(f"192.0.2.{n}:51820") for n in (1, 2, 3))
PEER = 3

LIVES: dict[str, tuple[list[tuple[float, Endpoint]], tuple[Endpoint, ...]]] = {
    "one that stays": ([(0, A)], ()),
    "one that moves": ([(0, A), (10, B), (20, C)], ()),
    "one that moves and comes back": ([(0, A), (10, B), (20, A), (30, C)], ()),
    "two": ([(0, A), (20, B), (40, A), (60, B), (80, A)], (A, B)),
    "two, slowly": ([(0, A), (150, B), (300, A), (450, B), (600, A)], ()),
    "two, a while ago": ([(0, A), (20, B), (40, A), (60, B), (80, A), (500, A)], ()),
}


@pytest.mark.parametrize(("moves", "twins"), LIVES.values(), ids=LIVES)
def test_who_is_seen_at_two_places_in_turns_is_two(
    moves: list[tuple[float, Endpoint]], twins: tuple[Endpoint, ...]
) -> None:
    now = 0.0
    presence = Presence(lambda: now)
    for now, endpoint in moves:
        presence.observe(PEER, Observed(endpoint, now, 0, 0))
    assert presence.twins(PEER) == twins
    assert presence.all_twins() == ({PEER: twins} if twins else {})
    presence.forget(PEER)
    assert presence.all_twins() == {}


def test_a_run_of_an_agent_that_comes_back_after_another_is_one_of_two() -> None:
    now = 0.0
    presence = Presence(lambda: now)
    for endpoint, run, is_another in ((A, "a", True), (A, "a", False), (B, "b", True)):
        presence.observe(PEER, Observed(endpoint, now, 0, 0))
        assert presence.met(PEER, run) is is_another
        assert presence.all_twins() == {}  # it may have been started anew
        now += 5000
    assert presence.met(PEER, "a")
    assert presence.all_twins() == {PEER: (A, B)}
    for _ in range(3):  # as slowly as they take turns then
        now += 360
        presence.met(PEER, "b")
        presence.met(PEER, "a")
        assert presence.twins(PEER) == (A, B)
    now += 600
    assert presence.all_twins() == {}
    presence.met(PEER, "b")
    presence.forget(PEER)
    assert presence.all_twins() == {}


def test_who_starts_anew_again_and_again_is_one() -> None:
    presence = Presence(lambda: 0.0)
    presence.observe(PEER, Observed(A, 0.0, 0, 0))
    assert all(presence.met(PEER, str(run)) for run in range(50))
    assert presence.twins(PEER) == ()
