"""The decider that adds a peer: which address it gets, and which names, addresses and keys are taken for ever."""

import pytest

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.values import Name
from tests.domain.dialogue import Given, given
from tests.domain.lands import HOME, INFRA, LANDS, ROOT, Land, key

HUMANS, BAKERS, CATS = 3, 4, 5


@pytest.fixture
def town(land: Land) -> Given:
    """humans (with bakers at its beginning and one peer, ryo), and cats, a block of four addresses."""
    return given(
        land.founding(),
        land.cidr(HUMANS, "humans", "128.0/17"),
        land.cidr(BAKERS, "bakers", "128.0/24", HUMANS),
        land.cidr(CATS, "cats", "3.0/30"),
        land.peer(2, "ryo", "130.1"),
    )


def test_a_peer_is_invited_with_what_was_said(land: Land, town: Given):
    wish = land.add_peer("mari", HUMANS, "130.2", is_admin=True, invite_expires=9, endpoint=HOME)
    town.when(wish).then(
        e.PeerAdded(
            id=3,
            name="mari",
            ip=str(land.at("130.2")),
            public_key=key("mari invitation"),
            is_admin=True,
            is_redeemed=False,
            invite_expires=9,
            endpoint=HOME,
        )
    )


def test_a_peer_may_come_redeemed_and_then_nothing_expires(land: Land, town: Given):
    wish = land.add_peer("mari", HUMANS, "130.2", public_key=key("mari"), is_redeemed=True, invite_expires=9)
    after = town.when(wish).then(land.peer(3, "mari", "130.2"))
    assert after.network.peers[3].is_active


def test_a_peer_may_come_disabled(land: Land, town: Given):
    wish = land.add_peer("mari", HUMANS, "130.2", is_disabled=True)
    after = town.when(wish).then(land.invited(3, "mari", "130.2"), e.PeerDisabled(id=3, name="mari"))
    assert after.network.peers[3].is_disabled


REFUSED = {
    "no such CIDR": ("mari", 99, "130.2", "cidr_not_found"),
    "the name of a peer": ("ryo", HUMANS, "130.2", "name_taken"),
    "the name of the coordinator": ("innernet-server", HUMANS, "130.2", "name_taken"),
    "the address of a peer": ("mari", HUMANS, "130.1", "address_taken"),
    "the address of the coordinator": ("mari", ROOT, "0.1", "address_taken"),
    "the address of the coordinator, by its CIDR": ("mari", INFRA, "0.1", "address_taken"),
    "an address of another CIDR": ("mari", HUMANS, "3.1", "address_outside_cidr"),
    "an address just before the CIDR": ("mari", HUMANS, "127.255", "address_outside_cidr"),
    "an address behind the network": ("mari", ROOT, "256.0", "address_outside_cidr"),
    "the network address of the CIDR": ("mari", CATS, "3.0", "address_unassignable"),
    "the network address of the child it lies in": ("mari", HUMANS, "128.0", "address_unassignable"),
    "the network address of the root": ("mari", ROOT, "0.0", "address_unassignable"),
    "the network address of the CIDR, by the root": ("mari", ROOT, "3.0", "address_unassignable"),
}


@pytest.mark.parametrize(("name", "cidr", "place", "code"), REFUSED.values(), ids=REFUSED)
def test_a_peer_is_refused_where_it_wants(land: Land, town: Given, name: str, cidr: int, place: str, code: str):
    town.when(land.add_peer(name, cidr, place)).refused(code)


@pytest.mark.parametrize(
    ("cidr", "place"),
    [(CATS, "3.3"), (HUMANS, "255.255"), (HUMANS, "128.255"), (ROOT, "255.255"), (ROOT, "3.3")],
    ids=["of the CIDR", "of CIDR and root", "of a child", "of the root", "of a child of the root"],
)
def test_the_last_address_is_broadcast_in_ipv4_and_ordinary_in_ipv6(land: Land, town: Given, cidr: int, place: str):
    outcome = town.when(land.add_peer("mari", cidr, place))
    if land.family == "ipv4":
        outcome.refused("address_unassignable")
    else:
        outcome.then(land.invited(3, "mari", place))


@pytest.mark.parametrize("of", ["ipv4", "ipv6"])
def test_an_address_of_the_other_family_lies_in_no_cidr(of: str):
    other = LANDS["ipv6" if of == "ipv4" else "ipv4"]
    given(LANDS[of].founding()).when(other.add_peer("mari", ROOT, "130.2")).refused("address_outside_cidr")


