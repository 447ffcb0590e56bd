"""What has happened: immutable facts, in the past tense. THE TYPE NAMES AND FIELDS ARE STORAGE FORMAT.

A field may be added with a default; anything else is a new version with an upcaster in `log/codec.py`, and a
golden file. Fields are plain JSON scalars: addresses and ranges are canonical text, times are whole seconds
since 1970 (UTC). `was` is what a value was before, so that a line of the audit reads by itself.
"""

from typing import ClassVar

from msgspec import Struct


class Event(Struct, frozen=True, kw_only=True, omit_defaults=False, gc=False):
    """The base of all events. `version` is the version of the stored shape; `about` is the kind of thing that the event
    is about, and the field that holds its id."""

    version: ClassVar[int] = 1
    about: ClassVar[tuple[str, str]] = ("peer", "id")


class NetworkCreated(Event, frozen=True, tag="network.created"):
    about: ClassVar[tuple[str, str]] = ("network", "")
    id: str  # 16 random bytes, hex: tells this network from every other, for ever
    name: str
    range: str


class NetworkEndpointChanged(Event, frozen=True, tag="network.endpoint_changed"):
    about: ClassVar[tuple[str, str]] = ("network", "")
    peer: int
    endpoint: str
    was: str | None


class CidrCreated(Event, frozen=True, tag="cidr.created"):
    about: ClassVar[tuple[str, str]] = ("cidr", "id")
    id: int
    name: str
    range: str
    parent: int | None


class CidrRenamed(Event, frozen=True, tag="cidr.renamed"):
    about: ClassVar[tuple[str, str]] = ("cidr", "id")
    id: int
    name: str
    was: str


class CidrDeleted(Event, frozen=True, tag="cidr.deleted"):
    about: ClassVar[tuple[str, str]] = ("cidr", "id")
    id: int
    name: str
    range: str


class PeerAdded(Event, frozen=True, tag="peer.added"):
    id: int
    name: str
    ip: str
    public_key: str  # of the invitation, or of the peer itself where is_redeemed
    is_admin: bool
    is_redeemed: bool
    invite_expires: int | None
    endpoint: str | None = None


class PeerRenamed(Event, frozen=True, tag="peer.renamed"):
    id: int
    name: str
    was: str


class PeerEnabled(Event, frozen=True, tag="peer.enabled"):
    id: int
    name: str


class PeerDisabled(Event, frozen=True, tag="peer.disabled"):
    id: int
    name: str


class PeerDeleted(Event, frozen=True, tag="peer.deleted"):
    """A peer that never redeemed is gone; its name and address are free again, its key is not."""

    id: int
    name: str
    ip: str


class PeerRetired(Event, frozen=True, tag="peer.retired"):
    """A redeemed peer is gone for good; its name is free, its address and key never again."""

    id: int
    name: str
    ip: str


class PeerAdminGranted(Event, frozen=True, tag="peer.admin_granted"):
    id: int
    name: str


class PeerAdminRevoked(Event, frozen=True, tag="peer.admin_revoked"):
    id: int
    name: str


class InvitationReissued(Event, frozen=True, tag="invitation.reissued"):
    about: ClassVar[tuple[str, str]] = ("peer", "peer")
    peer: int
    name: str
    public_key: str
    invite_expires: int | None


class InvitationExpired(Event, frozen=True, tag="invitation.expired"):
    """An invitation is a day past its time: the peer is gone, its name and address are free."""

    about: ClassVar[tuple[str, str]] = ("peer", "peer")
    peer: int
    name: str
    ip: str


class KeyPinned(Event, frozen=True, tag="key.pinned"):
    """An invitation was redeemed: from now on this address has this key."""

    about: ClassVar[tuple[str, str]] = ("peer", "peer")
    peer: int
    name: str
    public_key: str
    redeemed_at: int  # seconds; bounds the redeem transition on the coordinator's device


class AssociationAdded(Event, frozen=True, tag="association.added"):
    about: ClassVar[tuple[str, str]] = ("association", "id")
    id: int
    cidr_id_1: int
    cidr_id_2: int


class AssociationDeleted(Event, frozen=True, tag="association.deleted"):
    about: ClassVar[tuple[str, str]] = ("association", "id")
    id: int
    cidr_id_1: int
    cidr_id_2: int


class EndpointOverridden(Event, frozen=True, tag="endpoint.overridden"):
    about: ClassVar[tuple[str, str]] = ("peer", "peer")
    peer: int
    name: str
    endpoint: str
    was: str | None


class EndpointOverrideCleared(Event, frozen=True, tag="endpoint.override_cleared"):
    about: ClassVar[tuple[str, str]] = ("peer", "peer")
    peer: int
    name: str
    was: str


class ConfigWritten(Event, frozen=True, tag="config.written"):
    """A file for WireGuard alone was written for a plain peer, a device without `inn`: as the network was at a
    revision."""

    about: ClassVar[tuple[str, str]] = ("peer", "peer")
    peer: int
    name: str
    revision: int


class RelayAllowed(Event, frozen=True, tag="relay.allowed"):
    """A peer relays for those who see it, where they have no other way to each other."""

    about: ClassVar[tuple[str, str]] = ("peer", "peer")
    peer: int
    name: str


class RelayDisallowed(Event, frozen=True, tag="relay.disallowed"):
    about: ClassVar[tuple[str, str]] = ("peer", "peer")
    peer: int
    name: str


class RecordAdded(Event, frozen=True, tag="record.added"):
    """A DNS record hangs on a peer from now on. `owner` is relative to the peer (`@`), `name` what that was then."""

    about: ClassVar[tuple[str, str]] = ("record", "id")
    id: int
    peer: int
    name: str
    owner: str
    rrtype: str
    value: str


class RecordDeleted(Event, frozen=True, tag="record.deleted"):
    about: ClassVar[tuple[str, str]] = ("record", "id")
    id: int
    peer: int
    name: str
    owner: str
    rrtype: str
    value: str


class LogRestored(Event, frozen=True, tag="log.restored"):
    """The log was restored from a backup that ended at `from_revision`; `generation` starts here."""

    about: ClassVar[tuple[str, str]] = ("network", "")
    generation: int
    from_revision: int


AnyEvent = (
    NetworkCreated
    | NetworkEndpointChanged
    | CidrCreated
    | CidrRenamed
    | CidrDeleted
    | PeerAdded
    | PeerRenamed
    | PeerEnabled
    | PeerDisabled
    | PeerDeleted
    | PeerRetired
    | PeerAdminGranted
    | PeerAdminRevoked
    | InvitationReissued
    | InvitationExpired
    | KeyPinned
    | AssociationAdded
    | AssociationDeleted
    | EndpointOverridden
    | EndpointOverrideCleared
    | ConfigWritten
    | RelayAllowed
    | RelayDisallowed
    | RecordAdded
    | RecordDeleted
    | LogRestored
)


def type_of(event: Event) -> str:
    """The stored name of an event's type, such as `peer.added`."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)  # noqa: S101 - every event class above has one
    return tag


def subject_of(event: AnyEvent) -> str:
    """What the event is about: `peer:7`, `cidr:3`, `association:2`, `record:5` or `network`."""
    kind, field = event.about
    return f"{kind}:{getattr(event, field)}" if field else kind


def peer_of(event: AnyEvent) -> int | None:
    """The id of the peer that the event speaks of, if it speaks of one."""
    kind, field = event.about
    if kind == "peer":
        return int(getattr(event, field))
    return event.peer if isinstance(event, NetworkEndpointChanged | RecordAdded | RecordDeleted) else None
