"""What peers are told: netmaps, and deltas that make a later netmap of an earlier one and say nothing beyond that."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.domain import events as e
from innerd.domain.netmap import Delta, Netmap, delta, netmap
from innerd.domain.network import EMPTY, Network, fold
from innerd.domain.values import COORDINATOR
from innerd.domain.visibility import View, structural, touched
from tests.domain import oracle
from tests.domain.lands import INFRA, Land
from tests.domain.runs import Run, runs


def applied(old: Netmap, change: Delta) -> Netmap:
    """What a client makes of its netmap and a delta."""
    peers = {peer.id: peer for peer in old.peers} | {peer.id: peer for peer in change.peers}
    cidrs = {cidr.id: cidr for cidr in old.cidrs} | {cidr.id: cidr for cidr in change.cidrs}
    for number in change.gone:
        del peers[number]
    for number in change.cidrs_gone:
        del cidrs[number]
    return Netmap(
        change.revision,
        tuple(peers[number] for number in sorted(peers)),
        tuple(cidrs[number] for number in sorted(cidrs)),
    )


@st.composite
def stretches(draw: st.DrawFn) -> tuple[Network, Network, tuple[e.AnyEvent, ...]]:
    """An earlier network, a later one, and what happened in between."""
    run: Run = draw(runs())
    first = draw(st.integers(0, len(run.steps)))
    last = draw(st.integers(first, len(run.steps)))
    return run.networks[first], run.networks[last], run.between(first, last)


def told(before: Network, after: Network, happened: tuple[e.AnyEvent, ...], number: int) -> list[tuple[Delta, Netmap]]:
    """The deltas for one peer (compared in full, and of what was touched where that is enough), each with the
    netmap it is for."""
    old, new = View.of(before), View.of(after)
    was, is_ = oracle.narrowest(before, before.peers[number]).id, oracle.narrowest(after, after.peers[number]).id
    ways = [None] if structural(happened) else [None, touched(happened)]
    return [(delta(old, was, new, is_, only), netmap(old, was)) for only in ways]


def staying(before: Network, after: Network) -> list[int]:
    return [number for number in before.peers if before.peers[number].is_active and number in after.peers]


@given(stretches())
@settings(max_examples=100, deadline=None)
def test_a_delta_makes_the_later_netmap_of_the_earlier_one(stretch):
    before, after, happened = stretch
    for number in staying(before, after):
        later = netmap(View.of(after), oracle.narrowest(after, after.peers[number]).id)
        for change, earlier in told(before, after, happened, number):
            assert applied(earlier, change) == later


@given(runs())
@settings(max_examples=50, deadline=None)
def test_deltas_of_single_steps_add_up_to_the_last_netmap(run: Run):
    """As on a stream: what a peer holds moves from step to step, and is compared at the end."""
    for number in [2, 3, 4]:
        held = netmap(View.of(run.start), oracle.narrowest(run.start, run.start.peers[number]).id)
        for step in run.steps:
            if number not in step.after.peers:
                break
            held = applied(held, told(step.before, step.after, step.events, number)[-1][0])
        else:
            class_ = oracle.narrowest(run.end, run.end.peers[number]).id
            assert held == netmap(View.of(run.end), class_)


def differs(before, after, number):
    """Whether what is told of a peer differs: the peer itself, or the CIDR that it belongs to."""
    was, now = before.peers[number], after.peers[number]
    return was != now or oracle.narrowest(before, was).id != oracle.narrowest(after, now).id


@given(stretches())
@settings(max_examples=100, deadline=None)
def test_a_delta_says_nothing_of_peers_out_of_sight_and_nothing_that_was_known(stretch):
    before, after, happened = stretch
    for number in staying(before, after):
        if number == COORDINATOR or not after.peers[number].is_active:
            continue
        saw, sees = oracle.visible(before, before.peers[number]), oracle.visible(after, after.peers[number])
        for change, _ in told(before, after, happened, number):
            changed = {other for other in sees if other not in saw or differs(before, after, other)}
            assert [peer.id for peer in change.peers] == sorted(changed)
            assert list(change.gone) == sorted(saw - sees)
            assert all(after.peers[peer.id] == peer for peer in change.peers)


@given(stretches())
@settings(max_examples=100, deadline=None)
def test_a_netmap_is_what_a_peer_sees_and_every_cidr(stretch):
    _, network, _ = stretch
    view = View.of(network)
    for peer in network.peers.values():
        if peer.is_active and peer.id != COORDINATOR:
            seen = netmap(view, view.class_of(peer))
            assert [other.id for other in seen.peers] == sorted(oracle.visible(network, peer))
            assert seen.cidrs == tuple(network.cidrs[number] for number in sorted(network.cidrs))
            assert seen.revision == network.revision


# -- by hand ----------------------------------------------------------------------------------------------------------

HUMANS, OVENS = 3, 4


@pytest.fixture
def town(land: Land) -> Network:
    return fold(
        EMPTY,
        [
            *land.founding(),
            land.cidr(HUMANS, "humans", "128.0/17"),
            land.cidr(OVENS, "ovens", "64.0/24"),
            land.peer(2, "ryo", "128.1"),
            land.peer(3, "mari", "128.2"),
            land.peer(4, "oven", "64.1"),
        ],
    )


def after(before: Network, *events: e.AnyEvent, class_: int = HUMANS) -> Delta:
    only = None if structural(events) else touched(events)
    return delta(View.of(before), class_, View.of(fold(before, events)), class_, only)


def test_a_change_out_of_sight_moves_the_revision_and_says_nothing(town: Network):
    said = after(town, e.PeerRenamed(id=4, name="furnace", was="oven"))
    assert said == Delta(town.revision + 1)
    assert said.is_empty


HIDDEN = {
    "a peer appears": lambda land: [land.peer(5, "oven-2", "64.2")],
    "a peer is retired": lambda land: [e.PeerRetired(id=4, name="oven", ip=str(land.at("64.1")))],
    "a peer is disabled": lambda land: [e.PeerDisabled(id=4, name="oven")],
    "an invitation is made": lambda land: [land.invited(5, "tama", "128.9")],
    "an invitation is taken back": lambda land: [
        land.invited(5, "tama", "128.9"),
        e.PeerDeleted(id=5, name="tama", ip=str(land.at("128.9"))),
    ],
    "two others are joined": lambda land: [e.AssociationAdded(id=1, cidr_id_1=OVENS, cidr_id_2=INFRA)],
}


@pytest.mark.parametrize("events", HIDDEN.values(), ids=HIDDEN)
def test_what_happens_out_of_sight_stays_there(land: Land, town: Network, events):
    assert after(town, *events(land)).is_empty


def test_a_peer_that_goes_is_told_by_its_id_and_nothing_else(land: Land, town: Network):
    """Whether it was disabled, retired or is merely out of sight now: one and the same."""
    retired = after(town, e.PeerRetired(id=3, name="mari", ip=str(land.at("128.2"))))
    disabled = after(town, e.PeerDisabled(id=3, name="mari"))
    carved = after(town, land.cidr(5, "bakers", "128.2/32", HUMANS))
    assert retired == disabled == Delta(town.revision + 1, gone=(3,))
    assert (carved.peers, carved.gone) == ((), (3,))


def test_an_association_tells_whole_peers(town: Network):
    said = after(town, e.AssociationAdded(id=1, cidr_id_1=HUMANS, cidr_id_2=OVENS))
    assert said == Delta(town.revision + 1, peers=(town.peers[4],))


def test_cidrs_are_told_to_everybody(land: Land, town: Network):
    renamed = after(town, e.CidrRenamed(id=OVENS, name="furnaces", was="ovens"))
    assert [(cidr.id, cidr.name) for cidr in renamed.cidrs] == [(OVENS, "furnaces")]
    created = after(town, land.cidr(5, "cats", "3.0/24"))
    assert ([cidr.name for cidr in created.cidrs], created.is_empty) == (["cats"], False)


def test_a_cidr_that_goes_is_told_by_its_id(land: Land, town: Network):
    wider = fold(town, [land.cidr(5, "cats", "3.0/24")])
    said = after(wider, e.CidrDeleted(id=5, name="cats", range=str(land.block("3.0/24"))))
    assert said == Delta(wider.revision + 1, cidrs_gone=(5,))


def test_the_networks_new_endpoint_is_told_to_everybody(town: Network):
    moved = e.NetworkEndpointChanged(peer=COORDINATOR, endpoint="198.51.100.7:1", was=None)
    for class_ in (HUMANS, OVENS):
        said = after(town, moved, class_=class_)
        assert [(peer.id, peer.endpoint) for peer in said.peers] == [(COORDINATOR, "198.51.100.7:1")]


def test_a_peer_that_changes_class_is_told_its_new_sight(land: Land, town: Network):
    carving = land.cidr(5, "bakers", "128.1/32", HUMANS)
    carved = fold(town, [carving])
    said = delta(View.of(town), HUMANS, View.of(carved), 5)
    assert [peer.id for peer in said.peers] == [2]  # itself: its CIDR is another one now
    assert (said.gone, [cidr.name for cidr in said.cidrs]) == ((3,), ["bakers"])
