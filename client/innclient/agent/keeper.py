"""The loop of one interface: hold the stream, believe what the pins allow, apply it, remember it, say so.

The order is what matters: pins before the device, the device before the receipt; and what is on disk is never
ahead of the device. Without the coordinator everything stays as it was: tunnels, names, the cached network.
"""

import asyncio
import contextlib
import random
import time
from pathlib import Path

import structlog
from msgspec import Struct
from msgspec.structs import replace

from innclient import hostsfile
from innclient.agent import disk, stream
from innclient.agent.pins import Pins, check, seeded
from innclient.agent.reconcile import HEAD_START, Server, Trial, next_trials, wanted
from innclient.agent.state import (
    COORDINATOR,
    KnownPeer,
    LogForked,
    Netmap,
    Presence,
    emptied,
    greet,
    take_delta,
    take_presence,
    take_snapshot,
)
from innclient.agent.tunnel import Tunnel, candidates, resolve
from innclient.config import Loaded, Paths
from innclient.failures import Failure
from innerd.domain.errors import Refused
from innerd.domain.values import Endpoint, endpoint_address, endpoint_of, parse_range
from innerd.wire.ours import Applied, RefusedPeer
from innerd.wire.stream import Bye, DeltaJson, Hello, PresenceJson, Snapshot
from innerd.wireguard.device import Device, DeviceError, Wanted
from innerd.wireguard.keys import public_key

_FIRST_RETRY, _LAST_RETRY = 0.2, 15.0  # seconds
_TICK = 5.0
_RESOLVE = 60.0


class Names(Struct, frozen=True, kw_only=True):
    """Where names are written."""

    path: Path
    suffix: str | None  # None: <network>.<the coordinator's suffix>
    write: bool = True


class Choices(Struct, frozen=True, kw_only=True):
    """What the command line and the config say."""

    names: Names
    mtu: int
    routing: bool = True
    try_endpoints: bool = True
    report_candidates: bool = True


