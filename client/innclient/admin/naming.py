"""Which peer or CIDR somebody means: by its name, its name in DNS, its address or range, or its number."""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from innclient.failures import Failure, not_found
from innclient.near import did_you_mean
from innerd.domain.values import shown
from innerd.wire.ours import NetworkCidr, NetworkJson, NetworkPeer


def peer_named(network: NetworkJson, text: str) -> NetworkPeer:
    """The peer that a text names. Raises Failure `peer_not_found`, with the nearest name."""
    return peer_among(network.peers, network.name, text)


def peer_among(peers: Iterable[NetworkPeer], network: str, text: str) -> NetworkPeer:
    peers = list(peers)
    for form in (_as_name, _in_dns, _by_address, _by_number):
        for peer in peers:
            if form(peer, text, network):
                return peer
    raise _nobody(text, [peer.name for peer in peers])


def _nobody(text: str, names: list[str]) -> Failure:
    hint = did_you_mean(text.partition(".")[0], names, "list-peers shows them")
    return not_found("peer_not_found", f"there is no peer {shown(text)}", hint)


def _as_name(peer: NetworkPeer, text: str, network: str) -> bool:
    return peer.name == text


def _in_dns(peer: NetworkPeer, text: str, network: str) -> bool:
    """`db1.kermpany.wg`: names end in the network's, and in a suffix that each host may choose."""
    name, _, rest = text.rstrip(".").lower().partition(".")
    return bool(rest) and peer.name == name and rest.partition(".")[0] == network.lower()


def _by_address(peer: NetworkPeer, text: str, network: str) -> bool:
    try:
        return ip_address(text) == ip_address(peer.ip)
    except ValueError:
        return False


def _by_number(peer: NetworkPeer, text: str, network: str) -> bool:
    return text in (str(peer.id), f"peer:{peer.id}")


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
