"""What the relay's table does with what comes: plays by hand, and runs of anything against a table without memory."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.domain.values import Endpoint, PublicKey
from innerd.relay.messages import parse
from innerd.relay.table import CROSSES, LIVES, STRANGER, Drop, Edit, Element, Handled, Place, Placed, Put, Table
from tests.relay.test_messages import initiation, key, response

A, B, C = 2, 3, 4
NAMES = {A: "a", B: "b", C: "c"}
AT = {A: Endpoint("192.0.2.1:1001"), B: Endpoint("192.0.2.2:1002"), C: Endpoint("192.0.2.3:1003")}
ELSEWHERE = Endpoint("198.51.100.9:9")


class Sight:
    """Who sees whom, as a set of pairs."""

    def __init__(self, *pairs: tuple[int, int]) -> None:
        self.pairs = {frozenset(pair) for pair in pairs}

    def seen_by(self, peer: int) -> Sequence[tuple[int, PublicKey]]:
        return [(other, key(name)) for other, name in sorted(NAMES.items()) if self.sees(peer, other)]

    def sees(self, one: int, other: int) -> bool:
        return frozenset((one, other)) in self.pairs

    def key_of(self, peer: int) -> PublicKey | None:
        return key(NAMES[peer])


class Play:
    """A table, and an edge that does what it is told."""

    def __init__(self, *pairs: tuple[int, int]) -> None:
        self.sight = Sight(*pairs)
        self.table = Table(self.sight, key("relay"))
        self.now = 1000.0
        self.edge: dict[Element, int] = {}
        self.placed: dict[int, Place] = {}
        for peer, at in AT.items():
            self.do(self.table.place(peer, Place(at)))

    def do(self, edits: Sequence[Edit]) -> None:
        for edit in edits:
            match edit:
                case Put(element, sender, to):
                    assert element not in self.edge
                    assert {sender, to} <= self.placed.keys(), "both are placed before"
                    self.edge[element] = to
                case Drop(element):
                    del self.edge[element]
                case Placed(peer, None):
                    del self.placed[peer]
                case Placed(peer, place):
                    self.placed[peer] = place  # type: ignore[assignment]

    def comes(self, source: Endpoint, datagram: bytes) -> Handled:
        message = parse(datagram)
        assert message is not None
        handled = self.table.handle(message, datagram, source, self.now)
        self.do(handled.edits)
        return handled

    def shake(self, a: int = A, b: int = B, one: bytes = b"aaaa", other: bytes = b"bbbb") -> None:
        assert self.comes(self.table.places[a].endpoint, initiation(key(NAMES[b]), one)).to == b
        assert self.comes(self.table.places[b].endpoint, response(key(NAMES[a]), other, one)).to == a


@pytest.fixture
def play() -> Play:
    return Play((A, B), (A, C))


def test_a_handshake_makes_a_way_for_each(play: Play) -> None:
    play.shake()
    assert play.edge == {Element(AT[B], b"aaaa"): A, Element(AT[A], b"bbbb"): B}
    assert play.placed == {A: Place(AT[A]), B: Place(AT[B])}


@pytest.mark.parametrize(
    ("source", "datagram", "why"),
    [
        (ELSEWHERE, initiation(key("b")), STRANGER),
        (AT[B], initiation(key("c")), "for nobody that it sees"),
        (AT[A], initiation(key("nobody")), "for nobody that it sees"),
        (AT[A], initiation(key("a")), "for nobody that it sees"),
        (AT[A], initiation(key("relay")), ""),
        (AT[B], response(key("a"), b"bbbb", b"none"), "answers nothing"),
    ],
    ids=["a stranger", "whom it does not see", "nobody", "itself", "us", "an answer to nothing"],
)
def test_what_goes_nowhere(play: Play, source: Endpoint, datagram: bytes, why: str) -> None:
    assert play.comes(source, datagram) == Handled(why=why)
    assert play.edge == {}


def test_an_answer_counts_from_whom_it_was_asked_alone(play: Play) -> None:
    play.comes(AT[A], initiation(key("b"), b"aaaa"))
    assert play.comes(AT[C], response(key("a"), b"cccc", b"aaaa")).to is None
    assert play.comes(AT[B], response(key("c"), b"bbbb", b"aaaa")).why == "for somebody else"
    assert play.comes(AT[B], response(key("a"), b"bbbb", b"aaaa")).to == A


def test_an_answer_is_taken_once(play: Play) -> None:
    play.comes(AT[A], initiation(key("b"), b"aaaa"))
    assert play.comes(AT[B], response(key("a"), b"bbb1", b"aaaa")).to == A
    assert play.comes(AT[B], response(key("a"), b"bbb2", b"aaaa")).why == "answered before"
    assert play.edge.keys() == {Element(AT[B], b"aaaa"), Element(AT[A], b"bbb1")}


def test_forged_initiations_take_no_session_away(play: Play) -> None:
    """They come from A's address, by somebody who knows B's key."""
    play.shake()
    for number in range(30):
        play.now += 3
        play.comes(AT[A], initiation(key("b"), b"f%03d" % number))
    assert play.edge[Element(AT[B], b"aaaa")] == A
    assert play.edge[Element(AT[A], b"bbbb")] == B
    assert len(play.edge) <= 2 + 3


def test_who_is_not_placed_is_not_found(play: Play) -> None:
    play.do(play.table.forget(B))
    assert play.comes(AT[A], initiation(key("b"))).why == "for nobody that it sees"


def test_a_peer_that_moves_takes_its_ways_along(play: Play) -> None:
    play.shake()
    play.do(play.table.place(B, Place(ELSEWHERE)))
    assert play.edge == {Element(ELSEWHERE, b"aaaa"): A, Element(AT[A], b"bbbb"): B}
    assert play.placed[B] == Place(ELSEWHERE)
    play.shake(one=b"AAAA", other=b"BBBB")


def test_where_another_is_seen_nobody_is_any_more(play: Play) -> None:
    """A router gives a port that was A's to C."""
    play.shake()
    play.do(play.table.place(C, Place(AT[A])))
    assert (play.edge, play.placed) == ({}, {})
    assert play.table.who(AT[A]) == C


