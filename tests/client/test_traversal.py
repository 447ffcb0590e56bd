"""The traversal on simulated NATs and a clock that is an argument: two machines, their routers, and what the schedule
does to them."""

from dataclasses import dataclass, field
from heapq import heappop, heappush
from ipaddress import ip_network

import pytest

from innclient.core.peer_path import PeerPath
from innclient.core.traversal import OVER, PROBE, Action, Found, GaveUp, Send, Traversal, candidates_of, path_kind
from innerd.domain.values import Endpoint
from innerd.wire.probe import PING, PONG, Probe, decode, encode, probe_key, sender_of

LATENCY = 0.01  # seconds one way
KEPT, SWEEP = 30.0, 60.0  # seconds that a router keeps what it saw, and between two looks for what is too old
FAR, NEARBY = 9, 3  # the least TTL that reaches the other's router


@dataclass
class Router:
    """A home router: `easy` keeps ports, `hard` gives each destination another; both let in only who was written to.
    `tracks`: what it did not expect takes the port that a flow of its own would have had. As Linux does: a new flow of
    a machine takes the port of an older one, even of one that is over and was not swept away yet."""

    public: str
    kind: str = "easy"
    tracks: bool = False
    out: dict[tuple[Endpoint, Endpoint], Endpoint] = field(default_factory=dict)
    strangers: set[Endpoint] = field(default_factory=set)
    now: float = 0.0
    swept: float = 0.0
    used: dict[object, float] = field(default_factory=dict)

    def is_kept(self, flow: object) -> bool:
        return self.now - self.used[flow] <= KEPT

    def sweep(self) -> None:
        if self.now - self.swept >= SWEEP:
            self.swept = self.now
            self.out = {flow: outside for flow, outside in self.out.items() if self.is_kept(flow)}

    def leaves(self, inside: Endpoint, to: Endpoint) -> Endpoint:
        if (inside, to) in self.out and not self.is_kept((inside, to)):
            del self.out[inside, to]
        ports = [outside.rpartition(":")[2] for outside in self.out.values()]
        port = (ports or [inside.rpartition(":")[2]])[-1]
        if self.kind == "hard":
            port = str(20_000 + len(self.out))
        elif to in self.strangers and self.is_kept(to) and (inside, to) not in self.out and port == inside[-5:]:
            port = str(30_000 + len(self.out))
        self.used[inside, to] = self.now
        return self.out.setdefault((inside, to), Endpoint(f"{self.public}:{port}"))

    def enters(self, source: Endpoint, to: Endpoint) -> Endpoint | None:
        for (inside, destination), outside in self.out.items():
            if destination == source and outside == to and self.is_kept((inside, destination)):
                self.used[inside, destination] = self.now
                return inside
        if self.tracks:
            self.strangers.add(source)
            self.used[source] = self.now
        return None


@dataclass
class Machine:
    number: int
    address: Endpoint
    router: Router | None
    traversal: Traversal
    found: Endpoint | None = None
    found_at: float = 0.0
    gave_up: bool = False


