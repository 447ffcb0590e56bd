"""The network as a value: what the log adds up to.

`EMPTY` is the network before its first event, `evolve` takes one event into account, `fold` many. A `Network`
never changes; its maps are persistent, so a changed one costs microseconds and shares the rest. Readers hold one
as long as they like. The revision of a network is the number of events in it: event n makes revision n.
"""

from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Generic, TypeVar, assert_never

from msgspec import Struct
from msgspec.structs import replace

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


_K = TypeVar("_K")
_V = TypeVar("_V")


class _Part(Generic[_K, _V]):
    """A map under way: mutable from the first change on. What nothing changed stays the very map that it was, so that
    `is` tells whether anything did."""

    __slots__ = ("_base", "_mutation")

    def __init__(self, base: Map[_K, _V]) -> None:
        self._base = base
        self._mutation: MapMutation[_K, _V] | None = None

    def _changing(self) -> MapMutation[_K, _V]:
        mutation = self._mutation
        if mutation is None:
            mutation = self._mutation = self._base.mutate()
        return mutation

    def __getitem__(self, key: _K) -> _V:
        return self._base[key] if self._mutation is None else self._mutation[key]

    def __setitem__(self, key: _K, value: _V) -> None:
        mutation = self._mutation  # as _changing does, without the call: a replay passes here most
        if mutation is None:
            mutation = self._mutation = self._base.mutate()
        mutation[key] = value

    def __delitem__(self, key: _K) -> None:
        del self._changing()[key]

    def pop(self, key: _K) -> _V:
        return self._changing().pop(key)

    def finish(self) -> Map[_K, _V]:
        return self._base if self._mutation is None else self._mutation.finish()


class _Draft:
    """A network under way, so that a long run of events costs no copies."""

    def __init__(self, network: Network) -> None:
        self.generation = network.generation
        self.id, self.name = network.id, network.name
        self.peers = _Part(network.peers)
        self.retired = _Part(network.retired)
        self.cidrs = _Part(network.cidrs)
        self.associations = _Part(network.associations)
        self.names = _Part(network.names)
        self.addresses = _Part(network.addresses)
        self.keys = _Part(network.keys)
        self.last_peer = network.last_peer
        self.last_cidr = network.last_cidr
        self.last_association = network.last_association
        self.last_record = network.last_record
        self.aliases = _Part(network.aliases)

    def finish(self, revision: int) -> Network:
        return Network(
            revision=revision,
            generation=self.generation,
            id=self.id,
            name=self.name,
            peers=self.peers.finish(),
            retired=self.retired.finish(),
            cidrs=self.cidrs.finish(),
            associations=self.associations.finish(),
            names=self.names.finish(),
            addresses=self.addresses.finish(),
            keys=self.keys.finish(),
            last_peer=self.last_peer,
            last_cidr=self.last_cidr,
            last_association=self.last_association,
            last_record=self.last_record,
            aliases=self.aliases.finish(),
        )

    def add(self, peer: Peer) -> None:
        self.peers[peer.id] = peer
        self.names[peer.name] = peer.id
        self.addresses[int(peer.ip)] = peer.id
        self.keys[peer.public_key] = peer.id
        self.last_peer = max(self.last_peer, peer.id)

    def drop(self, number: int, *, burn_address: bool) -> None:
        peer = self.peers.pop(number)
        del self.names[peer.name]
        for alias in {record.owner for record in peer.records if "@" not in record.owner}:
            del self.aliases[alias]
        peer = replace(peer, records=())
        if burn_address:
            self.retired[number] = peer
        else:
            del self.addresses[int(peer.ip)]

    def add_record(self, event: e.RecordAdded) -> None:
        record = Record(event.id, event.owner, event.rrtype, event.value)
        self.change(event.peer, records=(*self.peers[event.peer].records, record))
        if "@" not in event.owner:
            self.aliases[event.owner] = event.peer
        self.last_record = max(self.last_record, event.id)

    def delete_record(self, event: e.RecordDeleted) -> None:
        records = tuple(record for record in self.peers[event.peer].records if record.id != event.id)
        self.change(event.peer, records=records)
        if "@" not in event.owner and all(record.owner != event.owner for record in records):
            del self.aliases[event.owner]

    def change(self, number: int, **changes: object) -> None:
        self.peers[number] = replace(self.peers[number], **changes)


