"""Deciders for associations: two CIDRs whose peers may reach each other. Unordered; each pair once."""

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.cidrs import find_cidr
from innerd.domain.errors import Refused
from innerd.domain.network import Association, Network
from innerd.domain.values import shown

Events = tuple[e.AnyEvent, ...]


def find_association(network: Network, one: int, other: int) -> Association | None:
    pair = {one, other}
    return next((a for a in network.associations.values() if {a.cidr_id_1, a.cidr_id_2} == pair), None)


def add_association(network: Network, command: c.AddAssociation) -> Events:
    one, other = find_cidr(network, command.cidr_id_1), find_cidr(network, command.cidr_id_2)
    if one.id == other.id:
        raise Refused(
            "association_with_itself",
            f"CIDR {shown(one.name)} can't be associated with itself: its peers see each other",
        )
    if find_association(network, one.id, other.id):
        raise Refused("association_exists", f"CIDRs {shown(one.name)} and {shown(other.name)} are associated already")
    number = network.last_association + 1
    return (e.AssociationAdded(id=number, cidr_id_1=one.id, cidr_id_2=other.id),)


def delete_association(network: Network, command: c.DeleteAssociation) -> Events:
    """Unknown ids are no error to innernet's clients: what should be gone is gone."""
    found = network.associations.get(command.id)
    if found is None:
        return ()
    return (e.AssociationDeleted(id=found.id, cidr_id_1=found.cidr_id_1, cidr_id_2=found.cidr_id_2),)
