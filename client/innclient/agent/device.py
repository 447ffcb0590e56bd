"""The device of one interface: makes it, keeps it as the core wants it, puts right what others did to it, and says so.

What the device is, is remembered between looks, so that one change costs one small message; where that is not certain,
it is read anew.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog
from msgspec import Struct
from msgspec.structs import replace

from innclient.agent.endpoints import Finder
from innclient.agent.tunnel import Tunnel
from innclient.config import Loaded
from innclient.core.membership import Core, Taken
from innclient.core.netmap import KnownPeer, Presence
from innclient.core.trials import is_silent
from innerd.domain.values import Endpoint
from innerd.wireguard.device import Device, DeviceError
from innerd.wireguard.plan import Change, SetPeer, applied, edits


class Making(Struct, frozen=True, kw_only=True):
    """How the interface is to be made. `mtu` None: what the routes carry."""

    mtu: int | None
    routing: bool = True
    try_endpoints: bool = True


class Applier:
    """`repaired` is told, in words, what was put right. All methods raise DeviceError."""

    def __init__(
        self, core: Core, tunnel: Tunnel, finder: Finder, making: Making, repaired: Callable[[list[str]], None]
    ) -> None:
        self.device: Device | None = None  # as it was seen last, and changed by us since
        self.core, self.tunnel, self.finder, self.making = core, tunnel, finder, making
        self._lost: Device | None = None  # one that went: its peers are where they were
        self._repaired = repaired
        self._log = structlog.get_logger("agent").bind(interface=tunnel.interface)

    def bring_up(self, loaded: Loaded) -> list[str]:
        """The interface, made or put right; what was done to it, in words."""
        port = self.finder.last.listen_port
        endpoint = self.finder.server(self.core.netmap).endpoint
        making = self.making
        return self.tunnel.bring_up(
            loaded.values,
            loaded.values.private_key,
            making.mtu,
            routing=making.routing,
            last_port=port,
            endpoint=endpoint,
        )

    def put_right(self, loaded: Loaded) -> None:
        """What is about the link: whether it is there, its address, MTU and route."""
        was_there = self.tunnel.is_same()
        done = self.bring_up(loaded)
        if not was_there:
            self._lost, self.device = self.device or self._lost, None
            self._log.warning("the interface was gone: it is made anew")
            done = ["it was gone, and is made anew"]
        if done:
            self._repaired(done)

    def apply(self, taken: Taken | None) -> None:
        """Of what was taken (None: all), what concerns the device."""
        now = time.time()
        server = self.finder.server(self.core.netmap)
        device, self.device = self.device, None  # what it is, is not known until the changes are made
        if device is None or taken is None or server.moved or self._must_look(device, taken, now):
            before, device, taken = device, self.tunnel.get(), None
            if before is not None and (found := edits(before, device)):
                self._repaired(found)
                device = self._with_its_port(before, device)
        changes, after = self.core.changes(device, server, self._tried(taken), now, taken)
        if self._lost is not None:
            changes = tuple(_where_it_was(change, self._lost) for change in changes)
            after, self._lost = applied(device, changes), None
        self.tunnel.change(changes)
        self.device = after

    def _with_its_port(self, before: Device, device: Device) -> Device:
        """The device with the port that it had, whoever gave it another: others know us there."""
        if device.listen_port == before.listen_port:
            return device
        with contextlib.suppress(DeviceError):  # somebody else has it now
            self.tunnel.listen(before.listen_port)
        return self.tunnel.get()

    def _tried(self, taken: Taken | None) -> dict[int, Presence]:
        """Where silent peers may be tried, of those that are looked at."""
        if not self.making.try_endpoints:
            return {}
        known = self.core.presence
        if taken is not None and taken.peers is not None:
            known = {number: known[number] for number in taken.peers if number in known}
        return self.finder.tried(known)

    def _must_look(self, device: Device, taken: Taken, now: float) -> bool:
        """Whether a peer that was told of is on the device, and may have shaken hands since we looked."""
        entries = [device.peers[key] for key in taken.keys if key in device.peers]
        return taken.peers is None or any(is_silent(entry, now) for entry in entries)

    async def place(self, peer: KnownPeer, endpoint: Endpoint) -> None:
        """Reach a peer at an endpoint from now on, if it is not reached there already."""
        device = await asyncio.to_thread(self.tunnel.get)
        changes, after = self.core.placed(peer, endpoint, device)
        await asyncio.to_thread(self.tunnel.change, changes)
        self.device = after

    async def renew(self) -> None:
        """Shake hands with the coordinator anew, at the next change."""
        self.device = None
        await asyncio.to_thread(self.tunnel.forget, self.core.me.server_key)


def _where_it_was(change: Change, lost: Device) -> Change:
    """A peer that is made anew is greeted at once where it was reached: it does not know that it should begin."""
    if not isinstance(change, SetPeer) or not change.is_new or change.endpoint is not None:
        return change
    entry = lost.peers.get(change.public_key)
    return change if entry is None or entry.endpoint is None else replace(change, endpoint=entry.endpoint)
