"""Candidates at which nobody could be tried: who reports them makes others send packets where they shouldn't."""

from ipaddress import ip_network

import pytest

from innclient.core.netmap import Whereabouts, take_presence
from innerd.wire.stream import PeerPresence
from tests.api.asking import ask
from tests.world import World, world

V4, V6 = "10.42.0.0/16", "fd42::/64"
KEPT = [
    "192.168.1.7:51820",
    "[2001:db8::7]:1",
    "198.51.100.7:65535",
    "[::ffff:192.0.2.7]:9",
    "10.43.0.1:1",
    "[fd43::1]:2",
]

ODD = {
    "this host": "127.0.0.1:51820",
    "this host by another number": "127.255.255.254:51820",
    "this host in IPv6": "[::1]:51820",
    "this host, mapped": "[::ffff:127.0.0.1]:51820",
    "a group": "224.0.0.251:5353",
    "a group in IPv6": "[ff02::fb]:5353",
    "a group, mapped": "[::ffff:239.1.2.3]:5353",
    "no address": "0.0.0.0:51820",
    "no address in IPv6": "[::]:51820",
    "no address, mapped": "[::ffff:0.0.0.0]:51820",
    "the link alone": "169.254.169.254:80",
    "the link alone in IPv6": "[fe80::1]:51820",
    "the link alone, mapped": "[::ffff:169.254.169.254]:80",
    "everybody": "255.255.255.255:51820",
    "everybody, mapped": "[::ffff:255.255.255.255]:51820",
    "port 0": "192.0.2.7:0",
    "port 0 in IPv6": "[2001:db8::7]:0",
}
IN_THE_TUNNEL = {
    "a peer": (V4, "10.42.0.9:51820"),
    "the tunnel's first address": (V4, "10.42.0.0:51820"),
    "the tunnel's last address": (V4, "10.42.255.255:51820"),
    "a peer, mapped": (V4, "[::ffff:10.42.0.9]:51820"),
    "a peer in IPv6": (V6, "[fd42::9]:51820"),
}
DOMAINS = ["mari.example.com:51820", "localhost:51820"]


async def made(block: str = V4) -> World:
    """Ryo, an administrator, and mari in a network of a usual range."""
    w = await world(block)
    await w.add_cidr("humans", "10.42.128.0/17" if block == V4 else "fd42::8000/113")
    await w.join("ryo", "humans", admin=True)
    await w.join("mari", "humans")
    return w


async def stored(w: World, reported: list[str]) -> list[str]:
    """What others are told after mari has reported."""
    answer = await ask(w, "mari", "PUT", "/v1/user/candidates", json=reported)
    assert (answer.status, answer.body) == (204, b""), "innernet's clients know of no refusal here"
    state = (await ask(w, "ryo", "GET", "/v1/user/state")).json()
    return next(peer["candidates"] for peer in state["peers"] if peer["name"] == "mari")


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("route", ["candidates", "endpoint"])
async def test_a_peer_that_says_a_name_of_itself_is_refused(route: str, name: str) -> None:
    """Others would ask name servers of its choice, and go where these say. Clients of innernet report addresses; what
    their users type as an endpoint they send on, and they show what is refused."""
    w = await made()
    body = ["192.0.2.7:1", name] if route == "candidates" else {"option": "Set", "content": name}
    before = w.writer.network.revision
    answer = await ask(w, "mari", "PUT", f"/v1/user/{route}", json=body)
    assert (answer.status, answer.json()["code"]) == (400, "invalid_endpoint")
    assert "is a name" in answer.json()["title"]
    assert w.presence.candidates.get(w.peer("mari").id, ()) == ()
    assert w.writer.network.revision == before


async def test_an_administrator_may_give_a_peer_a_name() -> None:
    w = await made()
    answer = await ask(w, "ryo", "PATCH", f"/v1/admin/peers/{w.peer('mari').id}", json={"endpoint": DOMAINS[0]})
    assert answer.status == 204, answer.body
    assert w.peer("mari").endpoint == DOMAINS[0]


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("block", [V4, V6])
async def test_what_nobody_could_try_is_not_stored(block: str, odd: str) -> None:
    w = await made(block)
    assert await stored(w, [odd]) == []
    assert w.presence.candidates.get(w.peer("mari").id, ()) == ()


@pytest.mark.parametrize(("block", "inside"), IN_THE_TUNNEL.values(), ids=IN_THE_TUNNEL)
async def test_an_address_inside_the_tunnel_is_not_stored(block: str, inside: str) -> None:
    assert await stored(await made(block), [inside]) == []


async def test_the_rest_is_kept_in_its_order() -> None:
    odd = list(ODD.values())
    w = await made()
    assert await stored(w, [odd[0], KEPT[0], *odd[1:4], KEPT[1], KEPT[2]]) == KEPT[:3]
    assert await stored(w, [*KEPT[3:], "10.42.0.9:1"]) == [KEPT[3].replace("192.0.2.7", "c000:207"), *KEPT[4:]]


async def test_who_reports_nothing_usable_takes_back_what_was_told() -> None:
    w = await made()
    assert await stored(w, KEPT[:1]) == KEPT[:1]
    assert await stored(w, ["127.0.0.1:1"]) == []


def heard(block: str, endpoint: str | None, candidates: list[str]) -> list[str]:
    told = PeerPresence(peer=4, endpoint=endpoint, candidates=candidates, online=True)
    return list(take_presence({}, [told], whole=True, block=ip_network(block))[4].endpoints)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("block", [V4, V6])
def test_an_agent_that_is_told_it_all_the_same_does_not_try_it(block: str, odd: str) -> None:
    assert heard(block, odd, [KEPT[1], odd, KEPT[0]]) == [KEPT[0], KEPT[1]]


@pytest.mark.parametrize(("block", "inside"), IN_THE_TUNNEL.values(), ids=IN_THE_TUNNEL)
def test_an_agent_does_not_try_an_address_inside_the_tunnel(block: str, inside: str) -> None:
    assert heard(block, inside, [inside, KEPT[0]]) == KEPT[:1]


def test_an_agent_still_tries_a_domain_that_an_administrator_gave_a_peer() -> None:
    assert heard(V4, "mari.example.com:51820", [KEPT[0]]) == ["mari.example.com:51820", KEPT[0]]


def test_a_peer_without_anything_to_try_is_online_all_the_same() -> None:
    told = PeerPresence(peer=4, endpoint=None, candidates=["127.0.0.1:1"], online=True)
    assert take_presence({}, [told], whole=True, block=ip_network(V4)) == {4: Whereabouts((), True)}