def test_another_address_of_ours_is_another_place(play: Play) -> None:
    play.shake()
    play.do(play.table.place(B, Place(AT[B], "192.0.2.254")))
    assert play.placed[B].own == "192.0.2.254"


def test_who_sees_each_other_no_more_is_parted_and_nobody_else(play: Play) -> None:
    play.shake()
    play.shake(A, C, b"AAAA", b"cccc")
    play.sight.pairs.discard(frozenset((A, B)))
    play.do(play.table.revoke([B]))
    assert set(play.edge.values()) == {A, C}
    assert play.placed.keys() == {A, C}
    play.sight.pairs.clear()
    play.do(play.table.revoke())
    assert (play.edge, play.placed, play.table.pairs) == ({}, {}, {})


def test_what_is_old_goes(play: Play) -> None:
    play.shake()
    play.now += LIVES - 1
    play.do(play.table.expire(play.now))
    assert len(play.edge) == 2
    play.now += 2
    play.do(play.table.expire(play.now))
    assert (play.edge, play.placed, play.table.pairs) == ({}, {}, {})


def test_the_sessions_before_are_kept_so_far_as_wireguard_does(play: Play) -> None:
    for number in range(10):
        play.now += 120
        play.do(play.table.expire(play.now))
        play.shake(one=b"a%03d" % number, other=b"b%03d" % number)
    assert Element(AT[B], b"a008") in play.edge
    assert len(play.edge) <= 6


def test_initiations_are_counted(play: Play) -> None:
    """Five at once, then one in two seconds; WireGuard sends one in five."""
    sent = [play.comes(AT[A], initiation(key("b"), b"%04d" % n)).to for n in range(20)]
    assert sent.count(B) == 5
    assert len(play.edge) <= 3
    assert play.comes(AT[A], initiation(key("c"))).to == C, "of another pair nothing is taken"
    play.now += 5
    assert play.comes(AT[A], initiation(key("b"), b"late")).to == B


def test_a_flood_of_what_is_for_nobody_is_looked_at_so_far_alone(play: Play) -> None:
    for number in range(40_000):
        play.comes(AT[A], initiation(key("nobody"), b"%04d" % (number % 1000)))
    assert play.comes(AT[A], initiation(key("b"))).why == "for nobody that it sees"
    play.now += 1
    assert play.comes(AT[A], initiation(key("b"))).to == B


