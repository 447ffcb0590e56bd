"""The deciders that change and remove peers, the coordinator's protection, and endpoints as overrides."""

import pytest

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.network import evolve
from innerd.domain.values import Endpoint, Name
from tests.domain.dialogue import Given, given, words
from tests.domain.lands import COORDINATOR, HOME, Land, key

RYO, MARI, TAMA = 2, 3, 4
THERE = Endpoint("198.51.100.7:4000")


@pytest.fixture
def town(land: Land) -> Given:
    """ryo, an admin; mari, disabled, with an endpoint; tama, who has not redeemed."""
    return given(
        land.founding(),
        land.peer(RYO, "ryo", "128.1", admin=True),
        land.peer(MARI, "mari", "128.2", endpoint=THERE),
        e.PeerDisabled(id=MARI, name="mari"),
        land.invited(TAMA, "tama", "128.3"),
    )


DONE = {
    "rename": (c.RenamePeer(RYO, Name("rio")), e.PeerRenamed(id=RYO, name="rio", was="ryo")),
    "rename the unredeemed": (c.RenamePeer(TAMA, Name("momo")), e.PeerRenamed(id=TAMA, name="momo", was="tama")),
    "disable": (c.DisablePeer(RYO), e.PeerDisabled(id=RYO, name="ryo")),
    "disable the unredeemed": (c.DisablePeer(TAMA), e.PeerDisabled(id=TAMA, name="tama")),
    "enable": (c.EnablePeer(MARI), e.PeerEnabled(id=MARI, name="mari")),
    "grant": (c.GrantAdmin(MARI), e.PeerAdminGranted(id=MARI, name="mari")),
    "revoke": (c.RevokeAdmin(RYO), e.PeerAdminRevoked(id=RYO, name="ryo")),
    "override": (
        c.OverrideEndpoint(RYO, THERE),
        e.EndpointOverridden(peer=RYO, name="ryo", endpoint=THERE, was=None),
    ),
    "override anew": (
        c.OverrideEndpoint(MARI, HOME),
        e.EndpointOverridden(peer=MARI, name="mari", endpoint=HOME, was=THERE),
    ),
    "clear": (c.OverrideEndpoint(MARI, None), e.EndpointOverrideCleared(peer=MARI, name="mari", was=THERE)),
}


@pytest.mark.parametrize(("wish", "event"), DONE.values(), ids=DONE)
def test_a_wish_happens_once_and_then_is_already_so(town: Given, wish: c.Command, event: e.AnyEvent):
    town.when(wish).then(event).when(wish).then()


ALREADY_SO = {
    "the same name": c.RenamePeer(RYO, Name("ryo")),
    "the coordinator's own name": c.RenamePeer(COORDINATOR, Name("innernet-server")),
    "enabled": c.EnablePeer(RYO),
    "the coordinator enabled": c.EnablePeer(COORDINATOR),
    "disabled": c.DisablePeer(MARI),
    "an admin": c.GrantAdmin(RYO),
    "the coordinator an admin": c.GrantAdmin(COORDINATOR),
    "no admin": c.RevokeAdmin(MARI),
    "the same endpoint": c.OverrideEndpoint(MARI, THERE),
    "no endpoint": c.OverrideEndpoint(RYO, None),
    "the coordinator's endpoint": c.OverrideEndpoint(COORDINATOR, HOME),
    "a change of nothing": c.ChangePeer(id=RYO),
    "a change to what is": c.ChangePeer(id=MARI, name=Name("mari"), is_admin=False, is_disabled=True, endpoint=THERE),
    "a change of the coordinator to what it is": c.ChangePeer(
        id=COORDINATOR, name=Name("innernet-server"), is_admin=True, is_disabled=False, endpoint=HOME
    ),
}


@pytest.mark.parametrize("wish", ALREADY_SO.values(), ids=ALREADY_SO)
def test_what_is_already_so_is_no_event(town: Given, wish: c.Command):
    town.when(wish).then()


NOBODY = 99
NOT_FOUND = [
    c.RenamePeer(NOBODY, Name("rio")),
    c.EnablePeer(NOBODY),
    c.DisablePeer(NOBODY),
    c.RemovePeer(NOBODY),
    c.GrantAdmin(NOBODY),
    c.RevokeAdmin(NOBODY),
    c.OverrideEndpoint(NOBODY, None),
    c.ChangePeer(id=NOBODY),
    c.Redeem(NOBODY, key("new")),
    c.ReissueInvitation(NOBODY, key("new"), None),
]


@pytest.mark.parametrize("wish", NOT_FOUND, ids=lambda wish: type(wish).__name__)
def test_a_peer_that_is_not_there_is_not_found(town: Given, wish: c.Command):
    town.when(wish).refused("peer_not_found")


@pytest.mark.parametrize("wish", NOT_FOUND, ids=lambda wish: type(wish).__name__)
def test_a_retired_peer_is_not_there(town: Given, land: Land, wish: c.Command):
    gone = town.when(c.RemovePeer(RYO)).then(e.PeerRetired(id=RYO, name="ryo", ip=str(land.at("128.1"))))
    asked = type(wish)(**{field: getattr(wish, field) for field in wish.__struct_fields__} | {"id": RYO})
    gone.when(asked).refused("peer_not_found")


@pytest.mark.parametrize("name", ["mari", "tama", "innernet-server"])
def test_a_peer_does_not_take_a_name_that_is_taken(town: Given, name: str):
    town.when(c.RenamePeer(RYO, Name(name))).refused("name_taken")
    town.when(c.ChangePeer(id=RYO, name=Name(name), is_admin=False)).refused("name_taken")


