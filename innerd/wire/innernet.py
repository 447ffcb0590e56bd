"""innernet's JSON shapes (its REST API, section 1.3 of the wire format) and their way to and from the domain.

Field order on output is innernet's. On input unknown fields are ignored, options may be left out.
"""

import json
import re
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct, field

from innerd.domain.errors import Refused
from innerd.domain.network import Association, Cidr, Network, Peer
from innerd.domain.unreadable import UNREADABLE
from innerd.domain.values import (
    COORDINATOR,
    KEEPALIVE,
    MAX_CANDIDATES,
    Endpoint,
    Range,
    can_be_tried,
    endpoint_address,
    parse_endpoint,
    parse_own_endpoint,
    shown,
)
from innerd.domain.visibility import View
from innerd.wire.soft import SoftState

_SURROGATES = re.compile(rb"\\u[dD][89a-fA-F]")

U64 = Annotated[int, Meta(ge=0)]
U16 = Annotated[int, Meta(ge=0, le=65535)]


Seconds = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Nanos = Annotated[int, Meta(ge=0, le=2**32 - 1)]


class SystemTime(Struct, forbid_unknown_fields=True):
    """Rust's SystemTime: both keys are required, others are errors."""

    secs_since_epoch: Seconds
    nanos_since_epoch: Nanos


class PeerContents(Struct, kw_only=True):
    """A peer without its id. Ours: `ip` may be null, then the first free address of the CIDR is taken; `is_plain` is a
    device with WireGuard and without `inn`, redeemed from the beginning."""

    name: str
    ip: str | None = None
    cidr_id: int
    public_key: str
    endpoint: str | None = None
    persistent_keepalive_interval: U16 | None = None
    is_admin: bool
    is_disabled: bool
    is_redeemed: bool
    invite_expires: SystemTime | tuple[Seconds, Nanos] | None = None  # serde takes the fields as an array too
    candidates: list[str] = field(default_factory=list)
    is_plain: bool = False

    def expiry(self) -> SystemTime | None:
        """When the invitation ends, in whole seconds and the rest. Raises Refused past what a store can hold."""
        given = self.invite_expires
        if given is None:
            return None
        time = given if isinstance(given, SystemTime) else SystemTime(*given)
        more, nanos = divmod(time.nanos_since_epoch, 10**9)
        if time.secs_since_epoch + more >= 2**63:
            raise Refused("invalid_request", "invite_expires lies beyond the end of time")
        return SystemTime(time.secs_since_epoch + more, nanos)


class RecordJson(Struct, frozen=True):
    """A DNS record that hangs on a peer (ours): `owner` is relative to it, `@` being its name, and so are targets in
    `value` that do not end in a dot."""

    owner: str
    type: str
    value: str


class PeerJson(Struct, kw_only=True, omit_defaults=True):
    """A peer. `records` and `is_relay` are ours, and absent where there are none and where it is not."""

    id: int
    name: str
    ip: str
    cidr_id: int
    public_key: str
    endpoint: str | None
    persistent_keepalive_interval: int | None
    is_admin: bool
    is_disabled: bool
    is_redeemed: bool
    invite_expires: SystemTime | None
    candidates: list[str]
    records: list[RecordJson] = []
    is_relay: bool = False


class CidrContents(Struct, kw_only=True):
    name: str
    cidr: str
    parent: int | None = None


class CidrJson(Struct, kw_only=True):
    id: int
    name: str
    cidr: str
    parent: int | None


class AssociationContents(Struct, kw_only=True):
    cidr_id_1: int
    cidr_id_2: int


class AssociationJson(Struct, kw_only=True):
    id: int
    cidr_id_1: int
    cidr_id_2: int


P = TypeVar("P", bound=PeerJson | Raw)  # as values, or encoded already
C = TypeVar("C", bound=CidrJson | Raw)


class State(Struct, Generic[P, C], kw_only=True):
    peers: list[P]
    cidrs: list[C]


