"""Visibility against an oracle: random trees, associations and peers, and views that move with random histories."""

from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.network import EMPTY, Network, fold
from innerd.domain.values import COORDINATOR, Name
from innerd.domain.visibility import View
from tests.domain import oracle
from tests.domain.lands import LANDS, NOW
from tests.domain.runs import BLOCKS, PLACES, Run, granted_all, runs


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """A tree of some of BLOCKS in any order, associations between any two of it, peers at some of PLACES."""
    land = LANDS[draw(st.sampled_from(sorted(LANDS)))]
    blocks = draw(st.lists(st.sampled_from(BLOCKS), min_size=3, max_size=14, unique=True))
    pairs = draw(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=5))
    places = draw(st.lists(st.sampled_from(PLACES), min_size=8, max_size=24, unique=True))
    away = draw(st.sets(st.integers(2, 22), max_size=6))
    wishes: list[c.Command] = [land.add_cidr(f"cidr-{number}", block) for number, block in enumerate(blocks)]
    wishes += [c.AddAssociation(*pair) for pair in pairs]
    wishes += [land.add_peer(f"peer-{place.replace('.', '-')}", 1, place, is_redeemed=True) for place in places]
    wishes += [c.DisablePeer(number) for number in away]
    wishes.append(land.add_peer(Name("waiting"), 1))
    return granted_all(fold(EMPTY, land.founding()), wishes, NOW)


@given(networks())
@settings(max_examples=150, deadline=None)
def test_a_peers_class_is_its_narrowest_cidr(network: Network):
    view = View.of(network)
    for peer in network.peers.values():
        expected = oracle.narrowest(network, peer)
        assert view.class_of(peer) == expected.id
        assert network.cidr_of(peer.ip) == expected
        assert peer in list(network.members(expected.id))


@given(networks())
@settings(max_examples=100, deadline=None)
def test_two_peers_see_each_other_as_the_rule_says_and_both_or_neither(network: Network):
    view = View.of(network)
    for a in network.peers.values():
        for b in network.peers.values():
            assert view.sees(a, b) is oracle.sees(network, a, b), (a.name, b.name)
            assert view.sees(a, b) is view.sees(b, a)


@given(networks())
@settings(max_examples=100, deadline=None)
def test_what_a_peer_and_its_class_are_shown_is_what_it_sees(network: Network):
    view = View.of(network)
    for peer in network.peers.values():
        shown = [other.id for other in view.visible_to(peer)]
        assert sorted(shown) == sorted(oracle.visible(network, peer))
        if peer.is_active and peer.id != COORDINATOR:
            by_class = [other.id for other in view.seen_by(view.class_of(peer))]
            assert sorted(by_class) == sorted(shown)


@given(networks(), st.sampled_from(BLOCKS))
@settings(max_examples=150, deadline=None)
def test_carving_narrows_what_peers_see_and_never_widens_it(network: Network, block: str):
    land = LANDS[f"ipv{network.root.range.version}"]
    carved = granted_all(network, [land.add_cidr("carved", block)], NOW)
    assert oracle.pairs(carved) <= oracle.pairs(network)


def seen_in(view: View) -> dict[int, set[int]]:
    return {peer.id: {other.id for other in view.visible_to(peer)} for peer in view.network.peers.values()}


def same(one: View, other: View) -> bool:
    """Whether two views say the same (an advanced view may keep classes that nobody is left in)."""
    held = [{number: peers for number, peers in view.members.items() if peers} for view in (one, other)]
    return held[0] == held[1] and one.network == other.network and seen_in(one) == seen_in(other)


@given(runs())
@settings(max_examples=60, deadline=None)
def test_a_view_that_advances_with_the_network_is_the_view_of_the_network(run: Run):
    view = View.of(run.start)
    for step in run.steps:
        view = view.advance(step.after, step.events)
        assert same(view, View.of(step.after)), step.command


@given(runs(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_view_may_advance_over_many_events_at_once(run: Run, data: st.DataObject):
    first = data.draw(st.integers(0, len(run.steps)))
    last = data.draw(st.integers(first, len(run.steps)))
    later = run.networks[last]
    assert same(View.of(run.networks[first]).advance(later, run.between(first, last)), View.of(later))


def test_a_view_of_a_peer_added_and_gone_between_two_looks_is_as_before():
    land = LANDS["ipv4"]
    before = fold(EMPTY, land.founding())
    happened = [land.peer(2, "ryo", "128.1"), e.PeerRetired(id=2, name="ryo", ip="10.42.128.1")]
    after = fold(before, happened)
    assert same(View.of(before).advance(after, happened), View.of(after))