class Keeper:
    def __init__(self, paths: Paths, loaded: Loaded, tunnel: Tunnel, choices: Choices) -> None:
        self.paths, self.loaded, self.tunnel, self.choices = paths, loaded, tunnel, choices
        netmap, self.saved = disk.load_netmap(paths)
        self.netmap = replace(netmap, block=loaded.values.address.network)
        values = loaded.values
        # Our own address and the coordinator's are known from the invitation, before anybody tells us of them.
        own = {values.internal_address: values.server_key, values.address.ip: public_key(values.private_key)}
        self.pins: Pins = seeded(disk.load_pins(paths), own)
        self.presence: dict[int, Presence] = {}
        self.connected_since: float | None = None
        self.last_contact: float | None = None
        self.trouble: str | None = None  # why there is no connection
        self.forked: str | None = None
        self.device_error: str | None = None
        self.applied = 0
        self.caught_up = asyncio.Event()
        self._applying = asyncio.Lock()
        self._me = public_key(loaded.values.private_key)
        self._trials: dict[int, Trial] = {}
        self._resolved: dict[Endpoint, Endpoint | None] = {}
        self._stays = False  # as the agent, or for one cycle
        self._waiting = asyncio.Event()  # for a peer that should begin, and may not be able to
        self._server_name: Endpoint | None = None  # what was resolved last, and to what, and when
        self._server_endpoint: Endpoint | None = None
        self._resolved_at = 0.0
        self._log = structlog.get_logger("agent").bind(interface=paths.interface)
        url = f"http://{endpoint_of(str(values.internal_address), values.internal_port)}"
        self.http = stream.client(url, values.server_key, str(values.address.ip))

    # -- what is believed ---------------------------------------------------------------------------------------

    def believed(self) -> list[KnownPeer]:
        """The visible peers whose keys agree with the pins, and are not ours."""
        _, believed = check(self.pins, self.netmap.peers.values(), time.time())
        return [peer for peer in believed if peer.public_key != self._me or peer.id == self.netmap.me]

    def refused(self) -> list[RefusedPeer]:
        told = [RefusedPeer(peer=b.peer, reason="pin") for b in self.pins.broken.values()]
        return told + [RefusedPeer(peer=number, reason=why) for number, why in self.netmap.refused.items()]

    # -- the device ---------------------------------------------------------------------------------------------

    async def bring_up(self) -> None:
        """The interface, and on it what the disk remembers: tunnels come up without the coordinator."""
        await self._resolve()
        await asyncio.to_thread(self._bring_up)
        await self.apply()

    def _bring_up(self) -> None:
        values = self.loaded.values
        self.tunnel.bring_up(values, values.private_key, self.choices.mtu, routing=self.choices.routing)

    async def apply(self) -> None:
        """Pins, device, names. Raises DeviceError."""
        async with self._applying:
            await self._apply_pins()
            await asyncio.to_thread(self._apply_device)
            await self._write_names()
        if any(trial.turn < 0 for trial in self._trials.values()):
            self._waiting.set()

    async def _apply_pins(self) -> None:
        pins, _ = check(self.pins, self.netmap.peers.values(), time.time())
        if pins is not self.pins:
            for broken in pins.broken.values():
                if broken.ip not in self.pins.broken:
                    self._log.error("pinned key changed: not applied", **_fields(broken))
            await asyncio.to_thread(disk.save_pins, self.paths, pins)
            self.pins = pins

    def _apply_device(self) -> None:
        now = time.time()
        server = self._server(now)
        self.tunnel.apply(lambda device: self._wanted(device, server, now))

    def _wanted(self, device: Device, server: Server, now: float) -> Wanted:
        believed = self.believed()
        presence = self._tried() if self.choices.try_endpoints else {}
        # Who does not stay can't wait for the other to begin.
        head_start = HEAD_START if self._stays else 0.0
        trials = next_trials(self._trials, self._me, believed, presence, device, now, head_start)
        tried, self._trials = self._trials, trials
        return wanted(
            private_key=self.loaded.values.private_key,
            me=self.netmap.me,
            server=server,
            peers=believed,
            trials={number: trial for number, trial in trials.items() if trial != tried.get(number)},
            overrides={ip: at for ip, to in self.loaded.overrides.items() if (at := self._address_of(to)) is not None},
            device=device,
            now=now,
        )

    def _tried(self) -> dict[int, Presence]:
        """Where peers may be reached, as addresses: a device knows no names."""
        return {
            number: replace(known, endpoints=tuple(filter(None, map(self._address_of, known.endpoints))))
            for number, known in self.presence.items()
        }

    def _address_of(self, endpoint: Endpoint) -> Endpoint | None:
        return endpoint if endpoint_address(endpoint) is not None else self._resolved.get(endpoint)

    async def _resolve(self) -> None:
        """Look the domains among endpoints up, aside: the device never waits for somebody's name server."""
        told = {endpoint for known in self.presence.values() for endpoint in known.endpoints}
        domains = {e for e in (*told, *self.loaded.overrides.values()) if endpoint_address(e) is None}
        self._resolved = {domain: await asyncio.to_thread(resolve, domain) for domain in sorted(domains)}

    def _server(self, now: float) -> Server:
        """The coordinator, at the endpoint that the network tells, else the one of the config."""
        values = self.loaded.values
        told = self.netmap.peers.get(COORDINATOR)
        endpoint = (told.endpoint if told else None) or values.external
        before = self._server_endpoint
        if before is None or endpoint != self._server_name or not 0 <= now - self._resolved_at <= _RESOLVE:
            self._resolved_at, self._server_name = now, endpoint
            self._server_endpoint = resolve(endpoint)
        moved = before is not None and self._server_endpoint not in (None, before)
        return Server(values.server_key, values.internal_address, self._server_endpoint, moved)

    async def _write_names(self) -> None:
        names = self.choices.names
        if not names.write or not self.netmap.network:
            return
        suffix = f"{self.netmap.network}.{self.netmap.suffix}" if names.suffix is None else names.suffix
        block = hostsfile.lines_of(((peer.ip, peer.name) for peer in self.believed()), suffix)
        try:
            await asyncio.to_thread(hostsfile.update, names.path, self.paths.interface, block)
        except (Failure, OSError) as error:
            self._log.error("names were not written", path=str(names.path), error=str(error))

    # -- the stream ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Nothing that the coordinator or the network does ends it."""
        self._stays = True
        ticker = asyncio.create_task(self._tick())
        retry = _FIRST_RETRY
        try:
            while True:
                began = time.monotonic()
                try:
                    await self.follow()
                except Exception as error:
                    await self._explain(error)
                    if isinstance(error, stream.Lost) and error.silent:
                        await self._renew_session()
                self.connected_since = None
                retry = _FIRST_RETRY if time.monotonic() - began > 10 else min(retry * 2, _LAST_RETRY)
                await asyncio.sleep(retry * random.uniform(0.5, 1.5))  # noqa: S311 - jitter is no secret
        finally:
            ticker.cancel()
            await self.http.aclose()

    async def _explain(self, error: Exception) -> None:
        match error:
            case LogForked():
                self.forked = self.trouble = str(error)
                self._log.error(
                    "the coordinator's log is not the one that was seen: nothing is applied", why=str(error)
                )
            case stream.Denied():
                self.trouble = f"{error.message} [{error.code}]"
                self._log.warning("the coordinator refuses this peer", why=self.trouble)
            case stream.Ended():
                self.trouble = str(error)
                self._log.warning("the coordinator ended the stream", reason=error.reason)
            case DeviceError():
                self.device_error = self.trouble = error.message
                self._log.error("device", error=error.message, code=error.code)
            case Refused() | Failure():
                self.trouble = f"what the coordinator said can't be taken: {error.message}"
                self._log.error("the coordinator's word is not applied", why=error.message, code=error.code)
            case stream.Lost() | OSError():
                if self.trouble is None or self.connected_since is not None:
                    self._log.warning("no connection to the coordinator: everything stays as it is", why=str(error))
                self.trouble = str(error)
            case _:  # a bug of ours: the tunnels must not pay for it
                self.trouble = f"internal error: {type(error).__name__}: {error}"
                self._log.error("internal error", exc_info=error)

    async def follow(self, *, once: bool = False) -> None:
        """One connection, from its hello to its end; with `once`, until caught up."""
        async with stream.frames(self.http, self.netmap.cursor) as chunks:
            async for frames in chunks:
                await self._take(frames)
                if once and self.caught_up.is_set():
                    return

    async def _take(self, frames: list[Struct]) -> None:
        """The frames of one chunk: all into the state, then one change of the device."""
        self.last_contact = time.time()
        if not frames:
            return
        before, netmap = self.netmap.revision, self.netmap
        for frame in frames:
            match frame:
                case Hello():
                    netmap = self._greet(netmap, frame)
                case Snapshot():
                    netmap = take_snapshot(netmap, frame)
                case DeltaJson():
                    netmap = take_delta(netmap, frame)
                case PresenceJson():
                    self.presence = take_presence(self.presence, frame.peers, whole=frame.whole, block=netmap.block)
                    if frame.whole:
                        self.caught_up.set()
                case Bye():
                    await self._leave(frame.reason)
        self.netmap = netmap
        await self.apply()
        self.device_error = None
        if netmap.revision != before or self.applied != netmap.revision:
            self.saved = time.time()
            await asyncio.to_thread(disk.save_netmap, self.paths, netmap, self.saved)
            await self._receipt(netmap.revision)

    def _greet(self, netmap: Netmap, hello: Hello) -> Netmap:
        greeted = greet(netmap, hello)
        if netmap.revision and greeted.generation != netmap.generation:
            self._log.warning("the log was restored", generation=greeted.generation)
        self.connected_since = time.time()
        self.trouble = self.forked = None
        self.applied = 0  # a coordinator that started anew knows of no receipt: say it again
        self._log.info("connected", revision=hello.head)
        if self.choices.report_candidates:
            self._reporting = asyncio.create_task(self._report_candidates())
        return greeted

    async def _leave(self, reason: str) -> None:
        """The coordinator ends the stream. A peer that is shut out keeps nobody: the others have let go of it."""
        if reason in stream.SHUT_OUT:
            self.netmap = emptied(self.netmap)
            self.presence = {}
            await self.apply()
            await asyncio.to_thread(disk.save_netmap, self.paths, self.netmap, time.time())
        raise stream.Ended(reason)

    async def _renew_session(self) -> None:
        """Shake hands with the coordinator anew: it may have forgotten a session that we believe in (our key was
        off its device for a while), and WireGuard alone takes 15 s to find out."""
        with contextlib.suppress(DeviceError):
            await asyncio.to_thread(self.tunnel.forget, self.loaded.values.server_key)
            await self.apply()

    async def _receipt(self, revision: int) -> None:
        self.applied = revision
        receipt = Applied(revision=revision, refused=self.refused())
        await self._put("/v1/user/applied", receipt)

    async def _report_candidates(self) -> None:
        device = await asyncio.to_thread(self.tunnel.get)
        excluded = [parse_range(text) for text in self.loaded.config.agent.exclude_nat_candidates]
        found = await asyncio.to_thread(candidates, device.listen_port, excluded)
        await self._put("/v1/user/candidates", found)

    async def _put(self, path: str, body: object) -> None:
        import httpx2
        import msgspec

        try:
            response = await self.http.put(path, content=msgspec.json.encode(body))
            if response.status_code >= 400:
                self._log.warning("the coordinator refused a report", path=path, status=response.status_code)
        except httpx2.TransportError as error:
            self._log.info("a report was lost", path=path, error=str(error))

    async def _tick(self) -> None:
        """Put right what others changed on the device, and try the next endpoint of peers that are silent."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK):  # not wait_for: on Python 3.11 it swallows cancellations
                    await self._waiting.wait()
                self._waiting.clear()
                await asyncio.sleep(HEAD_START)
            try:
                await self._resolve()
                if not await asyncio.to_thread(self.tunnel.is_up):
                    self._log.warning("the interface is gone: making it anew")
                    await asyncio.to_thread(self._bring_up)
                await self.apply()
                self.device_error = None
            except (DeviceError, Failure, OSError) as error:
                self.device_error = str(error)
                self._log.error("device", error=str(error))


def _fields(broken: Struct) -> dict[str, object]:
    return {name: getattr(broken, name) for name in ("name", "ip", "pinned", "offered")}
