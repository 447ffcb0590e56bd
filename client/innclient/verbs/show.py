"""How `inn show` and `inn status` look."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from innclient.core.views import CidrView, NetworkView, PeerView, StatusView, refused_domain
from innerd.command.output import Part, Styled, ago, document, item, line, moment, size, table
from innerd.failure import Failure
from innerd.wire.relaying import Relaying

if TYPE_CHECKING:
    from innerd.wire.ours import Status


def as_json(views: list[NetworkView]) -> None:
    """`networks` has all; where there is one, as there mostly is, its keys stand at the top too."""
    import msgspec

    top = msgspec.to_builtins(views[0]) if len(views) == 1 else {}
    document(top | {"networks": views})


def as_text(view: NetworkView, *, short: bool, tree: bool, whole_keys: bool) -> None:
    if short or tree:
        port = f" (:{view.listen_port})" if view.is_up else ""
        line(Styled(view.network or view.interface, "32"), f"{port}{_note(view)}")
        if tree:
            for parts in _tree(view, whole_keys):
                item(*parts)
        for peer in [] if tree else view.peers:
            item(f"  | {_short(peer, whole_keys)}")
        return
    line("network: ", Styled(view.network or view.interface, "32"), _note(view))
    if view.is_up:
        line(f"  listening port: {view.listen_port}")
    for peer in view.peers:
        item("  peer: ", Styled(peer.name, "33"), f" ({_key(peer, whole_keys)}{', you' if peer.is_me else ''})")
        line(f"    ip: {peer.ip}")
        if peer.endpoint:
            since = f" since {moment(peer.path_since)}" if peer.path_since else ""
            via = f" via {peer.via}" if peer.via else ""
            line(f"    endpoint: {peer.endpoint}" + (f" ({peer.path}{via}{since})" if peer.path != "none" else ""))
        if peer.path in ("none", "relayed") and peer.path_missing:
            tried = f"; tried {', '.join(peer.tried)}" if peer.tried else ""
            line(f"    {'no way' if peer.path == 'none' else 'not direct'}: {peer.path_missing}{tried}")
        if peer.last_handshake:
            line(f"    last handshake: {ago(peer.last_handshake)}")
        if peer.rx_bytes or peer.tx_bytes:
            line(f"    transfer: {size(peer.rx_bytes)} received, {size(peer.tx_bytes)} sent")


def as_table(view: NetworkView, columns: Sequence[str], on_request: Sequence[str], *, named: bool) -> None:
    """The columns that were asked for, a line a peer."""
    if named:
        line("network: ", Styled(view.network or view.interface, "32"), _note(view))
    rows = [
        (
            peer.name,
            peer.ip,
            peer.cidr,
            "this machine" if peer.is_me else peer.path,
            peer.endpoint or "",
            ago(peer.last_handshake) if peer.last_handshake else "",
            moment(peer.path_since) if peer.path_since else "",
            size(peer.rx_bytes),
            size(peer.tx_bytes),
            "admin" if peer.is_admin else "",
            str(peer.id),
            peer.public_key,
        )
        for peer in view.peers
    ]
    table((*columns, *on_request), rows, empty="No peer is in sight.", on_request=on_request)


def _relaying(found: Relaying) -> str:
    if found.mode == "off":
        return f"NO: {found.why}"
    how = "in the kernel" if found.mode == "kernel" else f"in user space: {found.why}"
    held = f", {found.held} packets held back" if found.held else ""
    return f"{how}; {found.pairs} pairs, {size(found.bytes)}{held}"


def _note(view: NetworkView) -> str:
    """What an administrator must know before believing the rest."""
    notes = [f"interface {view.interface}"] if view.network not in ("", view.interface) else []
    notes += [] if view.is_up else ["down"]
    if view.as_of is not None:
        notes.append(f"as of {moment(view.as_of)}" if view.as_of else "never heard from the coordinator")
    return f" ({', '.join(notes)})" if notes else ""


def _key(peer: PeerView, whole: bool) -> str:
    return peer.public_key if whole else f"{peer.public_key[:10]}…"


def _short(peer: PeerView, whole_keys: bool) -> str:
    mark = "◉" if peer.is_me or peer.path != "none" else "◯"
    return f"{mark} {peer.ip}: {peer.name} ({'you, ' if peer.is_me else ''}{_key(peer, whole_keys)})"


def _tree(view: NetworkView, whole_keys: bool) -> Iterator[tuple[Part, ...]]:
    """Lines, in parts."""
    below: dict[str, list[PeerView]] = {}
    for peer in view.peers:
        below.setdefault(peer.cidr, []).append(peer)

    def walk(cidr: CidrView, depth: int) -> Iterator[tuple[Part, ...]]:
        yield "  " * depth, Styled(f"{cidr.cidr} {cidr.name}", "34")
        for child in view.cidrs:
            if child.parent == cidr.id:
                yield from walk(child, depth + 1)
        for peer in below.get(cidr.name, ()):
            yield ("  " * (depth + 1) + f"| {_short(peer, whole_keys)}",)

    for cidr in view.cidrs:
        if cidr.parent is None:
            yield from walk(cidr, 1)


def merged(
    view: StatusView, network: "Status | Failure | None", names_work: bool | None, overlaps: list[str]
) -> dict[str, Any]:
    """The status as one document, with the network's under `network_status` (null: this is no administrator's),
    whether names resolve under `names_work` (null: not tried), and what else of this host lies in the network's range
    under `overlaps`."""
    import msgspec

    from innerd.wire.ours import Status

    shown = msgspec.to_builtins(network) if isinstance(network, Status) else None
    if isinstance(network, Failure):
        shown = {"error": {"code": network.code, "message": network.message}}
    document: dict[str, Any] = msgspec.to_builtins(view)
    return document | {"network_status": shown, "names_work": names_work, "overlaps": overlaps}


def network_status(found: "Status | Failure") -> None:
    """What the coordinator says of the whole network."""
    if isinstance(found, Failure):
        line(f"  network: not known ({found.message})")
        return
    line(f"  network: revision {found.revision}, {found.peers} peers, {found.online} online, {found.streams} connected")
    line(f"    behind: {', '.join(found.lagging) or 'nobody'}")


def status(view: StatusView, names_work: bool | None = None, overlaps: Iterable[str] = ()) -> None:
    """`names_work`: whether this machine's own name resolves here; None where that was not tried. `overlaps`: what else
    of this host lies in the network's range."""
    line(f"network: {view.network or '(not heard of yet)'} on {view.interface}")
    line(f"  this peer: {view.ip} ({view.public_key})")
    line(f"  interface: {'up' if view.is_up else 'down'} ({view.backend})")
    line(f"  agent: {'runs' if view.has_agent else 'does not run (inn up -d)'}")
    if view.has_agent:
        at = f", answered at {view.dns.address}" if view.dns.address else ""
        works = {True: "", False: ": THEY DO NOT RESOLVE (inn doctor)", None: ""}[names_work]
        trouble = f" ({view.dns.trouble})" if view.dns.trouble else ""
        line(f"  names: by {view.dns.mode}{at}{trouble}{works}")
    if (refused := refused_domain(view)) is not None:
        line(f"  NAMES: {refused}")
    for sentence in overlaps:
        line(f"  RANGE: {sentence}")
    if view.is_connected:
        line(f"  coordinator: connected since {moment(view.connected_since)}")
    elif view.has_agent:
        trouble = view.trouble or "connecting"
        line(f"  coordinator: not connected; last heard {ago(view.last_contact)}; {trouble}")
    else:
        out = f"; {view.trouble}" if view.shut_out is not None else ""  # all else is an agent's to say
        line(f"  coordinator: last heard {ago(view.last_contact)}{out}")
    if view.tcp:
        line(f"  BY TCP: it is reached at {view.tcp} since {moment(view.tcp_since)}, as nothing is heard by UDP")
    line(f"  revision: {view.revision} (generation {view.generation}), applied here: {view.applied}")
    if view.head:
        line(f"  head: {view.revision}:{view.head}")
    online = f", {view.online} online" if view.is_connected else ""
    by_relay = f", {view.relayed} of them relayed ({size(view.relayed_bytes)})" if view.relayed else ""
    line(f"  peers: {view.peers} visible{online}, {view.reached} reached{by_relay}")
    if view.relaying is not None:
        line(f"  relays for others: {_relaying(view.relaying)}")
    if view.disk_error:
        line(f"  DISK: {view.disk_error}; what was learned is kept in memory, and lost with the agent")
    if view.device_error:
        line(f"  device: {view.device_error}")
    if view.twins:
        line(f"  KEY SHARED: this peer is seen at {' and '.join(view.twins)} in turns: another machine has its key")
        line(f"    on one of the two: inn uninstall {view.interface}, and an invitation of its own")
    if view.forked:
        line(f"  TRUST BROKEN: {view.forked}")
        line("    nothing of it is applied; ask your administrator, then install anew")
    for broken in view.refused:
        line(f"  TRUST BROKEN: {broken.name} ({broken.ip}) shows another key since {moment(broken.since)}")
        line(f"    pinned  {broken.pinned}")
        line(f"    offered {broken.offered}")
        line("    it is not applied; ask your administrator what happened to that machine, and only then accept it:")
        line(f"    inn trust {view.interface} {broken.name}")
    if view.unreadable:
        line(f"  {view.unreadable} peers could not be read and are left out: see the agent's log")
    if not view.has_agent and view.last_contact and time.time() - view.last_contact > 300:
        line("  what is shown may be old")
