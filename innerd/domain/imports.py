"""The decider that takes over a network of innernet's, ids and all. Every rule of ours holds for it afterwards."""

from ipaddress import ip_network

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.associations import add_association
from innerd.domain.cidrs import require_reachable
from innerd.domain.errors import Refused
from innerd.domain.network import INFRA, ROOT, Network, evolve
from innerd.domain.peers import check_address, free_key, free_name
from innerd.domain.values import COORDINATOR, Endpoint, Name, PublicKey, overlaps, shown, stored_address, within

Events = tuple[e.AnyEvent, ...]


def import_network(network: Network, command: c.ImportNetwork) -> Events:
    """The founding events of a network that exists already. Raises Refused with the row at fault."""
    if network.revision:
        raise Refused("cidr_exists", f"the network {shown(network.name)} exists already")
    root = next((cidr for cidr in command.cidrs if cidr.id == ROOT), None)
    if root is None or not any(cidr.id == INFRA for cidr in command.cidrs):
        raise Refused(
            "invalid_request", "the first two CIDRs (root and infra) are missing: this is no innernet network"
        )
    happened: list[e.AnyEvent] = [e.NetworkCreated(id=command.id, name=command.name, range=str(root.range))]
    network = evolve(network, happened[0])
    for event in (*_cidrs(command), *_peers(command), *_associations(command)):
        _fits(network, event)
        network = evolve(network, event)
        happened.append(event)
    if COORDINATOR not in network.peers:
        raise Refused("invalid_request", "peer 1, the coordinator, is missing: this is no innernet network")
    return tuple(happened)


def _cidrs(command: c.ImportNetwork) -> Events:
    """Wider ones first, so that a parent is there before its children."""
    ordered = sorted(command.cidrs, key=lambda cidr: (cidr.id != ROOT, cidr.range.prefixlen, cidr.id))
    return tuple(e.CidrCreated(id=x.id, name=x.name, range=str(x.range), parent=x.parent) for x in ordered)


def _peers(command: c.ImportNetwork) -> Events:
    events: list[e.AnyEvent] = []
    for peer in sorted(command.peers, key=lambda peer: peer.id):
        added = e.PeerAdded(
            id=peer.id,
            name=peer.name,
            ip=str(peer.ip),
            public_key=peer.public_key,
            is_admin=peer.is_admin,
            is_redeemed=peer.is_redeemed,
            invite_expires=None if peer.is_redeemed else peer.invite_expires,
            endpoint=peer.endpoint,
        )
        events.append(added)
        if peer.is_disabled:
            events.append(e.PeerDisabled(id=peer.id, name=peer.name))
    return tuple(events)


def _associations(command: c.ImportNetwork) -> Events:
    return tuple(e.AssociationAdded(id=x[0], cidr_id_1=x[1], cidr_id_2=x[2]) for x in sorted(command.associations))


def _fits(network: Network, event: e.AnyEvent) -> None:
    try:
        match event:
            case e.CidrCreated():
                _cidr_fits(network, event)
            case e.PeerAdded():
                _peer_fits(network, event)
            case e.PeerDisabled() if event.id == COORDINATOR:
                raise Refused("coordinator_protected", "the coordinator is disabled", "enable it first")
            case e.AssociationAdded():
                add_association(network, c.AddAssociation(event.cidr_id_1, event.cidr_id_2))
    except Refused as refused:
        row = f"{e.subject_of(event).replace(':', ' ')}"
        raise Refused(refused.code, f"{row}: {refused.message}", refused.hint) from None


def _cidr_fits(network: Network, event: e.CidrCreated) -> None:
    block = ip_network(event.range)
    if network.cidr_named(event.name) is not None:
        raise Refused("name_taken", f"two CIDRs are called {shown(event.name)}")
    if event.id == ROOT:
        return
    parent = network.cidrs.get(event.parent or 0)
    if parent is None:
        raise Refused("cidr_outside_parent", f"{shown(event.name)} ({block}) has no parent: a second root")
    if not within(block, parent.range) or block == parent.range:
        raise Refused(
            "cidr_outside_parent", f"{block} does not lie inside its parent {shown(parent.name)} ({parent.range})"
        )
    for other in network.cidrs.values():
        if other.range == block or (other.parent == parent.id and overlaps(other.range, block)):
            raise Refused(
                "cidr_overlaps", f"{shown(event.name)} ({block}) overlaps {shown(other.name)} ({other.range})"
            )


def _peer_fits(network: Network, event: e.PeerAdded) -> None:
    address, root = stored_address(event.ip), network.root.range
    if address not in root:
        raise Refused("address_outside_cidr", f"{shown(event.name)} has {address}, outside the network {root}")
    check_address(network, address)
    free_name(network, Name(event.name))
    free_key(network, PublicKey(event.public_key))
    if event.id == COORDINATOR:
        if not event.is_redeemed or event.endpoint is None:
            raise Refused("invalid_endpoint", "the coordinator has no endpoint")
        require_reachable(Endpoint(event.endpoint))
