"""The verbs of `innerd` about the network as a whole: all of it, how its coordinator is, where that is reached."""

import time

import click

from innerd.admin import inspect, lists
from innerd.admin.verb import Call, verb
from innerd.command import listing, output
from innerd.wire.ours import NetworkJson, Status
from innerd.wire.reach import RelayStatus, TcpStatus


@verb("show", click.option("--at", help="As it was then: a time, a revision, or how long ago."), lists=lists.PEERS)
async def show(call: Call, at: str | None) -> None:
    """The whole network: CIDRs, peers, associations; now, or as it was."""
    when = inspect.moment_of(at)
    network = await call.network() if when is None else (await call.api.get("/v1/network", at=when)).read(NetworkJson)
    if call.as_json:
        output.document(network)
        return
    output.line(f"network: {network.name} (revision {network.revision}, {output.count(len(network.peers), 'peer')})")
    if listing.has_columns():
        lists.table(output.by_address(network.peers), time.time())
        return
    output.tree(network)
    for association in network.associations:
        output.item(f"association: {association.cidr1} <=> {association.cidr2}")
    for record in network.records:
        output.item(f"record: {record.name} {record.type} {record.value}")


@verb("status", lists=())
async def status(call: Call) -> None:
    """How the coordinator is."""
    found = (await call.api.get("/v1/admin/status")).read(Status)
    if call.as_json:
        output.document(found)
        return
    output.line(f"network: {found.network} ({found.id})")
    output.line(f"  serving: {'yes, since ' + output.moment(found.started) if found.is_serving else 'no'}")
    output.line(f"  endpoint: {found.endpoint}")
    output.line(f"  revision: {found.revision} (generation {found.generation}, head {found.head[:16]}…)")
    for trouble in found.troubles:
        output.line(f"  {trouble.kind.upper()}: {trouble.text} [{trouble.code}]")
        if trouble.hint:
            output.line(f"    hint: {trouble.hint}")
    for name, config in found.configs.items():
        output.item(f"  {name}: {lists.age_of(config)} (innerd export)")
    if not found.is_serving:
        return
    output.line(f"  peers: {found.peers} active, {found.online} online, {found.streams} streaming")
    output.line(f"  behind: {', '.join(found.lagging) or 'nobody'}")
    if found.relay is not None:
        _relay(found.relay)
        if found.relay.tcp is not None:
            _by_tcp(found.relay.tcp)
    if found.software:
        output.line(f"  they run: {', '.join(f'{what} ({count})' for what, count in found.software.items())}")
    if found.device_errors:
        output.line(f"  device errors since start: {found.device_errors} (see the log)")
    for name, count in found.follower_errors.items():
        if count:
            output.line(f"  {name} failed {count} times since start: what it shows may be old (see the log)")


def _by_tcp(found: TcpStatus) -> None:
    refused = f", {found.refused} connections turned away" if found.refused else ""
    output.item(f"  by TCP: at {found.at}, {output.count(len(found.peers), 'peer')}{refused}")
    for one in found.peers:
        output.item(f"    {one.peer}: from {one.remote}")


def _relay(found: RelayStatus) -> None:
    if found.mode == "off":
        output.line(f"  relay: off{f' ({found.why})' if found.why else ''}")
        return
    how = "in the kernel" if found.mode == "kernel" else f"in user space: {found.why}"
    carried = f"{output.count(found.pairs, 'pair')}, {output.size(found.bytes)}"
    output.item(f"  relay: {how}; {carried}{f', {found.held} packets held back' if found.held else ''}")
    for pair in found.busiest:
        output.item(f"    {pair.a} <=> {pair.b}: {output.size(pair.bytes)} since {output.moment(pair.since)}")


VERBS = [show, status, inspect.set_endpoint, inspect.allow_relay, inspect.disallow_relay]
