"""The shapes of the routes that we add to innernet's."""

from collections.abc import Iterable, Iterator
from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from innerd.domain.network import Association, Cidr, Network, Peer
from innerd.domain.records import full, shown_value
from innerd.domain.values import COORDINATOR
from innerd.domain.visibility import View
from innerd.domain.why import Reason
from innerd.wire import PROTOCOL
from innerd.wire.innernet import Seconds
from innerd.wire.reach import ConfigState, RelayStatus
from innerd.wire.soft import SoftState


class Capabilities(Struct, kw_only=True):
    """`GET /v1/user/capabilities`: innernet's flag, and what a client of ours must know before it begins."""

    unspecified_ip_in_override_endpoint: bool = True
    protocol: int = PROTOCOL
    events: bool = True
    network: str
    network_id: str
    suffix: str
    admin_proof: str  # "required" or "optional"
    version: str


class PeerChange(Struct, kw_only=True):
    """`PATCH /v1/admin/peers/{id}`: what is left out stays; `endpoint` null clears the override."""

    name: str | None = None
    is_admin: bool | None = None
    is_disabled: bool | None = None
    endpoint: str | UnsetType | None = UNSET


class Reissue(Struct, kw_only=True):
    """`POST /v1/admin/peers/{id}/reissue`: the new temporary key; expiry in seconds since 1970 or null."""

    public_key: str
    invite_expires: Seconds | None


class EndpointChange(Struct, kw_only=True):
    """`PUT /v1/admin/endpoint`."""

    endpoint: str


class Applied(Struct, kw_only=True):
    """`PUT /v1/user/applied`, the receipt: my device matches this revision, but for the refused peers."""

    revision: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    refused: Annotated[list["RefusedPeer"], Meta(max_length=1000)] = []


class ConnectTo(Struct, kw_only=True):
    """`POST /v1/user/connect`: the peer to which a way is looked for."""

    peer: Annotated[int, Meta(ge=0, le=2**63 - 1)]


class RouterTest(Struct, kw_only=True):
    """`POST /v1/user/router`: a UDP port of this host from which nothing was sent yet, and what is going to be sent
    from there, as 32 hexadecimal digits."""

    port: Annotated[int, Meta(ge=1, le=65535)]
    nonce: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


class RouterTested(Struct, kw_only=True):
    """The coordinator's UDP port that the nonce is to be sent to; null where there is nothing to be found out."""

    port: Annotated[int, Meta(ge=1, le=65535)] | None


class RefusedPeer(Struct, kw_only=True):
    peer: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    reason: Annotated[str, Meta(pattern="^[a-z0-9_]{1,40}$")]  # "pin", or the code of an error


class NetworkPeer(Struct, kw_only=True):
    """A peer as administrators see it. Times are seconds since 1970."""

    id: int
    name: str
    ip: str
    cidr: str
    public_key: str
    is_admin: bool
    is_disabled: bool
    is_redeemed: bool
    invite_expires: int | None
    endpoint: str | None  # override
    learned_endpoint: str | None
    is_online: bool | None  # None: of the past, nobody knows
    last_handshake: float | None
    applied: int | None  # the revision that its device is known to match
    software: str | None = None  # what it says that it runs, such as inn/0.1.0
    is_relay: bool = False
    config: ConfigState | None = None  # of a plain peer


class NetworkCidr(Struct, kw_only=True):
    id: int
    name: str
    cidr: str
    parent: str | None
    peers: int  # members: narrowest CIDR is this one


class NetworkAssociation(Struct, kw_only=True):
    id: int
    cidr1: str
    cidr2: str


class NetworkJson(Struct, kw_only=True):
    """`GET /v1/network`: everything, at one revision."""

    name: str
    id: str
    generation: int
    revision: int
    internal_endpoint: str  # where the API listens, in the tunnel
    suffix: str | None = None  # of names; a coordinator of before says none
    tcp: int | None = None  # the port to which peers may come by TCP
    peers: list[NetworkPeer]
    cidrs: list[NetworkCidr]
    associations: list[NetworkAssociation]
    records: list["NetworkRecord"] = []


class NetworkRecord(Struct, kw_only=True):
    """A DNS record. `name`, and names in `value` that do not end in a dot, are relative to the network's domain."""

    id: int
    name: str
    type: str
    value: str
    peer: str  # that it hangs on


class RecordContents(Struct, kw_only=True):
    """`POST /v1/admin/records`."""

    name: str
    type: str
    value: str


class Trouble(Struct, kw_only=True, frozen=True):
    """Something that is wrong with the coordinator now: `kind` is log (nothing can be changed), rewound (peers have
    seen more of the log than there is), device, clock, twins (two machines have one key), dns (names are
    not answered), relay (nothing is relayed, though it should be) or hosts (the coordinator's own hosts file can't be
    written)."""

    kind: str
    code: str
    text: str
    hint: str | None = None


class Status(Struct, kw_only=True):
    """`GET /v1/admin/status`."""

    network: str
    id: str
    generation: int
    revision: int
    head: str
    version: str
    is_serving: bool  # false where a command opened the log by itself
    started: float
    peers: int
    online: int
    streams: int
    lagging: list[str]
    endpoint: str | None
    device_errors: int
    follower_errors: dict[str, int]
    troubles: list[Trouble] = []
    software: dict[str, int] = {}  # how many active peers run what, so far as they say
    configs: dict[str, ConfigState] = {}  # of plain peers whose files are old
    relay: RelayStatus | None = None  # None from a release that does not relay


