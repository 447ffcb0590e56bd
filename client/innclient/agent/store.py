"""The agent's memory on disk: netmap, pins and head, written atomically. A torn or foreign file is an error, not an
empty memory: losing pins in silence would be losing what they are for.

The netmap is a cache: one that can't be read is told anew by the coordinator, so long as the head is there. The head
says how far which log was seen, so that a damaged disk is no way to have another log believed.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from innclient.config import Paths
from innclient.core.membership import Identity, Membership
from innclient.core.netmap import KnownCidr, KnownPeer, KnownRecord, Netmap, owned
from innclient.core.pins import Pins
from innclient.core.witness import Seen, Witnessed, remembered
from innerd.admin.invitation import Parsed
from innerd.domain.errors import UNREADABLE, Refused
from innerd.domain.values import parse_address, parse_endpoint, parse_name, parse_public_key, parse_range
from innerd.failure import TRUST, Failure
from innerd.host import files
from innerd.wire.note import NotSigned
from innerd.wireguard.keys import public_key

T = TypeVar("T")
F = TypeVar("F")

_log = structlog.get_logger("agent")

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


class _CidrFile(msgspec.Struct, kw_only=True):
    id: int
    name: str
    range: str
    parent: int | None


class _NetmapFile(msgspec.Struct, kw_only=True):
    version: int = _VERSION
    saved: float
    network: str
    network_id: str
    suffix: str
    me: int
    generation: int
    revision: int
    head_hash: str
    peers: list[_PeerFile]
    cidrs: list[_CidrFile]
    refused: dict[int, str] = {}
    is_emptied: bool = False
    shut_out: str | None = None


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


class _CheckpointsFile(msgspec.Struct, kw_only=True):
    version: int = _VERSION
    key: str = ""
    kept: list[Seen] = []
    forks: list[Seen] = []


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """Our WireGuard port, and where peers (by address) were reached."""

    version: int = _VERSION
    listen_port: int = 0
    endpoints: dict[str, str] = {}


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


class Shelf:
    """Netmap and pins on disk. A disk that is full or read-only is no reason to stop: `broken` says why something
    could not be written, and `retry` tries it again."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._lock = threading.Lock()  # a retry must not overtake what is newer
        self._unsaved: dict[str, Callable[[], None]] = {}
        self._broken: dict[str, str] = {}

    @property
    def broken(self) -> str | None:
        return next(iter(self._broken.values()), None)

    def save_netmap(self, netmap: Netmap, now: float) -> bool:
        """Whether it is written."""
        self._try("netmap", lambda: save_netmap(self._paths, netmap, now))
        return "netmap" not in self._broken

    def save_last(self, last: Last) -> None:
        self._try("last", lambda: files.write_atomically(self._paths.last, msgspec.json.encode(last)))

    def save_pins(self, pins: Pins) -> None:
        self._try("pins", lambda: save_pins(self._paths, pins))

    def save_witnessed(self, witnessed: Witnessed) -> None:
        self._try("checkpoints", lambda: save_witnessed(self._paths, witnessed))

    def retry(self) -> bool:
        """Whether everything is written now."""
        for what in list(self._unsaved):
            self._try(what)
        return not self._broken

    def _try(self, what: str, save: Callable[[], None] | None = None) -> None:
        """Write something, or what of it could not be written before."""
        with self._lock:
            chosen = save or self._unsaved.get(what)
            if chosen is not None:
                self._write(what, chosen)

    def _write(self, what: str, save: Callable[[], None]) -> None:
        try:
            save()
        except OSError as error:
            why = f"{self._paths.data}: {error.strerror or error}"
            if self._broken.get(what) != why:
                _log.error("can't be written: kept in memory, and tried again", what=what, why=why)
            self._unsaved[what], self._broken[what] = save, why
        else:
            self._unsaved.pop(what, None)
            self._broken.pop(what, None)


def save_netmap(paths: Paths, netmap: Netmap, now: float) -> None:
    files.make_private(paths.data)
    content: dict[str, Any] = {
        "version": _VERSION,
        "saved": now,
        **{name: getattr(netmap, name) for name in ("network", "network_id", "suffix", "me", "generation", "revision")},
        "head_hash": netmap.head_hash,
        "peers": list(netmap.peers.values()),
        "cidrs": list(netmap.cidrs.values()),
        "refused": netmap.refused,
        "is_emptied": netmap.is_emptied,
        "shut_out": netmap.shut_out,
    }
    files.write_atomically(paths.netmap, msgspec.json.encode(content, enc_hook=_to_text))
    head = {name: content[name] for name in _HeadFile.__struct_fields__}
    files.write_atomically(paths.head, msgspec.json.encode(head))


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


def _bare(read: _HeadFile) -> Netmap:
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


def _netmap(read: _NetmapFile) -> tuple[Netmap, float]:
    peers = {p.id: _peer(p) for p in read.peers}
    cidrs = {c.id: KnownCidr(id=c.id, name=c.name, range=parse_range(c.range), parent=c.parent) for c in read.cidrs}
    netmap = Netmap(
        network=read.network,
        network_id=read.network_id,
        suffix=read.suffix,
        me=read.me,
        generation=read.generation,
        revision=read.revision,
        head_hash=read.head_hash,
        peers=peers,
        cidrs=cidrs,
        refused=read.refused,
        is_emptied=read.is_emptied,
        shut_out=read.shut_out,
    )
    return netmap, read.saved


def save_pins(paths: Paths, pins: Pins) -> None:
    files.make_private(paths.data)
    files.write_atomically(paths.pins, msgspec.json.encode(_PinsFile(pins=pins)))


def load_pins(paths: Paths) -> Pins:
    """The pins; none where there is no file. Raises Failure for a broken one."""
    try:
        return _read(paths.pins, _PinsFile, lambda read: read.pins) or Pins()
    except _Unreadable as broken:
        raise _lost(broken, "which key belongs to which peer is lost with it") from None


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


def _witnessed(read: _CheckpointsFile) -> Witnessed:
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
    )


class _Unreadable(Exception):
    """What is in a file is not what we wrote."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} can't be read: {why}")
        self.path = path


def _read(path: Path, shape: type[F], make: Callable[[F], T]) -> T | None:
    """What a file says; None where there is none. Raises _Unreadable."""
    try:
        read = msgspec.json.decode(path.read_bytes(), type=shape)
        if (version := getattr(read, "version", _VERSION)) != _VERSION:
            raise _Unreadable(path, f"it is of version {version}, and this release knows {_VERSION}")
        return make(read)
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
