"""When a peer is reached by way of the coordinator: whose turn that is, when a better way is looked for, and when a
session that leads nowhere any more is given up for it."""

import pytest
from msgspec.structs import replace

from innclient.core.netmap import Whereabouts
from innclient.core.peer_path import Doubts, PeerPath
from innclient.core.trials import HEAD_START, Trial, Turns, next_trials
from innerd.domain.values import Endpoint
from innerd.wireguard.device import DevicePeer
from tests.client.test_reconcile import HIGH, LOW, MARI, NOTHING, NOW, ONE, OTHER, TWO
from tests.world import key

RELAY = Endpoint("198.51.100.1:51820")
HELD = Turns(holds=lambda number: True)


def turns(times: list[float], presence: dict[int, Whereabouts] = TWO, how: Turns = Turns()) -> list[str | None]:  # noqa: B008
    """Where the peer is tried at each moment."""
    trials: dict[int, Trial] = {}
    seen: list[str | None] = []
    for now in times:
        trials = next_trials(trials, HIGH, [MARI], presence, NOTHING, NOW + now, how, (RELAY,))
        seen.append(trials[4].endpoint if 4 in trials else None)
    return seen


def test_who_may_be_open_is_tried_there_for_a_second_and_then_by_the_relay_in_turns() -> None:
    at = turns([0, 0.9, 1, 5.9, 6, 10.9, 11, 16])
    assert at == [ONE, ONE, RELAY, RELAY, OTHER, OTHER, RELAY, ONE]


def test_who_is_not_to_be_tried_by_the_device_is_relayed_from_the_first_moment() -> None:
    assert turns([0, 3, 5, 11], how=HELD) == [RELAY] * 4


def test_who_is_known_to_be_nowhere_is_relayed() -> None:
    assert turns([0, 6], {4: Whereabouts((), online=True)}) == [RELAY, RELAY]


def test_who_is_away_is_tried_at_one_place_and_never_by_the_relay() -> None:
    assert turns([0, 2, 8], {4: Whereabouts((ONE,), online=False)}) == [ONE] * 3
    assert turns([0, 2], {4: Whereabouts((), online=False)}) == [None, None]


def test_the_one_with_the_lower_key_follows_by_the_relay_too() -> None:
    trials = next_trials({}, LOW, [MARI], TWO, NOTHING, NOW, HELD, (RELAY,))
    assert trials[4].endpoint is None
    assert next_trials(trials, LOW, [MARI], TWO, NOTHING, NOW + HEAD_START, HELD, (RELAY,))[4].endpoint == RELAY


def test_the_relays_turn_does_not_wait_for_the_next_look() -> None:
    begun = next_trials({}, HIGH, [MARI], TWO, NOTHING, NOW, Turns(), (RELAY,))
    assert begun[4].due == NOW + 1
    after = next_trials(begun, HIGH, [MARI], TWO, NOTHING, NOW + 1, Turns(), (RELAY,))
    assert after[4].due is None


def test_who_went_away_in_the_first_second_is_not_waited_for_without_end() -> None:
    begun = next_trials({}, HIGH, [MARI], TWO, NOTHING, NOW, Turns(), (RELAY,))
    away = {4: Whereabouts((ONE, OTHER), online=False)}
    for now in (0.5, 2, 100):
        begun = next_trials(begun, HIGH, [MARI], away, NOTHING, NOW + now, Turns(), (RELAY,))
        assert begun[4].due is None


# -- a better way ---------------------------------------------------------------------------------------------------


def rests_until(failures: int, sent: int) -> float:
    """How long it rests after so many attempts, where so much was sent since the last."""
    path = PeerPath(failures=failures, failed_at=NOW, tx=sent)
    return next(s for s in (5, 10, 30, 60, 95, 600) if not path.rests(NOW + s, is_relayed=True))


@pytest.mark.parametrize(
    ("failures", "sent", "seconds"),
    [(1, 0, 5), (2, 0, 10), (3, 0, 30), (4, 0, 60), (5, 100_000, 60), (50, 100_000, 60), (5, 100, 600)],
)
def test_a_better_way_is_looked_for_less_and_less_often(failures: int, sent: int, seconds: float) -> None:
    assert rests_until(failures, sent) == seconds


# -- doubts ---------------------------------------------------------------------------------------------------------


def coordinator(rx: int) -> DevicePeer:
    return DevicePeer(public_key=key("coordinator"), rx_bytes=rx)


DOUBTED = PeerPath(heard_at=NOW - 5, doubted=True)
SILENT = PeerPath(heard_at=NOW - 15, asked_at=NOW - 13)


def test_a_doubt_is_over_after_a_moment_in_which_the_coordinator_is_heard() -> None:
    doubts = Doubts()
    doubts.see(coordinator(100), NOW - 20)
    doubts.note(4, DOUBTED, NOW, begins=True)
    assert doubts.due == NOW + 1.5
    assert doubts.over(NOW + 1) == set()
    doubts.see(coordinator(200), NOW + 1)
    assert doubts.over(NOW + 1.5) == {4}
    assert doubts.due is None


def test_while_the_coordinator_is_not_heard_either_no_session_is_to_blame() -> None:
    doubts = Doubts()
    doubts.see(coordinator(100), NOW - 20)
    doubts.note(4, SILENT, NOW, begins=True)
    for now in range(1, 60, 5):
        doubts.see(coordinator(100), NOW + now)
        assert doubts.over(NOW + now) == set()
        assert doubts.due is not None
        assert doubts.due > NOW + now, "and nobody looks again and again"
    doubts.see(coordinator(101), NOW + 61)
    assert doubts.over(NOW + 63) == {4}


def test_who_follows_waits_for_who_begins() -> None:
    doubts = Doubts()
    doubts.see(coordinator(100), NOW)
    doubts.note(4, SILENT, NOW, begins=False)
    assert doubts.due == NOW + HEAD_START


def test_who_is_heard_is_in_doubt_no_more() -> None:
    doubts = Doubts()
    doubts.note(4, DOUBTED, NOW, begins=True)
    doubts.dispel(4)
    assert (doubts.due, doubts.over(NOW + 100)) == (None, set())
    assert replace(DOUBTED, doubted=False).is_stuck(NOW) is False
