"""Random histories: a small town, and then wishes of every kind, most of them in each other's way.

Places, names, keys and ids come from small pools, so that wishes collide; what is refused does not happen.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import strategies as st
from msgspec import UNSET

from innerd.domain import commands as c
from innerd.domain.decide import decide
from innerd.domain.errors import Refused
from innerd.domain.events import AnyEvent
from innerd.domain.network import EMPTY, Network, fold
from innerd.domain.values import Endpoint, Name
from tests.domain.dialogue import listed
from tests.domain.lands import DAY, LANDS, NOW, Land, key

BLOCKS = [
    *["128.0/17", "128.0/18", "192.0/18", "128.0/20", "128.0/24", "128.0/25", "128.0/30", "128.128/25", "64.0/18"],
    *["64.0/24", "64.0/31", "3.0/24", "3.0/30", "3.4/30", "3.2/31", "0.0/30", "0.2/32", "255.0/24", "255.252/30"],
]
PLACES = [f"{high}.{low}" for high in (0, 3, 64, 128, 255) for low in (0, 1, 2, 3, 4, 5, 127, 128, 255)]
NAMES = [Name(f"{who}-{number}") for who in ("ryo", "oven", "tama") for number in range(6)]
ENDPOINTS = [Endpoint("192.0.2.7:1"), Endpoint("[2001:db8::1]:2"), Endpoint("a.example:3"), Endpoint("0.0.0.0:4")]
KEYS = [key(f"key {number}") for number in range(60)]


@dataclass
class Step:
    """A wish that was granted, at its time, and the networks around it."""

    command: c.Command
    before: Network
    events: tuple[AnyEvent, ...]
    after: Network


@dataclass
class Run:
    start: Network
    past: tuple[AnyEvent, ...]  # what made `start`
    steps: list[Step] = field(default_factory=list)

    @property
    def networks(self) -> list[Network]:
        return [self.start, *(step.after for step in self.steps)]

    @property
    def end(self) -> Network:
        return self.networks[-1]

    def between(self, first: int, last: int) -> tuple[AnyEvent, ...]:
        """The events that lead from networks[first] to networks[last]."""
        return tuple(event for step in self.steps[first:last] for event in step.events)

    def __repr__(self) -> str:
        return listed(str(self.start.root.range), self.between(0, len(self.steps)))


def town(land: Land) -> tuple[AnyEvent, ...]:
    return (
        *land.founding(),
        land.cidr(3, "humans", "128.0/17"),
        land.cidr(4, "bakers", "128.0/24", 3),
        land.cidr(5, "cats", "3.0/24"),
        land.peer(2, "ryo", "128.5", admin=True),
        land.peer(3, "mari", "192.1"),
        land.peer(4, "tama", "3.3"),
        land.invited(5, "momo", "128.127", expires=NOW + DAY),
    )


class Wisher:
    """Wishes by the throw of dice: mostly about what is there, sometimes about what is not."""

    def __init__(self, land: Land, network: Network, dice: Random) -> None:
        self.land, self.network, self.dice = land, network, dice

    def wish(self) -> c.Command:
        (kind,) = self.dice.choices(list(OFTEN), list(OFTEN.values()))
        return getattr(self, kind)()

    def peer(self) -> int:
        return self.dice.choice([*self.network.peers, self.dice.randint(1, self.network.last_peer + 1)])

    def cidr(self) -> int:
        return self.dice.choice([*self.network.cidrs, self.dice.randint(1, self.network.last_cidr + 1)])

    def maybe(self, *values: Any) -> Any:
        return self.dice.choice([None, *values])

    def add_peer(self) -> c.Command:
        return c.AddPeer(
            name=self.dice.choice(NAMES),
            cidr=self.dice.choice([1, self.cidr()]),
            ip=self.maybe(*(self.land.at(place) for place in self.dice.choices(PLACES, k=2))),
            public_key=self.dice.choice(KEYS),
            is_admin=self.dice.random() < 0.3,
            is_disabled=self.dice.random() < 0.2,
            is_redeemed=self.dice.random() < 0.6,
            invite_expires=self.maybe(NOW, NOW + DAY, NOW + 3 * DAY),
        )

    def change_peer(self) -> c.Command:
        return c.ChangePeer(
            id=self.peer(),
            name=self.maybe(self.dice.choice(NAMES)),
            is_admin=self.maybe(True, False),
            is_disabled=self.maybe(True, False),
            endpoint=self.dice.choice([UNSET, None, *ENDPOINTS]),
        )

    def change_a_peers_one_thing(self) -> c.Command:
        kinds = (c.EnablePeer, c.DisablePeer, c.GrantAdmin, c.RevokeAdmin, lambda n: c.RenamePeer(n, self.name()))
        return self.dice.choice(kinds)(self.peer())

    def name(self) -> Name:
        return self.dice.choice(NAMES)

    def remove_peer(self) -> c.Command:
        return c.RemovePeer(self.peer())

    def redeem(self) -> c.Command:
        waiting = [peer.id for peer in self.network.peers.values() if not peer.is_redeemed]
        return c.Redeem(self.dice.choice([self.peer(), *waiting]), self.dice.choice(KEYS))

    def reissue(self) -> c.Command:
        return c.ReissueInvitation(self.peer(), self.dice.choice(KEYS), self.maybe(NOW + DAY, NOW + 9 * DAY))

    def add_cidr(self) -> c.Command:
        return c.AddCidr(self.name(), self.land.block(self.dice.choice(BLOCKS)), self.maybe(None, None, self.cidr()))

    def rename_cidr(self) -> c.Command:
        return c.RenameCidr(self.cidr(), self.name())

    def delete_cidr(self) -> c.Command:
        return c.DeleteCidr(self.cidr(), merge=self.dice.random() < 0.5)

    def associate(self) -> c.Command:
        return c.AddAssociation(self.cidr(), self.cidr())

    def part(self) -> c.Command:
        return c.DeleteAssociation(self.dice.randint(1, self.network.last_association + 1))

    def move_an_endpoint(self) -> c.Command:
        endpoint = self.dice.choice(ENDPOINTS)
        override = c.OverrideEndpoint(self.peer(), self.maybe(endpoint))
        return self.dice.choice([override, override, c.SetNetworkEndpoint(endpoint)])

    def expire(self) -> c.Command:
        return c.ExpireInvitations()


OFTEN = {
    "add_peer": 8,
    "change_peer": 2,
    "change_a_peers_one_thing": 3,
    "remove_peer": 2,
    "redeem": 3,
    "reissue": 1,
    "add_cidr": 5,
    "rename_cidr": 1,
    "delete_cidr": 2,
    "associate": 3,
    "part": 1,
    "move_an_endpoint": 1,
    "expire": 1,
}


def granted(land: Land, network: Network, throws: list[int]) -> Iterator[Step]:
    """What comes of one wish a throw. A throw decides its wish alone, so a failing run shrinks wish by wish."""
    now = NOW
    for throw in throws:
        dice = Random(throw)
        command = Wisher(land, network, dice).wish()
        now += dice.choice([0, 0, 0, DAY // 8])
        try:
            events = decide(network, command, now)
        except Refused:
            continue
        after = fold(network, events)
        yield Step(command, network, events, after)
        network = after


def granted_all(network: Network, wishes: list[c.Command], now: float) -> Network:
    """The network after those of the wishes that it grants."""
    for command in wishes:
        with contextlib.suppress(Refused):
            network = fold(network, decide(network, command, now))
    return network


@st.composite
def runs(draw: st.DrawFn, most: int = 60) -> Run:
    """A history of a town in one of the two families."""
    land = LANDS[draw(st.sampled_from(sorted(LANDS)))]
    size = draw(st.integers(0, most))  # lists without a size of their own stay near five
    throws = draw(st.lists(st.integers(0, 2**32 - 1), min_size=size, max_size=size, unique=True))
    past = town(land)
    start = fold(EMPTY, past)
    return Run(start, past, list(granted(land, start, throws)))
