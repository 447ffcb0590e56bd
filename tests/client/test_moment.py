"""The moment at which two peers begin, as one of them takes it."""

import pytest

from innclient.core.netmap import Whereabouts
from innclient.core.paths import PeerPaths
from innclient.core.peer_path import Instant, PeerPath
from innclient.core.pins import Pins
from innclient.core.traversal import Send
from innerd.domain.values import Endpoint
from innerd.wire.stream import LEAD, Connect
from tests.client.play import NOW, agent_of
from tests.client.told import MARI, netmap
from tests.world import key

ROUTER = Endpoint("198.51.100.9:51820")
THERE = Instant(NOW, 0.0)


@pytest.fixture
def paths() -> PeerPaths:
    agent = agent_of(netmap(MARI), Pins({"10.42.128.2": key("mari")}))
    agent.membership.presence = {4: Whereabouts((ROUTER,), True, ROUTER, (Endpoint("192.168.4.9:51820"),))}
    return agent.paths


def told(*, prime: bool = True, after: float = LEAD) -> Connect:
    return Connect(peer=4, epoch=7, go_at=NOW + after, prime=prime)


@pytest.mark.parametrize("late", [0.0, 0.4, 30.0])
def test_a_hello_that_came_late_does_not_put_it_off(paths: PeerPaths, late: float) -> None:
    """On a busy machine: the coordinator's clock is taken to be behind by as much."""
    paths.ahead = -late
    assert paths.meet(told(), None, THERE)
    assert paths.traversal.next_at() == pytest.approx(LEAD)


def sent(paths: PeerPaths) -> list[int | None]:
    """The TTLs of what is sent at the moment itself."""
    return [action.ttl for action in paths.traversal.tick(LEAD) if isinstance(action, Send)]


def test_what_arrives_goes_at_once_where_the_other_router_is_known_not_to_mind(paths: PeerPaths) -> None:
    paths.meet(told(prime=False), None, THERE)
    assert set(sent(paths)) == {None}


def test_after_an_attempt_that_failed_the_way_is_opened_first_whatever_is_known(paths: PeerPaths) -> None:
    paths.known[4] = PeerPath(failures=1)
    paths.meet(told(prime=False), None, THERE)
    assert set(sent(paths)) == {2}
