"""What `inn show`, `inn status` and `inn verify` say, as data: from netmap, device and keeper. Pure."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator

from msgspec import Struct

from innclient.core.netmap import KnownPeer, Netmap
from innclient.core.pins import Pins
from innclient.core.trials import is_silent
from innclient.core.views import CidrView, NetworkView, PeerView
from innclient.core.witness import Seen, Witnessed
from innerd.domain.values import Endpoint, PublicKey, is_by_tcp
from innerd.failure import REFUSED, Failure
from innerd.wire.ours import NetworkCidr, NetworkJson
from innerd.wireguard.device import Device, DevicePeer


class Path(Struct, frozen=True):
    """A way to a peer: lan, direct, punched, relayed, tcp or none; since when; the endpoints that were tried for it;
    where there is none, or none but by a relay (`via`: its name), why; and `at` where it leads, if the device is told
    another place."""

    kind: str
    since: float | None = None
    tried: list[str] = []
    missing: str | None = None
    via: str | None = None
    at: Endpoint | None = None


Paths = Callable[[int, Endpoint | None], Path]  # of a peer that answers at an endpoint; None where it does not


def without_agent(number: int, endpoint: Endpoint | None) -> Path:
    """Without an agent nobody knows more than whether there is a way."""
    return Path("none" if endpoint is None or is_by_tcp(endpoint) else "direct")


def shut_out(reason: str, who: str) -> Failure:
    """That this machine is no peer any more, or for now, as it was told: no firewall is to blame then."""
    way = f"enable-peer --name {who}" if reason == "disabled" else "add it anew, under a new invitation"
    what = f"this machine ({who}) was {reason} by an administrator: the coordinator does not answer it"
    return Failure(REFUSED, "stream_ended", what, f"ask an administrator ({way})")


class CheckpointsView(Struct, kw_only=True):
    """What the coordinator signed of its log (oldest first), what of it came with a fork, and where the log is that
    was told."""

    interface: str
    network: str
    key: str
    generation: int
    revision: int
    head: str
    kept: list[Seen]
    forks: list[Seen]


def checkpoints_view(interface: str, netmap: Netmap, witnessed: Witnessed) -> CheckpointsView:
    return CheckpointsView(
        interface=interface,
        network=netmap.network,
        key=witnessed.key,
        generation=netmap.generation,
        revision=netmap.revision,
        head=netmap.head_hash,
        kept=list(witnessed.kept),
        forks=list(witnessed.forks),
    )


def network_view(
    interface: str, netmap: Netmap, peers: list[PeerView], device: Device | None, as_of: float | None
) -> NetworkView:
    return NetworkView(
        interface=interface,
        network=netmap.network,
        is_up=device is not None,
        listen_port=device.listen_port if device else 0,
        revision=netmap.revision,
        as_of=as_of,
        peers=peers,
        cidrs=[
            CidrView(id=c.id, name=c.name, cidr=str(c.range), parent=c.parent)
            for c in sorted(netmap.cidrs.values(), key=lambda c: c.id)
        ],
    )


def peers_in_sight(
    netmap: Netmap, pins: Pins, device: Device | None, now: float, paths: Paths = without_agent
) -> Iterator[PeerView]:
    """The peers of a view, by address. There may be many: who holds others up meanwhile takes some at a time."""
    known = Device() if device is None else device
    for peer in sorted(netmap.peers.values(), key=lambda peer: int(peer.ip)):
        ip = str(peer.ip)
        if not _is_refused(peer, ip, pins):
            yield _peer(peer, ip, netmap, known, now, paths)


def counted(netmap: Netmap, pins: Pins, device: Device | None, now: float) -> tuple[int, int]:
    """How many other peers are in sight, and how many of them are reached."""
    entries = {} if device is None else device.peers
    others = [
        peer
        for peer in netmap.peers.values()
        if peer.id != netmap.me and not (pins.broken and _is_refused(peer, str(peer.ip), pins))
    ]
    known = (entries.get(peer.public_key) for peer in others)
    return len(others), sum(entry is not None and _answers_at(entry, now) is not None for entry in known)


def relayed(device: Device | None, relays: Collection[PublicKey], now: float) -> tuple[int, int]:
    """How many peers are reached by way of the coordinator or another relay, and the bytes from and to them."""
    if device is None:
        return 0, 0
    at = {device.peers[key].endpoint for key in relays if key in device.peers} - {None}
    found = [
        entry
        for key, entry in device.peers.items()
        if key not in relays and entry.endpoint in at and not is_silent(entry, now)
    ]
    return len(found), sum(entry.rx_bytes + entry.tx_bytes for entry in found)


def network_of(netmap: Netmap) -> NetworkJson:
    """What a machine was told of its network's CIDRs, in the shape in which administrators are told: `peers` of a CIDR
    counts those that are in sight; of associations nobody but administrators is told."""
    names = {cidr.id: cidr.name for cidr in netmap.cidrs.values()}
    seen = Counter(peer.cidr_id for peer in netmap.peers.values())
    return NetworkJson(
        name=netmap.network,
        id=netmap.network_id,
        generation=netmap.generation,
        revision=netmap.revision,
        internal_endpoint="",
        peers=[],
        cidrs=[
            NetworkCidr(
                id=c.id,
                name=c.name,
                cidr=str(c.range),
                parent=None if c.parent is None else names.get(c.parent),
                peers=seen[c.id],
            )
            for c in sorted(netmap.cidrs.values(), key=lambda c: c.id)
        ],
        associations=[],
    )


def _is_refused(peer: KnownPeer, ip: str, pins: Pins) -> bool:
    """Whether its key is another than the one pinned for its address."""
    broken = pins.broken.get(ip)
    return broken is not None and broken.pinned != peer.public_key


def _answers_at(entry: DevicePeer, now: float) -> Endpoint | None:
    return None if is_silent(entry, now) else entry.endpoint


def _shown(endpoint: Endpoint | None) -> Endpoint | None:
    """What stands for a connection by TCP means nothing to people."""
    return None if endpoint is None or is_by_tcp(endpoint) else endpoint


def _peer(peer: KnownPeer, ip: str, netmap: Netmap, device: Device, now: float, paths: Paths) -> PeerView:
    entry = device.peers.get(peer.public_key)
    is_me = peer.id == netmap.me
    path = paths(peer.id, None if entry is None or is_me else _answers_at(entry, now))
    return PeerView(
        id=peer.id,
        name=peer.name,
        ip=ip,
        cidr=netmap.cidr_name(peer),
        is_admin=peer.is_admin,
        is_disabled=False,  # others are not told of
        is_redeemed=True,
        is_me=is_me,
        public_key=peer.public_key,
        endpoint=path.at or _shown(None if entry is None else entry.endpoint),
        path=path.kind,
        path_since=path.since,
        tried=path.tried,
        path_missing=None if is_me else path.missing,
        via=path.via,
        last_handshake=entry.last_handshake if entry else None,
        rx_bytes=entry.rx_bytes if entry else 0,
        tx_bytes=entry.tx_bytes if entry else 0,
    )
