"""Why two peers see each other, or don't: the rule of `visibility` answered for one pair."""

from msgspec import Struct

from innerd.domain.network import Association, Network, Peer
from innerd.domain.values import COORDINATOR


class Reason(Struct, frozen=True, kw_only=True):
    """`rule`: same_cidr, association or coordinator where they see each other; disabled, not_redeemed or no_association
    where they don't. `cidrs` are the names that it speaks of: the one they share, or the association's two ends."""

    sees: bool
    rule: str
    cidrs: tuple[str, ...] = ()
    peer: str | None = None  # whose state it is, for disabled and not_redeemed


def explain(network: Network, a: Peer, b: Peer) -> Reason:
    """The reason for one pair of different peers of a network."""
    for peer in (a, b):
        if peer.is_disabled:
            return Reason(sees=False, rule="disabled", peer=peer.name)
        if not peer.is_redeemed:
            return Reason(sees=False, rule="not_redeemed", peer=peer.name)
    if COORDINATOR in (a.id, b.id):
        return Reason(sees=True, rule="coordinator")
    own, other = network.cidr_of(a.ip), network.cidr_of(b.ip)
    if own.id == other.id:
        return Reason(sees=True, rule="same_cidr", cidrs=(own.name,))
    joined = next(
        (x for number in sorted(network.associations) if _joins(network, x := network.associations[number], a, b)), None
    )
    if joined is None:
        return Reason(sees=False, rule="no_association", cidrs=(own.name, other.name))
    ends = (network.cidrs[joined.cidr_id_1].name, network.cidrs[joined.cidr_id_2].name)
    return Reason(sees=True, rule="association", cidrs=ends)


def _joins(network: Network, association: Association, a: Peer, b: Peer) -> bool:
    one, other = network.cidrs[association.cidr_id_1], network.cidrs[association.cidr_id_2]
    return (a.ip in one.range and b.ip in other.range) or (b.ip in one.range and a.ip in other.range)
