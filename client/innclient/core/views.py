"""What `inn show` and `inn status` say, as data. Pure, and all that a command loads which asks an agent."""

from msgspec import Struct

from innerd.wire.relaying import Relaying


class Broken(Struct, frozen=True, kw_only=True):
    """A key that was offered for a pinned address. `since` in seconds since 1970."""

    peer: int
    name: str
    ip: str
    pinned: str
    offered: str
    since: float


class PeerView(Struct, kw_only=True):
    """A peer as this machine sees it. Times are seconds since 1970. `path` is lan, direct, punched, relayed
    (`via` whom), tcp (the coordinator alone) or none, `tried` where it was looked for, `path_missing` why there is none
    or only a relay, so far as the agent knows."""

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
    via: str | None = None
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
    twins: list[str] = []  # where the coordinator sees this peer in turns: another machine has its key
    shut_out: str | None = None  # disabled or retired, as the coordinator said last
    release: str = ""  # of the agent that runs
    relayed: int = 0  # of those that are reached: by way of the coordinator or another relay
    relayed_bytes: int = 0  # from and to them, in the sessions that are
    tcp: str | None = None  # where the coordinator is reached by TCP, as nothing is heard of it by UDP
    tcp_since: float | None = None
    relaying: Relaying | None = None  # what it relays for others; null where the network does not let it


def refused_domain(status: StatusView) -> str | None:
    """What is to be said where the coordinator has names end in what this machine did not agree to."""
    if status.told_domain in ("", status.own_domain):
        return None
    told, own = status.told_domain, status.own_domain
    return f"the coordinator says that they end in {told}, which is not taken: here they end in {own}"
