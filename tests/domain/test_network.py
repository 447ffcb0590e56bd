"""The network as a value: what each event makes of it, and what can be asked of it."""

from typing import get_args

import pytest

from innerd.domain import events as e
from innerd.domain.errors import CODES, Refused
from innerd.domain.maps import Map
from innerd.domain.network import _DEEDS, EMPTY, Network, evolve, fold
from tests.domain.lands import HOME, LANDS, Land, key

RYO = 2


@pytest.fixture
def town(land: Land) -> Network:
    return fold(EMPTY, [*land.founding(), land.cidr(3, "humans", "128.0/17"), land.peer(RYO, "ryo", "128.1")])


def test_nothing_is_a_network_too():
    assert EMPTY.revision == 0
    assert EMPTY.peer_named("ryo") is None
    assert EMPTY.peer_at(LANDS["ipv4"].at("128.1")) is None
    assert fold(EMPTY, []) is EMPTY


def test_the_revision_counts_events(town: Network):
    assert town.revision == 6
    assert evolve(town, e.PeerDisabled(id=RYO, name="ryo")).revision == 7


def test_a_restored_log_begins_a_generation_and_changes_nothing_else(town: Network):
    restored = evolve(town, e.LogRestored(generation=2, from_revision=6))
    assert (town.generation, restored.generation, restored.revision) == (1, 2, 7)
    assert restored.peers is town.peers


def test_the_maps_that_nothing_changed_are_the_very_same(town: Network):
    after = evolve(town, e.PeerDisabled(id=RYO, name="ryo"))
    maps = [name for name in town.__struct_fields__ if isinstance(getattr(town, name), Map)]
    assert [name for name in maps if getattr(after, name) is not getattr(town, name)] == ["peers"]


def test_every_event_does_something():
    """What an event does is looked up by its kind: none may be forgotten there."""
    assert set(_DEEDS) == set(get_args(e.AnyEvent))


CHANGES = {
    "renamed": (e.PeerRenamed(id=RYO, name="rio", was="ryo"), {"name": "rio"}),
    "disabled": (e.PeerDisabled(id=RYO, name="ryo"), {"is_disabled": True}),
    "granted": (e.PeerAdminGranted(id=RYO, name="ryo"), {"is_admin": True}),
    "overridden": (e.EndpointOverridden(peer=RYO, name="ryo", endpoint=HOME, was=None), {"endpoint": HOME}),
    "moved": (e.NetworkEndpointChanged(peer=RYO, endpoint=HOME, was=None), {"endpoint": HOME}),
    "cleared": (e.EndpointOverrideCleared(peer=RYO, name="ryo", was=HOME), {"endpoint": None}),
    "a file written": (e.ConfigWritten(peer=RYO, name="ryo", revision=6), {"config": 6}),
    "relays": (e.RelayAllowed(peer=RYO, name="ryo"), {"is_relay": True}),
    "relays no more": (e.RelayDisallowed(peer=RYO, name="ryo"), {"is_relay": False}),
    "enabled": (e.PeerEnabled(id=RYO, name="ryo"), {"is_disabled": False}),
    "revoked": (e.PeerAdminRevoked(id=RYO, name="ryo"), {"is_admin": False}),
}


@pytest.mark.parametrize(("event", "changed"), CHANGES.values(), ids=CHANGES)
def test_an_event_changes_what_it_says_and_nothing_else(town: Network, event: e.AnyEvent, changed: dict[str, object]):
    before, after = town.peers[RYO], evolve(town, event).peers[RYO]
    differ = {
        field: getattr(after, field)
        for field in before.__struct_fields__
        if getattr(before, field) != getattr(after, field)
    }
    assert differ == {field: value for field, value in changed.items() if getattr(before, field) != value}


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (e.PeerDisabled(id=RYO, name="ryo"), e.PeerEnabled(id=RYO, name="ryo")),
        (e.PeerAdminGranted(id=RYO, name="ryo"), e.PeerAdminRevoked(id=RYO, name="ryo")),
        (e.RelayAllowed(peer=RYO, name="ryo"), e.RelayDisallowed(peer=RYO, name="ryo")),
        (e.PeerRenamed(id=RYO, name="rio", was="ryo"), e.PeerRenamed(id=RYO, name="ryo", was="rio")),
        (
            e.EndpointOverridden(peer=RYO, name="ryo", endpoint=HOME, was=None),
            e.EndpointOverrideCleared(peer=RYO, name="ryo", was=HOME),
        ),
    ],
    ids=lambda event: e.type_of(event),
)
def test_there_and_back_is_as_before(town: Network, there: e.AnyEvent, back: e.AnyEvent):
    away = evolve(town, there)
    assert away.peers[RYO] != town.peers[RYO]
    home = evolve(away, back)
    assert (home.peers, home.names) == (town.peers, town.names)


