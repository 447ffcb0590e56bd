"""Who sees whom, drawn: one tree, one peer in every CIDR, and what each sees under some associations."""

import pytest

from innerd.domain import events as e
from innerd.domain.network import EMPTY, Network, Peer, fold
from innerd.domain.visibility import View, structural, touched
from tests.domain.lands import COORDINATOR, HOME, Land, key

# The peer that stands for a CIDR lies in it and in none of its children; the coordinator is in root > infra.
TREE = """
    root            at 9.9
    . A   128.0/17  at 200.1
    . . A1   128.0/20  at 129.1
    . . . A1a   128.0/24  at 128.1
    . . A2   144.0/20  at 144.1
    . B   64.0/18  at 100.1
    . . B1   64.0/24  at 64.1
"""

# CIDR: whom its peer sees, besides itself and the coordinator
SIGHTS = {
    "none": """
        root: -
        A: -     A1: -     A1a: -     A2: -
        B: -     B1: -
    """,
    "A-B": """
        root: -
        A: B B1     A1: B B1     A1a: B B1     A2: B B1
        B: A A1 A1a A2     B1: A A1 A1a A2
    """,
    "A1-B1": """
        root: -
        A: -     A1: B1     A1a: B1     A2: -
        B: -     B1: A1 A1a
    """,
    "A1-A2": """
        root: -
        A: -     A1: A2     A1a: A2     A2: A1 A1a
        B: -     B1: -
    """,
    "A-A1a": """
        root: -
        A: A1a     A1: A1a     A1a: A A1 A2     A2: A1a
        B: -     B1: -
    """,
    "A-A1": """
        root: -
        A: A1 A1a     A1: A A1a A2     A1a: A A1 A2     A2: A1 A1a
        B: -     B1: -
    """,
    "root-B": """
        root: B B1
        A: B B1     A1: B B1     A1a: B B1     A2: B B1
        B: root A A1 A1a A2 B1     B1: root A A1 A1a A2 B
    """,
    "root-A1a": """
        root: A1a
        A: A1a     A1: A1a     A1a: root A A1 A2 B B1     A2: A1a
        B: A1a     B1: A1a
    """,
    "infra-B": """
        root: -
        A: -     A1: -     A1a: -     A2: -
        B: -     B1: -
    """,
    "root-infra": """
        root: -
        A: -     A1: -     A1a: -     A2: -
        B: -     B1: -
    """,
    "A1a-B B-A2": """
        root: -
        A: -     A1: -     A1a: B B1     A2: B B1
        B: A1a A2     B1: A1a A2
    """,
    "A1-A2 A2-B1": """
        root: -
        A: -     A1: A2     A1a: A2     A2: A1 A1a B1
        B: -     B1: A2
    """,
}

# innernet's own answers (section 3.5 of its spec): its peers in inner CIDRs see some who don't see them.
INNERNET = {
    "none": "A: A1 A1a A2; A1: A1a; A1a: ; A2: ; B: B1; B1: ",
    "A-B": "A: A1 A1a A2 B B1; A1: A1a B B1; A1a: B B1; A2: B B1; B: A A1 A1a A2 B1; B1: A A1 A1a A2",
    "A1-B1": "A: A1 A1a A2; A1: A1a B1; A1a: B1; A2: ; B: B1; B1: A1 A1a",
    "A1-A2": "A: A1 A1a A2; A1: A1a A2; A1a: A2; A2: A1 A1a; B: B1; B1: ",
    "A-A1a": "A: A1 A1a A2; A1: A1a; A1a: A A1 A2; A2: A1a; B: B1; B1: ",
    "root-B": "A: A1 A1a A2 B B1; A1: A1a B B1; A1a: B B1; A2: B B1; B: A A1 A1a A2 B1; B1: A A1 A1a A2 B",
    "infra-B": "A: A1 A1a A2; A1: A1a; A1a: ; A2: ; B: B1; B1: ",
    "root-infra": "A: A1 A1a A2; A1: A1a; A1a: ; A2: ; B: B1; B1: ",
}
LEAVES = {"A1a", "A2", "B1"}


def planted(land: Land, associations: str = "none") -> Network:
    """The network that TREE draws. CIDRs are numbered from 3 in its order, peers from 2; "A" lies in cidr "A"."""
    events, numbers, path = [*land.founding()], {"root": 1, "infra": 2}, [1]
    for peer, line in enumerate(TREE.strip().splitlines(), 2):
        depth = line.count(". ")
        name, *block, _, place = line.replace(". ", "").split()
        if block:
            numbers[name] = peer
            events.append(land.cidr(peer, name.lower(), block[0], path[depth - 1]))
            path[depth:] = [peer]
        events.append(land.peer(peer, name.lower(), place))
    for number, pair in enumerate([] if associations == "none" else associations.split(), 1):
        one, other = pair.split("-")
        events.append(e.AssociationAdded(id=number, cidr_id_1=numbers[one], cidr_id_2=numbers[other]))
    return fold(EMPTY, events)


def drawn(picture: str) -> dict[str, set[str]]:
    """The names of CIDRs that a picture such as "A: B B1  B: -" gives to each."""
    sights: dict[str, set[str]] = {}
    for word in picture.replace(";", " ").split():
        if word.endswith(":"):
            seen = sights.setdefault(word[:-1], set())
        elif word != "-":
            seen.add(word)
    return sights