def test_an_index_that_is_taken_stays_whose_it_is() -> None:
    play = Play((A, B), (B, C))
    play.shake()
    play.comes(AT[C], initiation(key("b"), b"aaaa"))
    assert play.edge[Element(AT[B], b"aaaa")] == A


def test_what_an_edge_has_of_a_run_before_goes_on(play: Play) -> None:
    table = play.table
    assert table.adopt(Element(AT[B], b"aaaa"), A, play.now)
    assert not table.adopt(Element(ELSEWHERE, b"aaaa"), A, play.now), "nobody is there"
    assert not table.adopt(Element(AT[B], b"cccc"), C, play.now), "they do not see each other"
    play.edge, play.placed = {}, {}
    play.do(table.everything())
    assert play.edge == {Element(AT[B], b"aaaa"): A}
    assert play.placed.keys() == {A, B}


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("shake"), st.sampled_from([(A, B), (B, A), (A, C), (C, B)]), st.integers(0, 5)),
        st.tuples(st.just("move"), st.sampled_from([A, B, C]), st.integers(0, 3)),
        st.tuples(st.just("part"), st.sampled_from([(A, B), (A, C)]), st.just(0)),
        st.tuples(st.just("meet"), st.sampled_from([(A, B), (A, C)]), st.just(0)),
        st.tuples(st.just("wait"), st.just(None), st.integers(1, 300)),
    ),
    max_size=30,
)


@settings(max_examples=200)
@given(_STEPS)
def test_an_edge_carries_only_between_those_who_see_each_other_and_are_where_they_are(steps: list) -> None:  # type: ignore[type-arg]
    """Whatever happens: what leads from a port to a peer comes from where the table sees somebody who sees that one."""
    play = Play((A, B), (A, C))
    for what, whom, number in steps:
        match what:
            case "shake":
                one, other = whom
                if not {one, other} <= play.table.places.keys():
                    continue
                source = play.table.places[one].endpoint
                index = b"%d%d%02d" % (one, other, number)
                if play.comes(source, initiation(key(NAMES[other]), index)).to == other:
                    answer = response(key(NAMES[one]), index[::-1], index)
                    play.comes(play.table.places[other].endpoint, answer)
            case "move":
                play.do(play.table.place(whom, Place(Endpoint(f"203.0.113.1:{number + 1}"))))
            case "part":
                play.sight.pairs.discard(frozenset(whom))
                play.do(play.table.revoke(whom))
            case "meet":
                play.sight.pairs.add(frozenset(whom))
            case "wait":
                play.now += number
                play.do(play.table.expire(play.now))
        where = {place.endpoint: peer for peer, place in play.table.places.items()}
        for element, to in play.edge.items():
            assert play.sight.sees(where[element.source], to)
            assert play.placed[to] == play.table.places[to]
        assert play.placed.keys() == play.table.paired()
        assert play.edge == {element: lane.receiver for element, lane in play.table.lanes.items()}


def test_of_two_initiations_that_cross_the_second_waits_for_the_first_ones_answer(play: Play) -> None:
    assert not play.comes(AT[A], initiation(key(NAMES[B]), b"aaaa")).waits
    play.now += 0.1
    crossing = play.comes(AT[B], initiation(key(NAMES[A]), b"bbbb"))
    assert (crossing.to, crossing.waits) == (A, True)
    began = play.now
    assert not play.table.was_answered(A, B, began)
    play.now += 0.05
    assert play.comes(AT[B], response(key(NAMES[A]), b"cccc", b"aaaa")).to == A
    assert play.table.was_answered(A, B, began)
    assert play.table.was_answered(B, A, began)


def test_who_was_not_answered_for_a_while_crosses_nobody(play: Play) -> None:
    play.comes(AT[A], initiation(key(NAMES[B]), b"aaaa"))
    play.now += CROSSES
    assert not play.comes(AT[B], initiation(key(NAMES[A]), b"bbbb")).waits
    assert not play.comes(AT[B], initiation(key(NAMES[A]), b"dddd")).waits, "its own are no others"


def test_a_pair_that_is_none_any_more_waits_for_nothing(play: Play) -> None:
    assert play.table.was_answered(A, B, play.now)
