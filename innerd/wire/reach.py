"""The shapes of how far peers reach: what is relayed, and the files of devices that have WireGuard alone."""

from msgspec import Struct, field

from innerd.domain.network import Peer
from innerd.domain.values import COORDINATOR, parse_endpoint, split_endpoint
from innerd.domain.visibility import View
from innerd.wire.relaying import Relaying


class RelayedPair(Struct, kw_only=True):
    """Two peers whose traffic is relayed, by name; `since` is in seconds since 1970, `bytes` are those of both ways,
    with WireGuard's own."""

    a: str
    b: str
    since: float
    bytes: int


class TcpPeer(Struct, kw_only=True):
    """A peer, by name, that is here by TCP, and where from."""

    peer: str
    remote: str


class TcpStatus(Struct, kw_only=True):
    """Where peers may come by TCP, who did, and how many connections were turned away."""

    at: str
    peers: list[TcpPeer] = []
    refused: int = 0


class RelayStatus(Relaying, kw_only=True):
    """The relay here. `mode` is kernel, userspace or off; `why` says why it is not in the kernel, or not on. `held` are
    packets that were above a limit, `refused` handshakes that were for nobody, `busiest` the pairs through which most
    passed; of many pairs only what passed in the last minutes is known."""

    repairs: int = 0
    busiest: list[RelayedPair] = field(default_factory=list)
    tcp: TcpStatus | None = None  # None where nobody may come by TCP


class ConfigState(Struct, kw_only=True):
    """How old a plain peer's file is: of which `revision`, and by name whom it can't reach (`missing`) and whom it
    knows and should not (`gone`); `behind` counts both."""

    revision: int
    behind: int
    missing: list[str]
    gone: list[str]


class PlainPeer(Struct, kw_only=True):
    """Somebody whom a plain peer reaches."""

    name: str
    ip: str
    public_key: str


class PlainConfig(Struct, kw_only=True):
    """`GET /v1/admin/peers/{id}/config`: what a plain peer's file says beside its private key. All of `peers` are
    reached at `endpoint`, the coordinator's; the first is the coordinator. `revision` is the one noted of it."""

    revision: int
    network: str
    name: str
    ip: str
    public_key: str
    endpoint: str
    dns: str
    domain: str
    is_relay: bool  # whether the coordinator relays: else the device reaches nobody but it
    peers: list[PlainPeer]


def plain_config(view: View, peer: Peer, internal_endpoint: str, suffix: str) -> PlainConfig:
    network = view.network
    seen = sorted(view.visible_to(peer), key=lambda one: (one.id != COORDINATOR, one.id))
    return PlainConfig(
        revision=peer.config or 0,
        network=network.name,
        name=peer.name,
        ip=str(peer.ip),
        public_key=peer.public_key,
        endpoint=network.coordinator.endpoint or "",
        dns=split_endpoint(parse_endpoint(internal_endpoint))[0],
        domain=f"{network.name}.{suffix}",
        is_relay=network.coordinator.is_relay,
        peers=[PlainPeer(name=o.name, ip=str(o.ip), public_key=o.public_key) for o in seen if o.id != peer.id],
    )
