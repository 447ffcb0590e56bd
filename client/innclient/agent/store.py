"""The agent's memory on disk: netmap, pins and head, written atomically. A torn or foreign file is an error, not an
empty memory: losing pins in silence would be losing what they are for.

Netmap and pins are ledgers (`ledger`): what a change costs does not grow with the network. Who writes them is `shelf`.

The netmap is a cache: one that can't be read is told anew by the coordinator, so long as the head is there. The head
says how far which log was seen, so that a damaged disk is no way to have another log believed.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from innclient.agent.ledger import Ledger, lines
from innclient.core.membership import Identity, Membership
from innclient.core.netmap import KnownCidr, KnownPeer, KnownRecord, Netmap, owned
from innclient.core.pins import Pins
from innclient.core.views import Broken
from innclient.core.witness import Seen, Witnessed, remembered
from innclient.paths import Paths
from innerd.admin.invitation import Parsed
from innerd.domain.errors import Refused
from innerd.domain.maps import Map
from innerd.domain.unreadable import UNREADABLE
from innerd.domain.values import PublicKey, parse_address, parse_endpoint, parse_name, parse_public_key, parse_range
from innerd.failure import TRUST, Failure
from innerd.host import files
from innerd.wire.note import NotSigned
from innerd.wireguard.keys import public_key

T = TypeVar("T")
F = TypeVar("F")

_VERSION = 1  # of each file
_IP_TYPES = ("IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network")


def _to_text(value: object) -> str:
    if type(value).__name__ in _IP_TYPES:
        return str(value)
    raise NotImplementedError(type(value))


class _PeerFile(msgspec.Struct, kw_only=True):
    id: int
    name: str
    ip: str
    cidr_id: int
    public_key: str
    endpoint: str | None
    is_admin: bool
    records: list[KnownRecord] = []
    is_relay: bool = False


class _CidrFile(msgspec.Struct, kw_only=True):
    id: int
    name: str
    range: str
    parent: int | None


class _Told(msgspec.Struct, kw_only=True):
    """All of a netmap but peers and CIDRs."""

    network: str
    network_id: str
    suffix: str
    me: int
    generation: int
    revision: int
    head_hash: str
    refused: dict[int, str] = {}
    is_emptied: bool = False
    shut_out: str | None = None


class _NetmapFile(_Told, kw_only=True):
    version: int = _VERSION
    saved: float
    peers: list[_PeerFile]
    cidrs: list[_CidrFile]


class _NetmapChange(msgspec.Struct, kw_only=True):
    """What is other than in the lines before: all but peers and CIDRs, and of these what changed."""

    saved: float
    told: _Told
    peers: list[_PeerFile] = []
    gone: list[int] = []
    cidrs: list[_CidrFile] = []
    cidrs_gone: list[int] = []


class _HeadFile(msgspec.Struct, kw_only=True):
    version: int = _VERSION
    network: str
    network_id: str
    suffix: str
    generation: int
    revision: int
    head_hash: str


class _PinsFile(msgspec.Struct, kw_only=True):
    version: int = _VERSION
    pins: Pins


class _PinsChange(msgspec.Struct, kw_only=True):
    """Pins that are new or others, and the breaks that stand."""

    keys: dict[str, PublicKey]
    broken: dict[str, Broken]


class _CheckpointsFile(msgspec.Struct, kw_only=True):
    version: int = _VERSION
    key: str = ""
    kept: list[Seen] = []
    forks: list[Seen] = []


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """Our WireGuard port, where peers (by address) were reached, and the coordinator's port for TCP."""

    version: int = _VERSION
    listen_port: int = 0
    endpoints: dict[str, str] = {}
    tcp: int | None = None


def load_last(paths: Paths) -> Last:
    """It is a help and no more: what can't be read is nothing."""
    try:
        last = msgspec.json.decode(paths.last.read_bytes(), type=Last)
        for endpoint in last.endpoints.values():
            parse_endpoint(endpoint)
    except (OSError, *UNREADABLE, Refused):
        return Last()
    return last


