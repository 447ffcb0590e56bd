"""What the device should be: who is on it, and which endpoint a silent peer is tried at, on a stepped clock."""

from typing import Any

import pytest
from msgspec.structs import replace

from innclient.core.netmap import Whereabouts
from innclient.core.trials import Entries, Server, Trial, Turns, is_quiet, is_silent, next_trials, wanted
from innerd.domain.values import Endpoint, PublicKey, parse_address
from innerd.wireguard.device import Device, DevicePeer, Wanted
from tests.client.told import known
from tests.world import key, private_key

NOW = 10_000.0
RYO = known(3, "ryo", "10.42.128.1")
MARI = known(4, "mari", "10.42.128.2")
COORDINATOR = known(1, "coordinator", "10.42.0.1")
SERVER = Server(key("coordinator"), parse_address("10.42.0.1"), Endpoint("192.0.2.1:51820"))


def entry(name: str, handshake: float | None, endpoint: str | None = None) -> Device:
    peer = DevicePeer(
        public_key=key(name), last_handshake=handshake, endpoint=None if endpoint is None else Endpoint(endpoint)
    )
    return Device(peers={key(name): peer})


def the_device(*peers: Any, **changes: Any) -> Wanted:
    fields: dict[str, Any] = {
        "private_key": private_key("ryo"),
        "me": 3,
        "server": SERVER,
        "peers": peers,
        "trials": {},
        "overrides": {},
        "presence": {},
        "device": Device(),
        "now": NOW,
        "entries": Entries(),
    }
    return wanted(**fields | changes)


@pytest.mark.parametrize(
    ("handshake", "silent"),
    [(None, True), (NOW - 180.1, True), (NOW - 180.0, False), (NOW, False), (NOW + 50, False)],
    ids=["never", "too long ago", "just within", "now", "a clock that went back"],
)
def test_a_peer_is_silent_three_minutes_after_its_last_handshake(handshake: float | None, silent: bool) -> None:
    assert is_silent(DevicePeer(public_key=key("mari"), last_handshake=handshake), NOW) is silent


def test_a_peer_that_is_not_on_the_device_is_silent() -> None:
    assert is_silent(None, NOW)


# -- who is on the device -------------------------------------------------------------------------------------------


def test_the_coordinator_and_the_others_are_on_the_device_each_with_one_address() -> None:
    peers = the_device(COORDINATOR, RYO, MARI).peers
    assert {k: p.allowed_ips for k, p in peers.items()} == {
        key("coordinator"): frozenset({"10.42.0.1/32"}),
        key("mari"): frozenset({"10.42.128.2/32"}),
    }


THERE, AWAY = Endpoint("203.0.113.4:4"), Whereabouts((Endpoint("203.0.113.4:4"),), online=False)
ONLINE, REMEMBERED = replace(AWAY, online=True), replace(AWAY, is_remembered=True)
OVERRIDDEN = {"overrides": {MARI.ip: Endpoint("192.168.1.9:51820")}}


@pytest.mark.parametrize(
    ("handshake", "endpoint", "known_at", "more", "keepalive"),
    [
        pytest.param(None, None, None, {}, 0, id="never heard of"),
        pytest.param(None, THERE, AWAY, {}, 0, id="offline"),
        pytest.param(None, None, ONLINE, {}, 0, id="online, nobody knows where"),
        pytest.param(None, THERE, ONLINE, {}, 25, id="online, and it has a place"),
        pytest.param(None, THERE, REMEMBERED, {}, 25, id="as it was, says nobody"),
        pytest.param(NOW - 9, THERE, AWAY, {}, 25, id="offline, but it answers"),
        pytest.param(NOW - 181, THERE, AWAY, {}, 0, id="offline, and answered once"),
        pytest.param(NOW - 9, THERE, None, {}, 25, id="it answers, and nobody said where it is"),
        pytest.param(None, None, ONLINE, {"trials": {4: Trial(NOW, 0, THERE)}}, 25, id="online, and is tried now"),
        pytest.param(None, None, AWAY, {"trials": {4: Trial(NOW, 0, THERE)}}, 0, id="offline, with a place from now"),
        pytest.param(None, None, None, OVERRIDDEN, 25, id="somebody here says where it is"),
    ],
)
def test_nobody_is_sent_anything_who_is_not_there_or_not_known_where(
    handshake: float | None, endpoint: str | None, known_at: Whereabouts | None, more: Any, keepalive: int
) -> None:
    told = {} if known_at is None else {4: known_at}
    made = the_device(MARI, device=entry("mari", handshake, endpoint), presence=told, **more)
    assert made.peers[key("mari")].keepalive == keepalive
    assert made.peers[key("coordinator")].keepalive == 25


def test_the_device_keeps_its_own_key_and_its_own_port() -> None:
    made = the_device(MARI)
    assert (made.private_key, made.listen_port) == (private_key("ryo"), None)


