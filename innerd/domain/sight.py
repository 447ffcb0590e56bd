"""Who saw whom through time: since which event two peers see each other, or don't. Pure.

`Sightings` takes in the events that decide it, one after the other, and keeps of each peer when it became active and
ceased to be, and of each CIDR and association when it came and went. That answers for any pair and any revision without
reading the log. It never holds much: of what is over only the newest, and who asks behind that is told so (`before`).
"""

from collections import deque
from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from itertools import groupby
from operator import itemgetter

from msgspec import Struct

from innerd.domain import events as e
from innerd.domain.values import COORDINATOR, stored_address

CONCERNED = ("cidr.", "association.", "peer.", "key.", "invitation.")
"""The types, as prefixes, of all events that `note` must be told of, in the order of the log."""

_TURNS = 200  # of one peer: when it became active or ceased to be
_GONE = 10_000  # peers
_OVER = 4_000  # CIDRs and associations, each


_Change = tuple[int, int, bool]  # the revision, of what (the one peer, the other, what joins them), and what it is now


class Since(Struct, frozen=True):
    """The event that made it so; or, where that is not remembered, the revision before which it was."""

    seq: int | None
    before: int | None = None


class _Life(Struct):
    """One peer. `turns` begin with one by which it became active; what was before `known` is forgotten."""

    ip: int
    added: int
    redeemed: bool
    disabled: bool
    turns: list[int]
    known: int

    def changes(self, which: int) -> Iterator[_Change]:
        return ((turn, which, index % 2 == 0) for index, turn in enumerate(self.turns))

    def turn(self, seq: int) -> None:
        if (self.redeemed and not self.disabled) == (len(self.turns) % 2 == 1):
            return
        self.turns.append(seq)
        if len(self.turns) > _TURNS:
            self.known = self.turns[1]
            del self.turns[:2]


class _Span(Struct):
    """A CIDR (`one` to `other`, as numbers, so many bits long) or an association (of `one` with `other`), and the
    revisions from which and before which it was there."""

    id: int
    one: int
    other: int
    length: int
    came: int
    went: int | None = None

    def changes(self) -> Iterator[tuple[int, bool]]:
        yield self.came, True
        if self.went is not None:
            yield self.went, False


class _Spans:
    """All that are there, and the newest of those that were. `known`: those that went before it are forgotten."""

    def __init__(self) -> None:
        self._there: dict[int, _Span] = {}
        self._over: deque[_Span] = deque()
        self.known = 0

    def add(self, span: _Span) -> None:
        self._there[span.id] = span

    def end(self, number: int, seq: int) -> None:
        span = self._there.pop(number)
        span.went = seq
        self._over.append(span)
        if len(self._over) > _OVER:
            self.known = self._over.popleft().went or 0

    def __iter__(self) -> Iterator[_Span]:
        yield from self._over
        yield from self._there.values()


class Sightings:
    """`revision` is the last that was taken in."""

    def __init__(self) -> None:
        self.revision = 0
        self._lives: dict[int, _Life] = {}
        self._gone: deque[int] = deque()
        self._cidrs = _Spans()
        self._associations = _Spans()

    def note(self, seq: int, event: e.AnyEvent) -> None:
        """Take in the event of a revision."""
        match event:
            case e.CidrCreated():
                block = ip_network(event.range)
                first, last = int(block[0]), int(block[-1])
                self._cidrs.add(_Span(event.id, first, last, block.prefixlen, seq))
            case e.CidrDeleted():
                self._cidrs.end(event.id, seq)
            case e.AssociationAdded():
                self._associations.add(_Span(event.id, event.cidr_id_1, event.cidr_id_2, 0, seq))
            case e.AssociationDeleted():
                self._associations.end(event.id, seq)
            case e.PeerAdded():
                life = _Life(int(stored_address(event.ip)), seq, event.is_redeemed, False, [], seq)
                self._lives[event.id] = life
                life.turn(seq)
            case e.PeerEnabled() | e.PeerDisabled():
                life = self._lives[event.id]
                life.disabled = isinstance(event, e.PeerDisabled)
                life.turn(seq)
            case e.KeyPinned():
                life = self._lives[event.peer]
                life.redeemed = True
                life.turn(seq)
            case e.PeerDeleted() | e.PeerRetired():
                self._let_go(event.id)
            case e.InvitationExpired():
                self._let_go(event.peer)
        self.revision = seq

    def _let_go(self, number: int) -> None:
        self._gone.append(number)
        if len(self._gone) > _GONE:
            del self._lives[self._gone.popleft()]

    def since(self, a: int, b: int, revision: int) -> Since:
        """Since when it has been between two peers as it is at a revision that was taken in, at which both are there:
        the event by which they began or ceased to see each other, or at which the second of the two was added."""
        one, other = self._lives.get(a), self._lives.get(b)
        if one is None or other is None:
            return Since(None, revision + 1)
        begin = max(one.added, other.added)
        known = max(begin, one.known, other.known)
        joined: list[_Change] = [(0, 2, True)]
        if COORDINATOR not in (a, b):
            known = max(known, self._cidrs.known, self._associations.known)
            joined = list(self._joined(one.ip, other.ip))
        if known > revision:
            return Since(None, revision + 1)
        found, state = None, [False, False, False]
        for seq, which, value in sorted([*one.changes(0), *other.changes(1), *joined]):
            if seq > revision:
                break
            before = all(state)
            state[which] = value
            if seq > known and all(state) != before:
                found = seq
        if found is None and known > begin:
            return Since(None, known + 1)
        return Since(begin if found is None else found)

    def _joined(self, a: int, b: int) -> Iterator[_Change]:
        """When two addresses came to belong to one CIDR, or to associated ones, and when that ended."""
        around = [_around(self._cidrs, address) for address in (a, b)]
        moves = [(seq, side, value, span) for side in (0, 1) for span in around[side] for seq, value in span.changes()]
        one, other = ({span.id for span in spans} for spans in around)
        for span in self._associations:
            if (span.one in one and span.other in other) or (span.one in other and span.other in one):
                moves += [(seq, 2, value, span) for seq, value in span.changes()]
        chains: tuple[dict[int, int], dict[int, int]] = ({}, {})  # length -> CIDR: one of a length holds an address
        between, before = 0, False
        for seq, together in groupby(sorted(moves, key=itemgetter(0)), itemgetter(0)):
            for _, side, value, span in together:  # a CIDR may come around both
                if side == 2:
                    between += 1 if value else -1
                elif value:
                    chains[side][span.length] = span.id
                else:
                    del chains[side][span.length]
            now = between > 0 or _narrowest(chains[0]) == _narrowest(chains[1])
            if now != before:
                yield seq, 2, now
            before = now


def _around(cidrs: Iterable[_Span], address: int) -> list[_Span]:
    return [span for span in cidrs if span.one <= address <= span.other]


def _narrowest(chain: dict[int, int]) -> int | None:
    return chain[max(chain)] if chain else None