class PeerConvergence(Struct, kw_only=True):
    """How far one peer is: `state` is current, behind, offline or polling."""

    id: int
    name: str
    state: str
    concerned: bool  # by what happened at the revision asked for, or later
    applied: int | None
    applied_at: float | None
    refused: list[RefusedPeer]


class Convergence(Struct, kw_only=True):
    """`GET /v1/admin/convergence`. `asked` is the revision that states are about, `waited` in seconds."""

    revision: int
    asked: int
    waited: float
    peers: list[PeerConvergence]


class Rebuilt(Struct, kw_only=True):
    """`POST /v1/admin/rebuild`: how many rows differed, and what was damaged, if anything was."""

    differing: int
    damage: str | None
    revision: int


class MadeBy(Struct, kw_only=True):
    """The event that made something so. To who may not see the peer that did it `actor` is "administrator"."""

    seq: int
    at: str
    type: str
    actor: str
    actor_name: str


class Why(Struct, kw_only=True):
    """`GET /v1/why`. `rule`, `cidrs` and `peer` as in `domain/why`; `text` says it in a sentence. Where the event that
    made it so is not remembered, `since` is null, and it was so before the revision `since_before`."""

    a: str
    b: str
    revision: int
    sees: bool
    rule: str
    cidrs: list[str]
    peer: str | None
    text: str
    since: MadeBy | None
    since_before: int | None = None


class AuditRecord(Struct, kw_only=True, gc=False):
    """One record of the log as the audit shows it."""

    seq: int
    type: str
    version: int
    at: str
    actor: str
    actor_name: str
    origin: str
    request: str | None
    subject: str
    data: Raw
    chain: str


class Audit(Struct, kw_only=True):
    revision: int
    events: list[AuditRecord]
    next: int | None  # pass as `after` to go on


def why_json(a: str, b: str, revision: int, reason: Reason, since: MadeBy | None, before: int | None) -> Why:
    """The answer for a pair."""
    return Why(
        a=a,
        b=b,
        revision=revision,
        sees=reason.sees,
        rule=reason.rule,
        cidrs=list(reason.cidrs),
        peer=reason.peer,
        text=_WHY[reason.rule].format(a=a, b=b, cidrs=" and ".join(reason.cidrs), peer=reason.peer),
        since=since,
        since_before=before,
    )


_WHY = {
    "same_cidr": "{a} and {b} see each other: both belong to {cidrs}",
    "association": "{a} and {b} see each other: {cidrs} are associated",
    "coordinator": "{a} and {b} see each other: one of them is the coordinator",
    "disabled": "{a} and {b} don't see each other: {peer} is disabled",
    "not_redeemed": "{a} and {b} don't see each other: {peer} has not redeemed its invitation",
    "no_association": "{a} and {b} don't see each other: nothing joins {cidrs}",
}


def network_json(
    view: View,
    peers: list[NetworkPeer],
    cidrs: list[NetworkCidr],
    associations: list[NetworkAssociation],
    records: list[NetworkRecord],
    internal_endpoint: str,
    suffix: str,
) -> NetworkJson:
    """What is in it is made before (`network_peer` and the like): it may be much."""
    network = view.network
    return NetworkJson(
        name=network.name,
        id=network.id,
        generation=network.generation,
        revision=network.revision,
        internal_endpoint=internal_endpoint,
        suffix=suffix,
        peers=peers,
        cidrs=cidrs,
        associations=associations,
        records=in_order(records),
    )


def records_json(network: Network) -> list[NetworkRecord]:
    """All records, by id."""
    return in_order(record for peer in network.peers.values() if peer.records for record in records_of(peer))


def in_order(records: Iterable[NetworkRecord]) -> list[NetworkRecord]:
    return sorted(records, key=lambda record: record.id)


def records_of(peer: Peer) -> Iterator[NetworkRecord]:
    for record in peer.records:
        yield NetworkRecord(
            id=record.id,
            name=full(record.owner, peer.name),
            type=record.rrtype,
            value=shown_value(record, peer.name),
            peer=peer.name,
        )


def network_peer(
    view: View, presence: SoftState | None, now: float, peer: Peer, *, is_serving: bool = False
) -> NetworkPeer:
    """`presence` is None for a network as it was; `is_serving`: whether the coordinator is one that peers can reach."""
    is_here = is_serving and peer.id == COORDINATOR
    return NetworkPeer(
        id=peer.id,
        name=peer.name,
        ip=str(peer.ip),
        cidr=view.network.cidrs[view.class_of(peer)].name,
        public_key=peer.public_key,
        is_admin=peer.is_admin,
        is_disabled=peer.is_disabled,
        is_redeemed=peer.is_redeemed,
        invite_expires=peer.invite_expires,
        endpoint=peer.endpoint,
        learned_endpoint=None if presence is None else presence.learned(peer.id),
        is_online=None if presence is None else is_here or presence.is_online(peer.id, now),
        last_handshake=None if presence is None else presence.handshake(peer.id),
        applied=None if presence is None else presence.applied(peer.id),
        software=None if presence is None else presence.software.get(peer.id),
        is_relay=peer.is_relay,
    )


def network_cidr(view: View, cidr: Cidr, peers: int) -> NetworkCidr:
    parent = None if cidr.parent is None else view.network.cidrs[cidr.parent].name
    return NetworkCidr(id=cidr.id, name=cidr.name, cidr=str(cidr.range), parent=parent, peers=peers)


def network_association(view: View, association: Association) -> NetworkAssociation:
    cidrs = view.network.cidrs
    return NetworkAssociation(
        id=association.id, cidr1=cidrs[association.cidr_id_1].name, cidr2=cidrs[association.cidr_id_2].name
    )
