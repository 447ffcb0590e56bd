"""What the coordinator's interface should be, case by case: who is on it, under which key, with which address."""

from ipaddress import ip_network

import pytest

from innerd.coordinator.device_sync import wanted_device
from innerd.domain import commands as c
from innerd.domain.decide import decide
from innerd.domain.network import EMPTY, Network, fold
from innerd.domain.values import Endpoint, Name, PublicKey
from innerd.wireguard.device import Device, DevicePeer
from tests.log.histories import BEGINNING, FOUNDING
from tests.world import key, private_key

ADDRESS = "10.42.3.1/32"
TEMPORARY, OWN = key("ryo invitation"), key("ryo")
ENDS = int(BEGINNING) + 3600
REDEEMED = BEGINNING + 1000


def network_of(*commands: c.Command) -> Network:
    """A network in which ryo (peer 2, 10.42.3.1) was invited, and then this happened, at REDEEMED."""
    network = EMPTY
    for command in (FOUNDING, c.AddCidr(Name("humans"), ip_network("10.42.3.0/24")), INVITED, *commands):
        network = fold(network, decide(network, command, REDEEMED))
    return network


def device(*shook: PublicKey) -> Device:
    """A device with both keys of ryo on it, some of which shook hands."""
    return Device(
        peers={k: DevicePeer(public_key=k, last_handshake=1.0 if k in shook else None) for k in (OWN, TEMPORARY)}
    )


INVITED = c.AddPeer(name=Name("ryo"), cidr=3, ip=None, public_key=TEMPORARY, invite_expires=ENDS)
REDEEM = c.Redeem(2, OWN)
MOVED = {OWN: {ADDRESS}}
TRANSIT = {OWN: set(), TEMPORARY: {ADDRESS}}
OPEN = {TEMPORARY: {ADDRESS}}

CASES = {
    "an open invitation": ((), device(), BEGINNING, OPEN),
    "a second before its end": ((), device(), ENDS - 1, OPEN),
    "at its end": ((), device(), ENDS, {}),
    "an expired one whose peer shook hands": ((), device(TEMPORARY), ENDS + 1, {}),
    "an expired one, the clock set back": ((), device(), ENDS - 1000, OPEN),
    "a disabled one": ((c.DisablePeer(2),), device(), BEGINNING, {}),
    "one enabled again": ((c.DisablePeer(2), c.EnablePeer(2)), device(), BEGINNING, OPEN),
    "a reissued one": ((c.ReissueInvitation(2, key("again"), None),), device(), ENDS * 2, {key("again"): {ADDRESS}}),
    "a deleted one": ((c.RemovePeer(2),), device(), BEGINNING, {}),
    "just redeemed": ((REDEEM,), device(TEMPORARY), REDEEMED, TRANSIT),
    "just redeemed, new key not there yet": ((REDEEM,), Device(), REDEEMED, TRANSIT),
    "redeemed, own key shook hands": ((REDEEM,), device(TEMPORARY, OWN), REDEEMED + 1, MOVED),
    "redeemed 59 s ago, silent": ((REDEEM,), device(TEMPORARY), REDEEMED + 59, TRANSIT),
    "redeemed 60 s ago, silent": ((REDEEM,), device(TEMPORARY), REDEEMED + 60, MOVED),
    "redeemed, the clock set back far": ((REDEEM,), device(TEMPORARY), REDEEMED - 5000, MOVED),
    "redeemed in time, then past its end": ((REDEEM,), device(OWN), ENDS + 1, MOVED),
    "redeemed and disabled at once": ((REDEEM, c.DisablePeer(2)), device(TEMPORARY), REDEEMED, {}),
    "redeemed and retired": ((REDEEM, c.RemovePeer(2)), device(OWN), REDEEMED + 1, {}),
}


@pytest.mark.parametrize(("commands", "there", "now", "entries"), CASES.values(), ids=CASES)
def test_who_is_on_the_device(commands, there, now, entries) -> None:
    wanted = wanted_device(network_of(*commands), there, private_key("coordinator"), 51820, now)
    assert {k: set(peer.allowed_ips) for k, peer in wanted.peers.items()} == entries


def test_a_peer_that_was_added_redeemed_has_no_transition() -> None:
    network = network_of(
        c.AddPeer(name=Name("oven"), cidr=3, ip=None, public_key=key("oven"), is_redeemed=True), c.RemovePeer(2)
    )
    wanted = wanted_device(network, Device(), "", 1, REDEEMED)
    assert {k: set(peer.allowed_ips) for k, peer in wanted.peers.items()} == {key("oven"): {"10.42.3.2/32"}}


def test_the_address_of_an_ipv6_network_is_a_128() -> None:
    network = EMPTY
    founding = c.CreateNetwork(
        id=FOUNDING.id, name="six", range=ip_network("fd42::/64"), public_key=key("c"), endpoint=FOUNDING.endpoint
    )
    for command in (founding, c.AddCidr(Name("humans"), ip_network("fd42::100/120")), INVITED):
        network = fold(network, decide(network, command, BEGINNING))
    wanted = wanted_device(network, Device(), "", 1, BEGINNING)
    assert wanted.peers[TEMPORARY].allowed_ips == {"fd42::101/128"}


def test_key_port_and_keepalive_are_the_coordinators() -> None:
    wanted = wanted_device(network_of(REDEEM), device(OWN), private_key("coordinator"), 51820, REDEEMED + 1)
    assert (wanted.private_key, wanted.listen_port) == (private_key("coordinator"), 51820)
    assert wanted.peers[OWN].keepalive == 0, "peers keep their own ways open"


def test_a_peer_is_greeted_where_it_was_seen_last_and_never_pushed_there() -> None:
    seen = Endpoint("203.0.113.9:40001")
    wanted = wanted_device(
        network_of(REDEEM), device(OWN), "", 1, REDEEMED + 1, lambda peer: seen if peer == 2 else None
    )
    assert (wanted.peers[OWN].endpoint, wanted.peers[OWN].force_endpoint) == (seen, False)


def test_an_endpoint_override_is_for_the_others_and_not_for_the_coordinator() -> None:
    network = network_of(REDEEM, c.OverrideEndpoint(2, Endpoint("198.51.100.1:7000")))
    assert wanted_device(network, device(OWN), "", 1, REDEEMED + 1).peers[OWN].endpoint is None
