"""Which peers a verb is about, and one verb for several: all are found before anything is done; each is reported; the
first refusal ends it."""

from collections.abc import Awaitable, Callable

import click

from innerd.admin.verb import Call
from innerd.command import output, prompt
from innerd.domain.values import COORDINATOR
from innerd.failure import Failure
from innerd.wire.ours import NetworkCidr, NetworkJson, NetworkPeer

_INFRA = 2

PEERS = (
    click.argument("peers", nargs=-1, metavar="[PEER]..."),
    click.option("--name", multiple=True, help="The peer: its name, name in DNS, address or number. Repeatable."),
)


async def chosen(
    call: Call, names: tuple[str, ...], question: str, fits: Callable[[NetworkPeer], bool]
) -> list[NetworkPeer]:
    """The peers named, or one chosen among those that fit."""
    if not names:
        names = (await choose(call, question, fits),)
    found = [await call.peer(name) for name in names]
    # This machine comes last: once it is out, it can't ask for the others.
    return sorted({peer.id: peer for peer in found}.values(), key=lambda peer: peer.ip == call.api.own)


async def choose(call: Call, question: str, fits: Callable[[NetworkPeer], bool]) -> str:
    prompt.need({"PEER or --name": None})
    peers = [peer for peer in (await call.network()).peers if peer.id != COORDINATOR and fits(peer)]
    return prompt.choose(question, "PEER or --name", [(p.name, f"{p.name} ({p.ip})") for p in output.by_address(peers)])


def cidr_choices(network: NetworkJson) -> list[tuple[str, str]]:
    """The CIDRs to choose from: those that hold no others first; the root, in which nobody is put by a slip of a
    finger, comes last."""
    around = {cidr.parent for cidr in network.cidrs}
    found = [cidr for cidr in network.cidrs if cidr.id != _INFRA]
    return [(c.name, _with_range(c)) for c in sorted(found, key=lambda c: (c.parent is None, c.name in around))]


def deletable(network: NetworkJson, *, merge: bool) -> list[tuple[str, str]]:
    """The CIDRs that can be deleted: neither root nor the coordinator's, without CIDRs inside, associations and, unless
    they are given back (`merge`), peers."""
    held = {cidr.parent for cidr in network.cidrs}
    held |= {name for pair in network.associations for name in (pair.cidr1, pair.cidr2)}
    return [
        (cidr.name, _with_range(cidr))
        for cidr in network.cidrs
        if cidr.parent is not None and cidr.id != _INFRA and cidr.name not in held and (merge or not cidr.peers)
    ]


def _with_range(cidr: NetworkCidr) -> str:
    return f"{cidr.name} ({cidr.cidr})"


def quoted(peers: list[NetworkPeer]) -> str:
    """As questions name them: `peer "ryo"`, `peers "ryo" and "mari"`."""
    names = [f'"{peer.name}"' for peer in peers]
    return f"peer {names[0]}" if len(names) == 1 else f"peers {', '.join(names[:-1])} and {names[-1]}"


async def for_each(call: Call, peers: list[NetworkPeer], deed: Callable[[NetworkPeer], Awaitable[None]]) -> None:
    """Do it to each in turn. Raises the Failure of the first that is refused, which says what was done before it."""
    if len(peers) == 1:
        await deed(peers[0])
        return
    call.several()
    for number, peer in enumerate(peers):
        try:
            if number:
                await call.again(peer)
            await deed(peer)
        except Failure as failure:
            call.told_so_far()
            done = ", ".join(one.name for one in peers[:number]) or "none"
            left = ", ".join(one.name for one in peers[number + 1 :]) or "none"
            said = f"{peer.name}: {failure.message} (done before: {done}; not tried: {left})"
            raise Failure(failure.status, failure.code, said, failure.hint) from failure
