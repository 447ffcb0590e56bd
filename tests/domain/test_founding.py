"""The founding of a network: the first command, and the network's own endpoint."""

from ipaddress import ip_network

import pytest

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.values import Endpoint
from tests.domain.dialogue import given
from tests.domain.lands import COORDINATOR, HOME, Land, key


def founding(block: str, name: str = "kermpany", endpoint: Endpoint = HOME) -> c.CreateNetwork:
    return c.CreateNetwork(
        id="ab" * 16, name=name, range=ip_network(block), public_key=key("coordinator"), endpoint=endpoint
    )


def test_a_network_begins_with_its_root_its_infra_cidr_and_its_coordinator(land: Land):
    given().when(founding(str(land.root))).then(*land.founding())


def test_the_founding_events_number_cidrs_and_coordinator_as_innernet_does(land: Land):
    network = given(land.founding()).network
    assert network.revision == 4
    assert network.id == "ab" * 16
    assert (network.root.range, network.cidrs[2].name) == (land.root, "innernet-server")
    assert network.coordinator.is_active
    assert network.coordinator.is_admin
    assert network.coordinator.ip == land.at("0.1")


def test_a_network_is_founded_once(land: Land):
    given(land.founding()).when(founding(str(land.root), "other")).refused("cidr_exists")


@pytest.mark.parametrize("block", ["10.42.0.0/31", "10.42.0.0/32", "fd00:42::/127", "fd00:42::/128"])
def test_a_range_without_room_for_a_peer_is_no_network(block: str):
    given().when(founding(block)).refused("invalid_range")


@pytest.mark.parametrize(("block", "last"), [("10.42.0.0/30", "10.42.0.2"), ("fd00:42::/126", "fd00:42::3")])
def test_the_smallest_network_has_a_coordinator_and_a_peer_or_two(block: str, last: str):
    dialogue = given().when(founding(block))
    network = given(dialogue.events).network
    assert str(network.coordinator.ip) == str(network.root.range[1])
    added = given(dialogue.events).when(
        c.AddPeer(name="ryo", cidr=1, ip=network.root.range[int(last[-1])], public_key=key("ryo"))
    )
    assert [type(event) for event in added.events] == [e.PeerAdded]


def test_a_network_with_the_name_of_its_infra_cidr_is_refused(land: Land):
    """Else two CIDRs would have one name; "innernet-server" has 15 characters and names an interface."""
    outcome = given().when(founding(str(land.root), "innernet-server"))
    names = [event.name for event in outcome.events if isinstance(event, e.CidrCreated)]
    assert len(names) == len(set(names))


UNREACHABLE = {
    "port 0": "192.0.2.1:0",
    "unspecified IPv4": "0.0.0.0:51820",
    "unspecified IPv6": "[::]:51820",
    "unspecified IPv4, mapped": "[::ffff:0:0]:51820",
    "domain with port 0": "example.com:0",
}


@pytest.mark.parametrize("endpoint", UNREACHABLE.values(), ids=UNREACHABLE)
def test_an_endpoint_that_nobody_can_reach_is_not_the_networks(land: Land, endpoint: str):
    given(land.founding()).when(c.SetNetworkEndpoint(Endpoint(endpoint))).refused("invalid_endpoint")


@pytest.mark.parametrize("endpoint", UNREACHABLE.values(), ids=UNREACHABLE)
def test_no_network_is_founded_at_an_endpoint_that_nobody_can_reach(endpoint: str):
    given().when(founding("10.42.0.0/16", endpoint=Endpoint(endpoint))).refused("invalid_endpoint")


REACHABLE = ["198.51.100.7:1", "[2001:db8::7]:65535", "example.com:51820", "0.0.0.1:10"]


@pytest.mark.parametrize("endpoint", REACHABLE)
def test_the_networks_endpoint_moves(land: Land, endpoint: str):
    moved = e.NetworkEndpointChanged(peer=COORDINATOR, endpoint=endpoint, was=HOME)
    after = given(land.founding()).when(c.SetNetworkEndpoint(Endpoint(endpoint))).then(moved)
    assert after.network.coordinator.endpoint == endpoint


def test_the_same_endpoint_again_is_no_event(land: Land):
    given(land.founding()).when(c.SetNetworkEndpoint(HOME)).then()