def _cidr(event: e.CidrCreated) -> Cidr:
    block = ip_network(event.range)
    return Cidr(event.id, event.name, block, event.parent, int(block.network_address), int(block.broadcast_address))


def _peer(event: e.PeerAdded) -> Peer:
    return Peer(
        id=event.id,
        name=Name(event.name),
        ip=stored_address(event.ip),
        public_key=PublicKey(event.public_key),
        is_admin=event.is_admin,
        is_redeemed=event.is_redeemed,
        invite_expires=event.invite_expires,
        endpoint=None if event.endpoint is None else Endpoint(event.endpoint),
    )


def _apply(draft: _Draft, event: e.AnyEvent) -> None:  # noqa: C901 - one case an event, read downwards
    match event:
        case e.NetworkCreated():
            draft.id, draft.name = event.id, event.name
        case e.CidrCreated():
            draft.cidrs[event.id] = _cidr(event)
            draft.last_cidr = max(draft.last_cidr, event.id)
        case e.CidrRenamed():
            draft.cidrs[event.id] = replace(draft.cidrs[event.id], name=event.name)
        case e.CidrDeleted():
            del draft.cidrs[event.id]
        case e.PeerAdded():
            draft.add(_peer(event))
        case e.PeerRenamed():
            del draft.names[event.was]
            draft.names[event.name] = event.id
            draft.change(event.id, name=Name(event.name))
        case e.PeerEnabled():
            draft.change(event.id, is_disabled=False)
        case e.PeerDisabled():
            draft.change(event.id, is_disabled=True)
        case e.PeerDeleted():
            draft.drop(event.id, burn_address=False)
        case e.InvitationExpired():
            draft.drop(event.peer, burn_address=False)
        case e.PeerRetired():
            draft.drop(event.id, burn_address=True)
        case e.PeerAdminGranted():
            draft.change(event.id, is_admin=True)
        case e.PeerAdminRevoked():
            draft.change(event.id, is_admin=False)
        case e.InvitationReissued():
            draft.keys[event.public_key] = event.peer
            draft.change(event.peer, public_key=PublicKey(event.public_key), invite_expires=event.invite_expires)
        case e.KeyPinned():
            draft.keys[event.public_key] = event.peer
            draft.change(
                event.peer,
                invitation_key=draft.peers[event.peer].public_key,
                public_key=PublicKey(event.public_key),
                is_redeemed=True,
                invite_expires=None,
                redeemed_at=event.redeemed_at,
            )
        case e.AssociationAdded():
            draft.associations[event.id] = Association(event.id, event.cidr_id_1, event.cidr_id_2)
            draft.last_association = max(draft.last_association, event.id)
        case e.AssociationDeleted():
            del draft.associations[event.id]
        case e.EndpointOverridden() | e.NetworkEndpointChanged():
            draft.change(event.peer, endpoint=Endpoint(event.endpoint))
        case e.EndpointOverrideCleared():
            draft.change(event.peer, endpoint=None)
        case e.RecordAdded():
            draft.add_record(event)
        case e.RecordDeleted():
            draft.delete_record(event)
        case e.LogRestored():
            draft.generation = event.generation
        case _:
            assert_never(event)


def fold(network: Network, events: Iterable[e.AnyEvent]) -> Network:
    """The network after a run of events."""
    draft = _Draft(network)
    revision = network.revision
    for event in events:
        _apply(draft, event)
        revision += 1
    return network if revision == network.revision else draft.finish(revision)


def evolve(network: Network, event: e.AnyEvent) -> Network:
    """The network after one more event."""
    return fold(network, (event,))
