"""Deciders for peers: add, rename, enable, disable, grant and revoke admin rights, remove, override an endpoint, let
relay."""

from msgspec import UnsetType

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.cidrs import INFRA_NAME, find_cidr, require_reachable
from innerd.domain.errors import Refused
from innerd.domain.network import Cidr, Network, Peer
from innerd.domain.values import COORDINATOR, Address, Name, PublicKey, assignable, endpoint_address, shown

Events = tuple[e.AnyEvent, ...]


def find_peer(network: Network, number: int) -> Peer:
    peer = network.peers.get(number)
    if peer is None:
        raise Refused("peer_not_found", f"there is no peer with id {number}")
    return peer


def free_key(network: Network, key: PublicKey) -> None:
    """A key is taken if any peer, invitation or the coordinator has or ever had it."""
    if key in network.keys:
        raise Refused("key_taken", f"the key {key} was used in this network before", "make a new key pair")


def free_name(network: Network, name: Name) -> None:
    if name in network.names:
        raise Refused("name_taken", f"a peer named {shown(name)} exists already", "choose another name")
    if name in network.aliases:
        raise Refused(
            "name_taken", f"a DNS record is named {shown(name)}", "choose another name, or delete that record"
        )


def add_peer(network: Network, command: c.AddPeer) -> Events:
    cidr = find_cidr(network, command.cidr)
    address = _address(network, command, cidr)
    free_name(network, command.name)
    free_key(network, command.public_key)
    number = network.last_peer + 1
    added = e.PeerAdded(
        id=number,
        name=command.name,
        ip=str(address),
        public_key=command.public_key,
        is_admin=command.is_admin,
        is_redeemed=command.is_redeemed or command.is_plain,
        invite_expires=None if command.is_redeemed or command.is_plain else command.invite_expires,
        endpoint=command.endpoint,
    )
    if command.is_plain:
        if command.is_admin:
            raise Refused("plain_no_admin", "a plain peer can't administer: it has no inn", "give it --admin false")
        out = (e.PeerDisabled(id=number, name=command.name),) if command.is_disabled else ()
        return (added, e.ConfigWritten(peer=number, name=command.name, revision=network.revision + 1), *out)
    if command.is_disabled:
        return (added, e.PeerDisabled(id=number, name=command.name))
    return (added,)


def _address(network: Network, command: c.AddPeer, cidr: Cidr) -> Address:
    if command.ip is None:
        return first_free(network, cidr)
    address = command.ip
    if address not in cidr.range:
        raise Refused("address_outside_cidr", f"{address} does not lie inside CIDR {shown(cidr.name)} ({cidr.range})")
    if not assignable(address, cidr.range):
        raise _unassignable(address, cidr)
    check_address(network, address)
    return address


def _unassignable(address: Address, cidr: Cidr) -> Refused:
    return Refused(
        "address_unassignable",
        f"{address} is the network or broadcast address of CIDR {shown(cidr.name)} ({cidr.range})",
    )


def check_address(network: Network, address: Address) -> None:
    """Refuse an address of the network that no new peer can have."""
    narrowest = network.cidr_of(address)
    if not assignable(address, narrowest.range):
        raise _unassignable(address, narrowest)
    owner = network.addresses.get(int(address))
    if owner is None:
        return
    if owner in network.peers:
        name = network.peers[owner].name
        raise Refused("address_taken", f"{address} belongs to peer {shown(name)}", "use --auto-ip")
    raise Refused(
        "address_burnt",
        f"{address} belonged to a retired peer and is never given again",
        "clients have pinned its key: use another address",
    )


def first_free(network: Network, cidr: Cidr) -> Address:
    """The lowest address that a new member of exactly this CIDR can have."""
    children = sorted((child.first, child.last) for child in network.children(cidr.id))
    number, make = cidr.first, type(cidr.range.network_address)
    while number <= cidr.last:
        if children and children[0][0] <= number:
            number = max(number, children.pop(0)[1] + 1)
            continue
        if number in network.addresses:
            number += 1
            continue
        address = make(number)
        if assignable(address, cidr.range):
            return address
        number += 1
    raise Refused(
        "cidr_full",
        f"no free address left in CIDR {shown(cidr.name)} ({cidr.range})",
        "add a wider CIDR beside it; addresses of retired peers are never given again",
    )


def rename_peer(network: Network, command: c.RenamePeer) -> Events:
    peer = find_peer(network, command.id)
    if peer.name == command.name:
        return ()
    if peer.id == COORDINATOR:
        raise Refused("coordinator_protected", f"the coordinator keeps its name, {shown(INFRA_NAME)}")
    free_name(network, command.name)
    return (e.PeerRenamed(id=peer.id, name=command.name, was=peer.name),)


def enable_peer(network: Network, command: c.EnablePeer) -> Events:
    peer = find_peer(network, command.id)
    return (e.PeerEnabled(id=peer.id, name=peer.name),) if peer.is_disabled else ()


def disable_peer(network: Network, command: c.DisablePeer) -> Events:
    peer = find_peer(network, command.id)
    if peer.is_disabled:
        return ()
    _not_coordinator(peer, "disabled")
    return (e.PeerDisabled(id=peer.id, name=peer.name),)


