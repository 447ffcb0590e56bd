"""The deciders for CIDRs: a tree of disjoint blocks. Membership follows from addresses, so carving moves peers."""

import pytest

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.values import Name
from innerd.domain.visibility import View
from tests.domain.dialogue import given
from tests.domain.lands import INFRA, LANDS, ROOT, Land, key

HUMANS, BAKERS = 3, 4


def humans(land: Land) -> tuple[e.AnyEvent, ...]:
    return (*land.founding(), land.cidr(HUMANS, "humans", "128.0/17"))


def bakers(land: Land) -> tuple[e.AnyEvent, ...]:
    return (*humans(land), land.cidr(BAKERS, "bakers", "128.0/24", HUMANS))


# -- adding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parent", [None, ROOT], ids=["found", "given"])
def test_a_cidr_lies_below_the_root(land: Land, parent: int | None):
    given(land.founding()).when(land.add_cidr("humans", "128.0/17", parent)).then(
        land.cidr(HUMANS, "humans", "128.0/17")
    )


@pytest.mark.parametrize("parent", [None, HUMANS], ids=["found", "given"])
def test_a_cidr_lies_below_the_narrowest_that_contains_it(land: Land, parent: int | None):
    bakers_created = land.cidr(BAKERS, "bakers", "128.0/24", HUMANS)
    given(humans(land)).when(land.add_cidr("bakers", "128.0/24", parent)).then(bakers_created)


def test_neighbours_that_touch_do_not_overlap(land: Land):
    given(humans(land)).when(land.add_cidr("cats", "64.0/18")).then(land.cidr(4, "cats", "64.0/18"))


REFUSED = {
    "another CIDR has the name": ("humans", "64.0/24", None, "name_taken"),
    "the infra CIDR has the name": ("innernet-server", "64.0/24", None, "name_taken"),
    "the root has the name": ("kermpany", "64.0/24", None, "name_taken"),
    "the range exists": ("people", "128.0/17", None, "cidr_exists"),
    "the range exists, said with its own parent": ("people", "128.0/17", ROOT, "cidr_exists"),
    "the range is the root's": ("all", "0.0/16", None, "cidr_exists"),
    "the range is the infra CIDR's": ("server", "0.1/32", None, "cidr_exists"),
    "it swallows a sibling's child": ("wide", "128.0/18", None, "cidr_overlaps"),
    "it swallows the infra CIDR": ("low", "0.0/17", None, "cidr_overlaps"),
    "it swallows a child of its parent": ("wide", "128.0/23", HUMANS, "cidr_overlaps"),
    "it is wider than the root": ("next", "0.0/15", None, "cidr_outside_parent"),
    "the given parent is elsewhere": ("ovens", "64.0/24", HUMANS, "cidr_outside_parent"),
    "the given parent is narrower": ("ovens", "128.0/20", BAKERS, "cidr_outside_parent"),
    "the given parent is not the narrowest": ("ovens", "128.0/25", ROOT, "cidr_wrong_parent"),
    "the given parent is the grandparent": ("ovens", "128.0/25", HUMANS, "cidr_wrong_parent"),
    "the given parent does not exist": ("ovens", "64.0/24", 99, "cidr_not_found"),
}


@pytest.mark.parametrize(("name", "place", "parent", "code"), REFUSED.values(), ids=REFUSED)
def test_a_cidr_is_refused_where(land: Land, name: str, place: str, parent: int | None, code: str):
    given(bakers(land)).when(land.add_cidr(name, place, parent)).refused(code)


@pytest.mark.parametrize(("of", "other"), [("ipv4", "ipv6"), ("ipv6", "ipv4")])
def test_a_network_has_one_address_family(of: str, other: str):
    stranger = LANDS[other].add_cidr("humans", "128.0/17")
    given(LANDS[of].founding()).when(stranger).refused("cidr_outside_parent")


def test_an_existing_range_is_called_existing_whatever_lies_in_it(land: Land):
    """Whichever CIDR comes first in the map: ids beyond 31 come in no order."""
    pads = tuple(land.cidr(number, f"pad-{number}", f"64.{number}/32") for number in range(3, 31))
    history = (*land.founding(), *pads, land.cidr(31, "humans", "128.0/17"), land.cidr(32, "bakers", "128.0/24", 31))
    given(history).when(land.add_cidr("people", "128.0/17")).refused("cidr_exists")


def test_the_id_of_a_deleted_cidr_is_not_given_again(land: Land):
    gone = e.CidrDeleted(id=HUMANS, name="humans", range=str(land.block("128.0/17")))
    after = given(humans(land)).when(c.DeleteCidr(HUMANS)).then(gone)
    after.when(land.add_cidr("humans", "128.0/17")).then(land.cidr(4, "humans", "128.0/17"))


