"""The names of a network on this host: who is believed, in the hosts file."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import structlog
from msgspec import Struct

from innclient import hostsfile
from innclient.agent.state import KnownPeer, Netmap
from innclient.failures import Failure


class Names(Struct, frozen=True, kw_only=True):
    """Where names are written."""

    path: Path
    suffix: str | None  # None: <network>.<the coordinator's suffix>
    write: bool = True


async def write(names: Names, interface: str, netmap: Netmap, believed: Iterable[KnownPeer]) -> None:
    """Names must not keep tunnels from being up: what goes wrong is said, and tried again at the next change."""
    if not names.write or not netmap.network:
        return
    suffix = f"{netmap.network}.{netmap.suffix}" if names.suffix is None else names.suffix
    block = hostsfile.lines_of(((peer.ip, peer.name) for peer in believed), suffix)
    try:
        await asyncio.to_thread(hostsfile.update, names.path, interface, block)
    except (Failure, OSError) as error:
        log = structlog.get_logger("agent").bind(interface=interface)
        log.error("names were not written", path=str(names.path), error=str(error))
