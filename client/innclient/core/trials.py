"""What this peer's device should be, from what it knows. Pure: the device and the time come in as values.

Keys, allowed IPs and keepalive are ours; endpoints are WireGuard's own business as long as a peer answers. Only for
a peer that is silent the next of its known endpoints is tried, if it is online.

Nobody is sent anything by itself who is not there, or not known where: of 5,000 peers that cost a fifth of a core. So
the keepalive is on where a peer answers or is online, and has an endpoint; switched on, it greets at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from innclient.core.netmap import KnownPeer, Whereabouts
from innerd.domain.values import COORDINATOR, KEEPALIVE, Address, Endpoint, PublicKey
from innerd.wireguard.device import Device, DevicePeer, Wanted, WantedPeer, only

SILENT = 180.0  # seconds without a handshake: WireGuard has given the session up
MOMENT = 0.05  # seconds until a peer begins: the other should know of it by then, or it drops its packet
_NO_DATA = 148 + 2 * 32  # bytes: a handshake's, and two keepalives
TRY = 5.0  # seconds for each endpoint: WireGuard's own retry
DIRECT_FIRST = 1.0  # seconds in which a peer that should be open answers, before it is tried by a relay
HEAD_START = 0.6  # seconds in which the peer that begins should have reached the other: a way by satellite and back


class Server(Struct, frozen=True):
    """The coordinator. `endpoint` is resolved, None while its name can't be; `moved` says that it is a new one,
    to be taken even though the old one may still seem alive."""

    public_key: PublicKey
    ip: Address
    endpoint: Endpoint | None
    moved: bool = False


def is_silent(entry: DevicePeer | None, now: float) -> bool:
    return entry is None or entry.last_handshake is None or now - entry.last_handshake > SILENT


def is_quiet(before: Device | None, after: Device | None) -> bool:
    """Whether nobody was sent data that is not answered, between two looks: then the next look can wait. Who answers
    goes on answering; a keepalive or a handshake is not data."""
    if before is None or after is None:
        return False
    for key, entry in after.peers.items():
        was = before.peers.get(key, entry)
        if entry is not was and entry.tx_bytes - was.tx_bytes > _NO_DATA and entry.rx_bytes == was.rx_bytes:
            return False
    return True


class Trial(Struct, frozen=True):
    """An endpoint that a silent peer is tried at; `turn` counts the endpoints tried so far. Before our first turn
    (-1) there is none: the peer begins. `online`: whether it was said to be there; `came`: it was tried while it was
    not."""

    since: float
    turn: int
    endpoint: Endpoint | None
    online: bool = False
    came: bool = False
    has_next: bool = False  # the relay is tried next, soon

    @property
    def due(self) -> float | None:
        """When its next turn is, where that must not wait for the next look."""
        if self.turn < 0:
            return self.since
        return self.since + DIRECT_FIRST if self.has_next and self.online and self.turn == 0 else None

    def is_turn_after(self, before: "Trial | None") -> bool:
        """Whether it is another turn than that one."""
        return before is None or (self.since, self.turn) != (before.since, before.turn)


class Turns(Struct, frozen=True):
    """Which peers (by id) the device must not try by itself, who of two begins (None: a matter of keys), and how many
    seconds it takes until we begin, and until we follow."""

    head_start: float = HEAD_START
    moment: float = 0.0
    holds: Callable[[int], bool] = lambda number: False
    begins: Callable[[int], bool | None] = lambda number: None


BY_KEYS = Turns(moment=MOMENT)


def next_trials(
    trials: dict[int, Trial],
    me: PublicKey,
    peers: Iterable[KnownPeer],
    presence: dict[int, Whereabouts],
    device: Device,
    now: float,
    turns: Turns = Turns(),  # noqa: B008 - frozen
    relays: Sequence[Endpoint] = (),
) -> dict[int, Trial]:
    """The trials at this moment: each silent peer at the endpoint whose turn it is, around and around.

    Two peers hear of each other at the same moment. If both began at once, their handshakes would cross, each would
    drop the other's answer, and WireGuard would try again only after 5 s. So one begins, after a moment
    in which the other hears of it too; that one follows after a head start, in case a NAT lets nobody in. Who begins is
    what `turns` says, else it is the one with the higher key.

    An endpoint is set once a turn and then left alone, as the peer may be trying us at the same moment and
    WireGuard has learned the better one from its packet. Who is not online has no turns, but one endpoint, for what
    this host may want to send.

    Where there are `relays` (their endpoints), they are the way to a peer whom the device must not try by itself, and
    else the next after the first that did not answer: what carries is found by whoever looks for it meanwhile.
    """
    after = {}
    for peer in peers:
        known = presence.get(peer.id)
        if known is None or not is_silent(device.peers.get(peer.public_key), now):
            continue
        before = trials.get(peer.id)
        if not known.may_answer:
            if not known.endpoints:
                continue
            idle = before is not None and before.turn == 0 and before.endpoint == known.endpoints[0]
            kept = before if before is not None and idle else Trial(now, 0, known.endpoints[0])
            after[peer.id] = replace(kept, has_next=False) if kept.has_next else kept
            continue
        ways = _Ways(known.endpoints, relays, is_held=turns.holds(peer.id))
        if not ways.is_any:
            continue
        if before is not None and now < before.since - turns.head_start:
            before = None  # the clock went back: begin anew
        came = before is not None and (before.came or (known.online and not before.online))
        if before is not None and came and not before.came:
            before = None  # both begin now
        first = me > peer.public_key if (said := turns.begins(peer.id)) is None else said
        since = before.since if before is not None else now + (turns.moment if first else turns.head_start)
        turn = ways.turn(now - since)
        if before is None or turn != before.turn:
            endpoint = ways.at(turn) if turn >= 0 else None
            after[peer.id] = Trial(since, turn, endpoint, known.online, came, ways.alternates)
        else:
            after[peer.id] = (
                before if known.online == before.online else replace(before, online=known.online, came=False)
            )
    return after


class _Ways:
    """What a peer is tried at, turn by turn."""

    def __init__(self, endpoints: Sequence[Endpoint], relays: Sequence[Endpoint], *, is_held: bool) -> None:
        self._direct = () if is_held else endpoints
        self._relays = relays

    @property
    def is_any(self) -> bool:
        return bool(self._direct or self._relays)

    @property
    def alternates(self) -> bool:
        return bool(self._direct and self._relays)

    def turn(self, seconds: float) -> int:
        """Whose turn it is so long after the first began; -1 before it."""
        if self.alternates and seconds >= DIRECT_FIRST:
            return 1 + int((seconds - DIRECT_FIRST) // TRY)
        return 0 if self.alternates and seconds >= 0 else max(-1, int(seconds // TRY))

    def at(self, turn: int) -> Endpoint:
        if not (self._direct and self._relays):
            ways = self._direct or self._relays
            return ways[turn % len(ways)]
        ways = self._relays if turn % 2 else self._direct
        return ways[turn // 2 % len(ways)]


class Entries:
    """Peers as they should be on the device, kept from one look to the next: most are what they were."""

    def __init__(self) -> None:
        self._made: dict[PublicKey, tuple[KnownPeer, WantedPeer]] = {}

    def of(self, peer: KnownPeer, endpoint: Endpoint | None, keepalive: int) -> WantedPeer:
        made = self._made.get(peer.public_key)
        if made is None or made[0] is not peer or made[1].keepalive != keepalive:
            made = self._made[peer.public_key] = peer, entry_of(peer, None, keepalive=keepalive)
        return made[1] if endpoint is None else replace(made[1], endpoint=endpoint)

    def keep(self, peers: list[KnownPeer]) -> None:
        """Let go of all but some."""
        made = self._made
        self._made = {peer.public_key: made[peer.public_key] for peer in peers if peer.public_key in made}


def wanted(
    *,
    private_key: str,
    me: int,
    server: Server,
    peers: Iterable[KnownPeer],
    trials: dict[int, Trial],
    overrides: dict[Address, Endpoint],
    presence: Mapping[int, Whereabouts],
    device: Device,
    now: float,
    entries: Entries,
) -> Wanted:
    """The device as it should be. `trials` are those whose endpoint has not been set yet."""
    own = _server_entry(server, device, now)
    found = {server.public_key: own}
    for peer in peers:
        if peer.id in (me, COORDINATOR) or peer.public_key == server.public_key:
            continue
        trial, known, entry = trials.get(peer.id), presence.get(peer.id), device.peers.get(peer.public_key)
        override = overrides.get(peer.ip) if overrides else None
        endpoint = override or (trial.endpoint if trial else None)
        has_place = endpoint is not None or (entry is not None and entry.endpoint is not None)
        may_answer = override is not None or (known is not None and known.may_answer) or not is_silent(entry, now)
        made = entries.of(peer, endpoint, KEEPALIVE if has_place and may_answer else 0)
        if made.allowed_ips != own.allowed_ips:
            found[peer.public_key] = made
    return Wanted(private_key=private_key, peers=found)


def entry_of(peer: KnownPeer, endpoint: Endpoint | None, *, keepalive: int = KEEPALIVE) -> WantedPeer:
    """A peer as it should be on the device; None leaves its endpoint to WireGuard."""
    return WantedPeer(
        public_key=peer.public_key,
        allowed_ips=only(peer.ip),
        keepalive=keepalive,
        endpoint=endpoint,
        force_endpoint=True,
    )


def _server_entry(server: Server, device: Device, now: float) -> WantedPeer:
    entry = device.peers.get(server.public_key)
    # It may roam (an address behind a NAT of its own); its configured endpoint is for when it is silent.
    return WantedPeer(
        public_key=server.public_key,
        allowed_ips=only(server.ip),
        keepalive=KEEPALIVE,
        endpoint=server.endpoint if server.moved or is_silent(entry, now) else None,
        force_endpoint=True,
    )
