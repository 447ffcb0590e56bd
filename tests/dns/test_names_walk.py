"""A random walk through a network's life: after each step the followed names equal new ones, and the rule."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from innerd.coordinator.names import NetworkNames
from innerd.domain import commands as c
from innerd.domain.errors import Refused
from innerd.domain.network import Network, Peer
from innerd.domain.values import COORDINATOR, Name
from innerd.domain.visibility import View
from tests.dns.asking import dig, packet, reply
from tests.dns.oracle import examples
from tests.world import World, key, populated

PEERS = ("ryo", "mari", "oven", "tama", "kuma", "neko")
CIDRS = {"bears": "127.42.128.0/24", "cooks": "127.42.64.0/28", "toms": "127.42.3.0/29", "both": "127.42.0.0/17"}
ALL_CIDRS = ("humans", "ovens", "cats", *CIDRS)

peers, cidrs = st.sampled_from(PEERS), st.sampled_from(ALL_CIDRS)
steps = st.one_of(
    st.tuples(st.just("rename"), peers, st.sampled_from((*PEERS, "x", "y"))),
    st.tuples(st.sampled_from(["disable", "enable", "retire", "redeem"]), peers),
    st.tuples(st.sampled_from(["invite", "join"]), peers, cidrs),
    st.tuples(st.just("carve"), st.sampled_from(sorted(CIDRS))),
    st.tuples(st.just("delete"), cidrs),
    st.tuples(st.sampled_from(["associate", "dissociate"]), cidrs, cidrs),
)


async def take(world: World, step: tuple[str, ...], number: int) -> None:
    """One step. Steps that make no sense here are refused, or have nobody to speak of."""
    network = world.writer.network
    verb, subject, *rest = step
    peer, cidr = network.peer_named(subject), network.cidr_named(subject)
    other = network.cidr_named(rest[0]) if rest else None
    joined = [
        a.id
        for a in network.associations.values()
        if cidr and other and {a.cidr_id_1, a.cidr_id_2} == {cidr.id, other.id}
    ]
    match verb:
        case "rename" if peer:
            await world.do(c.RenamePeer(peer.id, Name(rest[0])))
        case "disable" if peer:
            await world.do(c.DisablePeer(peer.id))
        case "enable" if peer:
            await world.do(c.EnablePeer(peer.id))
        case "retire" if peer:
            await world.do(c.RemovePeer(peer.id))
        case "redeem" if peer:
            await world.do(c.Redeem(peer.id, key(f"own {number}")))
        case "invite" | "join" if other:
            redeemed = verb == "join"
            new = c.AddPeer(
                name=Name(subject), cidr=other.id, ip=None, public_key=key(f"new {number}"), is_redeemed=redeemed
            )
            await world.do(new)
        case "carve":
            await world.add_cidr(subject, CIDRS[subject])
        case "delete" if cidr:
            await world.do(c.DeleteCidr(cidr.id))
        case "associate" if cidr and other:
            await world.associate(subject, rest[0])
        case "dissociate" if joined:
            await world.do(c.DeleteAssociation(joined[0]))


def narrowest(network: Network, peer: Peer) -> int:
    around = [cidr for cidr in network.cidrs.values() if peer.ip in cidr.range]
    return max(around, key=lambda cidr: cidr.range.prefixlen).id


def may_see(network: Network, a: Peer, b: Peer) -> bool:
    """The rule in its own words."""
    if COORDINATOR in (a.id, b.id) or narrowest(network, a) == narrowest(network, b):
        return True
    return any(
        (a.ip in network.cidrs[x].range and b.ip in network.cidrs[y].range)
        or (b.ip in network.cidrs[x].range and a.ip in network.cidrs[y].range)
        for x, y in ((j.cidr_id_1, j.cidr_id_2) for j in network.associations.values())
    )


def check(names: NetworkNames, network: Network) -> None:
    active = [p for p in network.peers.values() if p.is_redeemed and not p.is_disabled]
    for peer in [*network.peers.values(), *network.retired.values()]:
        assert (names.zone.asker(str(peer.ip)) is not None) == (peer in active)
    for asker, label in product(active, (*PEERS, "x", "y", "innernet-server")):
        named = network.peer_named(label)
        said = dig(f"{label}.kermpany.wg A", zone=names.zone, source=str(asker.ip))
        if named in active and may_see(network, asker, named):
            assert said == f"NOERROR aa | {label}.kermpany.wg. 5 IN A {named.ip}"
        else:
            assert said == "NXDOMAIN aa | kermpany.wg. SOA"


def everything(names: NetworkNames, network: Network) -> list[bytes | None]:
    """What every asker is told of every address, of the nodes above them, and of the tops of the zones."""
    known = [*network.peers.values(), *network.retired.values()]
    owners = {".".join(p.ip.reverse_pointer.split(".")[drop:]) for p in known for drop in (0, 1)}
    return [
        reply(packet(name, type_), zone=names.zone, source=str(asker.ip))
        for asker in known
        if names.zone.asker(str(asker.ip)) is not None
        for name in (*sorted(owners), "kermpany.wg", "42.127.in-addr.arpa")
        for type_ in ("PTR", "SOA")
    ]


@examples(25)
@given(walk=st.lists(steps, min_size=4, max_size=12))
async def test_followed_names_equal_new_ones_and_the_rule_after_every_step(walk: list[tuple[str, ...]]) -> None:
    world = await populated()
    names = NetworkNames(world.writer.view, "wg", 5)
    world.writer.feed.follow("dns", names.follow)
    for number, step in enumerate(walk):
        try:
            await take(world, step, number)
        except Refused:
            continue
        network = world.writer.network
        assert world.writer.feed.errors["dns"] == 0
        check(names, network)
        assert everything(names, network) == everything(NetworkNames(View.of(network), "wg", 5), network)
