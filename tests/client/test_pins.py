"""Pins: the first key seen for an address is the only one that is ever believed for it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from innclient.core.netmap import KnownPeer
from innclient.core.pins import Pins, check, trusted
from tests.client.told import known
from tests.world import key

MARI = known(4, "mari", "10.42.128.2")
OTHER = known(4, "mari", "10.42.128.2", public_key=key("somebody"))
OVEN = known(5, "oven", "10.42.64.1")


def checked(pins: Pins, peers: list[KnownPeer], now: float) -> tuple[Pins, list[KnownPeer]]:
    """The pins after seeing peers, and which of them they allow."""
    after = check(pins, peers, now)
    return after, [peer for peer in peers if after.keys.get(str(peer.ip)) == peer.public_key]


def test_the_first_key_seen_is_pinned_and_believed() -> None:
    pins, believed = checked(Pins(), [MARI, OVEN], 100.0)
    assert pins.keys == {"10.42.128.2": key("mari"), "10.42.64.1": key("oven")}
    assert (pins.broken, believed) == ({}, [MARI, OVEN])


def test_another_key_for_a_pinned_address_is_not_believed_and_the_pin_stays() -> None:
    pins, _ = checked(Pins(), [MARI], 100.0)
    pins, believed = checked(pins, [OTHER, OVEN], 200.0)
    assert believed == [OVEN]
    assert pins.keys["10.42.128.2"] == key("mari")
    broken = pins.broken["10.42.128.2"]
    assert (broken.peer, broken.name, broken.pinned, broken.offered) == (4, "mari", key("mari"), key("somebody"))
    assert broken.since == 200.0


def test_a_new_peer_at_a_pinned_address_is_no_way_around() -> None:
    pins, _ = checked(Pins(), [MARI], 100.0)
    pins, _ = checked(pins, [], 150.0)  # mari is gone for a while
    stranger = known(77, "stranger", "10.42.128.2")
    assert checked(pins, [stranger], 200.0)[1] == []


def test_two_peers_at_one_address_are_not_both_believed() -> None:
    _, believed = checked(Pins(), [MARI, known(9, "twin", "10.42.128.2")], 100.0)
    assert believed == [MARI]


def test_a_break_keeps_the_time_it_began_until_another_key_is_offered() -> None:
    pins, _ = checked(Pins(), [MARI], 100.0)
    pins, _ = checked(pins, [OTHER], 200.0)
    same, _ = checked(pins, [OTHER], 300.0)
    assert same is pins
    third = known(4, "mari", "10.42.128.2", public_key=key("third"))
    assert checked(pins, [third], 300.0)[0].broken["10.42.128.2"].since == 300.0


def test_a_break_is_over_when_the_old_key_returns() -> None:
    pins, _ = checked(Pins(), [MARI], 100.0)
    pins, _ = checked(pins, [OTHER], 200.0)
    pins, believed = checked(pins, [MARI], 300.0)
    assert (pins.broken, believed) == ({}, [MARI])


def test_nothing_new_gives_the_same_pins_so_that_nothing_is_written() -> None:
    pins, _ = checked(Pins(), [MARI], 100.0)
    assert checked(pins, [MARI], 999.0)[0] is pins
    assert checked(pins, [], 999.0)[0] is pins


offers = st.lists(
    st.lists(
        st.tuples(st.sampled_from(["10.42.0.8", "10.42.0.9", "10.42.0.10"]), st.sampled_from(["a", "b", "c"])),
        max_size=4,
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(offers)
def test_whatever_is_offered_only_the_first_key_of_an_address_is_ever_believed(rounds: list) -> None:
    first: dict[str, str] = {}
    pins = Pins()
    for now, offered in enumerate(rounds):
        peers = [known(n, "p", ip, public_key=key(letter)) for n, (ip, letter) in enumerate(offered)]
        for peer in peers:
            first.setdefault(str(peer.ip), peer.public_key)
        pins, believed = checked(pins, peers, float(now))
        assert believed == [peer for peer in peers if first[str(peer.ip)] == peer.public_key]
        assert pins.keys == first


def test_what_is_looked_at_alone_leaves_the_breaks_of_others_as_they_are() -> None:
    pins = check(Pins(), [MARI, OVEN], 100.0)
    pins = check(pins, [OTHER, OVEN], 200.0)
    assert check(pins, [OVEN], 300.0, known={5}) is pins
    assert check(pins, [MARI], 300.0, known={4}).broken == {}
    assert check(pins, [], 300.0, known={4}).broken == {}, "gone"


def test_a_key_that_was_accepted_takes_the_place_of_the_pinned_one() -> None:
    pins = check(check(Pins(), [MARI, OVEN], 100.0), [OTHER, OVEN], 200.0)
    after = trusted(pins, "10.42.128.2")
    assert (after.keys["10.42.128.2"], after.broken) == (key("somebody"), {})
    assert after.keys["10.42.64.1"] == key("oven")
    assert check(after, [OTHER, OVEN], 300.0) is after
