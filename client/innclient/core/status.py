"""What `inn show`, `inn status` and `inn verify` say, as data: from netmap, device and keeper. Pure."""

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from innclient.core.netmap import KnownPeer, Netmap
from innclient.core.pins import Broken, Pins
from innclient.core.trials import is_silent
from innclient.core.witness import Seen, Witnessed
from innerd.domain.values import Endpoint
from innerd.failure import REFUSED, Failure
from innerd.wire.ours import NetworkCidr, NetworkJson
from innerd.wireguard.device import Device


class Path(Struct, frozen=True):
    """A way to a peer: lan, direct, punched or none; since when; the endpoints that were tried for it; where there is
    none, why."""

    kind: str
    since: float | None = None
    tried: list[str] = []
    missing: str | None = None


Paths = Callable[[int, Endpoint | None], Path]  # of a peer that answers at an endpoint; None where it does not


def without_agent(number: int, endpoint: Endpoint | None) -> Path:
    """Without an agent nobody knows more than whether there is a way."""
    return Path("none" if endpoint is None else "direct")


class PeerView(Struct, kw_only=True):
    """A peer as this machine sees it. Times are seconds since 1970. `path` is lan, direct, punched or none, `tried`
    where it was looked for, `path_missing` why there is none, so far as the agent knows."""

    id: int
    name: str
    ip: str
    cidr: str
    is_admin: bool
    is_disabled: bool
    is_redeemed: bool
    is_me: bool
    public_key: str
    endpoint: str | None
    path: str
    path_since: float | None
    tried: list[str]
    path_missing: str | None
    last_handshake: float | None
    rx_bytes: int
    tx_bytes: int


class CidrView(Struct, kw_only=True):
    id: int
    name: str
    cidr: str
    parent: int | None


class NetworkView(Struct, kw_only=True):
    """One interface. `as_of`: when the coordinator was last heard; null while it is being heard."""

    interface: str
    network: str
    is_up: bool
    listen_port: int
    revision: int
    as_of: float | None
    peers: list[PeerView]
    cidrs: list[CidrView]


class NameState(Struct, kw_only=True):
    """What `inn status` says: how names resolve here, at which address they are answered, and what is wrong."""

    mode: str
    address: str | None
    trouble: str | None


class StatusView(Struct, kw_only=True):
    """How the agent of an interface is; without one, what its files say."""

    interface: str
    network: str
    name: str  # of this peer
    domain: str  # that names end in here
    ip: str
    public_key: str
    backend: str
    is_up: bool
    dns: NameState
    has_agent: bool
    is_connected: bool
    connected_since: float | None
    last_contact: float | None
    trouble: str | None
    forked: str | None
    device_error: str | None
    disk_error: str | None  # why state or pins can't be written down
    revision: int
    generation: int
    applied: int
    peers: int
    is_admin: bool
    online: int  # of the visible peers, so far as the coordinator tells
    reached: int
    refused: list[Broken]
    unreadable: int
    range: str = ""  # of the network, as this machine's config has it
    own_domain: str = ""  # that names end in, but for a suffix of the hosts file's own
    told_domain: str = ""  # that they end in, as the coordinator says
    head: str = ""  # the log's chain hash at the revision
    twins: list[Endpoint] = []  # where the coordinator sees this peer in turns: another machine has its key
    shut_out: str | None = None  # disabled or retired, as the coordinator said last
    release: str = ""  # of the agent that runs


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


def refused_domain(status: StatusView) -> str | None:
    """What is to be said where the coordinator has names end in what this machine did not agree to."""
    if status.told_domain in ("", status.own_domain):
        return None
    told, own = status.told_domain, status.own_domain
    return f"the coordinator says that they end in {told}, which is not taken: here they end in {own}"


def network_view(
    interface: str,
    netmap: Netmap,
    pins: Pins,
    device: Device | None,
    as_of: float | None,
    now: float,
    paths: Paths = without_agent,
) -> NetworkView:
    ordered = sorted(netmap.peers.values(), key=lambda peer: int(peer.ip))
    return NetworkView(
        interface=interface,
        network=netmap.network,
        is_up=device is not None,
        listen_port=device.listen_port if device else 0,
        revision=netmap.revision,
        as_of=as_of,
        peers=[_peer(p, netmap, device or Device(), now, paths) for p in ordered if not _is_refused(p, pins)],
        cidrs=[
            CidrView(id=c.id, name=c.name, cidr=str(c.range), parent=c.parent)
            for c in sorted(netmap.cidrs.values(), key=lambda c: c.id)
        ],
    )


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


def _is_refused(peer: KnownPeer, pins: Pins) -> bool:
    """Whether its key is another than the one pinned for its address."""
    broken = pins.broken.get(str(peer.ip))
    return broken is not None and broken.pinned != peer.public_key


def _peer(peer: KnownPeer, netmap: Netmap, device: Device, now: float, paths: Paths) -> PeerView:
    entry = device.peers.get(peer.public_key)
    is_me = peer.id == netmap.me
    path = paths(peer.id, None if entry is None or is_me or is_silent(entry, now) else entry.endpoint)
    return PeerView(
        id=peer.id,
        name=peer.name,
        ip=str(peer.ip),
        cidr=netmap.cidr_name(peer),
        is_admin=peer.is_admin,
        is_disabled=False,  # others are not told of
        is_redeemed=True,
        is_me=is_me,
        public_key=peer.public_key,
        endpoint=entry.endpoint if entry else None,
        path=path.kind,
        path_since=path.since,
        tried=path.tried,
        path_missing=None if is_me else path.missing,
        last_handshake=entry.last_handshake if entry else None,
        rx_bytes=entry.rx_bytes if entry else 0,
        tx_bytes=entry.tx_bytes if entry else 0,
    )
