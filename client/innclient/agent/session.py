"""The loop of one interface: hold the stream, believe what the pins allow, apply it, remember it, say so.

The order is what matters: pins before the device, the device before the receipt; and what is on disk is never
ahead of the device. Without the coordinator, or with a disk that is full or read-only, everything stays as it was.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable

import structlog
from msgspec import Struct

from innclient.agent import resuming, store, stream
from innclient.agent.device import Applier, Making
from innclient.agent.endpoints import Finder
from innclient.agent.errands import Errands
from innclient.agent.journal import Journal
from innclient.agent.paths import Ways
from innclient.agent.receipts import Reporter
from innclient.agent.sharing import Sharing
from innclient.agent.tunnel import Tunnel
from innclient.config import Loaded, Paths
from innclient.core.changes import Entry
from innclient.core.membership import Core, Identity, Taken
from innclient.core.netmap import KnownPeer, LogForked, Netmap, owned
from innclient.core.pins import Broken, Pins, break_of, fields, trusted
from innclient.names.publisher import NameKeeper, Names
from innerd.admin.client import Proof
from innerd.domain.errors import Refused, plainly
from innerd.domain.values import Endpoint
from innerd.failure import SYSTEM, TRUST, Failure
from innerd.wire.stream import Hello
from innerd.wireguard import watch
from innerd.wireguard.device import DeviceError
from innerd.wireguard.keys import public_key

_FIRST_RETRY, _LAST_RETRY, _TICK, _AGAIN = 0.2, 15.0, 5.0, 1.0  # seconds
_LONGEST = 500  # characters of a word of the coordinator that are kept
_PROBE = 3.0  # seconds in which the coordinator must answer whether it is there


class Choices(Struct, frozen=True, kw_only=True):
    """What the command line and the config say."""

    names: Names
    making: Making
    report_candidates: bool = True


class Keeper:
    def __init__(self, paths: Paths, loaded: Loaded, tunnel: Tunnel, choices: Choices) -> None:
        self.paths, self.loaded, self.tunnel, self.choices = paths, loaded, tunnel, choices
        self.shelf = store.Shelf(paths)
        self.journal = Journal(paths.journal)
        netmap, saved = store.load_netmap(paths)
        values = loaded.values
        me = Identity(
            private_key=values.private_key,
            public_key=public_key(values.private_key),
            ip=values.address.ip,
            server_key=values.server_key,
            server_ip=values.internal_address,
        )
        netmap = owned(netmap, values.address.network, values.network, values.suffix)
        self.core = Core(me, netmap, store.load_pins(paths), {}, store.load_witnessed(paths), stays=False)
        self.connected_since: float | None = None
        self.last_contact: float | None = None
        self.trouble: str | None = None  # why there is no connection
        self.forked: str | None = None
        self.device_error: str | None = None
        self.repairs = 0  # of the device, for metrics
        self._finder = Finder(loaded, store.load_last(paths))
        self.applier = Applier(self.core, tunnel, self._finder, choices.making, self._repaired)
        self.caught_up, self._applying = asyncio.Event(), asyncio.Lock()
        self._waiting = asyncio.Event()  # a peer has its first turn before the next tick
        self._hurry = asyncio.Event()  # reconnect now
        self.errands, self.sharing = Errands(), Sharing(self._note)
        self._patience: asyncio.Timeout | None = None  # of the connection that is open
        self.ways = Ways(self)
        self.names = NameKeeper(choices.names, paths, me.ip)
        self.core.held, self.core.begins = self.ways.holds, self.ways.begins
        self._log = structlog.get_logger("agent").bind(interface=paths.interface)
        self.http = stream.client(values, tunnel.link, Proof(values.private_key, values.server_key, netmap.network_id))
        self.reporter = Reporter(self.core, self.shelf, self.http, saved)

    @property
    def netmap(self) -> Netmap:
        return self.core.netmap

    @property
    def pins(self) -> Pins:
        return self.core.pins

    @property
    def applied(self) -> int:
        """The revision that the device is known to match."""
        return self.core.matched.revision

    # -- the device ---------------------------------------------------------------------------------------------

    async def bring_up(self) -> None:
        """The interface, and on it what the disk remembers: tunnels come up without the coordinator."""
        self.core.presence = self._finder.remembered(self.netmap) | self.core.presence
        await asyncio.to_thread(self._finder.first_look, self.netmap, self.core.presence)
        await asyncio.to_thread(self.applier.bring_up, self.loaded)
        await self.apply()

    async def apply(self, taken: Taken | None = None) -> None:
        """Pins, device, names: of what was taken, or all. Raises DeviceError."""
        async with self._applying:
            await self._apply_pins(None if taken is None else taken.peers)
            self._take_overrides()
            await asyncio.to_thread(self.applier.apply, taken)
            if taken is None or taken.names_changed:
                await self.names.update(self.netmap, self.core.believed, None if taken is None else taken.peers)
        if self.core.due is not None:
            self._waiting.set()
        if self.core.stays and self.applier.device is not None and self.connected_since is not None:
            self.ways.consider(self.applier.device, time.time(), None if taken is None else taken.peers)

    def _take_overrides(self) -> None:
        overrides = self.loaded.overrides
        self.core.overrides = {ip: at for ip, to in overrides.items() if (at := self._finder.address_of(to))}

    def _repaired(self, done: list[str]) -> None:
        """Somebody else changed the device. It is as it should be again, and that is said."""
        self.repairs += 1
        what = "; ".join(done[:10]) + (f"; and {len(done) - 10} more" if len(done) > 10 else "")
        self._log.warning("the device was changed by somebody else: put right", what=what)
        self._note("device.repaired", "device", f"the device was changed by somebody else, and put right: {what}")

    async def reload(self, loaded: Loaded) -> None:
        """The config was changed: its listen port and its overrides count from now on. Raises DeviceError."""
        before, self.loaded = self.loaded, loaded
        loaded.config.agent = before.config.agent  # what the command line said beside it still counts
        self._finder.reload(loaded)
        if loaded.values.listen_port != before.values.listen_port:
            async with self._applying:
                self.applier.device = None
                with self.ways.without_probes():
                    await asyncio.to_thread(self.tunnel.listen, loaded.values.listen_port)
        self._finder.look_up(self.netmap, self.core.presence)
        await self.apply()
        if self.connected_since is not None:
            await self.ways.moved()
            await self._report_candidates()

    async def place(self, peer: KnownPeer, endpoint: Endpoint) -> None:
        """Reach a peer at an endpoint from now on, if it is still one: much can have happened. Raises DeviceError."""
        async with self._applying:
            if peer.public_key not in (known.public_key for known in self.core.believed({peer.id})):
                return
            await self.applier.place(peer, endpoint)

    async def _apply_pins(self, numbers: set[int] | None) -> None:
        pins = self.core.check_pins(numbers, time.time())
        if pins is self.pins:
            return
        for broken in pins.broken.values():
            if broken != self.pins.broken.get(broken.ip):
                self._log.error("pinned key changed: not applied", **fields(broken))
                text = f"another key is offered for {broken.name} ({broken.ip}): NOT applied ({broken.offered})"
                self._note("key.refused", f"peer:{broken.peer}", text)
        await self._keep_pins(pins)

    async def _keep_pins(self, pins: Pins) -> None:
        await asyncio.to_thread(self.shelf.save_pins, pins)
        self.core.pins = pins

    # -- the stream ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Nothing that the coordinator, the network or the disk does ends it."""
        self.core.stays = True
        self._finder.wakes(self._waiting, self._hurry)
        works = (self._tick, self.reporter.run, self._watch, self.ways.run)
        beside = [asyncio.create_task(self._for_ever(work)) for work in works]
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
                if await self._hurried(self.sharing.pause(retry) * random.uniform(0.5, 1.5)):  # noqa: S311 - jitter is no secret
                    retry = _FIRST_RETRY
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self.names.close(self.netmap, self.core.believed)
            await self.close()

    async def close(self) -> None:
        """Nobody speaks with the coordinator any more."""
        await self.errands.end()
        await self.http.aclose()

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        """What runs beside ends with us, whatever happens to it."""
        while True:
            try:
                await work()
            except (DeviceError, Failure, OSError) as error:
                self._log.warning("tried again", work=work.__name__, why=plainly(error))
            except Exception as error:  # a bug of ours
                self._log.error("internal error", exc_info=error)
            await asyncio.sleep(_AGAIN)

    async def _hurried(self, seconds: float) -> bool:
        """Wait so long, or until there is reason not to."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        hurried = self._hurry.is_set()
        self._hurry.clear()
        return hurried

    async def _explain(self, error: Exception) -> None:
        match error:
            case LogForked():
                known = self.forked
                self.forked = self.trouble = str(error)[:_LONGEST]
                self._log.error("the coordinator's log is another than was seen: nothing is applied", why=self.forked)
                if self.forked != known:  # it is tried again and again
                    self._note("log.forked", "log", self.forked)
            case stream.Denied():
                self.trouble = f"{error.message[:_LONGEST]} [{error.code[:40]}]"
                self._log.warning("the coordinator refuses this peer", why=self.trouble)
            case stream.Ended():
                self.trouble = str(error)[:_LONGEST]
                self._log.warning("the coordinator ended the stream", reason=error.reason[:_LONGEST])
                self._note("coordinator.ended", "coordinator", self.trouble)
            case DeviceError():
                self.device_error = self.trouble = error.message
                self._log.error("device", error=error.message, code=error.code)
            case Refused() | Failure():
                self.trouble = f"what the coordinator said can't be taken: {error.message[:_LONGEST]}"
                self._log.error("the coordinator's word is not applied", why=self.trouble, code=error.code)
            case stream.Lost() | OSError():
                why = plainly(error)[:_LONGEST]
                if self.trouble is None or self.connected_since is not None:
                    self._log.warning("no connection to the coordinator: everything stays as it is", why=why)
                    self._note("coordinator.lost", "coordinator", f"no connection to the coordinator: {why}")
                self.trouble = why
            case _:  # a bug of ours: the tunnels must not pay for it
                self.trouble = f"internal error: {type(error).__name__}: {error}"
                self._log.error("internal error", exc_info=error)

    async def follow(self, *, once: bool = False) -> None:
        """One connection, from its hello to its end; with `once`, until caught up. Raises Lost, Denied, Ended."""
        try:
            async with asyncio.timeout(None) as self._patience:
                async with resuming.resumed(self.http, self.netmap) as chunks:
                    self.core.connected()
                    async for frames in chunks:
                        await self._take(frames)
                        if once and self.caught_up.is_set():
                            await self.reporter.once()
                            await self.errands.done()
                            return
        except TimeoutError:
            raise stream.Lost("the coordinator does not answer any more", silent=True) from None
        finally:
            self._patience = None
            self.reporter.remember()

    async def _take(self, frames: list[Struct]) -> None:
        """The frames of one chunk: all into the state, then one change of the device."""
        self.last_contact = time.time()
        if not frames:
            return
        before = self.netmap
        taken = self.core.take(frames, self.last_contact)
        if taken.hello is not None:
            self._greeted(before, taken.hello)
        self.journal.add(taken.entries)
        await self.apply(taken)
        self.device_error = None
        for meeting in taken.meetings:
            self.ways.connect(meeting)
        self.core.matched = self.netmap
        self.reporter.stir()
        if taken.bye is not None:
            raise stream.Ended(taken.bye)
        if taken.is_caught_up:
            self.caught_up.set()

    def _greeted(self, before: Netmap, hello: Hello) -> None:
        if before.revision and hello.generation != before.generation:
            self._log.warning("the log was restored", generation=hello.generation)
            self._note("log.restored", "log", f"the log was restored from a backup: generation {hello.generation}")
        self.connected_since = time.time()
        self.ways.greeted(hello)
        self.sharing.told(hello.twins)
        self.trouble = self.forked = None
        self._log.info("connected", revision=hello.head)
        self._note("coordinator.connected", "coordinator", f"connected; the log is at revision {hello.head}")
        self.errands.send(self._report_candidates())

    def _note(self, type_: str, subject: str, text: str) -> None:
        self.journal.add([Entry(at=time.time(), revision=self.netmap.revision, type=type_, subject=subject, text=text)])

    async def _renew_session(self) -> None:
        """Shake hands with the coordinator anew: it may have forgotten a session that we believe in (our key was
        off its device for a while), and WireGuard alone takes 15 s to find out."""
        with contextlib.suppress(DeviceError):
            async with self._applying:
                self._finder.try_another()
                await self.applier.renew()
            await self.apply()

    # -- what runs beside ---------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Where the ground moved, ask the coordinator whether it is there: that also tells it our new address."""
        async for moved in watch.changes(self.paths.interface):
            with contextlib.suppress(DeviceError):
                await self._put_right()
            if not moved.host:
                continue
            self._log.info("asking the coordinator whether it is there", why=moved.host)
            with contextlib.suppress(DeviceError):
                await self.ways.moved()
            await self._doubt()

    async def _put_right(self) -> None:
        """The interface as it should be, if somebody touched it (wireguard-go ended, an address was removed) or the
        routes carry another MTU now. Raises DeviceError."""
        async with self._applying:
            await asyncio.to_thread(self.applier.put_right, self.loaded)
            await self.names.check(self.netmap, self.core.believed, anew=True)
        if self.applier.device is None:
            await self.apply()

    async def _doubt(self) -> None:
        """Ask at once whether the connection leads anywhere; if not, give it up."""
        self._hurry.set()
        if self.connected_since is None:
            return
        if await stream.answers(self.http, _PROBE):
            self._hurry.clear()
            await self._report_candidates()
        elif self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def _report_candidates(self) -> None:
        if self.choices.report_candidates:
            await self.reporter.candidates(self.tunnel, self.loaded.config.agent)

    async def _tick(self) -> None:
        """Put right what others changed on the device, and try the next endpoint of peers that are silent."""
        while True:
            await self._until_next()
            try:
                self._finder.look_up(self.netmap, self.core.presence)
                if not await asyncio.to_thread(self.tunnel.is_same):
                    await self._put_right()
                await self.apply()
                await self.names.check(self.netmap, self.core.believed, anew=False)
                self.journal.add([])  # what could not be written
                if self.shelf.broken is not None and await asyncio.to_thread(self.shelf.retry):
                    self.reporter.stir()
                device = self.applier.device
                if device is not None and self._finder.note(device, self.core.believed()):
                    await asyncio.to_thread(self.shelf.save_last, self._finder.last)
                self.device_error = None
            except (DeviceError, Failure, OSError) as error:
                self.device_error = str(error)
                self._log.error("device", error=str(error))
                await asyncio.sleep(_AGAIN)

    async def _until_next(self) -> None:
        """Wait for a tick; before it, for a peer's first turn, or for news of where a name is."""
        ends = time.monotonic() + _TICK
        while (left := min(ends - time.monotonic(), (self.core.due or float("inf")) - time.time())) > 0:
            if self._finder.has_news():
                break
            with contextlib.suppress(TimeoutError):  # and not wait_for: on Python 3.11 it swallows cancellations
                async with asyncio.timeout(left):
                    await self._waiting.wait()
            self._waiting.clear()

    # -- trust --------------------------------------------------------------------------------------------------

    async def trust(self, who: str, offered: str, *, apply: bool = True) -> Broken:
        """Believe the key that is offered for a peer, if it is the one that was looked at. Raises Failure."""
        async with self._applying:
            broken = break_of(self.pins.broken.values(), self.netmap.network, who)
            if broken.offered != offered:
                raise Failure(TRUST, "key_changed", f"{broken.name} offers yet another key now", "look at it again")
            self._log.warning("a changed key is trusted from now on", **fields(broken))
            text = f"{broken.name} ({broken.ip}): the key {broken.offered} is trusted now, in place of {broken.pinned}"
            self._note("key.trusted", f"peer:{broken.peer}", text)
            await self._keep_pins(trusted(self.pins, broken.ip))
        if apply:
            await self.apply()
        self.core.applied = None  # a receipt said that it was refused
        self.reporter.stir()
        if self.shelf.broken is not None:
            message = f"the key is believed until the agent ends, as it can't be written down: {self.shelf.broken}"
            raise Failure(SYSTEM, "os_error", message, "see to the disk, and trust it again")
        return broken
