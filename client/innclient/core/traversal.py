"""How two peers find the way to each other: which probe goes where and when, and what an answer means. Pure: what
happened and the time come in, what to send and what was found go out; the schedule is data.

Both begin at the same moment (`go_at`, the coordinator's). First come probes that die on the way (a small TTL): they
open one's own NAT without touching the other's, whose connection tracking would otherwise remember a stranger and
give the peer's own packets another port. The smallest TTL opens a home's router, the next ones a carrier's behind it;
where the way is short these reach the other's router, so they wait: so much later the other may begin. Then probes
that arrive. Each valid one is answered to where it came from;
the first answer, or a better one within a moment, is the way. Neighbours on one LAN need no NAT opened, and are
probed at once."""

from collections.abc import Iterable
from ipaddress import ip_address

from msgspec import Struct, field

from innerd.domain.values import Endpoint, Range, split_endpoint
from innerd.wire.probe import PING, PONG, Probe

PRIME = ((0.0, 2), (0.3, 3), (0.45, 4))  # seconds after go_at, and the TTL
PROBE = (0.6, 0.7, 0.9, 1.2, 1.6, 2.2, 3.0, 4.0, 5.0)  # seconds after go_at, at full TTL
AT_EASE = (
    0.0,
    0.05,
    0.15,
    0.3,
    *PROBE,
)  # the same where the other's router minds no stranger, and nothing comes before
NEAR = (0.0, 0.05, 0.15, 0.4, 1.0)  # seconds after the beginning, to neighbours
BETTER = 0.05  # seconds in which a better way may still be found
OVER = 6.0  # seconds after go_at
MOST, MOST_REFLEXIVE = 10, 4  # endpoints of a peer, and such as its probes came from beside them
MOST_SESSIONS = 64
SETTLES = 2.0  # seconds after which a way that was found and does not carry is looked for anew


class Candidate(Struct, frozen=True):
    """An endpoint that is tried. The lower the class, the better: 0 a neighbour's, 1 IPv6, 2 the rest."""

    endpoint: Endpoint
    rank: int


def candidates_of(endpoints: Iterable[Endpoint], own: Iterable[Range]) -> tuple[Candidate, ...]:
    """The endpoints of a peer, best first; `own` are the ranges of this host's links."""
    links = tuple(own)
    ranked = [Candidate(endpoint, _rank(endpoint, links)) for endpoint in dict.fromkeys(endpoints)]
    return tuple(sorted(ranked, key=lambda candidate: candidate.rank)[:MOST])


def _rank(endpoint: Endpoint, own: tuple[Range, ...]) -> int:
    address = ip_address(split_endpoint(endpoint)[0])
    if any(address in link for link in own):
        return 0
    return 1 if address.version == 6 else 2


class Send(Struct, frozen=True):
    """Send a probe to a peer at an endpoint; `ttl` None: one that arrives."""

    peer: int
    endpoint: Endpoint
    probe: Probe
    ttl: int | None = None


class Found(Struct, frozen=True):
    """The way to a peer."""

    peer: int
    endpoint: Endpoint


class GaveUp(Struct, frozen=True):
    peer: int


Action = Send | Found | GaveUp


class _Session(Struct):
    epoch: int
    candidates: list[Candidate]
    begun: float
    go_at: float | None  # None: only neighbours, until a common moment is known
    probes: tuple[float, ...] = PROBE
    near: int = 0  # how much of each schedule is done
    primed: int = 0
    probed: int = 0
    asked: dict[int, Endpoint] = field(default_factory=dict)  # nonces of pings, and where they went
    answered: list[tuple[int, Endpoint]] = field(default_factory=list)  # rank and endpoint
    decide_at: float | None = None
    found: Endpoint | None = None
    found_at: float = 0.0

    def has_settled(self, now: float) -> bool:
        """Whether a way was found so long ago that it should carry by now."""
        return self.found is not None and now - self.found_at > SETTLES


