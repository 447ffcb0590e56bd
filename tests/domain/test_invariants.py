"""What no run of wishes can break, whatever is asked in whatever order: the network stays a network."""

from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address
from itertools import combinations

import pytest
from hypothesis import given, settings

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.decide import decide
from innerd.domain.errors import Refused
from innerd.domain.network import EMPTY, Network, evolve, fold
from innerd.domain.values import COORDINATOR, Range
from tests.domain import oracle
from tests.domain.runs import Run, runs

many = settings(max_examples=120, deadline=None)


def history(run: Run) -> tuple[e.AnyEvent, ...]:
    return (*run.past, *run.between(0, len(run.steps)))


def shared(things: Iterable[object]) -> list[object]:
    """Those that occur more than once."""
    return [thing for thing, times in Counter(things).items() if times > 1]


@given(runs())
@many
def test_the_cidrs_are_a_tree_of_blocks(run: Run):
    for network in run.networks:
        cidrs = network.cidrs.values()
        assert [cidr.id for cidr in cidrs if cidr.parent is None] == [1]
        for cidr in cidrs:
            assert (cidr.first, cidr.last) == (int(cidr.range[0]), int(cidr.range[-1]))
            if cidr.parent is not None:
                around = network.cidrs[cidr.parent].range
                assert around.supernet_of(cidr.range)
                assert around != cidr.range
        for one, other in combinations(cidrs, 2):
            nested = one.range.subnet_of(other.range) or other.range.subnet_of(one.range)
            assert nested or not one.range.overlaps(other.range)
            assert one.parent != other.parent or not one.range.overlaps(other.range)


@given(runs())
@many
def test_names_addresses_and_keys_are_one_peers_each(run: Run):
    for network in run.networks:
        peers = network.peers.values()
        assert not shared(peer.name for peer in peers)
        assert not shared(peer.ip for peer in [*peers, *network.retired.values()])
        assert not shared(peer.public_key for peer in peers)
        assert not shared(cidr.name for cidr in network.cidrs.values())
        assert not shared(frozenset({a.cidr_id_1, a.cidr_id_2}) for a in network.associations.values())


def peer_may_have(address: object, block: Range) -> bool:
    """A peer's address, said again: up to /30 not the first nor, in IPv4, the last; up to /126 not the first."""
    size = block.num_addresses
    return size <= 2 or (address != block[0] and (block.version == 6 or address != block[-1]))


@given(runs())
@many
def test_every_peer_has_an_ordinary_address_of_its_narrowest_cidr(run: Run):
    for network in run.networks:
        for peer in network.peers.values():
            assert peer.ip in network.root.range
            assert peer_may_have(peer.ip, oracle.narrowest(network, peer).range), peer.name


@given(runs())
@many
def test_the_coordinator_is_always_there_active_and_admin(run: Run):
    for network in run.networks:
        coordinator = network.peers[COORDINATOR]
        assert coordinator.name == "innernet-server"
        assert coordinator.is_active
        assert coordinator.is_admin
        assert coordinator.ip == network.root.range[1]
        assert coordinator.endpoint is not None
        assert {1, 2} <= set(network.cidrs)


@given(runs())
@many
def test_ids_are_given_upwards_and_once(run: Run):
    for kind in (e.PeerAdded, e.CidrCreated, e.AssociationAdded):
        ids = [event.id for event in history(run) if isinstance(event, kind)]
        assert ids == sorted(set(ids))


@given(runs())
@many
def test_no_key_is_ever_accepted_twice(run: Run):
    keys = [
        event.public_key
        for event in history(run)
        if isinstance(event, e.PeerAdded | e.InvitationReissued | e.KeyPinned)
    ]
    assert not shared(keys)
    assert set(run.end.keys) == set(keys)


@given(runs())
@many
def test_a_retired_address_is_never_given_again(run: Run):
    burnt: set[str] = set()
    for event in history(run):
        if isinstance(event, e.PeerRetired):
            burnt.add(event.ip)
        elif isinstance(event, e.PeerAdded):
            assert event.ip not in burnt
    assert {str(peer.ip) for peer in run.end.retired.values()} == burnt


@given(runs())
@many
def test_an_address_is_known_exactly_while_it_is_taken(run: Run):
    for network in run.networks:
        taken = {int(peer.ip): peer.id for peer in [*network.peers.values(), *network.retired.values()]}
        assert dict(network.addresses) == taken
        assert dict(network.names) == {peer.name: peer.id for peer in network.peers.values()}
        for peer in network.peers.values():
            assert network.peer_at(ip_address(str(peer.ip))) == peer


@given(runs())
@many
def test_all_events_at_once_make_the_same_network_as_one_by_one(run: Run):
    network = EMPTY
    for event in history(run):
        network = evolve(network, event)
    assert network == fold(EMPTY, history(run)) == run.end
    assert network.revision == len(history(run))


def plain(network: Network) -> object:
    """All that a network says, copied out of it."""
    return {
        field: dict(value) if hasattr(value, "items") else value
        for field in network.__struct_fields__
        for value in [getattr(network, field)]
    }


@given(runs())
@many
def test_a_network_that_a_reader_holds_never_changes(run: Run):
    network, held = EMPTY, []
    for event in history(run):
        held.append((network, plain(network)))
        network = evolve(network, event)
    for seen, then in held:
        assert plain(seen) == then


@given(runs())
@many
def test_what_was_just_granted_is_now_already_so_or_refused(run: Run):
    """A wish is for a state, so asking again changes nothing; the clock is set back, so nothing expires meanwhile."""
    for step in run.steps:
        try:
            again = decide(step.after, step.command, now=0)
        except Refused:
            continue
        assert again == (), step.command


CREATING = [c.AddPeer, c.AddCidr, c.AddAssociation]


@pytest.mark.parametrize("kind", CREATING)
def test_the_runs_of_these_tests_do_reach_refusals_and_grants(kind: type):
    """Else the properties above would hold of nothing."""
    granted = 0

    @given(runs())
    @settings(max_examples=20, deadline=None, derandomize=True)
    def count(run: Run) -> None:
        nonlocal granted
        granted += sum(isinstance(step.command, kind) for step in run.steps)

    count()
    assert granted >= 10
