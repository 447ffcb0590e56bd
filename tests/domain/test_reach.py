"""The deciders for how far peers reach: who relays, and which devices have a file instead of an agent."""

from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.decide import decide
from innerd.domain.network import EMPTY
from innerd.domain.values import COORDINATOR, Endpoint, Name, PublicKey
from tests.domain.dialogue import Given, given
from tests.domain.lands import Land
from tests.domain.test_founding import HOME
from tests.world import key

HUMANS = 3
ALLOWED = e.RelayAllowed(peer=COORDINATOR, name="innernet-server")
DISALLOWED = e.RelayDisallowed(peer=COORDINATOR, name="innernet-server")
PHONE = c.AddPeer(name=Name("phone"), cidr=HUMANS, ip=None, public_key=PublicKey(key("phone")), is_plain=True)


@pytest.fixture
def humans(land: Land) -> Given:
    return given(land.founding(), land.cidr(HUMANS, "humans", "128.0/17"))


def test_the_coordinator_may_relay_or_not(humans: Given):
    allowed = humans.when(c.AllowRelay(COORDINATOR)).then(ALLOWED)
    assert allowed.network.coordinator.is_relay
    assert not allowed.when(c.DisallowRelay(COORDINATOR)).then(DISALLOWED).network.coordinator.is_relay


def test_a_device_without_an_agent_may_not(land: Land, humans: Given):
    added(land, humans).when(c.AllowRelay(2)).refused("peer_cannot_relay")


def test_what_is_so_already_is_no_event(humans: Given):
    humans.when(c.DisallowRelay(COORDINATOR)).then()
    humans.when(c.AllowRelay(COORDINATOR)).then(ALLOWED).when(c.AllowRelay(COORDINATOR)).then()


def added(land: Land, humans: Given) -> Given:
    """The phone is there: its file shows the network with it in it."""
    peer = e.PeerAdded(
        id=2,
        name="phone",
        ip=str(land.at("128.1")),
        public_key=key("phone"),
        is_admin=False,
        is_redeemed=True,
        invite_expires=None,
    )
    before = humans.network.revision
    return humans.when(PHONE).then(peer, e.ConfigWritten(peer=2, name="phone", revision=before + 1))


def test_a_network_may_relay_from_its_founding():
    command = c.CreateNetwork(
        id="0" * 32,
        name="kermpany",
        range=ip_network("10.42.0.0/16"),
        public_key=PublicKey(key("innerd")),
        endpoint=Endpoint(HOME),
        relays=True,
    )
    assert decide(EMPTY, command, 0.0)[-1] == ALLOWED
    assert ALLOWED not in decide(EMPTY, replace(command, relays=False), 0.0)


def test_a_plain_peer_is_redeemed_and_has_a_file_from_the_beginning(land: Land, humans: Given):
    after = added(land, humans).network
    peer = after.peers[2]
    assert (peer.is_plain, peer.is_active, peer.config) == (True, True, after.revision - 1)


def test_it_is_no_admin(humans: Given):
    humans.when(replace(PHONE, is_admin=True)).refused("plain_no_admin")


def test_its_file_is_written_again_and_what_it_shows_is_the_revision_before(land: Land, humans: Given):
    phone = added(land, humans)
    before = phone.network.revision
    again = phone.when(c.WriteConfig(2)).then(e.ConfigWritten(peer=2, name="phone", revision=before))
    assert again.network.peers[2].config == before


def test_of_who_runs_inn_no_file_is_written(humans: Given):
    humans.when(c.WriteConfig(COORDINATOR)).refused("peer_not_plain")
    humans.when(c.WriteConfig(99)).refused("peer_not_found")


def test_who_is_disabled_is_given_none(land: Land, humans: Given):
    out = added(land, humans).when(c.DisablePeer(2)).then(e.PeerDisabled(id=2, name="phone"))
    out.when(c.WriteConfig(2)).refused("peer_not_active")


def test_nobody_makes_it_an_admin_later(land: Land, humans: Given):
    added(land, humans).when(c.GrantAdmin(2)).refused("plain_no_admin")
    added(land, humans).when(c.ChangePeer(id=2, is_admin=True)).refused("plain_no_admin")


def test_it_may_be_added_disabled(humans: Given):
    events = decide(humans.network, replace(PHONE, is_disabled=True), 0.0)
    assert events[-1] == e.PeerDisabled(id=2, name="phone")
