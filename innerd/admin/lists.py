"""The list of peers: narrowed, sorted, and summed up."""

import time
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

import click
import msgspec

from innerd.admin.invites import duration
from innerd.admin.naming import cidr_named
from innerd.admin.verb import Call, verb
from innerd.command import output
from innerd.domain.values import COORDINATOR
from innerd.wire.ours import Audit, NetworkJson, NetworkPeer
from innerd.wire.reach import ConfigState

_SORTS = {
    "ip": lambda peer: int(ip_address(peer.ip)),
    "name": lambda peer: peer.name,
    "cidr": lambda peer: (peer.cidr, int(ip_address(peer.ip))),
    "state": lambda peer: (output.state_of(peer, time.time()), peer.name),
    "handshake": lambda peer: -(peer.last_handshake or 0.0),
}


PEERS = ("NAME", "IP", "CIDR", "STATE", "RIGHTS", "ENDPOINT", "HANDSHAKE", "ID", "KEY", "ONLINE", "APPLIED", "RUNS")
ON_REQUEST = ("ID", "KEY", "ONLINE", "APPLIED", "RUNS")
_NAMED = 5  # peers
_RETIRED = ("NAME", "IP", "RETIRED", "BY")


@verb(
    "list-peers",
    click.option("--cidr", multiple=True, help="Only peers in this CIDR or inside it. Repeatable."),
    click.option("--sort", type=click.Choice(list(_SORTS)), default="ip", show_default=True, help="By what."),
    click.option("--offline-for", metavar="TIME", help="Only peers that were not heard of for so long, such as 30d."),
    click.option("--retired", is_flag=True, help="The peers that were retired, in place of those that are there."),
    lists=(*PEERS, *_RETIRED),
)
async def list_peers(call: Call, cidr: tuple[str, ...], sort: str, offline_for: str | None, retired: bool) -> None:
    """All peers of the network, or some."""
    silent = None if offline_for is None else duration(offline_for)
    network, now = await call.network(), time.time()
    if retired:
        await _list_retired(call, network)
        return
    wanted = _inside(network, cidr)
    peers = [peer for peer in network.peers if peer.cidr in wanted and (silent is None or _silent(peer, now - silent))]
    if call.as_json:
        output.document(
            {"peers": sorted(peers, key=_key(sort)) if sort != "ip" else peers, "revision": network.revision}
        )
        return
    table(sorted(peers, key=_key(sort)), now)
    if peers:
        output.line(_sum(peers, now))


def table(peers: Iterable[NetworkPeer], now: float) -> None:
    """Peers, a line each."""
    rows = [
        (
            peer.name,
            peer.ip,
            peer.cidr,
            output.state_of(peer, now),
            "admin" if peer.is_admin else "",
            peer.endpoint or peer.learned_endpoint or "",
            output.ago(peer.last_handshake) if peer.last_handshake else "",
            str(peer.id),
            peer.public_key,
            {True: "yes", False: "no", None: ""}[peer.is_online],
            "" if peer.applied is None else str(peer.applied),
            peer.software or "",
        )
        for peer in peers
    ]
    output.table(PEERS, rows, empty="No peer is like that.", on_request=ON_REQUEST)
    for peer in peers:
        if peer.config is not None and peer.config.behind:
            output.item(f"{peer.name}: {age_of(peer.config)}")


def age_of(config: ConfigState) -> str:
    """How old a plain peer's file is, in words."""
    changes = output.count(config.behind, "change")
    lacks = f": can't reach {', '.join(config.missing[:_NAMED])}" if config.missing else ""
    more = f" and {len(config.missing) - _NAMED} more" if len(config.missing) > _NAMED else ""
    return f"its file is of revision {config.revision}, {changes} behind{lacks}{more}"


def _key(sort: str):  # type: ignore[no-untyped-def]
    return _SORTS[sort]


def _inside(network: NetworkJson, names: Iterable[str]) -> set[str]:
    """The names of CIDRs and of all inside them; all where none is named."""
    found = {cidr_named(network, name).name for name in names} or {cidr.name for cidr in network.cidrs}
    for _ in network.cidrs:  # as deep as there are CIDRs, at most
        found |= {cidr.name for cidr in network.cidrs if cidr.parent in found}
    return found


def _silent(peer: NetworkPeer, since: float) -> bool:
    """Whether a peer that takes part was not heard of since then, or never was."""
    takes_part = peer.is_redeemed and not peer.is_disabled and peer.id != COORDINATOR
    return takes_part and not peer.is_online and (peer.last_handshake or 0.0) <= since


def _sum(peers: list[NetworkPeer], now: float) -> str:
    """`7 peers: 3 online, 2 offline, 1 disabled, 1 invited`: what there is none of is not named."""
    counts: dict[str, int] = {}
    for peer in peers:
        state = output.state_of(peer, now)
        if state == "active":
            state = "online" if peer.is_online else "offline"
        counts[state] = counts.get(state, 0) + 1
    order = ("online", "offline", "disabled", "invited", "invitation expired")
    parts = [f"{counts[state]} {state.removeprefix('invitation ')}" for state in order if state in counts]
    return f"{output.count(len(peers), 'peer')}: {', '.join(parts)}"


async def _list_retired(call: Call, network: NetworkJson) -> None:
    """From the log: who is retired is in no list of who is there."""
    retired: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = (await call.api.get("/v1/admin/events", after=after, limit=1000, type="peer.retired")).read(Audit)
        for event in page.events:
            data = msgspec.json.decode(event.data)
            known = {"id": data["id"], "name": data["name"], "ip": data["ip"]}
            retired.append(known | {"retired": event.at, "by": event.actor_name})
        after = page.next
    if call.as_json:
        output.document({"retired": retired, "revision": network.revision})
        return
    rows = [(r["name"], r["ip"], f"{r['retired'][:19].replace('T', ' ')}Z", r["by"]) for r in retired]
    output.table(_RETIRED, rows, empty="No peer was retired.")


VERBS = [list_peers]