def test_a_peer_of_an_ipv6_network_has_a_whole_address() -> None:
    peer = known(4, "mari", "fd00::8")
    assert the_device(peer).peers[key("mari")].allowed_ips == {"fd00::8/128"}


@pytest.mark.parametrize(
    "peer",
    [
        pytest.param(known(1, "impostor", "10.42.0.1"), id="another key for the coordinator"),
        pytest.param(known(9, "impostor", "10.42.0.1"), id="another peer at the coordinator's address"),
        pytest.param(
            known(9, "impostor", "10.42.9.9", public_key=key("coordinator")), id="the coordinator's key elsewhere"
        ),
        pytest.param(known(3, "impostor", "10.42.128.1"), id="another key for ourselves"),
    ],
)
def test_nobody_takes_the_place_of_the_coordinator_or_of_ourselves(peer: Any) -> None:
    peers = the_device(peer).peers
    assert set(peers) == {key("coordinator")}
    assert peers[key("coordinator")].allowed_ips == {"10.42.0.1/32"}


# -- endpoints ------------------------------------------------------------------------------------------------------


def test_a_silent_coordinator_is_tried_at_its_configured_endpoint() -> None:
    made = the_device(device=entry("coordinator", NOW - 200, "203.0.113.9:1"))
    assert made.peers[key("coordinator")].endpoint == "192.0.2.1:51820"


def test_a_coordinator_that_answers_from_elsewhere_is_left_alone() -> None:
    assert the_device(device=entry("coordinator", NOW - 20)).peers[key("coordinator")].endpoint is None


def test_a_coordinator_that_moved_is_followed_though_the_old_session_seems_alive() -> None:
    moved = Server(key("coordinator"), SERVER.ip, Endpoint("198.51.100.7:51820"), moved=True)
    made = the_device(server=moved, device=entry("coordinator", NOW - 20))
    assert made.peers[key("coordinator")].endpoint == "198.51.100.7:51820"


def test_a_coordinator_whose_name_does_not_resolve_keeps_the_endpoint_it_has() -> None:
    unresolved = Server(key("coordinator"), SERVER.ip, None)
    assert the_device(server=unresolved).peers[key("coordinator")].endpoint is None


def test_without_a_trial_a_peers_endpoint_is_left_to_wireguard() -> None:
    assert the_device(MARI).peers[key("mari")].endpoint is None


def test_an_override_wins_over_a_trial() -> None:
    trials = {4: Trial(NOW, 0, Endpoint("192.0.2.4:1"))}
    assert the_device(MARI, trials=trials).peers[key("mari")].endpoint == "192.0.2.4:1"
    overrides = {MARI.ip: Endpoint("192.168.1.9:51820")}
    made = the_device(MARI, trials=trials, overrides=overrides).peers[key("mari")]
    assert (made.endpoint, made.force_endpoint) == ("192.168.1.9:51820", True)


# -- whose turn it is -----------------------------------------------------------------------------------------------

HIGH, LOW = PublicKey("z" * 43 + "="), PublicKey("+" * 43 + "=")  # above and below every other peer's
ONE, OTHER = Endpoint("192.0.2.4:1"), Endpoint("10.0.0.4:1")
TWO = {4: Whereabouts((ONE, OTHER), online=True)}
NOTHING = Device()


def trials_over(
    times: list[float], presence: dict[int, Whereabouts], device: Device = NOTHING, me: PublicKey = HIGH
) -> list[str | None]:
    """The endpoint under trial at each moment."""
    trials: dict[int, Trial] = {}
    seen = []
    for now in times:
        trials = next_trials(trials, me, [MARI], presence, device, NOW + now)
        seen.append(trials[4].endpoint if 4 in trials else None)
    return seen


def test_a_silent_peer_is_tried_at_each_endpoint_for_five_seconds_around_and_around() -> None:
    at = trials_over([0, 1, 4.9, 5, 9.9, 10, 15, 20], TWO)
    assert at == [ONE, ONE, ONE, OTHER, OTHER, ONE, OTHER, ONE]


def test_the_peer_with_the_lower_key_gives_the_other_a_head_start() -> None:
    assert trials_over([0, 0.5, 0.6, 5.5, 5.6, 11], TWO, me=LOW) == [None, None, ONE, ONE, OTHER, ONE]


def test_of_two_peers_exactly_one_begins() -> None:
    ryo = known(3, "ryo", "10.42.128.1")
    there = {3: Whereabouts((ONE,), online=True), 4: Whereabouts((OTHER,), online=True)}
    ours = next_trials({}, ryo.public_key, [MARI], there, NOTHING, NOW)[4]
    theirs = next_trials({}, MARI.public_key, [ryo], there, NOTHING, NOW)[3]
    assert {ours.endpoint is None, theirs.endpoint is None} == {True, False}


def test_a_turn_that_was_missed_is_skipped() -> None:
    assert trials_over([0, 11, 17], TWO) == [ONE, ONE, OTHER]