def remove_peer(network: Network, command: c.RemovePeer) -> Events:
    peer = find_peer(network, command.id)
    _not_coordinator(peer, "removed")
    if peer.is_redeemed:
        return (e.PeerRetired(id=peer.id, name=peer.name, ip=str(peer.ip)),)
    return (e.PeerDeleted(id=peer.id, name=peer.name, ip=str(peer.ip)),)


def _not_coordinator(peer: Peer, what: str) -> None:
    if peer.id == COORDINATOR:
        raise Refused("coordinator_protected", f"the coordinator can't be {what}: every peer depends on it")


def grant_admin(network: Network, command: c.GrantAdmin) -> Events:
    peer = find_peer(network, command.id)
    if peer.is_plain:
        raise Refused("plain_no_admin", f"peer {shown(peer.name)} is a plain one: it has no inn to administer with")
    return () if peer.is_admin else (e.PeerAdminGranted(id=peer.id, name=peer.name),)


def revoke_admin(network: Network, command: c.RevokeAdmin) -> Events:
    """No guard for the last admin but the coordinator: its own host can always administer (control socket)."""
    peer = find_peer(network, command.id)
    if not peer.is_admin:
        return ()
    _not_coordinator(peer, "taken its admin rights")
    return (e.PeerAdminRevoked(id=peer.id, name=peer.name),)


def override_endpoint(network: Network, command: c.OverrideEndpoint) -> Events:
    peer = find_peer(network, command.id)
    if peer.endpoint == command.endpoint:
        return ()
    if peer.id == COORDINATOR:
        if command.endpoint is None:
            raise Refused("coordinator_protected", "the coordinator always has an endpoint", "use set-endpoint")
        return set_network_endpoint(network, c.SetNetworkEndpoint(command.endpoint))
    if command.endpoint is None:
        return (e.EndpointOverrideCleared(peer=peer.id, name=peer.name, was=peer.endpoint or ""),)
    return (e.EndpointOverridden(peer=peer.id, name=peer.name, endpoint=command.endpoint, was=peer.endpoint),)


def find_plain(network: Network, number: int) -> Peer:
    peer = find_peer(network, number)
    if not peer.is_plain:
        raise Refused("peer_not_plain", f"peer {shown(peer.name)} runs inn, which keeps its own configuration")
    return peer


def write_config(network: Network, command: c.WriteConfig) -> Events:
    peer = find_plain(network, command.id)
    if not peer.is_active:
        raise Refused(
            "peer_not_active", f"peer {shown(peer.name)} is disabled: nobody would answer it", "enable it first"
        )
    if peer.config == network.revision:
        return ()
    return (e.ConfigWritten(peer=peer.id, name=peer.name, revision=network.revision),)


def allow_relay(network: Network, command: c.AllowRelay) -> Events:
    peer = find_peer(network, command.id)
    if peer.is_plain:
        text = f"peer {shown(peer.name)} can't relay: it has WireGuard alone, and no agent"
        raise Refused("peer_cannot_relay", text, "choose one that runs inn")
    if not peer.is_redeemed:
        raise Refused("peer_not_redeemed", f"peer {shown(peer.name)} has not redeemed its invitation yet")
    return () if peer.is_relay else (e.RelayAllowed(peer=peer.id, name=peer.name),)


def disallow_relay(network: Network, command: c.DisallowRelay) -> Events:
    peer = find_peer(network, command.id)
    return (e.RelayDisallowed(peer=peer.id, name=peer.name),) if peer.is_relay else ()


def set_network_endpoint(network: Network, command: c.SetNetworkEndpoint) -> Events:
    """Where peers reach the coordinator from now on."""
    was = network.coordinator.endpoint
    require_reachable(command.endpoint)
    address = endpoint_address(command.endpoint)
    if address is not None and address in network.root.range:
        raise Refused(
            "invalid_endpoint",
            f"{command.endpoint} lies inside the network: nobody could come to the tunnel by way of the tunnel",
            "the address at which this host is reached from outside",
        )
    if was == command.endpoint:
        return ()
    return (e.NetworkEndpointChanged(peer=COORDINATOR, endpoint=command.endpoint, was=was),)


def change_peer(network: Network, command: c.ChangePeer) -> Events:
    """What differs, each as an event of its own; nothing differs, nothing happens."""
    peer = find_peer(network, command.id)
    happened: Events = ()
    if command.is_disabled is not None:
        happened += (
            disable_peer(network, c.DisablePeer(peer.id))
            if command.is_disabled
            else enable_peer(network, c.EnablePeer(peer.id))
        )
    if command.is_admin is not None:
        happened += (
            grant_admin(network, c.GrantAdmin(peer.id))
            if command.is_admin
            else revoke_admin(network, c.RevokeAdmin(peer.id))
        )
    if not isinstance(command.endpoint, UnsetType):
        happened += override_endpoint(network, c.OverrideEndpoint(peer.id, command.endpoint))
    if command.name is not None:  # last: the events before call the peer by the name that it has then
        happened += rename_peer(network, c.RenamePeer(peer.id, command.name))
    return happened
