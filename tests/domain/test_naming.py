"""What a text means that somebody typed for a peer: of several readings the first that fits."""

import pytest

from innerd.domain.naming import among, meant, peer_meant
from innerd.domain.network import EMPTY, Network, fold
from tests.domain.lands import LANDS


@pytest.fixture
def town() -> Network:
    """ryo, and a peer whose name is another's number."""
    land = LANDS["ipv4"]
    peers = [land.peer(2, "ryo", "128.1"), land.peer(7, "mari", "128.2"), land.peer(3, "7", "128.3")]
    return fold(EMPTY, [*land.founding(), land.cidr(3, "humans", "128.0/17"), *peers])


def forms(network: Network) -> dict[str, int | None]:
    ip = str(network.peers[7].ip)
    name = network.name
    return {
        "mari": 7,
        f"mari.{name}.wg": 7,
        f"MARI.{name.upper()}.internal.": 7,
        ip: 7,
        "peer:7": 7,
        "2": 2,
        "7": 3,  # a name before a number
        "Mari": None,
        "mari.other.wg": None,
        "mari.": None,
        "": None,
        "0": None,
        "99999999999999999999999": None,
        "10.99.99.99": None,
        "::1": None,
        "peer:": None,
        "cidr:7": None,
    }


def test_each_form_means_one_peer_or_none_by_either_way(town: Network) -> None:
    for text, number in forms(town).items():
        found = peer_meant(town, text)
        listed = among(town.peers.values(), town.name, text, lambda peer: (peer.name, str(peer.ip), peer.id))
        assert (found and found.id, listed and listed.id) == (number, number), text


def test_a_number_is_read_once() -> None:
    assert (meant("peer:7", "kermpany").number, meant("07", "kermpany").number) == (7, 7)
