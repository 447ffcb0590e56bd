"""Links, routes and addresses of a host, read off rtnetlink's messages; those of this host as `ip` has them."""

import json
import socket
import struct
import subprocess
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from innerd.wireguard import beside, rtnetlink
from innerd.wireguard.beside import Route
from innerd.wireguard.netlink import attribute

NAMES = {3: "lan", 4: "wan"}
DST, OIF, MULTIPATH, TABLE = 1, 4, 9, 15


def route(length: int, *parts: bytes, table: int = 254, kind: int = 1, family: int = socket.AF_INET) -> list[Route]:
    header = struct.pack("=8BI", family, length, 0, 0, table, 0, 0, kind, 0)
    told = rtnetlink._route(header + b"".join(parts))
    return [beside._named(one, NAMES) for one in told if beside._is_a_range(one)]


def to(text: str) -> bytes:
    return attribute(DST, ip_address(text).packed)


def by(link: int) -> bytes:
    return attribute(OIF, struct.pack("=i", link))


def test_a_route_has_where_it_leads_and_by_which_link() -> None:
    assert route(24, to("10.42.7.0"), by(3)) == [Route(ip_network("10.42.7.0/24"), "lan")]
    assert route(64, to("fd00::"), by(9), family=socket.AF_INET6) == [Route(ip_network("fd00::/64"), "link 9")]
    assert route(24, to("10.42.7.0")) == [Route(ip_network("10.42.7.0/24"), "no link")]


def test_a_route_by_several_links_names_them() -> None:
    hops = b"".join(struct.pack("=HBBi", 16, 0, 0, link) + attribute(5, bytes(4)) for link in (3, 4))
    assert route(16, to("10.42.0.0"), attribute(MULTIPATH, hops)) == [Route(ip_network("10.42.0.0/16"), "lan and wan")]


@pytest.mark.parametrize(
    "found",
    [
        route(0, by(3)),
        route(1, to("128.0.0.0"), by(3)),
        route(24, to("10.42.7.0"), by(3), kind=2),
        route(24, to("10.42.7.0"), kind=6),
        route(32, to("10.42.7.1"), by(3), table=255),
        route(32, to("10.42.7.1"), by(3), attribute(TABLE, struct.pack("=I", 255)), table=0),
        route(24, to("10.42.7.0"), by(3), family=28),
    ],
    ids=[
        "everywhere",
        "half of it",
        "an address of this host",
        "a blackhole",
        "table local",
        "table local by its number",
        "labels",
    ],
)
def test_what_is_nobodys_range_is_left_out(found: list[Route]) -> None:
    assert found == []


def test_it_says_of_this_host_what_iproute2_says() -> None:
    def ip(*words: str) -> Any:
        return json.loads(subprocess.check_output(["ip", "-details", "-json", *words], text=True))

    links = {link["ifname"]: link for link in ip("link")}
    told = [(link["ifname"], a["local"]) for link in ip("address") for a in link["addr_info"] if a["scope"] == "global"]
    routes, addresses = beside.routes_and_addresses("nosuch")
    assert sorted((link, str(ip)) for link, ip in addresses) == sorted(told)
    assert {link for _, link in routes} <= set(links)
    assert beside.kinds() == {name: link.get("linkinfo", {}).get("info_kind", "") for name, link in links.items()}
    with rtnetlink.route_socket() as line:
        seen = {(link.name, link.number, link.mtu) for link in line.links()}
    assert seen == {(name, link["ifindex"], link["mtu"]) for name, link in links.items()}
