"""What this peer was told: its netmap, as a value. Pure.

Everything from the coordinator is parsed before it counts: a name that is no host name never reaches a hosts file
or a terminal. What can't be parsed is refused, and the rest of the network goes on.

What a change costs does not grow with the network: peers are a persistent map, of which a change shares the rest.
"""

from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from innerd.domain.claims import USUAL_SUFFIX, is_own_suffix, parse_suffix
from innerd.domain.errors import Refused
from innerd.domain.maps import Map
from innerd.domain.records import MOST as MOST_RECORDS
from innerd.domain.records import MOST_TEXT, check_owner
from innerd.domain.values import (
    COORDINATOR,
    MAX_CANDIDATES,
    Address,
    Endpoint,
    Name,
    PublicKey,
    Range,
    can_be_tried,
    endpoint_address,
    parse_address,
    parse_endpoint,
    parse_interface,
    parse_name,
    parse_public_key,
    parse_range,
)
from innerd.wire import PROTOCOL
from innerd.wire.innernet import CidrJson, PeerJson, RecordJson
from innerd.wire.stream import Cursor, DeltaJson, Hello, PeerPresence, Snapshot

_MOST_CANDIDATES = MAX_CANDIDATES + 1  # those that it reports, and where it was seen


class KnownRecord(Struct, frozen=True):
    """A DNS record that hangs on a peer: owner and targets relative to it (`innerd.domain.records`)."""

    owner: str
    type: str
    value: str


class KnownPeer(Struct, frozen=True, kw_only=True):
    """A peer as we were told of it. `endpoint` is an override."""

    id: int
    name: Name
    ip: Address
    cidr_id: int
    public_key: PublicKey
    endpoint: Endpoint | None
    is_admin: bool
    records: tuple[KnownRecord, ...] = ()
    is_relay: bool = False


class KnownCidr(Struct, frozen=True, kw_only=True):
    id: int
    name: str
    range: Range
    parent: int | None


class Netmap(Struct, frozen=True, kw_only=True):
    """The visible network at a revision. `me` is our own peer id; `refused` what could not be read, by id; `holders`
    who has which key, made of the peers where it is not given."""

    network: str = ""
    network_id: str = ""
    suffix: str = "wg"
    me: int = 0
    generation: int = 0
    revision: int = 0
    head_hash: str = ""
    peers: Mapping[int, KnownPeer] = {}
    holders: Mapping[PublicKey, int] | None = None
    cidrs: dict[int, KnownCidr] = {}
    refused: dict[int, str] = {}
    block: Range | None = None  # the network's range, as our own config has it: nobody lives outside
    own_name: str = (
        ""  # the network's name and suffix, as our own config has them: nobody else says what names are ours
    )
    own_suffix: str | None = None  # None: what was told first, if it is nobody else's
    told_domain: str = ""  # what the coordinator says that names end in, whatever they do
    is_emptied: bool = False  # what was known was let go of, so it must be told whole
    shut_out: str | None = None  # disabled or retired, from the `bye` that said so to the next hello

    def __post_init__(self) -> None:
        if not isinstance(self.peers, Map):
            force_setattr(self, "peers", Map(self.peers))
        if self.holders is None:
            force_setattr(self, "holders", Map({peer.public_key: number for number, peer in self.peers.items()}))

    @property
    def cursor(self) -> Cursor | None:
        return Cursor(self.generation, self.revision) if self.revision and not self.is_emptied else None

    @property
    def domain(self) -> str:
        """What the network's names end in."""
        return f"{self.network}.{self.suffix}"

    def cidr_name(self, peer: KnownPeer) -> str:
        cidr = self.cidrs.get(peer.cidr_id)
        return cidr.name if cidr else ""


class LogForked(Exception):
    """The coordinator's log is not the one that we saw: rewound or forked within a generation."""


def owned(netmap: Netmap, block: Range, name: str, suffix: str | None) -> Netmap:
    """What was known of a network, within what our own config says of it."""
    kept = suffix or (netmap.suffix if is_own_suffix(netmap.suffix) else USUAL_SUFFIX)
    return replace(netmap, block=block, own_name=name, own_suffix=suffix, suffix=kept)


