"""Which address of ours a peer is answered from."""

import pytest

from innerd.domain.values import BY_TCP, Endpoint
from innerd.relay.limits import Limits
from innerd.relay.relay import Relay, Setup
from innerd.relay.table import Place
from tests.relay.test_table import Sight
from tests.world import key

A = 2
UDP, ELSEWHERE, TCP = Endpoint("198.51.100.2:7"), Endpoint("198.51.100.2:8"), Endpoint(f"{BY_TCP}:9")


@pytest.mark.parametrize(
    ("first", "then", "own"),
    [(UDP, ELSEWHERE, "192.0.2.1"), (UDP, TCP, ""), (TCP, UDP, ""), (TCP, Endpoint(f"{BY_TCP}:10"), "192.0.2.1")],
)
def test_it_stays_the_same_unless_tcp_came_between(first: Endpoint, then: Endpoint, own: str) -> None:
    setup = Setup(network="lab", interface="wg", port=51820, own_key=key("coordinator"), limits=Limits())
    relay = Relay(setup, Sight(), lambda: None)
    relay.table.place(A, Place(first, "192.0.2.1"))
    relay.place(A, then)
    assert relay.table.places[A] == Place(then, own)
