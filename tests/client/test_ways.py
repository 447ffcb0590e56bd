"""What the agent thinks of a way: when it is in doubt, who begins, and what kind it is. Between two families too."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from innclient.agent.session import Session
from innclient.core.netmap import Whereabouts
from innclient.core.peer_path import PeerPath
from innerd.domain.values import Endpoint
from innerd.wireguard.device import DevicePeer
from tests.client.support import session_at
from tests.world import key

ME, OVEN, NOW = 2, 5, 1000.0
LAN, ROUTER, CAFE = Endpoint("192.168.7.9:51820"), Endpoint("198.51.100.9:51820"), Endpoint("203.0.113.9:51820")
PUBLIC, PUBLIC6 = Endpoint("198.51.100.1:51820"), Endpoint("[2001:db8::1]:51820")
HOME6 = Endpoint("[2001:db8:7::9]:51820")


def at(*own: Endpoint, seen: Endpoint | None) -> Whereabouts:
    return Whereabouts(tuple(dict.fromkeys(filter(None, (seen, *own)))), online=True, seen=seen, own=own)


BEHIND = at(LAN, seen=ROUTER)  # a NAT
OPEN = at(PUBLIC, seen=PUBLIC)
BOTH = at(LAN, HOME6, seen=HOME6)  # at home, and the coordinator sees it by IPv6
DUAL = at(PUBLIC, PUBLIC6, seen=PUBLIC6)


def entry(*, rx: int, tx: int, endpoint: Endpoint = ROUTER) -> DevicePeer:
    return DevicePeer(public_key=key("mari"), endpoint=endpoint, last_handshake=NOW, rx_bytes=rx, tx_bytes=tx)


# -- silence ----------------------------------------------------------------------------------------------------------


def heard_after(*looks: tuple[float, int, int]) -> PeerPath:
    way = PeerPath()
    for seconds, rx, tx in looks:
        way.note(entry(rx=rx, tx=tx), NOW + seconds)
    return way


def test_data_without_an_answer_is_noticed_before_keepalives_are_missed() -> None:
    way = heard_after((0, 100, 100), (5, 100, 900), (10, 100, 1700), (15, 100, 2500))
    assert not way.is_stuck(NOW + 16)
    assert way.is_stuck(NOW + 18)


def test_an_answer_ends_the_waiting() -> None:
    way = heard_after((0, 100, 100), (5, 100, 900), (15, 132, 900))
    assert not way.is_stuck(NOW + 30)


def test_keepalives_need_no_answer() -> None:
    way = heard_after((0, 100, 100), (5, 100, 132), (30, 100, 164))
    assert not way.is_stuck(NOW + 39)
    assert way.is_stuck(NOW + 41), "but the other's own are missed"


def test_what_is_heard_clears_a_doubt() -> None:
    way = heard_after((0, 100, 100))
    way.doubted = True
    assert way.is_stuck(NOW + 1)
    way.note(entry(rx=132, tx=100), NOW + 2)
    assert not way.is_stuck(NOW + 2)


# -- between two ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    made = session_at(tmp_path, "ryo", "127.42.128.1", 1)
    made.membership.netmap = replace(made.netmap, me=ME)
    yield made
    await made.http.aclose()


def between(session: Session, mine: Whereabouts, theirs: Whereabouts) -> None:
    session.membership.presence = {ME: mine, OVEN: theirs}


@pytest.mark.parametrize(
    ("mine", "theirs", "begins"),
    [
        (BEHIND, OPEN, True),
        (OPEN, BEHIND, False),
        (BEHIND, BEHIND, None),
        (OPEN, OPEN, None),
        (BOTH, OPEN, True),  # by IPv4, where it is behind a NAT
        (BOTH, DUAL, None),  # by IPv6, where nobody is
        (at(seen=None), OPEN, None),
    ],
)
async def test_who_is_behind_a_nat_begins(
    session: Session, mine: Whereabouts, theirs: Whereabouts, begins: bool | None
) -> None:
    between(session, mine, theirs)
    assert session.peer_paths.begins(OVEN) == begins


@pytest.mark.parametrize(
    ("mine", "theirs", "endpoint", "kind"),
    [
        (OPEN, OPEN, PUBLIC, "direct"),
        (BOTH, OPEN, PUBLIC, "punched"),  # its IPv6 address is its own, but this way is by IPv4
        (DUAL, BEHIND, ROUTER, "punched"),
        (BOTH, DUAL, PUBLIC6, "direct"),
        (DUAL, BOTH, HOME6, "direct"),
    ],
)
async def test_a_way_is_judged_by_its_own_family(
    session: Session, mine: Whereabouts, theirs: Whereabouts, endpoint: Endpoint, kind: str
) -> None:
    between(session, mine, theirs)
    assert session.peer_paths.kind(OVEN, endpoint) == kind


@pytest.mark.parametrize("moved", [ME, OVEN], ids=["we are", "the other is"])
async def test_a_way_through_a_nat_is_in_doubt_when_an_end_of_it_is_seen_elsewhere(
    session: Session, moved: int
) -> None:
    between(session, BEHIND, BEHIND)
    ways = session.peer_paths
    way = ways.known[OVEN] = PeerPath(endpoint=ROUTER)
    ways._has_moved(None)
    ways._compare(OVEN, way, None, moved=False)
    assert not way.doubted
    session.membership.presence[moved] = at(LAN, seen=CAFE)
    ways._compare(OVEN, way, None, moved=ways._has_moved({moved}))
    assert way.doubted
    assert not ways._has_moved(None), "once"


async def test_a_way_without_a_nat_is_in_no_doubt(session: Session) -> None:
    between(session, OPEN, OPEN)
    way = session.peer_paths.known[OVEN] = PeerPath(endpoint=PUBLIC, seen=CAFE)
    session.peer_paths._compare(OVEN, way, None, moved=True)
    assert not way.doubted


def test_of_whom_nothing_was_ever_heard_nothing_is_missed() -> None:
    assert not PeerPath().is_stuck(NOW)