def test_a_pinned_key_replaces_the_temporary_one(land: Land, town: Network):
    invited = evolve(town, land.invited(3, "mari", "128.2", expires=9))
    pinned = e.KeyPinned(peer=3, name="mari", public_key=key("mari"), redeemed_at=7)
    mari = evolve(invited, pinned).peers[3]
    assert (mari.public_key, mari.invitation_key) == (key("mari"), key("mari invitation"))
    assert (mari.is_redeemed, mari.redeemed_at, mari.invite_expires) == (True, 7, None)


def test_a_peer_is_found_by_name_and_by_address(land: Land, town: Network):
    ryo = town.peers[RYO]
    assert town.peer_named("ryo") == town.peer_at(land.at("128.1")) == ryo
    assert town.peer_at(land.at("128.2")) is None


def test_an_address_of_the_other_family_is_nobodys(town: Network):
    """Even where it is the same number."""
    other = LANDS["ipv6" if town.root.range.version == 4 else "ipv4"]
    assert town.peer_at(other.at("128.1")) is None
    assert town.peer_at(type(other.base)(int(town.peers[RYO].ip) % 2**32)) is None


SUBJECTS = {
    "network": (e.NetworkCreated(id="ab", name="a", range="r"), "network.created"),
    "peer:7": (e.PeerRetired(id=7, name="a", ip="b"), "peer.retired"),
    "peer:8": (e.KeyPinned(peer=8, name="a", public_key="b", redeemed_at=1), "key.pinned"),
    "peer:9": (e.EndpointOverrideCleared(peer=9, name="a", was="b"), "endpoint.override_cleared"),
    "peer:12": (e.ConfigWritten(peer=12, name="a", revision=5), "config.written"),
    "peer:1": (e.RelayAllowed(peer=1, name="a"), "relay.allowed"),
    "peer:11": (e.RelayDisallowed(peer=11, name="a"), "relay.disallowed"),
    "peer:10": (e.InvitationExpired(peer=10, name="a", ip="b"), "invitation.expired"),
    "cidr:3": (e.CidrRenamed(id=3, name="a", was="b"), "cidr.renamed"),
    "association:2": (e.AssociationDeleted(id=2, cidr_id_1=1, cidr_id_2=2), "association.deleted"),
}


@pytest.mark.parametrize(("subject", "event"), [(subject, event) for subject, (event, _) in SUBJECTS.items()])
def test_an_event_is_about_something(subject: str, event: e.AnyEvent):
    assert e.subject_of(event) == subject
    assert e.type_of(event) == SUBJECTS[subject][1]


def test_the_types_of_events_are_those_that_the_contract_names():
    """These are storage format: none may change or vanish."""
    named = """
        network.created network.endpoint_changed cidr.created cidr.renamed cidr.deleted peer.added peer.renamed
        peer.enabled peer.disabled peer.deleted peer.retired peer.admin_granted peer.admin_revoked
        invitation.reissued invitation.expired key.pinned association.added association.deleted
        endpoint.overridden endpoint.override_cleared config.written relay.allowed relay.disallowed log.restored
    """
    assert {kind.__struct_config__.tag for kind in get_args(e.AnyEvent)} >= set(named.split())


def test_a_refusal_has_the_kind_of_its_code():
    assert Refused("cidr_full", "no room", "make some").kind == "refused"
    assert Refused("peer_not_found", "nobody").kind == "not_found"
    assert Refused("peer_not_found", "nobody").hint is None


def test_a_code_that_is_not_registered_is_a_bug():
    assert "cidr_fool" not in CODES
    with pytest.raises(AssertionError):
        Refused("cidr_fool", "a typo")