def load_membership(paths: Paths, values: Parsed) -> tuple[Membership, float | None]:
    """What is known of a network by the config and the files, and when the netmap was saved. Raises Failure."""
    netmap, saved = load_netmap(paths)
    me = Identity(
        private_key=values.private_key,
        public_key=public_key(values.private_key),
        ip=values.address.ip,
        server_key=values.server_key,
        server_ip=values.internal_address,
    )
    netmap = owned(netmap, values.address.network, values.network, values.suffix)
    return Membership(me, netmap, load_pins(paths), {}, load_witnessed(paths)), saved


def _values(told: Netmap | _Told) -> dict[str, Any]:
    return {name: getattr(told, name) for name in _Told.__struct_fields__}


def netmap_document(netmap: Netmap, now: float) -> bytes:
    peers, cidrs = list(netmap.peers.values()), list(netmap.cidrs.values())
    return _encoded({"version": _VERSION, "saved": now, **_values(netmap), "peers": peers, "cidrs": cidrs})


def netmap_change(before: Netmap, netmap: Netmap, peers: set[int], now: float) -> bytes:
    """What became of a netmap; of its peers, some were told of."""
    changed = {number for number in peers if before.peers.get(number) is not netmap.peers.get(number)}
    there = {number for number in changed if number in netmap.peers}
    content: dict[str, Any] = {"saved": now, "told": _values(netmap)}
    content |= {"peers": [netmap.peers[number] for number in sorted(there)], "gone": sorted(changed - there)}
    if before.cidrs is not netmap.cidrs:
        old, new = before.cidrs, netmap.cidrs
        content["cidrs"] = [cidr for number, cidr in new.items() if old.get(number) != cidr]
        content["cidrs_gone"] = [number for number in old if number not in new]
    return _encoded(content)


def _encoded(content: object) -> bytes:
    return msgspec.json.encode(content, enc_hook=_to_text)


def head_document(netmap: Netmap) -> bytes:
    head = {name: getattr(netmap, name) for name in _HeadFile.__struct_fields__ if name != "version"}
    return msgspec.json.encode({"version": _VERSION, **head})


def load_netmap(paths: Paths) -> tuple[Netmap, float | None]:
    """The netmap and when it was saved; an empty one where there is none. One that is damaged, lost or older than the
    head is empty too, but for the head. Raises Failure where it can't be read and there is no head."""
    head = _head(paths)
    try:
        netmap, saved = _read(paths.netmap, _NetmapFile, _netmap) or (Netmap(), None)
    except _Unreadable as broken:
        if head is None:
            raise _lost(broken, "how far the log was seen is lost with it") from None
        return head, None
    if head is not None and (head.generation, head.revision) > (netmap.generation, netmap.revision):
        return head, None
    return netmap, saved


def _head(paths: Paths) -> Netmap | None:
    """What is left of a netmap where only the head is known."""
    try:
        return _read(paths.head, _HeadFile, _bare)
    except _Unreadable:
        return None  # it is written anew with the next netmap


def _bare(read: _HeadFile, changes: Iterator[bytes]) -> Netmap:
    known = {name: getattr(read, name) for name in _HeadFile.__struct_fields__ if name != "version"}
    return Netmap(**known, is_emptied=True)


def damage(paths: Paths) -> str | None:
    """What of the memory is lost without harm, in words. Raises Failure where there is harm."""
    load_pins(paths)
    load_netmap(paths)
    try:
        _read(paths.netmap, _NetmapFile, _netmap)
    except _Unreadable as broken:
        return str(broken)
    return None


def _netmap(read: _NetmapFile, changes: Iterator[bytes]) -> tuple[Netmap, float]:
    peers = Map({p.id: _peer(p) for p in read.peers}).mutate()
    cidrs = {c.id: _cidr(c) for c in read.cidrs}
    saved, told = read.saved, _values(read)
    for line in changes:
        change = msgspec.json.decode(line, type=_NetmapChange)
        saved, told = change.saved, _values(change.told)
        for number in change.gone:
            peers.pop(number, None)
        for peer in change.peers:
            peers[peer.id] = _peer(peer)
        cidrs = {n: c for n, c in cidrs.items() if n not in change.cidrs_gone}
        cidrs |= {c.id: _cidr(c) for c in change.cidrs}
    return Netmap(**told, peers=peers.finish(), cidrs=cidrs), saved