def greet(netmap: Netmap, hello: Hello) -> Netmap:
    """Take a hello. Raises LogForked where the log is not a continuation of what we saw (a restore raises the
    generation, which is announced and no alarm), Refused where what follows could not be read."""
    if hello.protocol != PROTOCOL:
        known_one = f"this release knows {PROTOCOL}"
        raise Refused(
            "protocol_unknown", f"the coordinator speaks protocol {hello.protocol}, {known_one}", "upgrade inn"
        )
    known = bool(netmap.network_id)
    if known and hello.network_id != netmap.network_id:
        raise LogForked(f"this is another network ({hello.network_id}) than the one that was joined")
    if known and hello.generation < netmap.generation:
        raise LogForked(f"the log went back from generation {netmap.generation} to {hello.generation}")
    if netmap.revision and hello.generation == netmap.generation:
        if hello.head < netmap.revision:
            raise LogForked(f"the log was rewound: it ends at revision {hello.head}, but {netmap.revision} was seen")
        if (
            netmap.cursor is not None and hello.cursor_hash != netmap.head_hash
        ):  # none is no excuse: the cursor was sent
            raise LogForked(f"the log was forked: revision {netmap.revision} is not what was seen")
    # The domain that names end in is our own config's, or what was told first: else a coordinator could write any name
    # into hosts files. What belongs to others takes the config's word, always.
    name, suffix = parse_interface(hello.network), parse_suffix(hello.suffix)
    first = netmap.suffix if netmap.network else suffix
    if hello.generation > netmap.generation:  # begins anew: how far the old one was seen says nothing of it
        netmap = replace(netmap, revision=0, head_hash="")
    return replace(
        netmap,
        network=netmap.network or netmap.own_name or name,
        network_id=hello.network_id,
        suffix=netmap.own_suffix or (first if is_own_suffix(first) else USUAL_SUFFIX),
        told_domain=f"{name}.{suffix}",
        me=hello.peer,
        generation=hello.generation,
        shut_out=None,
    )


def not_back(netmap: Netmap, revision: int) -> None:
    """Within a generation revisions only grow; else how far the log was seen would be forgotten. Raises LogForked."""
    if revision < netmap.revision:
        raise LogForked(f"the log was rewound: {revision} was told, but {netmap.revision} was seen")


def take_snapshot(netmap: Netmap, snapshot: Snapshot[PeerJson, CidrJson]) -> Netmap:
    """The netmap that a snapshot tells. Raises LogForked for one that leads back."""
    not_back(netmap, snapshot.revision)
    blank = replace(netmap, peers={}, holders=None, cidrs={}, refused={}, is_emptied=False)
    return _take(blank, snapshot.revision, snapshot.head_hash, snapshot.peers, [], snapshot.cidrs, [])


def take_delta(netmap: Netmap, delta: DeltaJson[PeerJson, CidrJson]) -> Netmap:
    """The netmap after a delta. Raises LogForked for one that leads back."""
    not_back(netmap, delta.revision)
    return _take(netmap, delta.revision, delta.head_hash, delta.peers, delta.gone, delta.cidrs, delta.cidrs_gone)


def emptied(netmap: Netmap, reason: str) -> Netmap:
    """What a peer keeps that was shut out: the coordinator, and how far the log was seen."""
    kept = {COORDINATOR: netmap.peers[COORDINATOR]} if COORDINATOR in netmap.peers else {}
    return replace(netmap, peers=kept, holders=None, refused={}, is_emptied=True, shut_out=reason)


