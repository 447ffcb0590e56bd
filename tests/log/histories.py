"""Random histories of one network, for the properties of log and coordinator: short words that name commands.

Names, ids and ranges come from small pools, so that collisions, refusals and carving happen all the time.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from ipaddress import ip_network

from hypothesis import strategies as st
from msgspec import Struct

from innerd.domain import commands as c
from innerd.domain.decide import decide
from innerd.domain.errors import Refused
from innerd.domain.events import AnyEvent
from innerd.domain.network import EMPTY, Network, fold
from innerd.domain.values import Endpoint, Name, PublicKey

BEGINNING = 1_790_000_000.0
FOUNDING = c.CreateNetwork(
    id=sha256(b"a network").hexdigest()[:32],
    name="kermpany",
    range=ip_network("10.42.0.0/16"),
    public_key=PublicKey(b64encode(sha256(b"coordinator").digest()).decode()),
    endpoint=Endpoint("192.0.2.1:51820"),
)
RANGES = (
    "10.42.128.0/17",
    "10.42.128.0/20",
    "10.42.128.0/24",
    "10.42.130.0/24",
    "10.42.3.0/24",
    "10.42.3.0/28",
    "10.42.64.0/18",
    "10.42.0.0/20",
)
KINDS = (
    *("add cidr", "rename cidr", "delete cidr", "associate", "dissociate", "invite", "invite", "invite", "static"),
    *("redeem", "redeem", "disable", "enable", "remove", "grant", "revoke", "rename", "reissue", "expire"),
    *("override", "clear", "endpoint", "change"),
)

Step = tuple[str, int, int]
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 7), st.integers(0, 7)), min_size=8, max_size=30).map(
    lambda steps: [*BEGUN, *steps]
)
# What every history begins with, so that there is somebody for something to happen to.
BEGUN: list[Step] = [
    *(("add cidr", 0, 0), ("add cidr", 1, 4), ("add cidr", 2, 6)),
    *(("invite", 2, 0), ("invite", 3, 1), ("invite", 3, 2), ("static", 2, 3), ("invite", 4, 4)),
    *(("redeem", 0, 0), ("redeem", 0, 0), ("associate", 2, 3)),
]


class Turn(Struct, frozen=True):
    """One command that was not refused: the networks around it and its events."""

    before: Network
    events: tuple[AnyEvent, ...]
    after: Network


def key_of(number: int) -> PublicKey:
    return PublicKey(b64encode(sha256(b"key %d" % number).digest()).decode())


def one_of(numbers: Iterable[int], at: int) -> int:
    """Somebody who is there; now and then nobody is."""
    there = sorted(numbers)
    return there[at % len(there)] if there else 99


def command_of(step: Step, number: int, network: Network) -> c.Command:  # one case a word, read downwards
    """The command of a step; `number` is its place, for keys that were never used."""
    kind, a, b = step
    name, peer, cidr = Name(f"n{a}"), one_of(network.peers, b), one_of(network.cidrs, a)
    invited = one_of((p.id for p in network.peers.values() if not p.is_redeemed), b)
    match kind:
        case "add cidr":
            return c.AddCidr(name, ip_network(RANGES[b]))
        case "rename cidr":
            return c.RenameCidr(cidr, Name(f"n{b}"))
        case "delete cidr":
            return c.DeleteCidr(cidr, merge=b % 2 == 1)
        case "associate":
            return c.AddAssociation(cidr, one_of(network.cidrs, b))
        case "dissociate":
            return c.DeleteAssociation(one_of(network.associations, b))
        case "invite":
            expires = None if a % 2 else int(BEGINNING) + 3600 + 60 * number
            return c.AddPeer(name=Name(f"p{b}"), cidr=cidr, ip=None, public_key=key_of(number), invite_expires=expires)
        case "static":
            return c.AddPeer(
                name=name, cidr=cidr, ip=None, public_key=key_of(number), is_redeemed=True, is_disabled=b > 5
            )
        case "redeem":
            return c.Redeem(invited, key_of(number))
        case "disable":
            return c.DisablePeer(peer)
        case "enable":
            return c.EnablePeer(one_of((p.id for p in network.peers.values() if p.is_disabled), b))
        case "remove":
            return c.RemovePeer(peer)
        case "grant":
            return c.GrantAdmin(peer)
        case "revoke":
            return c.RevokeAdmin(peer)
        case "rename":
            return c.RenamePeer(peer, name)
        case "reissue":
            return c.ReissueInvitation(invited, key_of(number), None)
        case "expire":
            return c.ExpireInvitations()
        case "override":
            return c.OverrideEndpoint(peer, Endpoint(f"198.51.100.{a}:51820"))
        case "clear":
            return c.OverrideEndpoint(one_of((p.id for p in network.peers.values() if p.endpoint), b), None)
        case "endpoint":
            return c.SetNetworkEndpoint(Endpoint(f"192.0.2.{a + 1}:51820"))
        case "change":
            return c.ChangePeer(id=peer, name=name, is_admin=a > 3, is_disabled=a % 2 == 0)
    raise AssertionError(kind)


def time_of(step: Step, number: int) -> float:
    """Hours pass, so that invitations end; at "expire" days have."""
    return BEGINNING + 60 * number + (200_000 if step[0] == "expire" else 0)


def history(steps: Iterable[Step]) -> Iterator[Turn]:
    """The founding and what became of each step; refused ones are left out."""
    network = EMPTY
    founded = decide(network, FOUNDING, BEGINNING)
    after = fold(network, founded)
    yield Turn(network, founded, after)
    for number, step in enumerate(steps, 1):
        network = after
        try:
            events = decide(network, command_of(step, number, network), time_of(step, number))
        except Refused:
            continue
        after = fold(network, events)
        yield Turn(network, events, after)