def test_a_peer_added_by_a_wide_cidr_belongs_to_the_narrowest(land: Land, town: Given):
    after = town.when(land.add_peer("mari", ROOT, "128.7")).then(land.invited(3, "mari", "128.7"))
    assert [peer.name for peer in after.network.members(BAKERS)] == ["mari"]
    assert not list(after.network.members(ROOT))


def test_an_address_must_be_ordinary_in_the_cidr_that_was_named_too(land: Land):
    """128.0 is an edge of humans, and one of the two addresses of the pair inside."""
    past = given(land.founding(), land.cidr(3, "humans", "128.0/17"), land.cidr(4, "pair", "128.0/31", 3))
    past.when(land.add_peer("mari", 3, "128.0")).refused("address_unassignable")
    past.when(land.add_peer("mari", 4, "128.0")).then(land.invited(2, "mari", "128.0"))


# -- the first free address -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cidr", "place"), [(BAKERS, "128.1"), (CATS, "3.1"), (HUMANS, "129.0"), (ROOT, "0.2")])
def test_the_first_free_address_is_the_lowest_that_makes_a_member(land: Land, town: Given, cidr: int, place: str):
    """Not the network address, not within a child CIDR, not the coordinator's."""
    after = town.when(land.add_peer("mari", cidr)).then(land.invited(3, "mari", place))
    assert after.network.cidr_of(land.at(place)).id == cidr


def test_gaps_are_filled_before_the_end(land: Land, town: Given):
    two = given(land.founding(), land.peer(2, "ryo", "0.2"), land.peer(3, "oto", "0.4"))
    two.when(land.add_peer("mari", ROOT)).then(land.invited(4, "mari", "0.3"))


def test_the_first_free_address_steps_over_children_that_touch_and_nest(land: Land):
    history = (
        *land.founding(),
        land.cidr(3, "second", "0.4/30"),
        land.cidr(4, "first", "0.0/30", ROOT),
        land.cidr(5, "inner", "0.4/31", 3),
        land.cidr(6, "third", "0.8/32"),
        land.peer(2, "ryo", "0.9"),
    )
    given(history).when(land.add_peer("mari", ROOT)).then(land.invited(3, "mari", "0.10"))


def test_the_first_free_address_is_never_a_burnt_one(land: Land, town: Given):
    retired = town.when(land.add_peer("tama", CATS, is_redeemed=True)).then(
        land.peer(3, "tama", "3.1", key="tama invitation")
    )
    gone = retired.when(c.RemovePeer(3)).then(e.PeerRetired(id=3, name="tama", ip=str(land.at("3.1"))))
    gone.when(land.add_peer("momo", CATS)).then(land.invited(4, "momo", "3.2"))


def test_a_cidr_is_full_when_its_last_assignable_address_is_given(land: Land, town: Given):
    room = 2 if land.family == "ipv4" else 3  # of four addresses, IPv6 has no broadcast
    for number in range(room):
        wish = land.add_peer(f"cat-{number}", CATS)
        town = town.when(wish).then(land.invited(3 + number, f"cat-{number}", f"3.{number + 1}"))
    refusal = town.when(land.add_peer("momo", CATS)).refused("cidr_full")
    assert '"cats"' in refusal.message


def test_retired_peers_do_not_make_room(land: Land):
    past = (*land.founding(), land.cidr(3, "one", "9.9/32"), land.peer(2, "ryo", "9.9"))
    retired = e.PeerRetired(id=2, name="ryo", ip=str(land.at("9.9")))
    given(past, retired).when(land.add_peer("mari", 3)).refused("cidr_full")


def test_the_infra_cidr_is_full_from_the_beginning(land: Land):
    given(land.founding()).when(land.add_peer("mari", INFRA)).refused("cidr_full")


def test_a_cidr_filled_by_its_children_is_full(land: Land):
    halves = (land.cidr(4, "low", "128.0/18", 3), land.cidr(5, "high", "192.0/18", 3))
    past = (*land.founding(), land.cidr(3, "humans", "128.0/17"), *halves)
    given(past).when(land.add_peer("mari", 3)).refused("cidr_full")


