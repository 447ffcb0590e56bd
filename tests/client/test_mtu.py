"""The MTU of an interface is what the routes carry: to the coordinator and to all others, less what WireGuard adds."""

import json
from collections.abc import Iterator

import pytest

from tests.netns.lab import Host

pytestmark = pytest.mark.netns

ASKS = """
import json, sys
from ipaddress import ip_address
from innerd.wireguard.links import mtu_towards
print(json.dumps([mtu_towards(ip_address(to) if to else None, ip_address(overlay), "wg0")
                  for to, overlay in json.loads(sys.argv[1])]))
"""
USUAL, LEAST = 1420, 1280
V4, V6 = "10.42.0.2", "fd42::2"
COORDINATOR, COORDINATOR6 = "198.51.100.7", "2001:db8:7::7"


def cable(host: Host, link: str) -> None:
    """A link that is up, with its other end here too: nothing is sent."""
    host.run("ip", "link", "add", link, "type", "veth", "peer", "name", f"{link}-end")
    for end in (link, f"{link}-end"):
        host.run("ip", "link", "set", end, "up")


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with two links, and an interface of its own that never counts."""
    made = Host("routes", 1)
    for link, number in (("eth0", 1), ("eth1", 2)):
        cable(made, link)
        made.run("ip", "addr", "add", f"10.99.{number}.1/24", "dev", link)
        made.run("ip", "-6", "addr", "add", f"fd99:{number}::1/64", "dev", link, "nodad")
    cable(made, "wg0")
    made.run("ip", "link", "set", "wg0", "mtu", "600")
    yield made
    made.end()


def mtus(host: Host, *asked: tuple[str | None, str]) -> list[int]:
    found = json.loads(host.run("python", "-c", ASKS, json.dumps(asked)))
    assert isinstance(found, list)
    return found


def ip(host: Host, *commands: str) -> None:
    for command in commands:
        host.run("ip", *command.split())


def test_without_any_route_it_is_the_usual_one(host: Host) -> None:
    assert mtus(host, (None, V4), (COORDINATOR, V4), (None, V6), (COORDINATOR6, V6)) == [USUAL] * 4


def test_a_default_route_through_ethernet_gives_the_usual_one(host: Host) -> None:
    ip(host, "route add default via 10.99.1.2", "-6 route add default via fd99:1::2")
    assert mtus(host, (None, V4), (COORDINATOR, V4), (COORDINATOR6, V6)) == [USUAL] * 3


def test_jumbo_frames_at_home_are_no_promise_of_the_internet(host: Host) -> None:
    ip(host, "link set eth0 mtu 9000", "route add default via 10.99.1.2")
    assert mtus(host, (None, V4), (COORDINATOR, V4)) == [USUAL] * 2


def test_a_link_that_carries_less_counts(host: Host) -> None:
    ip(host, "link set eth0 mtu 1400", "route add default via 10.99.1.2")
    assert mtus(host, (None, V4), (COORDINATOR, V4)) == [1320, 1320]


def test_a_route_that_says_less_than_its_link_counts(host: Host) -> None:
    ip(host, "route add default via 10.99.1.2 mtu 1300")
    assert mtus(host, (None, V4), (COORDINATOR, V4)) == [1220, 1220]


def test_a_route_that_says_more_than_its_link_takes_is_no_promise(host: Host) -> None:
    """ip-route(8) takes any number; what the link can't carry does not go."""
    ip(host, "link set eth0 mtu 1400", "route add default via 10.99.1.2 mtu 9000")
    assert mtus(host, (None, V4)) == [1320]


def test_a_locked_mtu_counts_too(host: Host) -> None:
    ip(host, "route add default via 10.99.1.2 mtu lock 1350")
    assert mtus(host, (None, V4)) == [1270]


def test_the_way_to_the_coordinator_counts_where_it_is_another_one(host: Host) -> None:
    ip(
        host,
        *("link set eth1 mtu 1400", "route add default via 10.99.1.2"),
        *(f"route add {COORDINATOR}/32 via 10.99.2.2", f"-6 route add {COORDINATOR6}/128 via fd99:2::2 mtu 1380"),
    )
    assert mtus(host, (None, V4), (COORDINATOR, V4), (COORDINATOR6, V4)) == [USUAL, 1320, 1300]


def test_the_way_to_everybody_else_counts_where_the_coordinator_is_near(host: Host) -> None:
    ip(host, "route add default via 10.99.2.2 mtu 1390", f"route add {COORDINATOR}/32 via 10.99.1.2")
    assert mtus(host, (COORDINATOR, V4)) == [1310]


def test_the_default_route_of_ipv6_counts(host: Host) -> None:
    ip(host, "route add default via 10.99.1.2", "-6 route add default via fd99:2::2 mtu 1340")
    assert mtus(host, (COORDINATOR, V4)) == [1260]


def test_inside_an_overlay_of_ipv6_it_is_never_less_than_ipv6_must_carry(host: Host) -> None:
    ip(host, "route add default via 10.99.1.2 mtu 1300")
    assert mtus(host, (None, V6), (COORDINATOR, V6), (None, V4)) == [LEAST, LEAST, 1220]


def test_a_route_that_carries_next_to_nothing_leaves_what_ipv4_must_carry(host: Host) -> None:
    ip(host, "route add default via 10.99.1.2 mtu 600")
    assert mtus(host, (None, V4)) == [576]


def test_routes_through_the_interface_itself_do_not_count(host: Host) -> None:
    """All traffic through the tunnel, as people set it up by hand; and a route that would shrink with each look."""
    ip(host, "addr add 10.42.0.2/16 dev wg0", "route add default dev wg0", f"route add {COORDINATOR}/32 via 10.99.1.2")
    assert mtus(host, (None, V4), (COORDINATOR, V4), ("10.42.0.1", V4)) == [USUAL] * 3


def test_no_way_there_is_none(host: Host) -> None:
    for kind in ("blackhole", "unreachable", "prohibit"):
        ip(host, f"route replace {kind} {COORDINATOR}/32")
        assert mtus(host, (COORDINATOR, V4)) == [USUAL]


def test_a_coordinator_on_this_very_host_is_no_reason(host: Host) -> None:
    ip(host, "link set lo mtu 65536", "route add default via 10.99.1.2")
    assert mtus(host, ("127.0.0.1", V4), ("10.99.1.1", V4)) == [USUAL] * 2
