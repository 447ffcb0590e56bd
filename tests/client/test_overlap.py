"""What of its own a host would lose to a network's range, told in sentences that name it."""

import os
import subprocess
import sys
from ipaddress import ip_address

import pytest

from innerd.domain.values import parse_range
from innerd.host.overlap import Neighbour, Own, of_host, of_neighbours, overlaps_of
from innerd.wireguard.beside import Route

BLOCK = parse_range("10.42.0.0/16")
AT_HOME = Own(
    routes=(Route(parse_range("192.168.1.0/24"), "wlan0"), Route(parse_range("172.17.0.0/16"), "docker0")),
    addresses=(("wlan0", ip_address("192.168.1.7")), ("wlan0", ip_address("2001:db8::7"))),
    resolvers=(ip_address("192.168.1.1"), ip_address("127.0.0.53")),
    came_from=ip_address("192.168.1.9"),
)


def by(text: str, link: str = "eth0") -> Own:
    return Own(routes=(Route(parse_range(text), link),))


def test_a_host_that_has_nothing_there_loses_nothing() -> None:
    assert overlaps_of(BLOCK, AT_HOME) == overlaps_of(parse_range("fd42::/48"), AT_HOME) == []


SAID = {
    "the same range": (by("10.42.0.0/16"), "10.42.0.0/16, which is reached by eth0 now, is cut off"),
    "a wider LAN": (
        by("10.0.0.0/8"),
        "10.42.0.0/16, a part of 10.0.0.0/8 which is reached by eth0 now, is cut off",
    ),
    "a LAN inside": (
        by("10.42.7.0/24"),
        "10.42.7.0/24 is reached by eth0: packets for peers there leave beside the tunnel",
    ),
    "one address": (
        by("10.42.0.1/32"),
        "10.42.0.1/32 is reached by eth0: packets for peers there leave beside the tunnel",
    ),
    "an address of its own": (
        Own(addresses=(("lo", ip_address("10.42.9.9")),)),
        "lo has the address 10.42.9.9, which is the network's to give",
    ),
    "its resolver": (
        Own(resolvers=(ip_address("10.42.0.53"),)),
        "the resolver 10.42.0.53 of this host is looked for in the tunnel: names resolve no more",
    ),
    "whom one is connected from": (
        Own(came_from=ip_address("10.42.3.4")),
        "the SSH connection from 10.42.3.4 is cut, and no other comes in from there",
    ),
}


@pytest.mark.parametrize(("own", "sentence"), SAID.values(), ids=SAID)
def test_what_is_lost_is_said(own: Own, sentence: str) -> None:
    assert overlaps_of(BLOCK, own) == [sentence]


def test_a_lan_is_said_once_and_who_is_on_it_stays_reached() -> None:
    own = Own(
        routes=(Route(parse_range("10.42.7.0/24"), "eth0"),),
        addresses=(("eth0", ip_address("10.42.7.5")),),
        resolvers=(ip_address("10.42.7.1"),),
        came_from=ip_address("10.42.7.9"),
    )
    assert len(overlaps_of(BLOCK, own)) == 1


def test_who_is_a_peer_is_meant_to_be_in_the_tunnel() -> None:
    own = Own(resolvers=(ip_address("10.42.0.53"),), came_from=ip_address("10.42.3.4"))
    assert overlaps_of(BLOCK, own, [ip_address("10.42.0.53"), ip_address("10.42.3.4")]) == []


def test_two_networks_of_a_host_share_neither_range_port_nor_names() -> None:
    other = Neighbour(name="other", block=parse_range("10.42.128.0/17"), port=51820, domain="kermpany.wg")
    assert of_neighbours([other], BLOCK, 51820, "kermpany.wg") == [
        'the network "other" has the range 10.42.128.0/17',
        'the network "other" has UDP port 51820',
        'names of the network "other" end in kermpany.wg too',
    ]
    assert of_neighbours([other], parse_range("10.43.0.0/16"), None, None) == []


ASKS = "from innerd.host.overlap import of_host; print(of_host('nothing').came_from)"


def test_the_ssh_connection_is_found_though_sudo_hides_it() -> None:
    """The variable is in the environment of a process that we descend from, and not in our own."""
    clean = f'env -u SSH_CONNECTION {sys.executable} -c "{ASKS}"; true'
    env = {**os.environ, "SSH_CONNECTION": "10.42.3.4 51234 10.42.0.9 22"}
    done = subprocess.run(["sh", "-c", clean], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "10.42.3.4\n"


def test_this_host_can_be_looked_at() -> None:
    of_host("lo")
