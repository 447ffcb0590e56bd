"""The network as a value: what the log adds up to.

`EMPTY` is the network before its first event, `evolve` takes one event into account, `fold` many. A `Network`
never changes; its maps are persistent, so a changed one costs microseconds and shares the rest. Readers hold one
as long as they like. The revision of a network is the number of events in it: event n makes revision n.
"""

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_network
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from innerd.domain import events as e
from innerd.domain.maps import Map, MapMutation
from innerd.domain.values import COORDINATOR, Address, Endpoint, Name, PublicKey, Range, stored_address

ROOT = 1  # CIDR ids as innernet has them
INFRA = 2


class Cidr(Struct, frozen=True, gc=False):
    id: int
    name: str
    range: Range
    parent: int | None
    first: int  # of the range, as numbers
    last: int


class Record(Struct, frozen=True, gc=False):
    """A DNS record that hangs on a peer (`domain/records`). `owner` and targets in `value` are relative to it."""

    id: int
    owner: str
    rrtype: str
    value: str


class Peer(Struct, frozen=True, gc=False, kw_only=True):
    """A machine. `public_key` is the invitation's until the peer redeems, then its own for ever.

    `invitation_key` is the temporary key that it redeemed with; it matters to the coordinator's device for a
    minute after `redeemed_at`. `endpoint` is an override; what is observed is soft state and not here.
    """

    id: int
    name: Name
    ip: Address
    public_key: PublicKey
    is_admin: bool
    is_redeemed: bool
    is_disabled: bool = False
    invite_expires: int | None = None
    endpoint: Endpoint | None = None
    invitation_key: PublicKey | None = None
    redeemed_at: int | None = None
    records: tuple[Record, ...] = ()
    is_relay: bool = False
    config: int | None = None  # of a plain peer: the revision that the file shows which was written for it last

    @property
    def is_plain(self) -> bool:
        """Whether it is a device with WireGuard and without `inn`."""
        return self.config is not None

    @property
    def is_active(self) -> bool:
        """Whether it takes part: enabled and redeemed. Only such peers see and are seen."""
        return self.is_redeemed and not self.is_disabled


class Association(Struct, frozen=True, gc=False):
    id: int
    cidr_id_1: int
    cidr_id_2: int


class Network(Struct, frozen=True, kw_only=True):
    """One network at one revision. `addresses` and `keys` remember what was ever burnt: an address of a retired
    peer and every key that was ever used map to a peer id that `peers` may no longer have."""

    revision: int = 0
    generation: int = 1
    id: str = ""
    name: str = ""
    peers: Map[int, Peer] = Map()
    retired: Map[int, Peer] = Map()
    cidrs: Map[int, Cidr] = Map()
    associations: Map[int, Association] = Map()
    names: Map[str, int] = Map()  # peer name -> id
    addresses: Map[int, int] = Map()  # address as a number -> id
    keys: Map[str, int] = Map()  # every key ever seen -> id
    aliases: Map[str, int] = Map()  # names of records beside peers' -> id of the peer that they hang on
    last_peer: int = 0  # the highest ids ever given: ids are never used twice
    last_cidr: int = 0
    last_association: int = 0
    last_record: int = 0

    @property
    def root(self) -> Cidr:
        return self.cidrs[ROOT]

    @property
    def coordinator(self) -> Peer:
        return self.peers[COORDINATOR]

    def peer_named(self, name: str) -> Peer | None:
        number = self.names.get(name)
        return None if number is None else self.peers[number]

    def peer_at(self, address: Address) -> Peer | None:
        """The live peer that owns an address."""
        if not self.cidrs or address.version != self.root.range.version:
            return None
        number = self.addresses.get(int(address))
        return None if number is None else self.peers.get(number)

    def by_id(self) -> Iterator[Peer]:
        """All live peers, without sorting them: ids are given one after the other."""
        get = self.peers.get
        return (peer for number in range(1, self.last_peer + 1) if (peer := get(number)) is not None)

    def cidr_named(self, name: str) -> Cidr | None:
        return next((cidr for cidr in self.cidrs.values() if cidr.name == name), None)

    def cidr_of(self, address: Address) -> Cidr:
        """The narrowest CIDR that contains an address of the network: membership is derived."""
        number = int(address)
        holding = (cidr for cidr in self.cidrs.values() if cidr.first <= number <= cidr.last)
        return max(holding, key=lambda cidr: cidr.range.prefixlen, default=self.root)

    def children(self, cidr_id: int) -> list[Cidr]:
        return [cidr for cidr in self.cidrs.values() if cidr.parent == cidr_id]

    def members(self, cidr_id: int) -> Iterator[Peer]:
        """The live peers whose narrowest CIDR this is."""
        cidr = self.cidrs[cidr_id]
        holes = [(child.first, child.last) for child in self.children(cidr_id)]
        for peer in self.peers.values():
            number = int(peer.ip)
            if cidr.first <= number <= cidr.last and not any(a <= number <= b for a, b in holes):
                yield peer


