"""Pins: which key belongs to which address, remembered for ever. Pure.

The first key seen for an address is pinned. Another key for it is never applied, on no path, until an administrator
of this machine says so (`trusted`); the rest of the network goes on.
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from innclient.core.netmap import KnownPeer
from innclient.core.views import Broken
from innerd.domain.naming import among
from innerd.domain.values import Address, PublicKey, shown
from innerd.failure import not_found


class Pins(Struct, frozen=True):
    """Keys by address, and the breaks that stand."""

    keys: dict[str, PublicKey] = {}
    broken: dict[str, Broken] = {}


def seeded(pins: Pins, known: Mapping[Address, PublicKey]) -> Pins:
    """The pins with what is known without being told; what is pinned already stays."""
    return Pins({**{str(ip): key for ip, key in known.items()}, **pins.keys}, pins.broken)


def check(pins: Pins, peers: Iterable[KnownPeer], now: float, known: Collection[int] | None = None) -> Pins:
    """The pins after seeing peers: the same object where nothing is new. `known`: the peers (by id) that were looked
    at, where not all were; breaks of others stand."""
    keys: dict[str, PublicKey] = {}
    broken = {} if known is None else {ip: b for ip, b in pins.broken.items() if b.peer not in known}
    for peer in peers:
        ip = str(peer.ip)
        pinned = pins.keys.get(ip) or keys.setdefault(ip, peer.public_key)
        if pinned == peer.public_key:
            continue
        before = pins.broken.get(ip)
        since = before.since if before is not None and before.offered == peer.public_key else now
        broken[ip] = Broken(peer=peer.id, name=peer.name, ip=ip, pinned=pinned, offered=peer.public_key, since=since)
    if not keys and broken == pins.broken:
        return pins
    return Pins(pins.keys | keys, broken)


def trusted(pins: Pins, ip: str) -> Pins:
    """The pins with the key that was offered for an address in place of the pinned one. Raises KeyError where no
    break stands."""
    offered = PublicKey(pins.broken[ip].offered)
    return Pins({**pins.keys, ip: offered}, {other: broken for other, broken in pins.broken.items() if other != ip})


def break_of(breaks: Iterable[Broken], network: str, who: str) -> Broken:
    """The break of a peer by its name, name in DNS, address or number. Raises Failure."""
    found = among(breaks, network, who, lambda broken: (broken.name, broken.ip, broken.peer))
    if found is None:
        what = f"no other key is offered for {shown(who)}"
        raise not_found("no_such_break", what, "inn status shows what is refused")
    return found


def fields(broken: Broken) -> dict[str, object]:
    """Of a break, for the log."""
    return {name: getattr(broken, name) for name in ("name", "ip", "pinned", "offered")}
