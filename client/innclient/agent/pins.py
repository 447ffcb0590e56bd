"""Pins: which key belongs to which address, remembered for ever. Pure.

The first key seen for an address is pinned. Another key for it is never applied, on no path, until an administrator
of this machine says so; the rest of the network goes on.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from innclient.agent.state import KnownPeer
from innerd.domain.values import Address, PublicKey


class Broken(Struct, frozen=True, kw_only=True):
    """A key that was offered for a pinned address. `since` in seconds since 1970."""

    peer: int
    name: str
    ip: str
    pinned: str
    offered: str
    since: float


class Pins(Struct, frozen=True):
    """Keys by address, and the breaks that stand."""

    keys: dict[str, PublicKey] = {}
    broken: dict[str, Broken] = {}


def seeded(pins: Pins, known: Mapping[Address, PublicKey]) -> Pins:
    """The pins with what is known without being told; what is pinned already stays."""
    return Pins({**{str(ip): key for ip, key in known.items()}, **pins.keys}, pins.broken)


def check(pins: Pins, peers: Iterable[KnownPeer], now: float) -> tuple[Pins, list[KnownPeer]]:
    """The pins after seeing peers, and the peers that may be believed."""
    keys = dict(pins.keys)
    broken: dict[str, Broken] = {}
    believed = []
    for peer in peers:
        ip = str(peer.ip)
        pinned = keys.setdefault(ip, peer.public_key)
        if pinned == peer.public_key:
            believed.append(peer)
            continue
        before = pins.broken.get(ip)
        since = before.since if before is not None and before.offered == peer.public_key else now
        broken[ip] = Broken(peer=peer.id, name=peer.name, ip=ip, pinned=pinned, offered=peer.public_key, since=since)
    if keys == pins.keys and broken == pins.broken:
        return pins, believed
    return Pins(keys, broken), believed
