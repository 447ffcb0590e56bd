"""Where the coordinator is looked for: what this machine says counts most, then the network, then its own config."""

import ipaddress
from pathlib import Path

import pytest
from msgspec.structs import replace

from innclient.agent import endpoints
from innclient.agent.store import Last
from innclient.core.netmap import KnownPeer
from innerd.domain.values import Endpoint, Name
from innerd.host import domains
from tests.client.support import session_at
from tests.world import key

CONFIG, NETWORK, OVERRIDE = "192.0.2.1:51820", Endpoint("192.0.2.7:51820"), Endpoint("192.0.2.9:51820")
SERVER = ipaddress.ip_address("127.42.0.1")
V4, V6, NAME = "192.0.2.1:1", "[2001:db8::1]:1", Endpoint("vpn.example.com:1")


async def test_an_override_counts_more_than_what_the_network_tells(tmp_path: Path) -> None:
    session = session_at(tmp_path, "ryo", "127.42.128.1", 1)
    found = endpoints.Finder(session.loaded, session._finder.last)
    before = session.netmap
    assert found.server(before).endpoint == CONFIG
    coordinator = KnownPeer(
        id=1, name=Name("innernet-server"), ip=SERVER, cidr_id=1, public_key=key("coordinator"), endpoint=NETWORK,
        is_admin=False,
    )  # fmt: skip
    told = replace(before, peers={1: coordinator})
    there = found.server(told)
    assert (there.endpoint, there.moved) == (NETWORK, True)
    session.loaded.overrides[SERVER] = OVERRIDE
    assert found.server(told).endpoint == OVERRIDE
    await session.http.aclose()


async def test_a_silent_coordinator_is_tried_at_its_names_next_address_and_stays_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domains, "resolve", lambda endpoint, block: [V4, V6])
    monkeypatch.setattr(domains, "_FRESH", 0.0)
    session = session_at(tmp_path, "ryo", "127.42.128.1", 1)
    session.loaded.overrides[SERVER] = NAME
    found = endpoints.Finder(session.loaded, session._finder.last)
    found.first_look(session.netmap, {})
    assert found.server(session.netmap).endpoint == V4
    found.try_another()
    assert found.server(session.netmap).endpoint == V6
    found.first_look(session.netmap, {})
    assert found.server(session.netmap).endpoint == V6, "the name was looked up again, and still has it"
    await session.http.aclose()


async def test_while_its_name_is_not_known_the_coordinator_is_where_it_was_reached_last(tmp_path: Path) -> None:
    session = session_at(tmp_path, "ryo", "127.42.128.1", 1)
    session.loaded.overrides[SERVER] = NAME
    found = endpoints.Finder(session.loaded, Last(endpoints={str(SERVER): V4}))
    assert found.server(session.netmap).endpoint == V4
    await session.http.aclose()


def test_of_a_names_addresses_ipv4_comes_first_and_what_has_no_route_last(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(0, 0, 0, "", (address, 1)) for address in ("2001:db8::1", "192.0.2.1", "192.0.2.1", "198.51.100.1")]
    monkeypatch.setattr(domains.socket, "getaddrinfo", lambda *_, **__: answers)
    monkeypatch.setattr(domains, "_has_route", lambda endpoint: endpoint != "198.51.100.1:1")
    assert domains.resolve(NAME) == [V4, V6, "198.51.100.1:1"]
