"""What an agent says of itself, and what the files say without one: for `inn show` and `inn status`, and the line that
`systemctl status` shows."""

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from innclient.agent import store
from innclient.core.membership import Membership
from innclient.core.status import counted, network_view, peers_in_sight, relayed
from innclient.core.views import NameState, NetworkView, StatusView
from innclient.paths import Paths
from innerd import __version__
from innerd.wire import proof
from innerd.wireguard.device import Device, NoSuchDevice

if TYPE_CHECKING:
    from innclient.agent.session import Session
    from innclient.agent.tunnel import Tunnel
    from innclient.config import Loaded
    from innclient.names.publisher import NameSettings

_SLICE = 500  # peers of an answer that are made in one go: a few milliseconds


def headline(session: "Session") -> str:
    """How an interface is, in a few words; what is wrong stands behind them."""
    state = "connected" if session.is_connected else f"no connection: {trouble_of(session) or 'connecting'}"
    parts = [f"{session.paths.interface}: {state}, revision {session.netmap.revision}"]
    wrong = {
        "ANOTHER LOG THAN WAS SEEN": session.agent.connection.forked,
        "THE DEVICE IS NOT AS IT SHOULD BE": session.agent.change.error,
        "THE DISK CAN'T BE WRITTEN": session.unwritten,
        "OTHER KEYS ARE REFUSED": ", ".join(broken.name for broken in session.pins.broken.values()),
    }
    parts += [f"{what}: {why}" for what, why in wrong.items() if why]
    skew = abs(session.peer_paths.ahead) if session.is_connected else 0
    if skew > proof.WINDOW:
        parts.append(f"THE CLOCK is {skew:.0f} s off the coordinator's: proofs of administrators are refused")
    return ", ".join(parts)


def trouble_of(session: "Session") -> str | None:
    """Why there is no connection. Who was shut out hears nothing more, however long it tries."""
    return _shut_out(session.membership) or session.agent.connection.trouble


def _shut_out(membership: Membership) -> str | None:
    out = membership.netmap.shut_out
    return None if out is None else f"this machine was {out} by an administrator"


async def show(session: "Session") -> NetworkView:
    """In slices: the loop is others' too."""
    device, now = await _device(session), time.time()
    as_of = None if session.is_connected else session.last_heard
    by_tcp = session.agent.transport.remote
    seen = partial(session.peer_paths.seen, now=now, connected=session.is_connected, by_tcp=by_tcp)
    netmap, peers = session.netmap, []
    for peer in peers_in_sight(netmap, session.pins, device, now, seen):
        peers.append(peer)
        if not len(peers) % _SLICE:
            await asyncio.sleep(0)
    return network_view(session.paths.interface, netmap, peers, device, as_of)


async def _device(session: "Session") -> Device | None:
    with contextlib.suppress(NoSuchDevice):
        return await asyncio.to_thread(session.tunnel.get)
    return None


def from_files(paths: Paths, tunnel: "Tunnel | None") -> NetworkView:
    """What `show` says without an agent: the last state, and the device where we may read it."""
    netmap, saved = store.load_netmap(paths)
    device = tunnel.get() if tunnel is not None and tunnel.is_up() else None
    peers = list(peers_in_sight(netmap, store.load_pins(paths), device, time.time()))
    return network_view(paths.interface, netmap, peers, device, saved or 0.0)


async def status(session: "Session") -> StatusView:
    device = await _device(session)
    connection, known = session.agent.connection, session.membership
    return StatusView(
        **_what_is_known(session.paths, session.loaded, known, session.choices.names, session.tunnel, device),
        dns=session.names.state,
        has_agent=True,
        is_connected=session.is_connected,
        connected_since=connection.since,
        last_contact=session.last_heard,
        trouble=trouble_of(session),
        release=__version__,
        forked=connection.forked,
        twins=list(connection.twins),
        relaying=await session.relaying.status(),
        tcp=session.agent.transport.remote,
        tcp_since=session.agent.transport.since,
        device_error=session.agent.change.error,
        disk_error=session.unwritten,
        applied=session.applied,
        online=sum(p.online for n, p in known.presence.items() if n != known.netmap.me and n in known.netmap.peers),
    )


def status_from_files(paths: Paths, loaded: "Loaded", names: "NameSettings", tunnel: "Tunnel") -> StatusView:
    """What `status` says without an agent. Raises Failure, DeviceError."""
    known, saved = store.load_membership(paths, loaded.values)
    return StatusView(
        **_what_is_known(paths, loaded, known, names, tunnel, tunnel.get() if tunnel.is_up() else None),
        dns=NameState(mode="hosts" if names.write and names.dns != "none" else "none", address=None, trouble=None),
        has_agent=False,
        is_connected=False,
        connected_since=None,
        last_contact=saved,
        trouble=_shut_out(known),
        release="",
        forked=None,
        twins=[],
        device_error=None,
        disk_error=None,
        applied=known.netmap.revision,  # it is saved when it is applied
        online=0,
    )


def _what_is_known(
    paths: Paths, loaded: "Loaded", known: Membership, names: "NameSettings", tunnel: "Tunnel", device: Device | None
) -> dict[str, Any]:
    """The part of a status that config, memory and device tell."""
    values, netmap = loaded.values, known.netmap
    peers, reached = counted(netmap, known.pins, device, time.time())
    me = netmap.peers.get(netmap.me)
    relays = {known.me.server_key, *(peer.public_key for peer in netmap.peers.values() if peer.is_relay)}
    by_relay, carried = relayed(device, relays, time.time())
    return {
        "interface": paths.interface,
        "network": netmap.network,
        "name": "" if me is None else me.name,
        "domain": names.ending(netmap),
        "ip": str(values.address.ip),
        "range": str(values.address.network),
        "own_domain": netmap.domain,
        "told_domain": netmap.told_domain,
        "public_key": known.me.public_key,
        "backend": tunnel.backend.name,
        "is_up": device is not None,
        "shut_out": netmap.shut_out,
        "is_admin": me is not None and me.is_admin,
        "revision": netmap.revision,
        "generation": netmap.generation,
        "head": netmap.head_hash,
        "peers": peers,
        "reached": reached,
        "relayed": by_relay,
        "relayed_bytes": carried,
        "refused": list(known.pins.broken.values()),
        "unreadable": len(netmap.refused),
    }
