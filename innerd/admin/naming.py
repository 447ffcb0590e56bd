"""Which peer or CIDR somebody means: by its name, its name in DNS, its address or range, or its number."""

from collections.abc import Iterable
from ipaddress import ip_network

from innerd.command.near import did_you_mean
from innerd.domain.naming import among
from innerd.domain.values import shown
from innerd.failure import Failure, not_found
from innerd.wire.ours import NetworkCidr, NetworkJson, NetworkPeer


def peer_named(network: NetworkJson, text: str) -> NetworkPeer:
    """The peer that a text names. Raises Failure `peer_not_found`, with the nearest name."""
    return peer_among(network.peers, network.name, text)


def peer_among(peers: Iterable[NetworkPeer], network: str, text: str) -> NetworkPeer:
    peers = list(peers)
    found = among(peers, network, text, lambda peer: (peer.name, peer.ip, peer.id))
    if found is None:
        raise nobody(text, [peer.name for peer in peers])
    return found


def nobody(text: str, names: Iterable[str], otherwise: str = "list-peers shows them") -> Failure:
    """Where a text means no peer: the nearest of the names."""
    hint = did_you_mean(text.partition(".")[0], names, otherwise)
    return not_found("peer_not_found", f"there is no peer {shown(text)}", hint)


def cidr_named(network: NetworkJson, text: str) -> NetworkCidr:
    """The CIDR that a text names. Raises Failure `cidr_not_found`, with the nearest name."""
    for cidr in network.cidrs:
        if cidr.name == text:
            return cidr
    for cidr in network.cidrs:
        if text in (str(cidr.id), f"cidr:{cidr.id}") or _is_range(cidr.cidr, text):
            return cidr
    hint = did_you_mean(text, [cidr.name for cidr in network.cidrs], "list-cidrs shows them")
    raise not_found("cidr_not_found", f"there is no CIDR {shown(text)}", hint)


def _is_range(block: str, text: str) -> bool:
    try:
        return "/" in text and ip_network(text) == ip_network(block)
    except ValueError:
        return False