def test_an_old_name_is_free_and_a_new_one_is_found(town: Given):
    renamed = town.when(c.RenamePeer(RYO, Name("rio"))).then(e.PeerRenamed(id=RYO, name="rio", was="ryo"))
    assert renamed.network.peer_named("rio") == renamed.network.peers[RYO]
    assert renamed.network.peer_named("ryo") is None
    renamed.when(c.RenamePeer(MARI, Name("ryo"))).then(e.PeerRenamed(id=MARI, name="ryo", was="mari"))


PROTECTED = {
    "rename": c.RenamePeer(COORDINATOR, Name("boss")),
    "disable": c.DisablePeer(COORDINATOR),
    "remove": c.RemovePeer(COORDINATOR),
    "revoke": c.RevokeAdmin(COORDINATOR),
    "clear its endpoint": c.OverrideEndpoint(COORDINATOR, None),
    "rename in a change": c.ChangePeer(id=COORDINATOR, name=Name("boss")),
    "disable in a change": c.ChangePeer(id=COORDINATOR, is_disabled=True),
    "revoke in a change": c.ChangePeer(id=COORDINATOR, is_admin=False),
    "clear in a change": c.ChangePeer(id=COORDINATOR, endpoint=None),
    "a change half of which is fine": c.ChangePeer(id=COORDINATOR, endpoint=THERE, is_disabled=True),
}


@pytest.mark.parametrize("wish", PROTECTED.values(), ids=PROTECTED)
def test_the_coordinator_is_protected(town: Given, wish: c.Command):
    town.when(wish).refused("coordinator_protected")


def test_the_last_admin_but_the_coordinator_may_go(town: Given):
    town.when(c.RevokeAdmin(RYO)).then(e.PeerAdminRevoked(id=RYO, name="ryo"))


# -- removing ---------------------------------------------------------------------------------------------------------


def test_a_redeemed_peer_is_retired_and_burns_its_address(town: Given, land: Land):
    gone = town.when(c.RemovePeer(MARI)).then(e.PeerRetired(id=MARI, name="mari", ip=str(land.at("128.2"))))
    assert MARI not in gone.network.peers
    assert gone.network.retired[MARI].name == "mari"
    assert gone.network.peer_at(land.at("128.2")) is None
    assert int(land.at("128.2")) in gone.network.addresses


def test_an_unredeemed_peer_is_deleted_and_frees_its_address(town: Given, land: Land):
    gone = town.when(c.RemovePeer(TAMA)).then(e.PeerDeleted(id=TAMA, name="tama", ip=str(land.at("128.3"))))
    assert TAMA not in gone.network.peers
    assert not gone.network.retired
    assert int(land.at("128.3")) not in gone.network.addresses


def test_what_was_redeemed_since_is_retired_not_deleted(town: Given, land: Land):
    pinned = e.KeyPinned(peer=TAMA, name="tama", public_key=key("tama"), redeemed_at=7)
    redeemed = town.when(c.Redeem(TAMA, key("tama")), now=7.9).then(pinned)
    redeemed.when(c.RemovePeer(TAMA)).then(e.PeerRetired(id=TAMA, name="tama", ip=str(land.at("128.3"))))


# -- several changes at once ------------------------------------------------------------------------------------------


def test_each_difference_is_an_event_of_its_own(town: Given):
    wish = c.ChangePeer(id=RYO, name=Name("rio"), is_admin=False, is_disabled=True, endpoint=THERE)
    outcome = town.when(wish)
    assert {type(event) for event in outcome.events} == {
        e.PeerRenamed,
        e.PeerAdminRevoked,
        e.PeerDisabled,
        e.EndpointOverridden,
    }
    changed = outcome.then(*outcome.events)
    ryo = changed.network.peers[RYO]
    assert (ryo.name, ryo.is_admin, ryo.is_disabled, ryo.endpoint) == ("rio", False, True, THERE)
    changed.when(wish).then()


def test_each_event_of_a_change_calls_the_peer_by_the_name_it_has_then(town: Given):
    """An event is a fact at its own revision: behind peer.renamed, the old name is nobody's."""
    outcome = town.when(c.ChangePeer(id=RYO, name=Name("rio"), is_admin=False, is_disabled=True, endpoint=THERE))
    network = town.network
    for event in outcome.events:
        if not isinstance(event, e.PeerRenamed):
            assert event.name == network.peers[RYO].name, words(event)
        network = evolve(network, event)


def test_what_is_left_out_stays_as_it_is(town: Given):
    after = town.when(c.ChangePeer(id=MARI, is_disabled=False)).then(e.PeerEnabled(id=MARI, name="mari"))
    mari = after.network.peers[MARI]
    assert (mari.name, mari.is_admin, mari.endpoint) == ("mari", False, THERE)


def test_an_endpoint_of_none_clears_the_override(town: Given):
    town.when(c.ChangePeer(id=MARI, endpoint=None)).then(e.EndpointOverrideCleared(peer=MARI, name="mari", was=THERE))


# -- the coordinator's endpoint is the network's ----------------------------------------------------------------------


@pytest.mark.parametrize("wish", [c.OverrideEndpoint(COORDINATOR, THERE), c.ChangePeer(id=COORDINATOR, endpoint=THERE)])
def test_overriding_the_coordinators_endpoint_moves_the_networks(town: Given, wish: c.Command):
    moved = e.NetworkEndpointChanged(peer=COORDINATOR, endpoint=THERE, was=HOME)
    assert town.when(wish).then(moved).network.coordinator.endpoint == THERE


@pytest.mark.parametrize("endpoint", ["0.0.0.0:51820", "[::]:51820", "192.0.2.1:0"])
def test_the_coordinators_endpoint_is_never_one_that_nobody_can_reach(town: Given, endpoint: str):
    town.when(c.OverrideEndpoint(COORDINATOR, Endpoint(endpoint))).refused("invalid_endpoint")