def _take(
    netmap: Netmap,
    revision: int,
    head_hash: str,
    peers: list[PeerJson],
    gone: Collection[int],
    cidrs: list[CidrJson],
    cidrs_gone: Collection[int],
) -> Netmap:
    known, holders = Map(netmap.peers).mutate(), Map(netmap.holders or {}).mutate()  # which share all that stays
    blocks, refused = netmap.cidrs, dict(netmap.refused)
    if cidrs or cidrs_gone:
        blocks = _blocks(blocks, cidrs, set(cidrs_gone))

    def let_go(number: int) -> None:
        peer = known.pop(number, None)
        if peer is not None and holders.get(peer.public_key) == number:
            del holders[peer.public_key]

    for number in gone:
        let_go(number)
        refused.pop(number, None)
    for told in peers:
        try:
            peer = _peer(told, netmap.block)
            if holders.get(peer.public_key, peer.id) != peer.id:
                raise Refused("key_taken", "this key belongs to another peer: WireGuard would give it one address only")
            let_go(peer.id)
            known[peer.id], holders[peer.public_key] = peer, peer.id
            refused.pop(peer.id, None)
        except Refused as error:
            let_go(told.id)
            refused[told.id] = error.code
    return replace(
        netmap,
        revision=revision,
        head_hash=head_hash,
        peers=known.finish(),
        holders=holders.finish(),
        cidrs=blocks,
        refused=refused,
    )


def _blocks(known: dict[int, KnownCidr], told: list[CidrJson], gone: set[int]) -> dict[int, KnownCidr]:
    blocks = {number: cidr for number, cidr in known.items() if number not in gone}
    for cidr in told:
        try:
            blocks[cidr.id] = _cidr(cidr)
        except Refused:
            blocks.pop(cidr.id, None)  # it is only shown: never a reason to lose the network
    return blocks


def _peer(peer: PeerJson, block: Range | None) -> KnownPeer:
    address = parse_address(peer.ip)
    if block is not None and address not in block:
        raise Refused("address_outside_cidr", f"{address} lies outside the network")
    return KnownPeer(
        id=peer.id,
        name=parse_name(peer.name),
        ip=address,
        cidr_id=peer.cidr_id,
        public_key=parse_public_key(peer.public_key),
        endpoint=None if peer.endpoint is None else parse_endpoint(peer.endpoint),
        is_admin=peer.is_admin,
        records=tuple(_records(peer.records)),
        is_relay=peer.is_relay,
    )


def _records(told: list[RecordJson]) -> Iterator[KnownRecord]:
    """Those that can be read: they are only names, and never a reason to lose a peer."""
    for record in told[:MOST_RECORDS]:
        try:
            yield KnownRecord(check_owner(record.owner), record.type, record.value[:MOST_TEXT])
        except Refused:
            continue


def _cidr(cidr: CidrJson) -> KnownCidr:
    try:
        name: str = parse_name(cidr.name)
    except Refused:
        name = f"cidr-{cidr.id}"
    return KnownCidr(id=cidr.id, name=name, range=parse_range(cidr.cidr), parent=cidr.parent)


class Whereabouts(Struct, frozen=True):
    """Soft state of a visible peer: where to try it, best first; where it was seen last (or an override), and what it
    says of itself. `is_remembered`: nobody has said yet whether it is online; `has_names`: an endpoint is none that a
    device knows."""

    endpoints: tuple[Endpoint, ...]
    online: bool
    seen: Endpoint | None = None
    own: tuple[Endpoint, ...] = ()
    is_remembered: bool = False
    has_names: bool = False

    @property
    def may_answer(self) -> bool:
        """Whether it is worth being tried again and again."""
        return self.online or self.is_remembered


def take_presence(
    known: dict[int, Whereabouts], told: list[PeerPresence], *, whole: bool, block: Range | None = None
) -> dict[int, Whereabouts]:
    """The soft state after a presence frame. Endpoints that can't be read, or that no peer can have, are left out."""
    after = {} if whole else dict(known)
    for peer in told:
        seen = _endpoints([peer.endpoint] if peer.endpoint else [], block)
        own = _endpoints(list(reversed(peer.candidates[:_MOST_CANDIDATES])), block)
        endpoints = tuple(dict.fromkeys([*seen, *own]))
        after[peer.peer] = Whereabouts(
            endpoints,
            peer.online,
            seen[0] if seen else None,
            tuple(own),
            has_names=any(endpoint_address(endpoint) is None for endpoint in endpoints),
        )
    return after


def _endpoints(texts: list[str], block: Range | None) -> list[Endpoint]:
    found = []
    for text in texts:
        try:
            endpoint = parse_endpoint(text)
        except Refused:
            continue
        if endpoint_address(endpoint) is None or can_be_tried(endpoint, block):
            found.append(endpoint)
    return found
