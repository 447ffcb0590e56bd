"""Whom a change concerns: everybody who may see anything of it, and not many besides."""

import pytest
from hypothesis import given, settings

from innerd.domain import events as e
from innerd.domain.concern import Concern, Concerned, concerned
from innerd.domain.netmap import netmap
from innerd.domain.network import EMPTY, Network, fold
from innerd.domain.values import COORDINATOR
from innerd.domain.visibility import Class, View
from tests.domain import oracle
from tests.domain.lands import INFRA, ROOT, Land
from tests.domain.runs import Run, Step, runs


def told(network: Network, number: int) -> tuple[object, ...]:
    """All that a peer is told at a revision but for the revision: whole, compared with nothing."""
    view = View.of(network)
    known = netmap(view, oracle.narrowest(network, network.peers[number]).id)
    return known.cidrs, [(peer, oracle.narrowest(network, peer).id) for peer in known.peers]


def taking_part(step: Step) -> list[int]:
    """Those who are told of a step: active before it and after it. The coordinator follows no stream."""
    before, after = step.before.peers, step.after.peers
    both = [number for number in before if number in after and number != COORDINATOR]
    return [number for number in both if before[number].is_active and after[number].is_active]


def of_step(step: Step) -> Concerned:
    return concerned(View.of(step.before), View.of(step.after), step.events)


def meant(said: Concerned, class_: Class) -> bool:
    return said is None or class_ in said


@given(runs())
@settings(max_examples=100, deadline=None)
def test_whoever_is_told_something_new_is_concerned(run: Run):
    for step in run.steps:
        said = of_step(step)
        for number in taking_part(step):
            if told(step.before, number) != told(step.after, number):
                assert meant(said, oracle.narrowest(step.after, step.after.peers[number]).id), (step.events, number)


@given(runs())
@settings(max_examples=50, deadline=None)
def test_whoever_begins_to_take_part_is_concerned(run: Run):
    """It may hold a cursor from before it was disabled."""
    for step in run.steps:
        said = of_step(step)
        for number, peer in step.after.peers.items():
            was = step.before.peers.get(number)
            if peer.is_active and (was is None or not was.is_active):
                assert meant(said, oracle.narrowest(step.after, peer).id)


@given(runs())
@settings(max_examples=50, deadline=None)
def test_since_the_last_that_concerned_it_nothing_was_told_to_a_peer(run: Run):
    """What `Concern.last` is asked for: a cursor at or behind it misses nothing."""
    concern, view = Concern(run.start.revision), View.of(run.start)
    networks = [run.start]
    for step in run.steps:
        before, view = view, view.advance(step.after, step.events)
        concern.note(concerned(before, view, step.events), step.after.revision)
        networks.append(step.after)
    for number, peer in run.end.peers.items():
        if not peer.is_active or number == COORDINATOR:
            continue
        last = concern.last(view.class_of(peer))
        for earlier in networks:
            if earlier.revision >= last:
                assert earlier.peers[number].is_active
                assert told(earlier, number) == told(run.end, number)


@given(runs())
@settings(max_examples=50, deadline=None)
def test_a_change_of_a_peer_concerns_only_those_who_see_it(run: Run):
    for step in run.steps:
        said = of_step(step)
        if said is None or any(isinstance(x, e.AssociationAdded | e.AssociationDeleted) for x in step.events):
            continue
        numbers = {number for event in step.events if (number := e.peer_of(event)) is not None}
        seers = {
            oracle.narrowest(network, network.peers[other]).id
            for network in (step.before, step.after)
            for number in numbers & set(network.peers)
            for other in oracle.visible(network, network.peers[number])
        }
        populated = {oracle.narrowest(step.after, p).id for p in step.after.peers.values() if p.is_active}
        assert said & populated <= seers


# -- by hand ----------------------------------------------------------------------------------------------------------

HUMANS, BAKERS, OVENS, CATS = 3, 4, 5, 6
RYO, OVEN, TAMA, MOMO = 2, 3, 4, 5


@pytest.fixture
def city(land: Land) -> Network:
    """Humans (bakers among them) and ovens see each other; cats see cats."""
    return fold(
        EMPTY,
        [
            *land.founding(),
            land.cidr(HUMANS, "humans", "128.0/17"),
            land.cidr(BAKERS, "bakers", "128.0/24", HUMANS),
            land.cidr(OVENS, "ovens", "64.0/24"),
            land.cidr(CATS, "cats", "3.0/24"),
            land.peer(RYO, "ryo", "192.1"),
            land.peer(OVEN, "oven", "64.1"),
            land.peer(TAMA, "tama", "3.1"),
            land.invited(MOMO, "momo", "3.2"),
            e.AssociationAdded(id=1, cidr_id_1=HUMANS, cidr_id_2=OVENS),
        ],
    )