class Traversal:
    """The sessions of one machine. `me` is its peer id; `nonce` where its nonces begin: random."""

    def __init__(self, me: int, nonce: int) -> None:
        self.me = me
        self._nonce = nonce
        self._sessions: dict[int, _Session] = {}

    def is_trying(self, peer: int) -> bool:
        return peer in self._sessions

    def has_moment(self, peer: int) -> bool:
        """Whether an attempt runs in step with the peer."""
        session = self._sessions.get(peer)
        return session is not None and session.go_at is not None

    def forget(self) -> None:
        """This host is somewhere else now: what was looked for or found from there says nothing."""
        self._sessions.clear()

    def begin(self, peer: int, candidates: tuple[Candidate, ...], now: float) -> bool:
        """Look for a way to a peer: among neighbours at once, by others when the moment is known. Whether there is
        room for one more."""
        known = self._sessions.get(peer)
        has_room = len(self._sessions) < MOST_SESSIONS if known is None else known.has_settled(now)
        if not has_room:
            return False
        self._sessions[peer] = _Session(0, list(candidates), now, None)
        return True

    def learn(self, peer: int, candidates: tuple[Candidate, ...]) -> None:
        """More is known of where a peer may be: a session that runs tries that too, from its next probes on."""
        session = self._sessions.get(peer)
        if session is None or session.found is not None:
            return
        known = {candidate.endpoint for candidate in session.candidates}
        room = MOST + MOST_REFLEXIVE - len(session.candidates)
        session.candidates += [c for c in candidates if c.endpoint not in known][: max(0, room)]

    def meet(
        self,
        peer: int,
        epoch: int,
        go_at: float,
        candidates: tuple[Candidate, ...],
        now: float,
        *,
        prime: bool = True,
    ) -> bool:
        """The coordinator named the moment, and whether the router of the peer may mind what comes too early."""
        known = self._sessions.get(peer)
        if known is None and len(self._sessions) >= MOST_SESSIONS:
            return False
        if known is not None and known.epoch == epoch:
            return True
        if known is not None and known.found is not None and not known.has_settled(now):
            return False  # its handshake is under way
        go_at = min(max(go_at, now), now + OVER)  # nonsense is not waited for
        begun, near = (known.begun, known.near) if known else (now, 0)
        probes, primed = (PROBE, 0) if prime else (AT_EASE, len(PRIME))
        self._sessions[peer] = _Session(epoch, list(candidates), begun, go_at, probes, near, primed)
        return True

    def hear(self, probe: Probe, source: Endpoint, now: float) -> list[Action]:
        """A probe came whose MAC is right. Raises nothing; what belongs to no session is answered all the same."""
        session = self._sessions.get(probe.sender)
        if probe.kind == PING:
            answer: list[Action] = [Send(probe.sender, source, Probe(PONG, probe.epoch, self.me, probe.nonce))]
            return answer + (self._reflexive(probe.sender, session, source) if session else [])
        if session is None or session.found is not None or probe.nonce not in session.asked:
            return []
        rank = next((c.rank for c in session.candidates if c.endpoint == source), 3)
        session.answered.append((rank, source))
        if session.decide_at is None:
            is_best = rank <= min(candidate.rank for candidate in session.candidates)
            session.decide_at = now + (0.0 if is_best else BETTER)
        return self.tick(now)

    def _reflexive(self, peer: int, session: _Session, source: Endpoint) -> list[Action]:
        """Its probe came from where nobody told us to look: that is tried at once. So is where we were told of, if its
        turn has not come: its router has let the probe out, and expects us."""
        known = [candidate.endpoint for candidate in session.candidates]
        reflexive = sum(candidate.rank == 3 for candidate in session.candidates)
        if session.found is None and source in known and not session.probed:
            return [self._ping(peer, session, source, None)]
        if session.found is not None or source in known or reflexive >= MOST_REFLEXIVE:
            return []
        session.candidates.append(Candidate(source, 3))
        return [self._ping(peer, session, source, None)]

    def tick(self, now: float) -> list[Action]:
        """All that is due."""
        actions: list[Action] = []
        for peer, session in list(self._sessions.items()):
            actions += self._due(peer, session, now)
        return actions

    def _due(self, peer: int, session: _Session, now: float) -> list[Action]:
        if session.decide_at is not None and session.found is None and now >= session.decide_at:
            session.found, session.found_at = min(session.answered)[1], now
            return [Found(peer, session.found)]
        actions: list[Action] = []
        if session.found is None:
            near = [c for c in session.candidates if c.rank == 0]
            while near and session.near < len(NEAR) and now >= session.begun + NEAR[session.near]:
                actions += [self._ping(peer, session, c.endpoint, None) for c in near]
                session.near += 1
            if session.go_at is not None:
                actions += self._on_schedule(peer, session, now, session.go_at)
        if now >= (session.go_at or session.begun) + OVER:
            del self._sessions[peer]
            if session.found is None:
                actions.append(GaveUp(peer))
        return actions

    def _on_schedule(self, peer: int, session: _Session, now: float, go_at: float) -> list[Action]:
        actions: list[Action] = []
        while session.primed < len(PRIME) and now >= go_at + PRIME[session.primed][0]:
            ttl = PRIME[session.primed][1]
            far = [c for c in session.candidates if c.rank > 0]
            if session.probed == 0:
                actions += [self._ping(peer, session, c.endpoint, ttl) for c in far]
            session.primed += 1
        while session.probed < len(session.probes) and now >= go_at + session.probes[session.probed]:
            actions += [self._ping(peer, session, c.endpoint, None) for c in session.candidates]
            session.probed += 1
        return actions

    def _ping(self, peer: int, session: _Session, endpoint: Endpoint, ttl: int | None) -> Send:
        self._nonce = (self._nonce + 1) % (1 << 64)
        session.asked[self._nonce] = endpoint
        return Send(peer, endpoint, Probe(PING, session.epoch, self.me, self._nonce), ttl)

    def next_at(self) -> float | None:
        """When `tick` has something to do."""
        return min((self._next(session) for session in self._sessions.values()), default=None)

    def _next(self, session: _Session) -> float:
        times = [(session.go_at or session.begun) + OVER]
        if session.found is None:
            if session.decide_at is not None:
                times.append(session.decide_at)
            if session.near < len(NEAR) and any(c.rank == 0 for c in session.candidates):
                times.append(session.begun + NEAR[session.near])
            if session.go_at is not None and session.primed < len(PRIME):
                times.append(session.go_at + PRIME[session.primed][0])
            if session.go_at is not None and session.probed < len(session.probes):
                times.append(session.go_at + session.probes[session.probed])
        return min(times)


def path_kind(
    endpoint: Endpoint | None, own_links: Iterable[Range], *, mine_is_open: bool, theirs: Iterable[Endpoint]
) -> str:
    """What kind of way an endpoint is: `lan` (a link of this host's), `direct` (both could be reached as they say of
    themselves), `punched` (a NAT was opened from within), `none`."""
    if endpoint is None:
        return "none"
    address = ip_address(split_endpoint(endpoint)[0])
    if any(address in link for link in own_links):
        return "lan"
    return "direct" if mine_is_open and endpoint in theirs else "punched"
