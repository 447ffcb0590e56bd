"""What a peer was told, in words. Pure."""

from collections.abc import Iterable

from msgspec import Struct

from innclient.core.netmap import KnownPeer, Netmap


class Entry(Struct, frozen=True, kw_only=True):
    """`seq` counts from 1 on this machine; `at` in seconds since 1970; `type` is stable, `text` for people."""

    seq: int = 0
    at: float
    revision: int
    type: str
    subject: str
    text: str


def differences(before: Netmap, after: Netmap, numbers: Iterable[int], now: float) -> list[Entry]:
    """What became of peers (by id) and CIDRs from one netmap to another."""
    found: list[tuple[str, str, str]] = []
    for number in sorted(numbers):
        old, new = before.peers.get(number), after.peers.get(number)
        if old != new:
            found += _of_peer(number, old, new, before, after)
    if before.cidrs != after.cidrs:
        found += _of_cidrs(before, after)
    revision = after.revision
    return [Entry(at=now, revision=revision, type=type_, subject=who, text=text) for type_, who, text in found]


def _of_peer(
    number: int, old: KnownPeer | None, new: KnownPeer | None, before: Netmap, after: Netmap
) -> list[tuple[str, str, str]]:
    who = f"peer:{number}"
    if new is None:
        name = f"{old.name} ({old.ip})" if old is not None else who
        return [("peer.gone", who, f"{name} is out of sight")]
    if old is None:
        admin = ", an administrator" if new.is_admin else ""
        return [("peer.seen", who, f"{new.name} ({new.ip}, {after.cidr_name(new)}{admin}) is in sight")]
    found = []
    if old.name != new.name:
        found.append(("peer.renamed", who, f"{old.name} ({new.ip}) is called {new.name} now"))
    if old.ip != new.ip:
        found.append(("peer.address", who, f"{new.name} is said to have another address: {new.ip}, not {old.ip}"))
    if old.cidr_id != new.cidr_id:
        found.append(("peer.moved", who, f"{new.name} belongs to {after.cidr_name(new)}, not {before.cidr_name(old)}"))
    if old.public_key != new.public_key:
        found.append(("peer.key", who, f"{new.name} ({new.ip}) is said to have another key: {new.public_key}"))
    if old.is_admin != new.is_admin:
        found.append(("peer.admin", who, f"{new.name} is {'an' if new.is_admin else 'no'} administrator now"))
    if old.records != new.records:
        count = f"{len(new.records) or 'no'} DNS record{'' if len(new.records) == 1 else 's'}"
        found.append(("peer.records", who, f"{new.name} has {count} now"))
    if old.endpoint != new.endpoint:
        where = f"is reached at {new.endpoint}" if new.endpoint else "has no overridden endpoint any more"
        found.append(("peer.endpoint", who, f"{new.name} {where}"))
    return found


def _of_cidrs(before: Netmap, after: Netmap) -> list[tuple[str, str, str]]:
    found = []
    for number in sorted(before.cidrs.keys() | after.cidrs.keys()):
        old, new = before.cidrs.get(number), after.cidrs.get(number)
        who = f"cidr:{number}"
        if old is None and new is not None:
            found.append(("cidr.seen", who, f"CIDR {new.name} ({new.range})"))
        elif new is None and old is not None:
            found.append(("cidr.gone", who, f"CIDR {old.name} ({old.range}) is no more"))
        elif old is not None and new is not None and old.name != new.name:
            found.append(("cidr.renamed", who, f"CIDR {old.name} is called {new.name} now"))
    return found
