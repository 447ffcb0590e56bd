"""In which queue a connection waits: the kernel's own answer, on the loopback."""

import contextlib
import select
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from innerd.domain.values import parse_address
from innerd.wireguard import lanes

AT = {4: "127.42.0.1", 6: "::1"}
ADMIN, OTHERS = "127.42.128.1", [f"127.42.129.{number}" for number in range(1, 65)]


@pytest.fixture
def made() -> Iterator[list[socket.socket]]:
    opened = lanes.lanes("lo", parse_address(AT[4]), 51_877)
    yield opened
    for one in opened:
        one.close()


def lane_of(made: list[socket.socket], source: str) -> int:
    """Where a connection from an address waits; it is accepted."""
    with socket.create_connection(made[0].getsockname()[:2], source_address=(source, 0)):
        ((ready,), _, _) = select.select(made, [], [], 5)
        ready.accept()[0].close()
        return made.index(ready)


def test_an_administrator_has_a_lane_for_itself_as_long_as_it_is_one(made: list[socket.socket]) -> None:
    assert all(lane_of(made, ADMIN) != 0 for _ in range(64))  # from another port each
    lanes.assign(made, 4, [parse_address(ADMIN), parse_address("127.42.128.9")])
    assert lane_of(made, ADMIN) == 0
    assert all(lane_of(made, other) != 0 for other in OTHERS)
    lanes.assign(made, 4, [])
    assert lane_of(made, ADMIN) != 0


def test_others_are_spread_and_each_stays_in_its_lane(made: list[socket.socket]) -> None:
    lanes.assign(made, 4, [])
    found = {other: lane_of(made, other) for other in OTHERS}
    assert len(set(found.values())) >= lanes.LANES // 2
    assert {other: lane_of(made, other) for other in OTHERS} == found


def test_as_many_administrators_as_a_program_has_room_for(made: list[socket.socket]) -> None:
    lanes.assign(made, 4, [parse_address(str(ip_address("127.42.64.0") + number)) for number in range(5_000)])
    assert lane_of(made, "127.42.64.1") == 0


def test_of_ipv6_the_last_word_counts() -> None:
    with contextlib.ExitStack() as stack:
        made = lanes.lanes("lo", parse_address(AT[6]), 51_878)
        for one in made:
            stack.callback(one.close)
        assert all(lane_of(made, "::1") != 0 for _ in range(64))  # from another port each
        lanes.assign(made, 6, [parse_address("fd00::1")])
        assert lane_of(made, "::1") == 0