def pins_document(pins: Pins) -> bytes:
    return msgspec.json.encode(_PinsFile(pins=pins))


def pins_change(before: Pins, pins: Pins) -> bytes:
    new = {ip: key for ip, key in pins.keys.items() if before.keys.get(ip) != key}
    return msgspec.json.encode(_PinsChange(keys=new, broken=pins.broken))


def save_pins(paths: Paths, pins: Pins) -> None:
    Ledger(paths.pins).write(pins_document(pins))


def load_pins(paths: Paths) -> Pins:
    """The pins; none where there is no file. Raises Failure for a broken one."""
    try:
        return _read(paths.pins, _PinsFile, _pins) or Pins()
    except _Unreadable as broken:
        raise _lost(broken, "which key belongs to which peer is lost with it") from None


def _pins(read: _PinsFile, changes: Iterator[bytes]) -> Pins:
    keys, broken = dict(read.pins.keys), read.pins.broken
    for line in changes:
        change = msgspec.json.decode(line, type=_PinsChange)
        keys |= change.keys
        broken = change.broken
    return Pins(keys, broken)


def save_witnessed(paths: Paths, witnessed: Witnessed) -> None:
    files.make_private(paths.data)
    kept, forks = list(witnessed.kept), list(witnessed.forks)
    written = msgspec.json.encode(_CheckpointsFile(key=witnessed.key, kept=kept, forks=forks))
    files.write_atomically(paths.checkpoints, written)


def load_witnessed(paths: Paths) -> Witnessed:
    """What the coordinator signed so far. Raises Failure for a broken file, and for what its key did not sign."""
    try:
        return _read(paths.checkpoints, _CheckpointsFile, _witnessed) or Witnessed()
    except _Unreadable as broken:
        raise _lost(broken, "what the coordinator signed of its log is lost with it") from None


def _witnessed(read: _CheckpointsFile, changes: Iterator[bytes]) -> Witnessed:
    return remembered(read.key, read.kept, read.forks)


def _peer(peer: _PeerFile) -> KnownPeer:
    return KnownPeer(
        id=peer.id,
        name=parse_name(peer.name),
        ip=parse_address(peer.ip),
        cidr_id=peer.cidr_id,
        public_key=parse_public_key(peer.public_key),
        endpoint=None if peer.endpoint is None else parse_endpoint(peer.endpoint),
        is_admin=peer.is_admin,
        records=tuple(peer.records),
        is_relay=peer.is_relay,
    )


def _cidr(cidr: _CidrFile) -> KnownCidr:
    return KnownCidr(id=cidr.id, name=cidr.name, range=parse_range(cidr.range), parent=cidr.parent)


class _Unreadable(Exception):
    """What is in a file is not what we wrote."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} can't be read: {why}")
        self.path = path


def _read(path: Path, shape: type[F], make: Callable[[F, Iterator[bytes]], T]) -> T | None:
    """What a file says: its document and the changes after it. None where there is none. Raises _Unreadable."""
    try:
        changes = lines(path.read_bytes())
        read = msgspec.json.decode(next(changes), type=shape)
        if (version := getattr(read, "version", _VERSION)) != _VERSION:
            raise _Unreadable(path, f"it is of version {version}, and this release knows {_VERSION}")
        return make(read, changes)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise
    except (*UNREADABLE, ValueError, Refused, NotSigned, OSError) as error:
        raise _Unreadable(path, str(error)) from None


def _lost(broken: _Unreadable, what: str) -> Failure:
    """Trying again would not mend it, and going on without it would be believing whoever comes first."""
    compare = "compare the keys and the head with an administrator's"
    fix = f"restore it from a backup; or {compare}, and move {broken.path} away"
    return Failure(TRUST, "state_unreadable", f"{broken}: {what}", fix)