EMPTY = Network()


class _Draft:
    """A network under way, field by field, so that a long run of events costs no copies. A map can be changed once an
    event of a kind that changes it has come; until then it stays the very map that it was, so that `is` tells whether
    anything did."""

    revision: int
    generation: int
    id: str
    name: str
    peers: MapMutation[int, Peer]
    retired: MapMutation[int, Peer]
    cidrs: MapMutation[int, Cidr]
    associations: MapMutation[int, Association]
    names: MapMutation[str, int]
    addresses: MapMutation[int, int]
    keys: MapMutation[str, int]
    aliases: MapMutation[str, int]
    last_peer: int
    last_cidr: int
    last_association: int
    last_record: int

    def __init__(self, network: Network) -> None:
        vars(self).update(asdict(network))

    def drop(self, number: int) -> Peer:
        """A peer goes, with its name and records; its address is still nobody else's."""
        peer = self.peers.pop(number)
        del self.names[peer.name]
        for alias in {record.owner for record in peer.records if "@" not in record.owner}:
            del self.aliases[alias]
        return peer


_Deed = Callable[[_Draft, Any], None]
_DEEDS: dict[type[e.Event], tuple[_Deed, tuple[str, ...]]] = {}  # what an event does, and the maps that it changes


def _on(*kinds: type[e.Event], changes: str = "") -> Callable[[_Deed], _Deed]:
    def noted(deed: _Deed) -> _Deed:
        _DEEDS.update(dict.fromkeys(kinds, (deed, tuple(changes.split()))))
        return deed

    return noted


@_on(e.NetworkCreated)
def _network_created(draft: _Draft, event: e.NetworkCreated) -> None:
    draft.id, draft.name = event.id, event.name


@_on(e.LogRestored)
def _restored(draft: _Draft, event: e.LogRestored) -> None:
    draft.generation = event.generation


@_on(e.CidrCreated, changes="cidrs")
def _cidr_created(draft: _Draft, event: e.CidrCreated) -> None:
    block = ip_network(event.range)
    first, last = int(block.network_address), int(block.broadcast_address)
    draft.cidrs[event.id] = Cidr(event.id, event.name, block, event.parent, first, last)
    draft.last_cidr = max(draft.last_cidr, event.id)


@_on(e.CidrRenamed, changes="cidrs")
def _cidr_renamed(draft: _Draft, event: e.CidrRenamed) -> None:
    draft.cidrs[event.id] = replace(draft.cidrs[event.id], name=event.name)


@_on(e.CidrDeleted, changes="cidrs")
def _cidr_deleted(draft: _Draft, event: e.CidrDeleted) -> None:
    del draft.cidrs[event.id]


@_on(e.AssociationAdded, changes="associations")
def _association_added(draft: _Draft, event: e.AssociationAdded) -> None:
    draft.associations[event.id] = Association(event.id, event.cidr_id_1, event.cidr_id_2)
    draft.last_association = max(draft.last_association, event.id)


@_on(e.AssociationDeleted, changes="associations")
def _association_deleted(draft: _Draft, event: e.AssociationDeleted) -> None:
    del draft.associations[event.id]


@_on(e.PeerAdded, changes="peers names addresses keys")
def _peer_added(draft: _Draft, event: e.PeerAdded) -> None:
    number, ip = event.id, stored_address(event.ip)
    draft.peers[number] = Peer(
        id=number,
        name=Name(event.name),
        ip=ip,
        public_key=PublicKey(event.public_key),
        is_admin=event.is_admin,
        is_redeemed=event.is_redeemed,
        invite_expires=event.invite_expires,
        endpoint=None if event.endpoint is None else Endpoint(event.endpoint),
    )
    draft.names[event.name] = number
    draft.addresses[int(ip)] = number
    draft.keys[event.public_key] = number
    draft.last_peer = max(draft.last_peer, number)


@_on(e.PeerRenamed, changes="peers names")
def _peer_renamed(draft: _Draft, event: e.PeerRenamed) -> None:
    del draft.names[event.was]
    draft.names[event.name] = event.id
    draft.peers[event.id] = replace(draft.peers[event.id], name=Name(event.name))


@_on(e.PeerEnabled, e.PeerDisabled, changes="peers")
def _peer_switched(draft: _Draft, event: e.PeerEnabled | e.PeerDisabled) -> None:
    draft.peers[event.id] = replace(draft.peers[event.id], is_disabled=type(event) is e.PeerDisabled)


@_on(e.PeerAdminGranted, e.PeerAdminRevoked, changes="peers")
def _rights_changed(draft: _Draft, event: e.PeerAdminGranted | e.PeerAdminRevoked) -> None:
    draft.peers[event.id] = replace(draft.peers[event.id], is_admin=type(event) is e.PeerAdminGranted)


