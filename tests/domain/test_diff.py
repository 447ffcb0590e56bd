"""The diff of two networks: pairs that gain or lose sight, names, moves; counts exact, lists bounded."""

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.domain import events as e
from innerd.domain.diff import Diff, Moved, diff
from innerd.domain.network import EMPTY, Network, Peer, fold
from tests.domain import oracle
from tests.domain.lands import Land
from tests.domain.runs import Run, runs

Pairs = Counter[tuple[str, str]]


def brute(before: Network, after: Network) -> tuple[Pairs, Pairs]:
    """The pairs gained and lost, two peers at a time, by the names that they have now (or had at last)."""
    gained, lost = Pairs(), Pairs()
    for a, b in combinations(sorted({*before.peers, *after.peers}), 2):
        saw, sees = (
            a in network.peers and b in network.peers and oracle.sees(network, network.peers[a], network.peers[b])
            for network in (before, after)
        )
        names = sorted((after.peers.get(number) or before.peers[number]).name for number in (a, b))
        if saw != sees:
            (gained if sees else lost)[names[0], names[1]] += 1
    return gained, lost


def active(network: Network) -> set[str]:
    return {peer.name for peer in network.peers.values() if peer.is_redeemed and not peer.is_disabled}


def moves(before: Network, after: Network) -> set[Moved]:
    both = [peer for number, peer in after.peers.items() if number in before.peers]
    places = [(peer.name, oracle.narrowest(before, peer), oracle.narrowest(after, peer)) for peer in both]
    return {Moved(name, was.name, now.name) for name, was, now in places if was.id != now.id}


@st.composite
def two_moments(draw: st.DrawFn) -> tuple[Network, Network]:
    """Two networks of one history, in either order."""
    run: Run = draw(runs())
    return draw(st.sampled_from(run.networks)), draw(st.sampled_from(run.networks))


@given(two_moments())
@settings(max_examples=150, deadline=None)
def test_the_pairs_are_those_that_brute_force_finds(moments: tuple[Network, Network]):
    found, (gained, lost) = diff(*moments, most=None), brute(*moments)
    assert (Counter(found.gained), Counter(found.lost)) == (gained, lost)
    assert (found.pairs_gained, found.pairs_lost) == (gained.total(), lost.total())


@given(two_moments())
@settings(max_examples=100, deadline=None)
def test_names_and_moves_are_those_that_brute_force_finds(moments: tuple[Network, Network]):
    before, after = moments
    found = diff(before, after)
    assert found.names_added == tuple(sorted(active(after) - active(before)))
    assert found.names_removed == tuple(sorted(active(before) - active(after)))
    assert len(found.moved) == len(set(found.moved))
    assert set(found.moved) == moves(before, after)


@given(two_moments(), st.integers(0, 6))
@settings(max_examples=100, deadline=None)
def test_a_bound_shortens_the_lists_and_leaves_the_counts(moments: tuple[Network, Network], most: int):
    found, (gained, lost) = diff(*moments, most=most), brute(*moments)
    assert (found.pairs_gained, found.pairs_lost) == (gained.total(), lost.total())
    assert len(found.gained) == min(most, gained.total())
    assert len(found.lost) == min(most, lost.total())
    assert Counter(found.gained) <= gained
    assert Counter(found.lost) <= lost


@given(two_moments())
@settings(max_examples=50, deadline=None)
def test_the_way_back_loses_what_the_way_there_gained(moments: tuple[Network, Network]):
    there, back = diff(*moments), diff(*reversed(moments))
    assert (there.pairs_gained, there.pairs_lost) == (back.pairs_lost, back.pairs_gained)
    assert (there.names_added, there.names_removed) == (back.names_removed, back.names_added)


# -- by hand ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def town(land: Land) -> Network:
    """ryo, mari and oto among the humans; an oven elsewhere."""
    return fold(
        EMPTY,
        [
            *land.founding(),
            land.cidr(3, "humans", "128.0/17"),
            land.cidr(4, "ovens", "64.0/24"),
            land.peer(2, "ryo", "128.1"),
            land.peer(3, "mari", "128.2"),
            land.peer(4, "oto", "200.1"),
            land.peer(5, "oven", "64.1"),
        ],
    )


def after(network: Network, *events: e.AnyEvent) -> Diff:
    found = diff(network, fold(network, events))
    return Diff(
        found.pairs_gained,
        found.pairs_lost,
        tuple(sorted(found.gained)),
        tuple(sorted(found.lost)),
        found.names_added,
        found.names_removed,
        tuple(sorted(found.moved, key=lambda moved: moved.peer)),
    )


NOTHING = Diff(0, 0, (), (), (), (), ())


def test_no_change_has_no_diff(town: Network):
    assert diff(town, town) == NOTHING
    assert after(town, e.CidrRenamed(id=3, name="people", was="humans")) == NOTHING


def test_an_association_lets_each_of_one_side_see_each_of_the_other(town: Network):
    pairs = (("mari", "oven"), ("oto", "oven"), ("oven", "ryo"))
    assert after(town, e.AssociationAdded(id=1, cidr_id_1=3, cidr_id_2=4)) == Diff(3, 0, pairs, (), (), (), ())


def test_carving_says_who_moves_and_who_loses_sight_of_whom(land: Land, town: Network):
    moved = (Moved("mari", "humans", "bakers"), Moved("ryo", "humans", "bakers"))
    lost = (("mari", "oto"), ("oto", "ryo"))
    assert after(town, land.cidr(5, "bakers", "128.0/24", 3)) == Diff(0, 2, (), lost, (), (), moved)


def test_disabling_a_peer_parts_it_from_all_it_saw_and_the_coordinator(town: Network):
    lost = (("innernet-server", "oto"), ("mari", "oto"), ("oto", "ryo"))
    assert after(town, e.PeerDisabled(id=4, name="oto")) == Diff(0, 3, (), lost, (), ("oto",), ())


def test_an_invitation_alone_shows_nobody_to_anybody(land: Land, town: Network):
    assert after(town, land.invited(6, "tama", "128.6")) == NOTHING


def test_a_new_peer_is_seen_by_its_cidr_and_the_coordinator(land: Land, town: Network):
    gained = (("innernet-server", "oven-2"), ("oven", "oven-2"))
    assert after(town, land.peer(6, "oven-2", "64.2")) == Diff(2, 0, gained, (), ("oven-2",), (), ())


def test_a_new_name_is_one_name_more_and_one_less_and_no_pair(town: Network):
    assert after(town, e.PeerRenamed(id=2, name="rio", was="ryo")) == Diff(0, 0, (), (), ("rio",), ("ryo",), ())


def test_a_hundred_pairs_are_written_out_unless_more_are_asked_for(land: Land, town: Network):
    ovens = [land.peer(number, f"oven-{number}", f"64.{number}") for number in range(10, 60)]
    crowd = fold(town, ovens)
    joined = fold(crowd, [e.AssociationAdded(id=1, cidr_id_1=3, cidr_id_2=4)])
    short, whole = diff(crowd, joined), diff(crowd, joined, most=None)
    assert short.pairs_gained == whole.pairs_gained == len(whole.gained) == 3 * 51
    assert len(short.gained) == 100


def test_a_founding_is_a_diff_from_nothing(land: Land):
    network: Network = fold(EMPTY, [*land.founding(), land.peer(2, "ryo", "9.9")])
    peers: list[Peer] = list(network.peers.values())
    assert len(peers) == 2
    assert diff(EMPTY, network) == Diff(1, 0, (("innernet-server", "ryo"),), (), ("innernet-server", "ryo"), (), ())
