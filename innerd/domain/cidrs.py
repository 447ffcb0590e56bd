"""Deciders for CIDRs: create the network's first two, add, rename, delete."""

from innerd.domain import events as e
from innerd.domain.commands import AddCidr, CreateNetwork, DeleteCidr, RenameCidr
from innerd.domain.errors import Refused
from innerd.domain.network import INFRA, ROOT, Cidr, Network
from innerd.domain.values import (
    COORDINATOR,
    Endpoint,
    Range,
    assignable,
    endpoint_address,
    first_address,
    overlaps,
    plain,
    shown,
    within,
)

Events = tuple[e.AnyEvent, ...]

INFRA_NAME = "innernet-server"  # of the infra CIDR and of the coordinator: innernet's convention


def create_network(network: Network, command: CreateNetwork) -> Events:
    """The founding events: the root CIDR, the infra CIDR of one address, and the coordinator in it."""
    if network.revision:
        raise Refused("cidr_exists", f"the network {shown(network.name)} exists already")
    if command.range.num_addresses < 4:
        raise Refused(
            "invalid_range",
            f"{shown(command.range)} is too small for a network",
            "take a /30 (IPv6 /126) or wider",
        )
    if command.name == INFRA_NAME:
        raise Refused(
            "name_taken", f"{shown(INFRA_NAME)} names the coordinator in every network", "choose another name"
        )
    require_reachable(command.endpoint)
    address = first_address(command.range)
    relays = (e.RelayAllowed(peer=COORDINATOR, name=INFRA_NAME),) if command.relays else ()
    return (
        e.NetworkCreated(id=command.id, name=command.name, range=str(command.range)),
        e.CidrCreated(id=ROOT, name=command.name, range=str(command.range), parent=None),
        e.CidrCreated(id=INFRA, name=INFRA_NAME, range=f"{address}/{address.max_prefixlen}", parent=ROOT),
        e.PeerAdded(
            id=COORDINATOR,
            name=INFRA_NAME,
            ip=str(address),
            public_key=command.public_key,
            is_admin=True,
            is_redeemed=True,
            invite_expires=None,
            endpoint=command.endpoint,
        ),
        *relays,
    )


def require_reachable(endpoint: Endpoint) -> None:
    """Refuse an endpoint of the coordinator that no peer could reach."""
    address = endpoint_address(endpoint)
    if endpoint.endswith(":0") or (address is not None and plain(address).is_unspecified):
        raise Refused("invalid_endpoint", f"{shown(endpoint)} can't be reached by anybody", "give host:port")


def find_cidr(network: Network, number: int) -> Cidr:
    cidr = network.cidrs.get(number)
    if cidr is None:
        raise Refused("cidr_not_found", f"there is no CIDR with id {number}")
    return cidr


def add_cidr(network: Network, command: AddCidr) -> Events:
    _free_name(network, command.name)
    parent = _parent(network, command)
    if same := next((cidr for cidr in network.cidrs.values() if cidr.range == command.range), None):
        raise Refused("cidr_exists", f"CIDR {shown(same.name)} has the range {command.range} already")
    for other in network.cidrs.values():
        if other.parent == parent.id and overlaps(other.range, command.range):
            raise Refused(
                "cidr_overlaps",
                f"{command.range} overlaps CIDR {shown(other.name)} ({other.range})",
                "siblings never overlap: take another range, or one inside it",
            )
    _edges_free(network, command.range)
    number = network.last_cidr + 1
    return (e.CidrCreated(id=number, name=command.name, range=str(command.range), parent=parent.id),)


def _parent(network: Network, command: AddCidr) -> Cidr:
    """The narrowest CIDR around the new range, which a given parent must be."""
    given = None if command.parent is None else find_cidr(network, command.parent)
    around = [c for c in network.cidrs.values() if within(command.range, c.range)]
    if not around or (given is not None and not within(command.range, given.range)):
        outer = given or network.root
        raise Refused(
            "cidr_outside_parent",
            f"{command.range} does not lie inside CIDR {shown(outer.name)} ({outer.range})",
        )
    narrowest = max(around, key=lambda cidr: cidr.range.prefixlen)
    if given is not None and narrowest.id != given.id and narrowest.range != command.range:
        raise Refused(
            "cidr_wrong_parent",
            f"{command.range} lies inside CIDR {shown(narrowest.name)} ({narrowest.range}), "
            f"so its parent can't be {shown(given.name)}",
            f"use --parent {narrowest.name}",
        )
    return narrowest


def _edges_free(network: Network, block: Range) -> None:
    """Carving must not turn a peer's address into the new CIDR's network or broadcast address."""
    for address in (block.network_address, block.broadcast_address):
        peer = network.peer_at(address)
        if peer is not None and not assignable(address, block):
            raise Refused(
                "cidr_covers_edge_address",
                f"peer {shown(peer.name)} has {address}, which would be the network or broadcast address of {block}",
                "take a range where it is an ordinary address",
            )


def rename_cidr(network: Network, command: RenameCidr) -> Events:
    cidr = find_cidr(network, command.id)
    if cidr.name == command.name:
        return ()
    _free_name(network, command.name)
    return (e.CidrRenamed(id=cidr.id, name=command.name, was=cidr.name),)


def _free_name(network: Network, name: str) -> None:
    if network.cidr_named(name) is not None:
        raise Refused("name_taken", f"a CIDR named {shown(name)} exists already", "choose another name")


def delete_cidr(network: Network, command: DeleteCidr) -> Events:
    """Unknown ids are no error to innernet's clients: what should be gone is gone. Peers are given back to the CIDR
    around it where that is wished for: it joins them with the others there, so nobody gets it unasked."""
    cidr = network.cidrs.get(command.id)
    if cidr is None:
        return ()
    if cidr.id in (ROOT, INFRA):
        raise Refused("cidr_reserved", f"CIDR {shown(cidr.name)} is part of every network and stays")
    if children := network.children(cidr.id):
        raise Refused(
            "cidr_has_children",
            f"CIDR {shown(cidr.name)} holds CIDR {shown(children[0].name)}",
            "delete that first",
        )
    if any(cidr.id in (a.cidr_id_1, a.cidr_id_2) for a in network.associations.values()):
        raise Refused(
            "cidr_has_associations",
            f"CIDR {shown(cidr.name)} has associations",
            "delete them first (list-associations shows them)",
        )
    # Retired peers hold their addresses for ever, but hold up no CIDR: nothing of theirs is left to move.
    if command.merge:
        _can_merge(network, cidr)
    elif peer := next(network.members(cidr.id), None):
        raise Refused(
            "cidr_not_empty",
            f"CIDR {shown(cidr.name)} holds peer {shown(peer.name)}",
            "--merge gives its peers back to the CIDR around it; else delete or retire them first",
        )
    return (e.CidrDeleted(id=cidr.id, name=cidr.name, range=str(cidr.range)),)


def _can_merge(network: Network, cidr: Cidr) -> None:
    """What is an ordinary address in a CIDR must be one in the CIDR around it (a /31 has no edges, its parent may)."""
    around = network.cidrs[cidr.parent or ROOT]
    for peer in network.members(cidr.id):
        if not assignable(peer.ip, around.range):
            raise Refused(
                "cidr_covers_edge_address",
                f"peer {shown(peer.name)} has {peer.ip}, which is the network or broadcast address of CIDR "
                f"{shown(around.name)} ({around.range})",
                "delete or retire that peer first",
            )
