"""Where relays are, and who is relayed by whom."""

import pytest

from innclient.core.relays import RelayPlaces
from innerd.domain.values import COORDINATOR, Endpoint

AT, MOVED = Endpoint("192.0.2.1:51820"), Endpoint("192.0.2.9:51820")
FIVE, NINE = Endpoint("198.51.100.5:5"), Endpoint("198.51.100.9:9")
SAID = {5: (FIVE,), 9: (NINE,)}
MARI = 4
NOW = 10_000.0


class Device:
    """What is seen on it, look by look."""

    def __init__(self) -> None:
        self.places, self.now = RelayPlaces(), NOW

    def look(self, peers: dict[int, Endpoint], coordinator: Endpoint | None = AT, *, may: bool = True) -> None:
        self.places.see(coordinator, peers.items(), lambda n: SAID.get(n, ()), self.now, may_coordinator=may)

    def via(self, endpoint: Endpoint, number: int = MARI, *said: Endpoint) -> int | None:
        return self.places.via(number, endpoint, lambda _: said)


@pytest.fixture
def device() -> Device:
    return Device()


def test_the_coordinator_is_first_if_it_may(device: Device) -> None:
    device.look({9: NINE, 5: FIVE})
    assert device.places.open == (AT, NINE, FIVE)
    device.look({9: NINE, 5: FIVE}, may=False)
    assert device.places.open == (NINE, FIVE)
    assert device.via(AT) == COORDINATOR, "who is sent to it is relayed still, though that leads nowhere"


def test_who_is_reached_where_another_is_is_relayed_by_that_one(device: Device) -> None:
    device.look({5: NINE, 9: NINE})
    assert (device.via(NINE, 5), device.via(NINE, 9)) == (9, None)
    assert device.places.open == (AT, NINE)


def test_who_is_reached_by_way_of_the_coordinator_is_no_relay(device: Device) -> None:
    device.look({5: AT})
    assert (device.places.open, device.via(AT, 5)) == ((AT,), COORDINATOR)


def test_where_it_was_is_known_for_as_long_as_a_session_may_be(device: Device) -> None:
    device.look({5: FIVE})
    device.look({}, MOVED)
    assert (device.via(FIVE), device.via(AT), device.via(MOVED)) == (5, COORDINATOR, COORDINATOR)
    device.now += 180.0
    device.look({}, MOVED)
    assert (device.via(FIVE), device.via(AT)) == (None, None)


def test_who_is_said_to_be_where_a_relay_was_is_not_relayed(device: Device) -> None:
    device.look({5: FIVE})
    device.look({})
    assert device.via(FIVE, MARI, FIVE) is None