@_on(e.PeerDeleted, changes="peers names aliases addresses")
def _peer_deleted(draft: _Draft, event: e.PeerDeleted) -> None:
    del draft.addresses[int(draft.drop(event.id).ip)]


@_on(e.InvitationExpired, changes="peers names aliases addresses")
def _invitation_expired(draft: _Draft, event: e.InvitationExpired) -> None:
    del draft.addresses[int(draft.drop(event.peer).ip)]


@_on(e.PeerRetired, changes="peers names aliases retired")
def _peer_retired(draft: _Draft, event: e.PeerRetired) -> None:
    draft.retired[event.id] = replace(draft.drop(event.id), records=())


@_on(e.InvitationReissued, changes="peers keys")
def _invitation_reissued(draft: _Draft, event: e.InvitationReissued) -> None:
    draft.keys[event.public_key] = event.peer
    key, expires = PublicKey(event.public_key), event.invite_expires
    draft.peers[event.peer] = replace(draft.peers[event.peer], public_key=key, invite_expires=expires)


@_on(e.KeyPinned, changes="peers keys")
def _key_pinned(draft: _Draft, event: e.KeyPinned) -> None:
    peer = draft.peers[event.peer]
    draft.keys[event.public_key] = event.peer
    draft.peers[event.peer] = replace(
        peer,
        invitation_key=peer.public_key,
        public_key=PublicKey(event.public_key),
        is_redeemed=True,
        invite_expires=None,
        redeemed_at=event.redeemed_at,
    )


@_on(e.EndpointOverridden, e.NetworkEndpointChanged, changes="peers")
def _endpoint_set(draft: _Draft, event: e.EndpointOverridden | e.NetworkEndpointChanged) -> None:
    draft.peers[event.peer] = replace(draft.peers[event.peer], endpoint=Endpoint(event.endpoint))


@_on(e.EndpointOverrideCleared, changes="peers")
def _endpoint_cleared(draft: _Draft, event: e.EndpointOverrideCleared) -> None:
    draft.peers[event.peer] = replace(draft.peers[event.peer], endpoint=None)


@_on(e.ConfigWritten, changes="peers")
def _config_written(draft: _Draft, event: e.ConfigWritten) -> None:
    draft.peers[event.peer] = replace(draft.peers[event.peer], config=event.revision)


@_on(e.RelayAllowed, e.RelayDisallowed, changes="peers")
def _relays(draft: _Draft, event: e.RelayAllowed | e.RelayDisallowed) -> None:
    draft.peers[event.peer] = replace(draft.peers[event.peer], is_relay=isinstance(event, e.RelayAllowed))


@_on(e.RecordAdded, changes="peers aliases")
def _record_added(draft: _Draft, event: e.RecordAdded) -> None:
    peer = draft.peers[event.peer]
    record = Record(event.id, event.owner, event.rrtype, event.value)
    draft.peers[event.peer] = replace(peer, records=(*peer.records, record))
    if "@" not in event.owner:
        draft.aliases[event.owner] = event.peer
    draft.last_record = max(draft.last_record, event.id)


@_on(e.RecordDeleted, changes="peers aliases")
def _record_deleted(draft: _Draft, event: e.RecordDeleted) -> None:
    peer = draft.peers[event.peer]
    records = tuple(record for record in peer.records if record.id != event.id)
    draft.peers[event.peer] = replace(peer, records=records)
    if "@" not in event.owner and all(record.owner != event.owner for record in records):
        del draft.aliases[event.owner]


class _Deeds(dict[type[e.Event], _Deed]):
    """What events do to a draft, by their kinds: the first of a kind makes the maps mutable that it changes."""

    def __init__(self, draft: _Draft) -> None:
        super().__init__()
        self._fields = vars(draft)
        self._opened: set[str] = set()

    def __missing__(self, kind: type[e.Event]) -> _Deed:
        deed, maps = _DEEDS[kind]
        for name in maps:
            if name not in self._opened:
                self._opened.add(name)
                self._fields[name] = self._fields[name].mutate()
        self[kind] = deed
        return deed

    def finish(self, revision: int) -> Network:
        finished = {name: self._fields[name].finish() for name in self._opened}
        return Network(**self._fields | finished | {"revision": revision})


def fold(network: Network, events: Iterable[e.AnyEvent]) -> Network:
    """The network after a run of events."""
    draft, revision = _Draft(network), network.revision
    deeds = _Deeds(draft)
    for event in events:
        deeds[type(event)](draft, event)
        revision += 1
    return network if revision == network.revision else deeds.finish(revision)


def evolve(network: Network, event: e.AnyEvent) -> Network:
    """The network after one more event."""
    return fold(network, (event,))