# -- carving ----------------------------------------------------------------------------------------------------------


def test_carving_makes_the_peers_in_the_range_members_of_it(land: Land):
    ryo, mari = land.peer(2, "ryo", "128.9"), land.peer(3, "mari", "129.9")
    after = (
        given(humans(land), ryo, mari)
        .when(land.add_cidr("bakers", "128.0/24"))
        .then(land.cidr(BAKERS, "bakers", "128.0/24", HUMANS))
    )
    assert [peer.name for peer in after.network.members(BAKERS)] == ["ryo"]
    assert [peer.name for peer in after.network.members(HUMANS)] == ["mari"]
    assert after.network.cidr_of(land.at("128.9")).name == "bakers"


EDGES = {  # where the peer is, and what the carving of 128.0/24 says in IPv4 and in IPv6
    "network address": ("128.0", "cidr_covers_edge_address", "cidr_covers_edge_address"),
    "broadcast address": ("128.255", "cidr_covers_edge_address", None),
    "first address": ("128.1", None, None),
    "last address": ("128.254", None, None),
    "just before": ("127.255", None, None),
    "just behind": ("129.0", None, None),
}


@pytest.mark.parametrize("redeemed", [True, False], ids=["peer", "invitation"])
@pytest.mark.parametrize(("place", "ipv4", "ipv6"), EDGES.values(), ids=EDGES)
def test_carving_never_makes_an_edge_of_a_peers_address(
    land: Land, place: str, ipv4: str | None, ipv6: str | None, redeemed: bool
):
    peer = land.peer(2, "ryo", place) if redeemed else land.invited(2, "ryo", place)
    outcome = given(land.founding(), peer).when(land.add_cidr("bakers", "128.0/24"))
    code = {"ipv4": ipv4, "ipv6": ipv6}[land.family]
    if code is None:
        outcome.then(land.cidr(3, "bakers", "128.0/24"))
    else:
        outcome.refused(code)


@pytest.mark.parametrize("place", ["128.0/31", "128.0/32"])
def test_a_block_too_small_for_edges_has_none(land: Land, place: str):
    given(land.founding(), land.peer(2, "ryo", "128.0")).when(land.add_cidr("pair", place)).then(
        land.cidr(3, "pair", place)
    )


def test_the_address_of_a_retired_peer_may_become_an_edge(land: Land):
    retired = (
        land.peer(2, "ryo", "128.0"),
        e.PeerRetired(id=2, name="ryo", ip=str(land.at("128.0"))),
    )
    given(land.founding(), retired).when(land.add_cidr("bakers", "128.0/24")).then(land.cidr(3, "bakers", "128.0/24"))


# -- renaming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "was"), [(HUMANS, "humans"), (ROOT, "kermpany"), (INFRA, "innernet-server")])
def test_any_cidr_can_be_renamed(land: Land, number: int, was: str):
    after = given(humans(land)).when(c.RenameCidr(number, Name("people")))
    network = after.then(e.CidrRenamed(id=number, name="people", was=was)).network
    assert network.cidrs[number].name == "people"
    assert network.cidr_named(was) is None


def test_the_same_name_again_is_no_event(land: Land):
    given(humans(land)).when(c.RenameCidr(HUMANS, Name("humans"))).then()


@pytest.mark.parametrize(
    ("number", "name", "code"),
    [(HUMANS, "innernet-server", "name_taken"), (99, "people", "cidr_not_found")],
)
def test_renaming_is_refused(land: Land, number: int, name: str, code: str):
    given(humans(land)).when(c.RenameCidr(number, Name(name))).refused(code)


def test_an_old_name_is_free_again(land: Land):
    renamed = e.CidrRenamed(id=HUMANS, name="people", was="humans")
    given(humans(land), renamed).when(land.add_cidr("humans", "64.0/24")).then(land.cidr(4, "humans", "64.0/24"))


def test_a_peer_and_a_cidr_may_share_a_name(land: Land):
    outcome = given(humans(land)).when(land.add_peer("humans", HUMANS, "128.1"))
    outcome.then(land.invited(2, "humans", "128.1"))


# -- deleting ---------------------------------------------------------------------------------------------------------


def test_an_empty_cidr_is_deleted(land: Land):
    gone = e.CidrDeleted(id=BAKERS, name="bakers", range=str(land.block("128.0/24")))
    after = given(bakers(land)).when(c.DeleteCidr(BAKERS)).then(gone)
    assert BAKERS not in after.network.cidrs


