"""The rules once more, written naively from their words in `design.md` section 1. Slow, and nothing of the source's.

Containment is a question about addresses here, never about parents, so the tree itself is checked too.
"""

from itertools import combinations

from innerd.domain.network import Cidr, Network, Peer


def narrowest(network: Network, peer: Peer) -> Cidr:
    """The CIDR a peer belongs to: the longest prefix that contains its address."""
    return max((c for c in network.cidrs.values() if peer.ip in c.range), key=lambda c: c.range.prefixlen)


def sees(network: Network, a: Peer, b: Peer) -> bool:
    if any(peer.is_disabled or not peer.is_redeemed for peer in (a, b)):
        return False
    if narrowest(network, a) == narrowest(network, b):
        return True
    for association in network.associations.values():
        one = network.cidrs[association.cidr_id_1].range
        other = network.cidrs[association.cidr_id_2].range
        if (a.ip in one and b.ip in other) or (a.ip in other and b.ip in one):
            return True
    return 1 in (a.id, b.id)


def pairs(network: Network) -> set[frozenset[int]]:
    """Every two peers, as ids, that see each other."""
    peers = network.peers.values()
    return {frozenset({a.id, b.id}) for a, b in combinations(peers, 2) if sees(network, a, b)}


def visible(network: Network, peer: Peer) -> set[int]:
    """The ids of all that a peer sees, itself included."""
    return {other.id for other in network.peers.values() if sees(network, peer, other)}


def told(stages: list[Network], a: int, b: int, revision: int) -> tuple[bool, int] | None:
    """Whether two peers see each other at a revision, and the event that made it so: by looking at each in turn."""
    found: tuple[bool, int] | None = None
    for network in stages[1 : revision + 1]:
        there = a in network.peers and b in network.peers
        now = sees(network, network.peers[a], network.peers[b]) if there else None
        if now is None:
            found = None
        elif found is None or found[0] != now:
            found = (now, network.revision)
    return found