class RedeemContents(Struct, kw_only=True):
    public_key: str


class EndpointContents(Struct, kw_only=True):
    """Adjacently tagged: {"option":"Set","content":"host:port"} or {"option":"Unset"}."""

    option: str
    content: str | None = None

    def endpoint(self, overlay: Range | None = None) -> Endpoint | None:
        """The endpoint to set, or None to unset. Raises Refused, of a domain too: innernet's client sends what its user
        typed, and shows what is refused."""
        if self.option == "Set" and self.content is not None:
            return parse_own_endpoint(self.content, overlay)
        if self.option == "Unset" and self.content is None:
            return None
        raise Refused("invalid_request", 'option must be "Set" with a content, or "Unset" without one')


def candidates_of(texts: list[str], overlay: Range | None = None, most: int = MAX_CANDIDATES) -> tuple[Endpoint, ...]:
    """Candidates as a peer reports them: addresses, ten at most, in its order, each once, without those at which nobody
    could be tried. Raises Refused."""
    if len(texts) > most:
        raise Refused("too_many_candidates", f"{len(texts)} candidates, but {most} are the limit")
    parsed = dict.fromkeys(parse_endpoint(text) for text in texts)
    for endpoint in parsed:
        if endpoint_address(endpoint) is None:
            raise Refused("invalid_endpoint", f"candidate {shown(endpoint)} is a name", "report addresses only")
    return tuple(endpoint for endpoint in parsed if can_be_tried(endpoint, overlay))


def cidr_json(cidr: Cidr) -> CidrJson:
    return CidrJson(id=cidr.id, name=cidr.name, cidr=str(cidr.range), parent=cidr.parent)


def association_json(association: Association) -> AssociationJson:
    return AssociationJson(id=association.id, cidr_id_1=association.cidr_id_1, cidr_id_2=association.cidr_id_2)


def peer_json(view: View, peer: Peer, presence: SoftState | None = None, relay: Endpoint | None = None) -> PeerJson:
    """A peer as innernet tells of it; with presence, learned endpoint and candidates are put in (its 4.4). The `relay`
    is the first of these: clients begin with the last (their 5.6)."""
    endpoint = peer.endpoint if presence is None else presence.shown_endpoint(peer.id, peer.endpoint)
    candidates = () if presence is None else presence.shown_candidates(peer.id, endpoint)
    if relay is not None and peer.id != COORDINATOR:
        candidates = (relay, *(candidate for candidate in candidates if candidate != relay))
    expires = None if peer.invite_expires is None else SystemTime(peer.invite_expires, 0)
    return PeerJson(
        id=peer.id,
        name=peer.name,
        ip=str(peer.ip),
        cidr_id=view.class_of(peer),
        public_key=peer.public_key,
        endpoint=endpoint,
        persistent_keepalive_interval=KEEPALIVE,
        is_admin=peer.is_admin,
        is_disabled=peer.is_disabled,
        is_redeemed=peer.is_redeemed,
        invite_expires=expires,
        candidates=list(candidates),
        records=[RecordJson(r.owner, r.rrtype, r.value) for r in peer.records],
        is_relay=peer.is_relay,
    )


def cidrs_json(network: Network) -> list[CidrJson]:
    return [cidr_json(network.cidrs[number]) for number in sorted(network.cidrs)]


def decode(body: bytes, type_: Any) -> Any:
    """A request body as a shape. Raises Refused with the path of what is wrong."""
    try:
        if _SURROGATES.search(body):
            msgspec.json.decode(body)  # knows those that stand alone, and are no text
        return msgspec.convert(_READER.decode(body.decode()), type_)
    except (*UNREADABLE, ValueError) as error:
        raise Refused("invalid_request", f"the body can't be read: {error}") from None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A field twice is an error, as it is to innernet: which of the two was meant?"""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field stands there twice")
    return fields


_READER = json.JSONDecoder(object_pairs_hook=_each_once, parse_constant=_no_number)