def sights(network: Network) -> dict[str, set[str]]:
    """Whom each peer but the coordinator sees, besides itself and the coordinator."""
    view = View.of(network)
    spelt = {name.lower(): name for name in drawn(SIGHTS["none"])}
    others = [peer for peer in network.peers.values() if peer.id != COORDINATOR]
    return {
        spelt[peer.name]: {spelt[other.name] for other in others if other != peer and view.sees(peer, other)}
        for peer in others
    }


@pytest.mark.parametrize("associations", SIGHTS)
def test_peers_see_each_other_as_drawn(land: Land, associations: str):
    assert sights(planted(land, associations)) == drawn(SIGHTS[associations])


@pytest.mark.parametrize("associations", INNERNET)
def test_the_pairs_that_could_talk_in_innernet_are_those_that_see_each_other(land: Land, associations: str):
    theirs = drawn(INNERNET[associations])
    mutual = {one: {other for other in seen if one in theirs[other]} for one, seen in theirs.items()}
    ours = {one: seen - {"root"} for one, seen in sights(planted(land, associations)).items() if one != "root"}
    assert ours == mutual


@pytest.mark.parametrize("associations", INNERNET)
def test_peers_in_leaf_cidrs_see_in_innernet_what_they_see_here(land: Land, associations: str):
    theirs, ours = drawn(INNERNET[associations]), sights(planted(land, associations))
    assert {leaf: ours[leaf] - {"root"} for leaf in LEAVES} == {leaf: theirs[leaf] for leaf in LEAVES}


@pytest.mark.parametrize("associations", SIGHTS)
def test_the_coordinator_and_everybody_see_each_other(land: Land, associations: str):
    network = planted(land, associations)
    view = View.of(network)
    assert {peer.id for peer in view.visible_to(network.coordinator)} == set(network.peers)
    for peer in network.peers.values():
        assert view.sees(peer, network.coordinator)
        assert view.sees(network.coordinator, peer)
        assert network.coordinator in set(view.visible_to(peer))


def test_peers_of_one_cidr_see_each_other_and_themselves(land: Land):
    network = fold(planted(land), [land.peer(20, "a1-too", "143.255")])
    view, one, other = View.of(network), network.peers[4], network.peers[20]
    assert view.class_of(one) == view.class_of(other) == 4
    assert view.sees(one, other)
    assert view.sees(one, one)


GONE = {
    "disabled": lambda land: [land.peer(20, "oto", "128.9"), e.PeerDisabled(id=20, name="oto")],
    "unredeemed": lambda land: [land.invited(20, "oto", "128.9")],
    "unredeemed and disabled": lambda land: [land.invited(20, "oto", "128.9"), e.PeerDisabled(id=20, name="oto")],
}


@pytest.mark.parametrize("how", GONE.values(), ids=GONE)
def test_a_peer_that_is_not_active_sees_nobody_and_is_seen_by_nobody(land: Land, how):
    network = fold(planted(land, "root-A"), how(land))
    view, absent = View.of(network), network.peers[20]
    for peer in network.peers.values():
        assert not view.sees(absent, peer)
        assert not view.sees(peer, absent)
        assert absent not in set(view.visible_to(peer))
    assert not list(view.visible_to(absent))


def test_nobody_is_told_of_twice(land: Land):
    """Associations that say the same thing several times over."""
    view = View.of(planted(land, "root-A A-A1 A1-A1a A-B root-infra"))
    for peer in view.network.peers.values():
        seen = [other.id for other in view.visible_to(peer)]
        assert len(seen) == len(set(seen))


def test_an_association_with_infra_does_not_show_the_coordinator_twice(land: Land):
    view = View.of(planted(land, "infra-B"))
    assert [peer.id for peer in view.seen_by(7)].count(COORDINATOR) == 1


# -- which changes touch whom -----------------------------------------------------------------------------------------

TOUCHED = {
    "a peer": (e.PeerRenamed(id=7, name="a", was="b"), {7}, False),
    "an endpoint": (e.EndpointOverrideCleared(peer=7, name="a", was="b:1"), {7}, False),
    "a key": (e.KeyPinned(peer=7, name="a", public_key=key("a"), redeemed_at=1), {7}, False),
    "the network's endpoint": (e.NetworkEndpointChanged(peer=1, endpoint=HOME, was=None), {1}, False),
    "a CIDR's name": (e.CidrRenamed(id=7, name="a", was="b"), set(), False),
    "a new CIDR": (e.CidrCreated(id=7, name="a", range="10.42.7.0/24", parent=1), set(), True),
    "a CIDR less": (e.CidrDeleted(id=7, name="a", range="10.42.7.0/24"), set(), True),
    "an association": (e.AssociationAdded(id=7, cidr_id_1=1, cidr_id_2=3), set(), True),
    "an association less": (e.AssociationDeleted(id=7, cidr_id_1=1, cidr_id_2=3), set(), True),
    "a restored log": (e.LogRestored(generation=2, from_revision=7), set(), False),
}


@pytest.mark.parametrize(("event", "peers", "anybody"), TOUCHED.values(), ids=TOUCHED)
def test_an_event_touches_the_peer_it_names_or_the_sight_of_anybody(event: e.AnyEvent, peers: set[int], anybody: bool):
    assert touched([event]) == peers
    assert structural([event]) is anybody


def test_a_view_is_a_value_that_later_views_leave_alone(land: Land):
    before = View.of(planted(land))
    peer: Peer = before.network.peers[4]
    event = e.PeerDisabled(id=peer.id, name=peer.name)
    after = before.advance(fold(before.network, [event]), [event])
    assert peer in set(before.seen_by(4))
    assert peer.id not in {other.id for other in after.seen_by(4)}