@pytest.mark.parametrize("place", ["9.8/31", "9.9/32"])
def test_a_block_too_small_for_edges_is_given_to_its_first_address(land: Land, place: str):
    past = (*land.founding(), land.cidr(3, "tiny", place))
    given(past).when(land.add_peer("mari", 3)).then(land.invited(2, "mari", place.split("/")[0]))


# -- what is never given again ----------------------------------------------------------------------------------------


def test_a_retired_address_is_never_given_again(land: Land, town: Given):
    gone = town.when(c.RemovePeer(2)).then(e.PeerRetired(id=2, name="ryo", ip=str(land.at("130.1"))))
    gone.when(land.add_peer("mari", HUMANS, "130.1")).refused("address_burnt")


@pytest.mark.parametrize("end", ["deleted", "expired"])
def test_a_peer_that_never_redeemed_frees_name_and_address_but_not_its_id(land: Land, end: str):
    where = str(land.at("130.2"))
    gone = {
        "deleted": e.PeerDeleted(id=2, name="mari", ip=where),
        "expired": e.InvitationExpired(peer=2, name="mari", ip=where),
    }[end]
    past = (*land.founding(), land.cidr(HUMANS, "humans", "128.0/17"), land.invited(2, "mari", "130.2"), gone)
    wish = land.add_peer("mari", HUMANS, "130.2", public_key=key("another"))
    given(past).when(wish).then(land.invited(3, "mari", "130.2", key="another"))


def test_the_name_of_a_retired_peer_is_free(land: Land, town: Given):
    gone = town.when(c.RemovePeer(2)).then(e.PeerRetired(id=2, name="ryo", ip=str(land.at("130.1"))))
    gone.when(land.add_peer("ryo", HUMANS, "130.2")).then(land.invited(3, "ryo", "130.2"))


def everybody_ever(land: Land) -> tuple[e.AnyEvent, ...]:
    """A network in which keys were used in every way there is."""
    return (
        *land.founding(),
        land.cidr(HUMANS, "humans", "128.0/17"),
        land.peer(2, "ryo", "130.1"),
        land.invited(3, "mari", "130.2"),
        e.KeyPinned(peer=3, name="mari", public_key=key("mari"), redeemed_at=9),
        land.peer(4, "oto", "130.3"),
        e.PeerRetired(id=4, name="oto", ip=str(land.at("130.3"))),
        land.invited(5, "tama", "130.4"),
        e.InvitationReissued(peer=5, name="tama", public_key=key("tama again"), invite_expires=None),
        land.invited(6, "momo", "130.5"),
        e.PeerDeleted(id=6, name="momo", ip=str(land.at("130.5"))),
        land.invited(7, "kuro", "130.6"),
        e.InvitationExpired(peer=7, name="kuro", ip=str(land.at("130.6"))),
        land.invited(8, "new", "130.7"),
    )


USED = {
    "the coordinator's": "coordinator",
    "a peer's": "ryo",
    "an invitation's that was redeemed": "mari invitation",
    "the one it was redeemed for": "mari",
    "a retired peer's": "oto",
    "an invitation's that was reissued": "tama invitation",
    "the one it was reissued with": "tama again",
    "a deleted invitation's": "momo invitation",
    "an expired invitation's": "kuro invitation",
    "an open invitation's": "new invitation",
}


@pytest.mark.parametrize("used", USED.values(), ids=USED)
def test_a_key_that_was_ever_used_is_never_accepted_again(land: Land, used: str):
    past = given(everybody_ever(land))
    past.when(land.add_peer("yui", HUMANS, public_key=key(used))).refused("key_taken")
    past.when(c.Redeem(8, key(used))).refused("key_taken")
    past.when(c.ReissueInvitation(8, key(used), None)).refused("key_taken")


def test_ids_are_never_given_twice_whatever_became_of_the_peer(land: Land):
    past = (*everybody_ever(land), e.PeerDeleted(id=8, name="new", ip=str(land.at("130.7"))))
    outcome = given(past).when(land.add_peer("yui", HUMANS, "130.9"))
    outcome.then(land.invited(9, "yui", "130.9"))


def test_names_are_compared_before_anything_is_burnt(land: Land, town: Given):
    """A refused peer leaves nothing behind: the same key is good a moment later."""
    town.when(land.add_peer("ryo", HUMANS, public_key=key("yui invitation"))).refused("name_taken")
    town.when(c.AddPeer(name=Name("yui"), cidr=CATS, ip=None, public_key=key("yui invitation"))).then(
        land.invited(3, "yui", "3.1")
    )
