"""Which edge carries what, of a kernel's that is one in memory, and what becomes of it when that fails."""

import pytest

from innerd.domain.values import Endpoint
from innerd.relay.edges import Edges
from innerd.relay.limits import Limits, Total, parse_rate
from innerd.relay.table import Drop, Edit, Element, Place, Placed, Put
from innerd.relay.userspace import UserEdge

A, B = 2, 3
FOUR, SIX = Endpoint("192.0.2.1:1"), Endpoint("[2001:db8::1]:1")
OTHER = Endpoint("192.0.2.2:2")


class Kernel:
    """As the kernel's edge: it can't place who is at port 9."""

    def __init__(self) -> None:
        self.placed: dict[int, Place] = {}
        self.elements: dict[Element, int] = {}
        self.fails: Exception | None = None
        self.is_abandoned = False

    def apply(self, edits: list[Edit]) -> None:
        if self.fails is not None:
            raise self.fails
        for edit in edits:
            match edit:
                case Put(element, _, to):
                    self.elements[element] = to
                case Drop(element):
                    del self.elements[element]
                case Placed(peer, place):
                    self.placed.pop(peer, None)
                    if place is not None and not place.endpoint.endswith(":9"):
                        self.placed[peer] = place

    def abandon(self) -> None:
        self.is_abandoned = True


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def edges(kernel: Kernel) -> Edges:
    made = Edges(UserEdge(Limits()))
    made.begin(kernel, Total(5, 500))  # type: ignore[arg-type]
    return made


def pair(one: Endpoint, other: Endpoint) -> list[Edit]:
    there = [Placed(A, Place(one)), Placed(B, Place(other))]
    return [*there, Put(Element(one, b"bbbb"), A, B), Put(Element(other, b"aaaa"), B, A)]


def by_hand(edges: Edges, source: Endpoint, index: bytes) -> Place | None:
    return edges.user.to(source, index, 100, 0.0)


def test_the_kernel_carries_what_is_of_one_family(edges: Edges, kernel: Kernel) -> None:
    edges.apply(pair(FOUR, OTHER))
    assert kernel.elements == {Element(FOUR, b"bbbb"): B, Element(OTHER, b"aaaa"): A}
    assert edges.user.is_idle


@pytest.mark.parametrize("other", [SIX, Endpoint("192.0.2.9:9")], ids=["of another family", "over no link"])
def test_what_it_can_not_this_process_carries(other: Endpoint, edges: Edges, kernel: Kernel) -> None:
    edges.apply(pair(FOUR, other))
    assert kernel.elements == {}
    assert by_hand(edges, FOUR, b"bbbb") == Place(other)
    assert by_hand(edges, other, b"aaaa") == Place(FOUR)
    edges.apply([Drop(Element(FOUR, b"bbbb")), Drop(Element(other, b"aaaa"))])
    assert edges.user.is_idle


def test_a_peer_that_moves_is_handed_over_and_back(edges: Edges, kernel: Kernel) -> None:
    edges.apply(pair(FOUR, OTHER))
    edges.apply([Placed(B, Place(SIX)), Drop(Element(OTHER, b"aaaa")), Put(Element(SIX, b"aaaa"), B, A)])
    assert kernel.elements == {}
    assert by_hand(edges, FOUR, b"bbbb") == Place(SIX)
    edges.apply([Placed(B, Place(OTHER)), Drop(Element(SIX, b"aaaa")), Put(Element(OTHER, b"aaaa"), B, A)])
    assert kernel.elements == {Element(FOUR, b"bbbb"): B, Element(OTHER, b"aaaa"): A}
    assert edges.user.is_idle


def test_a_kernel_that_fails_is_left_with_nothing_behind(edges: Edges, kernel: Kernel) -> None:
    edges.apply(pair(FOUR, OTHER))
    kernel.fails = OSError(90, "Message too long")
    edges.apply([Put(Element(FOUR, b"next"), A, B)])
    assert (edges.mode, kernel.is_abandoned) == ("userspace", True)
    assert edges.why == "[Errno 90] Message too long"
    assert by_hand(edges, FOUR, b"bbbb") == by_hand(edges, FOUR, b"next") == Place(OTHER)
    assert by_hand(edges, OTHER, b"aaaa") == Place(FOUR)


def test_a_table_that_was_taken_away_is_no_failure(edges: Edges, kernel: Kernel) -> None:
    edges.apply(pair(FOUR, OTHER))
    kernel.fails = FileNotFoundError(2, "No such file or directory")
    edges.apply([Put(Element(FOUR, b"next"), A, B)])
    assert edges.mode == "kernel"
    anew = edges.kernel = Kernel()  # type: ignore[assignment]
    edges.restore(pair(FOUR, OTHER))
    assert set(anew.elements) == {Element(FOUR, b"bbbb"), Element(OTHER, b"aaaa")}
    assert edges.user.is_idle


def test_what_was_carried_is_counted_since_it_began(edges: Edges) -> None:
    assert edges.total(Total(7, 900, 1)) == Total(2, 400, 1)
    assert edges.total(Total(1, 50)) == Total(3, 450, 1), "the table was made anew"
    assert edges.total(None) == Total(3, 450, 1)


def test_a_limit_of_this_process() -> None:
    user = UserEdge(Limits(per_peer=parse_rate("8 Mbit/s"), total=None))
    user.apply(pair(FOUR, OTHER))
    passed = [user.to(FOUR, b"bbbb", 1000, 0.0) is not None for _ in range(300)]
    assert passed.count(True) == 200, "a fifth of a second's worth"
    assert user.to(OTHER, b"aaaa", 1000, 0.0) is not None, "the other has its own"
    assert user.to(FOUR, b"bbbb", 1000, 0.1) is not None
    assert user.total().held == 100


@pytest.mark.parametrize(
    ("text", "rate"),
    [("50 Mbit/s", 6_250_000), ("800 kbit/s", 100_000), ("1Gbit/s", 125_000_000), ("none", None)],
)
def test_rates(text: str, rate: int | None) -> None:
    assert parse_rate(text) == rate