def test_within_a_turn_the_trial_stays_what_it_was() -> None:
    first = next_trials({}, HIGH, [MARI], TWO, NOTHING, NOW)
    third = {4: Whereabouts((Endpoint("203.0.113.4:9"),), online=True)}
    assert next_trials(first, HIGH, [MARI], third, NOTHING, NOW + 3) == first
    assert next_trials(first, HIGH, [MARI], third, NOTHING, NOW + 5)[4].endpoint == "203.0.113.4:9"


def test_a_peer_that_answers_is_left_alone_wherever_it_roamed() -> None:
    assert trials_over([0, 5, 100], TWO, entry("mari", NOW - 1, "198.51.100.4:4")) == [None, None, None]


def test_a_peer_that_falls_silent_again_begins_with_its_first_endpoint() -> None:
    begun = next_trials({}, HIGH, [MARI], TWO, NOTHING, NOW)
    begun = next_trials(begun, HIGH, [MARI], TWO, NOTHING, NOW + 6)
    heard = next_trials(begun, HIGH, [MARI], TWO, entry("mari", NOW + 8), NOW + 9)
    assert heard == {}
    again = next_trials(heard, HIGH, [MARI], TWO, entry("mari", NOW + 8), NOW + 200)
    assert again[4] == Trial(NOW + 200, 0, ONE, online=True)


def test_a_peer_that_comes_is_begun_with_anew() -> None:
    """What it was sent before went nowhere, and both begin when both are there."""
    away = {4: Whereabouts((ONE,), online=False)}
    begun = next_trials({}, HIGH, [MARI], away, NOTHING, NOW)
    assert begun[4] == Trial(NOW, 0, ONE)
    came = next_trials(begun, HIGH, [MARI], TWO, NOTHING, NOW + 2, Turns(moment=0.05))
    assert came[4] == Trial(NOW + 2.05, -1, None, online=True, came=True)
    came = next_trials(came, HIGH, [MARI], TWO, NOTHING, NOW + 2.1, Turns(moment=0.05))
    assert came[4] == Trial(NOW + 2.05, 0, ONE, online=True, came=True)
    went = next_trials(came, HIGH, [MARI], away, NOTHING, NOW + 3, Turns(moment=0.05))
    assert not went[4].is_turn_after(came[4]), "who goes away is no reason to do anything"


def test_a_peer_of_which_no_endpoint_is_known_is_not_tried() -> None:
    assert trials_over([0, 5], {}) == [None, None]
    assert trials_over([0, 5], {4: Whereabouts((), online=True)}) == [None, None]


@pytest.mark.parametrize("me", [HIGH, LOW], ids=["the one who begins", "the one who waits"])
def test_a_clock_that_goes_back_does_not_stop_the_trials(me: PublicKey) -> None:
    seen = trials_over([0, 1, -500, -499, -494, -489], TWO, me=me)
    assert {ONE, OTHER} <= set(seen[2:])


def test_the_peer_that_begins_leaves_the_other_a_moment_to_hear_of_it() -> None:
    """A handshake that comes before its peer is on the device is dropped, and WireGuard tries again after 5 s."""
    trials = next_trials({}, HIGH, [MARI], TWO, NOTHING, NOW, Turns(moment=0.05))
    assert trials[4] == Trial(NOW + 0.05, -1, None, online=True)
    assert next_trials(trials, HIGH, [MARI], TWO, NOTHING, NOW + 0.06, Turns(moment=0.05))[4].endpoint == ONE


@pytest.mark.parametrize(("begins", "endpoint"), [(True, ONE), (False, None), (None, None)])
def test_who_begins_is_a_matter_of_keys_only_where_nothing_else_decides(
    begins: bool | None, endpoint: Endpoint | None
) -> None:
    assert (
        next_trials({}, LOW, [MARI], TWO, NOTHING, NOW, turns=Turns(begins=lambda number: begins))[4].endpoint
        == endpoint
    )


def passed(received: int, sent: int) -> Device:
    return Device(peers={key("mari"): DevicePeer(public_key=key("mari"), rx_bytes=received, tx_bytes=sent)})


@pytest.mark.parametrize(
    ("received", "sent", "quiet"),
    [(0, 0, True), (0, 32, True), (0, 148 + 64, True), (32, 5_000, True), (0, 5_000, False), (0, 148 + 96, False)],
    ids=["nothing", "a keepalive", "a handshake", "answered", "unanswered", "a little unanswered"],
)
def test_the_next_look_can_wait_unless_somebody_was_sent_data_in_vain(received: int, sent: int, quiet: bool) -> None:
    assert is_quiet(passed(1_000, 2_000), passed(1_000 + received, 2_000 + sent)) is quiet


def test_what_was_never_seen_before_can_not_wait() -> None:
    assert not is_quiet(None, passed(0, 0))
    assert not is_quiet(passed(0, 0), None)