def said(before: Network, *events: e.AnyEvent) -> Concerned:
    view = View.of(before)
    return concerned(view, view.advance(fold(before, events), events), events)


def test_a_rename_concerns_the_classes_that_see_the_peer(city: Network):
    assert said(city, e.PeerRenamed(id=TAMA, name="mike", was="tama")) == {CATS}
    assert said(city, e.PeerRenamed(id=RYO, name="leo", was="ryo")) == {HUMANS, OVENS}
    assert said(city, e.PeerRenamed(id=OVEN, name="stove", was="oven")) == {HUMANS, BAKERS, OVENS}


def test_an_invitation_concerns_nobody_until_it_is_redeemed(land: Land, city: Network):
    assert said(city, land.invited(6, "shiro", "3.9")) == frozenset()
    assert said(city, e.PeerRenamed(id=MOMO, name="kuro", was="momo")) == frozenset()
    assert said(city, e.PeerDeleted(id=MOMO, name="momo", ip=str(land.at("3.2")))) == frozenset()
    added = land.peer(6, "shiro", "3.9")
    assert said(city, added) == {CATS}


def test_who_goes_concerns_those_who_saw_it(land: Land, city: Network):
    assert said(city, e.PeerDisabled(id=OVEN, name="oven")) == {HUMANS, BAKERS, OVENS}
    assert said(city, e.PeerRetired(id=TAMA, name="tama", ip=str(land.at("3.1")))) == {CATS}
    disabled = fold(city, [e.PeerDisabled(id=TAMA, name="tama")])
    assert said(disabled, e.PeerRenamed(id=TAMA, name="mike", was="tama")) == frozenset()
    assert said(disabled, e.PeerEnabled(id=TAMA, name="tama")) == {CATS}


def test_who_comes_and_goes_within_one_command_concerns_nobody(land: Land, city: Network):
    assert said(city, land.peer(6, "shiro", "3.9"), e.PeerDisabled(id=6, name="shiro")) == frozenset()


def test_an_association_concerns_both_ends_and_all_below_them(city: Network):
    joined = e.AssociationAdded(id=2, cidr_id_1=CATS, cidr_id_2=HUMANS)
    assert said(city, joined) == {CATS, HUMANS, BAKERS}
    parted = e.AssociationDeleted(id=2, cidr_id_1=CATS, cidr_id_2=HUMANS)
    assert said(fold(city, [joined]), parted) == {CATS, HUMANS, BAKERS}
    assert said(city, e.AssociationAdded(id=2, cidr_id_1=ROOT, cidr_id_2=CATS)) >= {INFRA, OVENS, HUMANS, BAKERS, CATS}


def test_the_networks_new_endpoint_concerns_everybody(city: Network):
    assert said(city, e.NetworkEndpointChanged(peer=COORDINATOR, endpoint="198.51.100.7:1", was=None)) is None


def test_whatever_becomes_of_the_coordinator_concerns_everybody(city: Network):
    override = e.EndpointOverridden(peer=COORDINATOR, name="innernet-server", endpoint="198.51.100.7:1", was=None)
    assert said(city, override) is None
    assert said(city, e.PeerRenamed(id=COORDINATOR, name="hub", was="innernet-server")) is None


def test_cidrs_concern_everybody(land: Land, city: Network):
    assert said(city, land.cidr(7, "fish", "9.0/24")) is None
    assert said(city, e.CidrRenamed(id=CATS, name="felines", was="cats")) is None
    wider = fold(city, [land.cidr(7, "fish", "9.0/24")])
    assert said(wider, e.CidrDeleted(id=7, name="fish", range=str(land.block("9.0/24")))) is None


def test_what_changes_nothing_concerns_nobody(city: Network):
    assert said(city) == frozenset()
    there = e.PeerRenamed(id=TAMA, name="mike", was="tama")
    assert said(city, there, e.PeerRenamed(id=TAMA, name="tama", was="mike")) == frozenset()


# -- since when -------------------------------------------------------------------------------------------------------


def test_each_class_has_the_last_revision_that_concerned_it():
    concern = Concern(10)
    concern.note(frozenset({3, 4}), 11)
    concern.note(frozenset({4}), 12)
    concern.note(frozenset(), 13)
    assert [concern.last(class_) for class_ in (3, 4, 5)] == [11, 12, 10]


def test_what_concerns_everybody_concerns_each_class():
    concern = Concern(10)
    concern.note(frozenset({3}), 11)
    concern.note(None, 12)
    concern.note(frozenset({4}), 13)
    assert [concern.last(class_) for class_ in (3, 4, 5)] == [12, 13, 12]