class Wires:
    """Two machines; packets that take their time, and die of a small TTL before they reach another's router."""

    def __init__(self, one: Machine, other: Machine, *, hops: int = FAR) -> None:
        self.hops = hops
        self.machines = {one.number: one, other.number: other}
        self.now = 0.0
        self.sent = 0
        self._under_way: list[tuple[float, int, Send, Endpoint]] = []

    def carry_out(self, machine: Machine, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    self._send(machine, action)
                case Found():
                    machine.found, machine.found_at = action.endpoint, self.now
                case GaveUp():
                    machine.gave_up = True

    def _send(self, machine: Machine, send: Send) -> None:
        self.sent += 1
        outside = machine.address
        if machine.router is not None:
            outside = machine.router.leaves(machine.address, send.endpoint)
        if send.ttl is None or send.ttl >= self.hops:
            heappush(self._under_way, (self.now + LATENCY, self.sent, send, outside))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += 0.005
            for router in filter(None, (machine.router for machine in self.machines.values())):
                router.now = self.now
                router.sweep()
            while self._under_way and self._under_way[0][0] <= self.now:
                _, _, send, source = heappop(self._under_way)
                self._deliver(self.machines[send.peer], source, send)
            for machine in self.machines.values():
                self.carry_out(machine, machine.traversal.tick(self.now))

    def _deliver(self, machine: Machine, source: Endpoint, send: Send) -> None:
        """A small TTL ends at the router."""
        inside: Endpoint | None = send.endpoint
        if machine.router is not None:
            is_there = send.endpoint.startswith(f"{machine.router.public}:")
            inside = machine.router.enters(source, send.endpoint) if is_there else None
        if inside == machine.address and send.ttl is None:
            self.carry_out(machine, machine.traversal.hear(send.probe, source, self.now))


def machine(number: int, kind: str | None, *, tracks: bool = False) -> Machine:
    public = f"198.51.100.{number}"
    if kind is None:
        return Machine(number, Endpoint(f"{public}:51820"), None, Traversal(number, number * 1000))
    router = Router(public, kind, tracks)
    return Machine(number, Endpoint(f"192.168.{number}.9:51820"), router, Traversal(number, number * 1000))


def told_of(peer: Machine, wrong: int = 0) -> list[Endpoint]:
    """What the other is told of a peer: where it was seen, what it says of itself, and some that lead nowhere."""
    seen = peer.address if peer.router is None else Endpoint(f"{peer.router.public}:51820")
    return [*(Endpoint(f"203.0.113.{n}:1") for n in range(1, wrong + 1)), seen]


def met(one: Machine, other: Machine, *, skew: float = 0.0, wrong: int = 0, hops: int = FAR) -> Wires:
    wires = Wires(one, other, hops=hops)
    for machine_, peer, late in ((one, other, 0.0), (other, one, skew)):
        candidates = candidates_of(told_of(peer, wrong), [])
        assert machine_.traversal.meet(peer.number, 7, 0.25 + late, candidates, 0.0)
    wires.run(8)
    return wires


@pytest.mark.parametrize("tracks", [False, True], ids=["drops", "tracks"])
@pytest.mark.parametrize("skew", [0.0, 0.3])
@pytest.mark.parametrize("wrong", [0, 9])
def test_between_two_easy_routers_both_find_the_way_within_a_second(tracks: bool, skew: float, wrong: int) -> None:
    one, other = machine(1, "easy", tracks=tracks), machine(2, "easy", tracks=tracks)
    met(one, other, skew=skew, wrong=wrong)
    assert (one.found, other.found) == ("198.51.100.2:51820", "198.51.100.1:51820")
    assert max(one.found_at, other.found_at) <= 0.25 + 1.0 + skew


def test_where_the_way_is_short_one_may_still_begin_a_quarter_of_a_second_after_the_other() -> None:
    """Two homes of one provider: what should die on the way reaches the other's router, all but the smallest TTL."""
    one, other = machine(1, "easy", tracks=True), machine(2, "easy", tracks=True)
    met(one, other, skew=0.25, hops=NEARBY)
    assert (one.found, other.found) == ("198.51.100.2:51820", "198.51.100.1:51820")


def met_at_ease(one: Machine, other: Machine, late: float, hops: int = NEARBY) -> None:
    """The same where it is known which router minds no stranger; the other begins so much later."""
    wires = Wires(one, other, hops=hops)
    for machine_, peer, after in ((one, other, 0.0), (other, one, late)):
        prime = peer.router is None or peer.router.tracks
        candidates = candidates_of(told_of(peer), [])
        assert machine_.traversal.meet(peer.number, 7, 0.25 + after, candidates, 0.0, prime=prime)
    wires.run(8)
    assert (one.found, other.found) == ("198.51.100.2:51820", "198.51.100.1:51820")


@pytest.mark.parametrize("late", [0.0, 0.04, 0.3, 2.0])
def test_between_two_routers_that_mind_no_stranger_nothing_is_waited_for(late: float) -> None:
    one, other = machine(1, "easy"), machine(2, "easy")
    met_at_ease(one, other, late)
    assert max(one.found_at, other.found_at) < 0.25 + late + (0.1 if late < 0.1 else 0.6)


@pytest.mark.parametrize("late", [0.0, 0.25, -0.2])
def test_towards_a_router_that_minds_a_way_is_opened_first_whatever_the_other_is_like(late: float) -> None:
    """Who is behind it need not wait, as the other's router does not mind; and is answered at once."""
    one, other = machine(1, "easy", tracks=True), machine(2, "easy")
    met_at_ease(one, other, late)
    assert max(one.found_at, other.found_at) < 0.25 + abs(late) + 0.6


@pytest.mark.parametrize("swept", range(0, 60, 10))
def test_a_router_that_knows_a_stranger_forgets_it_between_two_attempts(swept: int) -> None:
    """One packet that came too early: the peer's own packets get another port, and each attempt keeps it so. Whenever
    the router sweeps."""
    one, other = machine(1, "easy", tracks=True), machine(2, "easy", tracks=True)
    wires, way = Wires(one, other), PeerPath()
    assert one.router is not None
    assert other.router is not None
    one.router.swept = other.router.swept = float(swept) - SWEEP
    other.router.enters(Endpoint("198.51.100.1:51820"), Endpoint("198.51.100.2:51820"))
    for epoch in range(5):
        for machine_, peer in ((one, other), (other, one)):
            candidates = candidates_of([*told_of(peer), peer.address], [])
            assert machine_.traversal.meet(peer.number, epoch + 1, wires.now + 0.25, candidates, wires.now)
        wires.run(OVER + 1)
        if one.found and other.found:
            break
        way.failed(wires.now)
        while way.rests(wires.now):
            wires.run(1)
    assert (one.found, other.found) == ("198.51.100.2:51820", "198.51.100.1:51820")
    assert way.failures > 0, "it stood in the way"


@pytest.mark.parametrize("kind", ["easy", "hard"])
def test_to_who_has_no_router_a_way_is_found_from_behind_any(kind: str) -> None:
    home, open_ = machine(1, kind), machine(2, None)
    met(home, open_)
    assert home.found == "198.51.100.2:51820"
    assert open_.found is not None
    assert open_.found.startswith("198.51.100.1:"), "where its probe came from, whatever was told"


@pytest.mark.parametrize("kinds", [("hard", "easy"), ("hard", "hard")])
def test_where_no_way_can_be_found_both_give_up_in_time(kinds: tuple[str, str]) -> None:
    one, other = machine(1, kinds[0]), machine(2, kinds[1])
    wires = met(one, other)
    assert (one.found, other.found, one.gave_up, other.gave_up) == (None, None, True, True)
    assert one.traversal.next_at() is None
    assert wires.sent <= 2 * (3 + len(PROBE) + 4 * len(PROBE)), "what one attempt sends is bounded"


def test_without_priming_routers_that_track_strangers_would_never_let_them_meet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Why the probes with a small TTL come first."""
    monkeypatch.setattr("innclient.core.traversal.PRIME", ())
    one, other = machine(1, "easy", tracks=True), machine(2, "easy", tracks=True)
    met(one, other, skew=0.05)
    assert one.found is None or other.found is None


def test_neighbours_need_no_moment() -> None:
    one = Machine(1, Endpoint("192.168.7.1:51820"), None, Traversal(1, 1))
    other = Machine(2, Endpoint("192.168.7.2:51820"), None, Traversal(2, 2))
    wires = Wires(one, other)
    home = [ip_network("192.168.7.0/24")]
    assert one.traversal.begin(2, candidates_of([Endpoint("198.51.100.9:51820"), other.address], home), 0.0)
    wires.run(0.3)
    assert (one.found, one.found_at <= 0.1) == (other.address, True)


def test_a_better_way_within_a_moment_is_taken() -> None:
    traversal = Traversal(1, 100)
    far, near = Endpoint("198.51.100.2:1"), Endpoint("[2001:db8::2]:1")
    traversal.meet(2, 7, 0.0, candidates_of([far, near], []), 0.0)
    pings = {a.endpoint: a.probe for a in traversal.tick(0.6) if isinstance(a, Send)}
    assert traversal.hear(Probe(PONG, 7, 2, pings[far].nonce), far, 0.61) == []
    assert traversal.hear(Probe(PONG, 7, 2, pings[near].nonce), near, 0.63) == []
    assert traversal.tick(0.67) == [Found(2, near)]


def test_a_way_that_was_found_and_does_not_carry_is_looked_for_anew_after_a_moment() -> None:
    one, other = machine(1, None), machine(2, None)
    met(one, other)
    candidates = candidates_of(told_of(other), [])
    assert one.traversal.begin(2, candidates, 8.0), "the session is over"
    one.traversal.meet(2, 9, 8.0, candidates, 8.0)
    (found,) = [a for a in one.traversal.hear(answer_to(one, 8.6), other.address, 8.6) if isinstance(a, Found)] or [
        a for a in one.traversal.tick(8.7) if isinstance(a, Found)
    ]
    assert found.endpoint == other.address
    assert not one.traversal.begin(2, candidates, 9.0), "it has just been found"
    assert one.traversal.begin(2, candidates, 11.0)


def answer_to(one: Machine, now: float) -> Probe:
    """The other's answer to the first probe that arrives."""
    ping = next(a for a in one.traversal.tick(now) if isinstance(a, Send) and a.ttl is None)
    return Probe(PONG, ping.probe.epoch, ping.peer, ping.probe.nonce)


def test_what_is_learned_of_a_peer_meanwhile_is_tried_too_and_not_without_end() -> None:
    traversal = Traversal(1, 100)
    assert traversal.begin(2, candidates_of([Endpoint("198.51.100.2:1")], []), 0.0)
    traversal.meet(2, 7, 0.25, candidates_of([Endpoint("198.51.100.2:1")], []), 0.0)
    later = [Endpoint(f"198.51.100.3:{port}") for port in range(1, 50)]
    traversal.learn(2, candidates_of(later[:1], []))
    tried = {a.endpoint for a in traversal.tick(0.9) if isinstance(a, Send)}
    assert tried == {"198.51.100.2:1", "198.51.100.3:1"}
    for n in range(5):
        traversal.learn(2, candidates_of(later[n * 10 :], []))
    assert len({a.endpoint for a in traversal.tick(2.0) if isinstance(a, Send)}) == 14


def test_an_answer_to_nothing_that_was_asked_finds_nothing() -> None:
    traversal = Traversal(1, 100)
    traversal.meet(2, 7, 0.0, candidates_of([Endpoint("198.51.100.2:1")], []), 0.0)
    traversal.tick(0.6)
    assert traversal.hear(Probe(PONG, 7, 2, 999), Endpoint("198.51.100.2:1"), 0.7) == []
    assert traversal.hear(Probe(PONG, 7, 3, 101), Endpoint("198.51.100.2:1"), 0.7) == []
    assert not any(isinstance(action, Found) for action in traversal.tick(0.9))


def test_a_ping_is_answered_to_where_it_came_from_and_reflexive_endpoints_are_few() -> None:
    traversal = Traversal(1, 100)
    ping = Probe(PING, 7, 2, 5)
    (answer,) = traversal.hear(ping, Endpoint("198.51.100.2:9"), 0.0)
    assert answer == Send(2, Endpoint("198.51.100.2:9"), Probe(PONG, 7, 1, 5))
    traversal.meet(2, 7, 0.0, (), 0.0)
    tried = [traversal.hear(ping, Endpoint(f"198.51.100.2:{port}"), 0.0)[1:] for port in range(10, 30)]
    assert sum(map(len, tried)) == 4


def test_a_moment_far_away_is_not_waited_for() -> None:
    traversal = Traversal(1, 100)
    traversal.meet(2, 7, 1e9, (), 0.0)
    assert traversal.next_at() <= 2 * OVER


def test_probes_are_made_and_read_by_the_two_alone() -> None:
    ours, others = probe_key(b"s" * 32), probe_key(b"t" * 32)
    probe = Probe(PING, 2**32 - 1, 2**32 - 1, 2**64 - 1)
    data = encode(probe, ours)
    assert (decode(data, ours), decode(data, others), sender_of(data)) == (probe, None, 2**32 - 1)
    assert data[0] not in (1, 2, 3, 4), "WireGuard drops it"
    for cut in range(len(data)):
        assert decode(data[:cut], ours) is None
        assert decode(data[:cut] + bytes([data[cut] ^ 1]) + data[cut + 1 :], ours) is None


@pytest.mark.parametrize(
    ("endpoint", "mine_is_open", "theirs", "kind"),
    [
        (None, True, (), "none"),
        ("192.168.7.2:1", False, (), "lan"),
        ("198.51.100.2:1", True, ("198.51.100.2:1",), "direct"),
        ("198.51.100.2:1", True, ("192.168.9.9:1",), "punched"),
        ("198.51.100.2:1", False, ("198.51.100.2:1",), "punched"),
    ],
)
def test_the_kind_of_a_way(endpoint: str | None, mine_is_open: bool, theirs: tuple[str, ...], kind: str) -> None:
    links = [ip_network("192.168.7.0/24")]
    assert path_kind(endpoint, links, mine_is_open=mine_is_open, theirs=theirs) == kind  # type: ignore[arg-type]