@pytest.mark.parametrize(
    ("number", "code"),
    [(ROOT, "cidr_reserved"), (INFRA, "cidr_reserved"), (HUMANS, "cidr_has_children")],
)
def test_deleting_is_refused(land: Land, number: int, code: str):
    given(bakers(land)).when(c.DeleteCidr(number)).refused(code)


def test_what_should_be_gone_is_gone(land: Land):
    """innernet answers the same for a CIDR that never was."""
    given(bakers(land)).when(c.DeleteCidr(99)).then()


@pytest.mark.parametrize("pair", [(BAKERS, ROOT), (ROOT, BAKERS)])
def test_a_cidr_with_associations_is_not_deleted(land: Land, pair: tuple[int, int]):
    joined = e.AssociationAdded(id=1, cidr_id_1=pair[0], cidr_id_2=pair[1])
    given(bakers(land), joined).when(c.DeleteCidr(BAKERS)).refused("cidr_has_associations")


@pytest.mark.parametrize("kind", ["redeemed", "disabled", "invited", "expired"])
def test_a_cidr_with_a_peer_of_any_kind_is_not_deleted(land: Land, kind: str):
    history = {
        "redeemed": (land.peer(2, "ryo", "128.1"),),
        "disabled": (land.peer(2, "ryo", "128.1"), e.PeerDisabled(id=2, name="ryo")),
        "invited": (land.invited(2, "ryo", "128.1"),),
        "expired": (land.invited(2, "ryo", "128.1", expires=1),),
    }[kind]
    given(bakers(land), history).when(c.DeleteCidr(BAKERS)).refused("cidr_not_empty")


def test_a_peer_in_a_child_does_not_hold_its_grandparent(land: Land):
    """Emptiness is about members: what lies in a child is the child's."""
    given(bakers(land), land.peer(2, "ryo", "128.1")).when(c.DeleteCidr(HUMANS)).refused("cidr_has_children")


def test_retired_peers_hold_up_no_cidr_but_their_addresses_stay_burnt(land: Land):
    retired = e.PeerRetired(id=2, name="ryo", ip=str(land.at("128.1")))
    gone = e.CidrDeleted(id=BAKERS, name="bakers", range=str(land.block("128.0/24")))
    after = given(bakers(land), land.peer(2, "ryo", "128.1"), retired).when(c.DeleteCidr(BAKERS)).then(gone)
    after.when(land.add_peer("mari", HUMANS, "128.1", public_key=key("mari"))).refused("address_burnt")


# -- giving back ------------------------------------------------------------------------------------------------------


def test_a_merged_cidr_gives_its_peers_back_to_the_one_around_it(land: Land):
    gone = e.CidrDeleted(id=BAKERS, name="bakers", range=str(land.block("128.0/24")))
    ryo, mari = land.peer(2, "ryo", "128.9"), land.peer(3, "mari", "129.9")
    carved = given(bakers(land), ryo, mari)
    after = carved.when(c.DeleteCidr(BAKERS, merge=True)).then(gone)
    assert [peer.name for peer in after.network.members(HUMANS)] == ["ryo", "mari"]
    assert not View.of(carved.network).sees(carved.network.peers[2], carved.network.peers[3])
    assert View.of(after.network).sees(after.network.peers[2], after.network.peers[3])


def test_a_merge_undoes_a_carving_to_the_letter(land: Land):
    before = given(humans(land), land.peer(2, "ryo", "128.9"), land.peer(3, "mari", "129.9"))
    carved = before.when(land.add_cidr("bakers", "128.0/24")).then(land.cidr(BAKERS, "bakers", "128.0/24", HUMANS))
    gone = e.CidrDeleted(id=BAKERS, name="bakers", range=str(land.block("128.0/24")))
    after = carved.when(c.DeleteCidr(BAKERS, merge=True)).then(gone)
    assert (after.network.cidrs, after.network.peers) == (before.network.cidrs, before.network.peers)


def test_a_merge_makes_no_edge_of_a_peers_address(land: Land):
    history = (*humans(land), land.cidr(BAKERS, "bakers", "128.0/31", HUMANS), land.peer(2, "ryo", "128.0"))
    given(history).when(c.DeleteCidr(BAKERS, merge=True)).refused("cidr_covers_edge_address")


@pytest.mark.parametrize(
    ("number", "code"), [(ROOT, "cidr_reserved"), (INFRA, "cidr_reserved"), (HUMANS, "cidr_has_children")]
)
def test_a_merge_is_refused_where_deleting_is(land: Land, number: int, code: str):
    given(bakers(land), land.peer(2, "ryo", "128.1")).when(c.DeleteCidr(number, merge=True)).refused(code)
