"""Carries out what the agent commands, on this host: its device, its names, its disk, and what is said to the
coordinator. Each command by itself: in which order is not decided here."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import structlog
from msgspec import Struct
from msgspec.structs import replace

from innclient.agent import router, stream
from innclient.agent.by_tcp import ByTcp
from innclient.agent.endpoints import Finder
from innclient.agent.errands import Errands
from innclient.agent.journal import Journal
from innclient.agent.shelf import Shelf
from innclient.agent.tunnel import Making, Tunnel, candidates
from innclient.config import Loaded
from innclient.core import commands as c
from innclient.core import events as e
from innclient.core.commands import Command
from innclient.core.membership import Membership
from innclient.names.publisher import Publisher
from innerd.domain.values import is_by_tcp, parse_range
from innerd.wireguard import links

_HEARD = 5.0  # seconds that a report may take


class Means(Struct, frozen=True, kw_only=True):
    """What commands are carried out with. The membership is read, never changed."""

    membership: Membership
    loaded: Loaded
    making: Making
    tunnel: Tunnel
    finder: Finder
    names: Publisher
    shelf: Shelf
    journal: Journal
    http: httpx2.AsyncClient
    errands: Errands
    by_tcp: ByTcp


class Executor:
    """All methods may raise DeviceError."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self._log = structlog.get_logger("agent").bind(interface=means.tunnel.interface)

    def reload(self, loaded: Loaded) -> None:
        self.means = replace(self.means, loaded=loaded)
        self.means.finder.reload(loaded)

    async def do(self, command: Command) -> e.Event | None:
        """Carry out a command; what it is answered with, if it is."""
        return await _HOW[type(command)](self, command)

    # -- words --------------------------------------------------------------------------------------------------

    async def _say(self, command: c.Log) -> None:
        getattr(self._log, command.level)(command.text, exc_info=command.error, **command.fields)

    async def _note(self, command: c.Note) -> None:
        self.means.journal.add(command.entries)

    # -- the device ---------------------------------------------------------------------------------------------

    async def _resolve(self, command: c.Resolve) -> e.Event:
        means, known, numbers = self.means, self.means.membership.presence, command.numbers
        if numbers is not None:
            known = {number: known[number] for number in numbers if number in known}
        overrides = {ip: at for ip, to in means.loaded.overrides.items() if (at := means.finder.address_of(to))}
        tried = means.finder.tried(known) if means.making.try_endpoints else {}
        return e.Resolved(means.finder.reached(means.membership.netmap), tried, overrides)

    async def _read(self, command: c.Read) -> e.Event:
        began = time.perf_counter()
        device = await asyncio.to_thread(self.means.tunnel.get)
        return e.WasRead(device, time.perf_counter() - began)

    async def _apply(self, command: c.Apply) -> e.Event:
        if command.changes:
            await asyncio.to_thread(self.means.tunnel.change, command.changes)
        return e.Applied()

    async def _put_right(self, command: c.PutRight) -> e.Event:
        was_there = self.means.tunnel.is_same()
        return e.Righted(was_there, await asyncio.to_thread(self.make))

    def make(self) -> list[str]:
        """The interface, made or put right; what was done to it, in words. Blocks."""
        means = self.means
        last, endpoint = means.finder.last.listen_port, means.finder.server(means.membership.netmap).endpoint
        return means.tunnel.bring_up(means.loaded.values, means.making, last_port=last, endpoint=endpoint)

    async def _look_around(self, command: c.LookAround) -> e.Event:
        networks = await asyncio.to_thread(links.host_networks)
        return e.Grounded(networks, await asyncio.to_thread(self.means.tunnel.get))

    async def _greet(self, command: c.Greet) -> None:
        await asyncio.to_thread(self.means.tunnel.greet, command.peers)

    async def _drop_session(self, command: c.DropSession) -> e.Event:
        self.means.finder.try_another()
        await asyncio.to_thread(self.means.tunnel.forget, self.means.membership.me.server_key)
        return e.SessionDropped()

    async def _reach_by(self, command: c.ReachBy) -> e.Event:
        self.means.finder.reach_by(command.local, command.at)
        if command.anew:
            await asyncio.to_thread(self.means.tunnel.forget, self.means.membership.me.server_key)
        return e.SessionDropped()

    async def _open_tcp(self, command: c.OpenTcp) -> None:
        self.means.by_tcp.open(self.means.finder.addresses(), command.port, command.returns)

    async def _close_tcp(self, command: c.CloseTcp) -> None:
        self.means.by_tcp.close()

    async def _ask_by_udp(self, command: c.AskByUdp) -> None:
        self.means.by_tcp.ask()

    # -- names --------------------------------------------------------------------------------------------------

    async def _show_names(self, command: c.ShowNames) -> e.Event:
        membership = self.means.membership
        await self.means.names.update(membership.netmap, membership.believed, command.numbers)
        return e.NamesShown()

    async def _check_names(self, command: c.CheckNames) -> None:
        await self.means.names.check(self.means.membership.netmap, self.means.membership.believed, anew=True)

    # -- the disk, and the coordinator --------------------------------------------------------------------------

    async def _save_pins(self, command: c.SavePins) -> e.Event:
        await asyncio.to_thread(self.means.shelf.save_pins, command.pins)
        return e.PinsSaved()

    async def _write_checkpoints(self, command: c.WriteCheckpoints) -> None:
        await asyncio.to_thread(self.means.shelf.save_witnessed, command.witnessed)

    async def _write_state(self, command: c.WriteState) -> e.Event:
        shelf, netmap = self.means.shelf, command.netmap
        is_kept = await asyncio.to_thread(shelf.save_netmap, netmap, time.time(), command.before, command.peers)
        return e.Written(netmap, is_kept)

    async def _report(self, command: c.Report) -> e.Event:
        await asyncio.sleep(command.after)
        return e.Reported(await self._put("/v1/user/applied", command.receipt))

    async def _tell_candidates(self, command: c.TellCandidates) -> None:
        self.means.errands.send(self._told_candidates())

    async def _told_candidates(self) -> None:
        means = self.means
        excluded = [parse_range(text) for text in means.loaded.config.agent.exclude_nat_candidates]
        device = await asyncio.to_thread(means.tunnel.get)
        coordinator = device.peers.get(means.membership.me.server_key)
        at = None if coordinator is None else coordinator.endpoint
        if means.making.try_endpoints and at is not None and not is_by_tcp(at):
            means.errands.send(router.tell(means.http, at))
        await self._put("/v1/user/candidates", await asyncio.to_thread(candidates, device.listen_port, excluded))

    async def _put(self, path: str, body: object) -> bool:
        """Whether the coordinator has heard it. Who waits longer keeps what is newer from being said: the connection
        may lead nowhere, as it was let go of meanwhile."""
        why: str | None = f"no answer within {_HEARD:.0f} s"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HEARD):
                why = await stream.put(self.means.http, path, body)
        if why is not None:
            self._log.info("a report was lost", path=path, why=why)
        return why is None


_HOW: dict[type[Command], Callable[[Executor, Any], Awaitable[e.Event | None]]] = {
    c.Log: Executor._say,
    c.Note: Executor._note,
    c.SavePins: Executor._save_pins,
    c.Resolve: Executor._resolve,
    c.Read: Executor._read,
    c.Apply: Executor._apply,
    c.OpenTcp: Executor._open_tcp,
    c.CloseTcp: Executor._close_tcp,
    c.AskByUdp: Executor._ask_by_udp,
    c.ReachBy: Executor._reach_by,
    c.ShowNames: Executor._show_names,
    c.CheckNames: Executor._check_names,
    c.PutRight: Executor._put_right,
    c.LookAround: Executor._look_around,
    c.Greet: Executor._greet,
    c.DropSession: Executor._drop_session,
    c.TellCandidates: Executor._tell_candidates,
    c.WriteCheckpoints: Executor._write_checkpoints,
    c.WriteState: Executor._write_state,
    c.Report: Executor._report,
}
