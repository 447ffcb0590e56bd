"""What events would do, in sentences for who looks before a change. Pure."""

from collections.abc import Iterable, Iterator

from innerd.domain import events as e
from innerd.domain.network import Network
from innerd.domain.records import full
from innerd.domain.visibility import View

_TO_A_PEER = {
    e.PeerEnabled: "would be enabled",
    e.PeerDisabled: "would be disabled",
    e.PeerDeleted: "would be deleted; its name and address would be free",
    e.PeerRetired: "would be retired for good; its name would be free, its address never",
    e.PeerAdminGranted: "would be an admin",
    e.PeerAdminRevoked: "would be no admin",
    e.ConfigWritten: "would have a file of its own, for WireGuard alone",
    e.RelayAllowed: "would relay for those who see it and have no other way to each other",
    e.RelayDisallowed: "would relay no more; who has no other way to each other would have none",
    e.InvitationReissued: "would have a new invitation; the old one would be void",
}


def would(before: Network, after: Network, happened: Iterable[e.AnyEvent]) -> tuple[str, ...]:
    """A sentence for each event, without a full stop."""
    said = tuple(sentence for event in happened for sentence in _said(before, after, event))
    return said or ("it is so already",)


def _said(before: Network, after: Network, event: e.AnyEvent) -> Iterator[str]:
    match event:
        case e.PeerAdded():
            yield from _added(after, event)
        case e.PeerRenamed():
            yield f"peer {event.was} would be named {event.name}"
        case e.CidrCreated():
            around = "" if event.parent is None else f" to {before.cidrs[event.parent].name}"
            yield f"CIDR {event.name} ({event.range}) would be added{around}"
        case e.CidrRenamed():
            yield f"CIDR {event.was} would be named {event.name}"
        case e.CidrDeleted():
            yield f"CIDR {event.name} ({event.range}) would be deleted"
        case e.AssociationAdded() | e.AssociationDeleted():
            one, other = before.cidrs[event.cidr_id_1].name, before.cidrs[event.cidr_id_2].name
            what = "associated" if isinstance(event, e.AssociationAdded) else "no longer associated"
            yield f"{one} and {other} would be {what}"
        case e.NetworkEndpointChanged():
            yield f"peers would reach the coordinator at {event.endpoint} (now {event.was or 'nowhere'})"
        case e.EndpointOverridden():
            yield f"peer {event.name} would be reached at {event.endpoint}"
        case e.EndpointOverrideCleared():
            yield f"peer {event.name} would be reached where it is seen"
        case e.RecordAdded():
            name = full(event.owner, after.peers[event.peer].name)
            whose = after.peers[event.peer].name
            yield f"record {name} {event.rrtype} {event.value} would be added, for who sees {whose}"
        case e.RecordDeleted():
            yield f"a record of {before.peers[event.peer].name} would be deleted"
        case _ if type(event) in _TO_A_PEER:
            yield f"peer {getattr(event, 'name', '')} {_TO_A_PEER[type(event)]}"
        case _:
            return


def _added(after: Network, event: e.PeerAdded) -> Iterator[str]:
    peer, view = after.peers[event.id], View.of(after)
    rights = "as an admin" if event.is_admin else "as no admin"
    yield f"peer {event.name} would be added with {event.ip} in {after.cidr_of(peer.ip).name}, {rights}"
    if not event.is_redeemed:
        seen = len({other.id for other in view.seen_by(view.class_of(peer))} - {peer.id})
        yield f"once it has joined, {event.name} would be its name, and it would see {seen} peer{'s' * (seen != 1)}"
