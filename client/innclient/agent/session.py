"""The loop of one interface: what happens goes to the agent (`core/agent`, which has the rules), and what it commands
is carried out here, in order. One event at a time; what may be slow, and nothing waits for, is done aside.
"""

import asyncio
import contextlib
import random
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog
from msgspec import Struct

from innclient.agent import resuming, store, stream
from innclient.agent.aside import Aside
from innclient.agent.by_tcp import ByTcp
from innclient.agent.endpoints import Finder
from innclient.agent.errands import Errands
from innclient.agent.executor import Executor, Means
from innclient.agent.journal import Journal
from innclient.agent.knocks import Knocks
from innclient.agent.paths import PathFinder, now
from innclient.agent.relaying import PeerRelay
from innclient.agent.shelf import Shelf
from innclient.agent.tunnel import Making, Tunnel
from innclient.config import Loaded
from innclient.core import commands as c
from innclient.core import events as e
from innclient.core.agent import Agent
from innclient.core.commands import ASIDE, Command
from innclient.core.connection import Lost, State
from innclient.core.device import MANY
from innclient.core.netmap import KnownPeer, Netmap
from innclient.core.paths import PeerPaths
from innclient.core.pins import Pins
from innclient.core.trials import is_quiet
from innclient.core.views import Broken
from innclient.names.publisher import NameSettings, Publisher
from innclient.paths import Paths
from innerd.admin.client import Proof
from innerd.domain.errors import plainly
from innerd.failure import SYSTEM, Failure
from innerd.wire.caller import NO_RELAY, RELAY
from innerd.wire.ours import ConnectTo
from innerd.wireguard import links, watch
from innerd.wireguard.device import Device, DeviceError

_AGAIN = 1.0  # seconds until what went wrong is tried again
_REST, _LONGEST_TICK = 100.0, 10.0  # how many times as long as a look took the next one waits; and seconds at most
_LEAST = 0.03  # seconds between two looks
_LULL = 2.0  # ticks until the next look, after one that found nothing to do
_PROBE = 3.0  # seconds in which the coordinator must answer whether it is there


class Choices(Struct, frozen=True, kw_only=True):
    """What the command line and the config say."""

    names: NameSettings
    making: Making
    report_candidates: bool = True
    tick: float = 5.0  # seconds from one look at the device to the next, while anything is to be seen to


class Session:
    """`trouble`, `device_error` and such are the agent's; see there."""

    def __init__(self, paths: Paths, loaded: Loaded, tunnel: Tunnel, choices: Choices) -> None:
        self.paths, self.tunnel, self.choices = paths, tunnel, choices
        self.shelf, self.journal, self.errands = Shelf(paths), Journal(paths.journal), Errands()
        values = loaded.values
        self.membership, saved = store.load_membership(paths, values)
        self.membership.takes_relay = choices.making.take_relay
        self.peer_paths = PeerPaths(self.membership, secrets.randbits(63), tries=choices.making.try_endpoints)
        self._finder = Finder(loaded, store.load_last(paths))
        tells, tcp = choices.report_candidates, self._finder.last.tcp or values.tcp
        self.agent = Agent(self.membership, self.peer_paths, saved, tells_candidates=tells, tcp=tcp)
        self.names = Publisher(choices.names, paths, values.address.ip)
        proof = Proof(values.private_key, values.server_key, self.netmap.network_id)
        self.http = stream.client(values, tunnel.link, proof)
        if not choices.making.take_relay:
            self.http.headers[RELAY] = NO_RELAY
        self._executor = Executor(
            Means(
                membership=self.membership,
                loaded=loaded,
                making=choices.making,
                tunnel=tunnel,
                finder=self._finder,
                names=self.names,
                shelf=self.shelf,
                journal=self.journal,
                http=self.http,
                errands=self.errands,
                by_tcp=ByTcp(self, values.private_key, values.server_key, self.errands),
            )
        )
        self._path_finder = PathFinder(self.peer_paths, values.private_key, self, self.errands)
        self.relaying = PeerRelay(paths.interface, self.membership, lambda: self.loaded, self.device)
        self._turn = asyncio.Lock()  # one event at a time
        self.aside = Aside(self.agent, self._executor.do)
        self._waiting = asyncio.Event()  # a peer has its first turn before the next tick
        self._hurry = asyncio.Event()  # connect now
        self._look_took = 0.0  # seconds, of the last tick with a large device
        self._is_lull = False  # the last look found nothing to do
        self._knocks = Knocks(tunnel.link, values.internal_address, self._knocked)
        self._pause = 0.0  # seconds until the next connection
        self._patience: asyncio.Timeout | None = None  # of the connection that is open
        self._follower: asyncio.Task[None] | None = None  # who reads it
        self._ending: Exception | None = None  # why it is given up
        self._log = structlog.get_logger("agent").bind(interface=paths.interface)

    @property
    def loaded(self) -> Loaded:
        """The config, as it was read last."""
        return self._executor.means.loaded

    @property
    def netmap(self) -> Netmap:
        return self.membership.netmap

    @property
    def pins(self) -> Pins:
        return self.membership.pins

    @property
    def is_connected(self) -> bool:
        return self.agent.connection.since is not None

    @property
    def applied(self) -> int:
        """The revision that the device is known to match."""
        return self.membership.matched.revision

    @property
    def last_heard(self) -> float | None:
        """When the coordinator said anything last, in seconds since 1970; by the files, where it has not yet."""
        return self.agent.connection.heard_at or self.agent.memory.saved

    @property
    def unwritten(self) -> str | None:
        """Why something can't be written down, where it can't."""
        return self.shelf.broken or self.journal.broken

    # -- what is asked of it ------------------------------------------------------------------------------------

    async def bring_up(self) -> None:
        """The interface, and on it what the disk remembers: tunnels come up without the coordinator."""
        self.agent.recall(self._finder.remembered(self.netmap))
        await asyncio.to_thread(self._finder.first_look, self.netmap, self.membership.presence)
        await asyncio.to_thread(self._executor.make)
        await self.apply()

    async def apply(self) -> None:
        """Pins, device, names: all as they should be. Raises DeviceError."""
        await self._feed(e.Ticked())

    async def reload(self, loaded: Loaded) -> None:
        """The config was changed. Raises DeviceError."""
        before = self.loaded
        self._executor.reload(loaded)
        loaded.config.agent = before.config.agent  # what the command line said beside it still counts
        self._finder.look_up(self.netmap, self.membership.presence)
        port = loaded.values.listen_port
        await self._feed(e.Reconfigured(None if port == before.values.listen_port else port or 0))

    async def trust(self, who: str, offered: str, *, has_device: bool = True) -> Broken:
        """Believe the key that is offered for a peer, if it is the one that was looked at. Raises Failure."""
        async with self._turn:
            broken, commands = self.agent.trust(who, offered, now(), has_device=has_device)
            await self._carry_out(commands)
        if self.shelf.broken is not None:
            message = f"the key is believed until the agent ends, as it can't be written down: {self.shelf.broken}"
            raise Failure(SYSTEM, "os_error", message, "see to the disk, and trust it again")
        return broken

    # -- what a path finder needs of it (`paths.Host`), and a way by TCP (`by_tcp.Host`) ----------------------

    def known(self, number: int) -> KnownPeer | None:
        return next(iter(self.membership.believed({number})), None)

    async def device(self) -> Device:
        return await asyncio.to_thread(self.tunnel.get)

    async def ask_for_moment(self, number: int) -> None:
        await stream.post(self.http, "/v1/user/connect", ConnectTo(peer=number))

    async def happens(self, event: e.Event) -> None:
        await self._feed(event)

    # -- events in, commands out --------------------------------------------------------------------------------

    async def _feed(self, event: e.Event) -> None:
        """Let the agent have an event, and carry out all that comes of it. Raises DeviceError."""
        async with self._turn:
            commands = self.agent.handle(event, now())
            self.relaying.follow()  # first: whatever becomes of the device
            try:
                await self._carry_out(commands)
            finally:
                self.relaying.follow()
        if self.agent.due is not None:
            self._waiting.set()

    async def _carry_out(self, commands: Iterable[Command]) -> None:
        left = deque(commands)
        try:
            while left:
                answer = await self._do(left.popleft())
                if answer is not None:
                    left.extendleft(reversed(await self._handled(answer)))
        except BaseException as error:
            self.agent.handle(e.Failed(str(error) if isinstance(error, DeviceError) else None), now())
            raise

    async def _handled(self, answer: e.Event) -> list[Command]:
        """A large device is compared aside: of 10,000 peers that takes a while, and names are answered meanwhile."""
        if not isinstance(answer, e.WasRead):
            return self.agent.handle(answer, now())
        if len(answer.device.peers) > MANY:
            commands = await asyncio.to_thread(self.agent.handle, answer, now())
        else:
            commands = self.agent.handle(answer, now())
        self.relaying.see(answer.device)
        self._executor.means.by_tcp.see(answer.device)
        return commands

    async def _do(self, command: Command) -> e.Event | None:
        if isinstance(command, ASIDE):
            self.aside.put(command)
            return None
        own = _OWN.get(type(command))
        if own is None:
            return await self._executor.do(command)
        await own(self, command)
        return None

    async def _give_port(self, command: c.GivePort) -> None:
        tolerated = () if command.must else (DeviceError,)
        with self._path_finder.without_probes(), contextlib.suppress(*tolerated):
            await asyncio.to_thread(self.tunnel.listen, command.port or None)

    async def _probe(self, command: c.SendProbes) -> None:
        self._path_finder.stir()

    async def _ask_for_moments(self, command: c.AskForMoments) -> None:
        self._path_finder.ask(command.peers)

    async def _connect(self, command: c.Connect) -> None:
        self._pause = command.after
        if not command.after:
            self._hurry.set()

    async def _hang_up(self, command: c.HangUp) -> None:
        self._ending = command.error
        if self._patience is not None and asyncio.current_task() is not self._follower:
            self._patience.reschedule(asyncio.get_running_loop().time())

    def _knocked(self) -> None:
        """The coordinator is there. What is under way may have gone by a session that it let go of."""
        self._hurry.set()
        if self._patience is not None:
            self._ending = Lost("the coordinator knocked")
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def _ask_coordinator(self, command: c.AskCoordinator) -> None:
        async def ask() -> None:
            await self._feed(e.Answered(await stream.answers(self.http, _PROBE)))

        self.errands.send(ask())

    async def settle(self, *, reports: bool) -> None:
        """Do what is left to be done aside. Without `reports` what concerns the disk alone: nobody hears the rest."""
        await self.aside.settle(reports=reports)
        await self.names.settle()
        if reports:
            await self.errands.done()

    # -- the loops ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Nothing that the coordinator, the network or the disk does ends it."""
        self._finder.wakes(self._waiting, self._hurry)
        self.peer_paths.networks = await asyncio.to_thread(links.host_networks)
        await self._feed(e.Stays())
        works = (self._tick, self.aside.keep, self._watch, self._path_finder.run, self.relaying.run)
        beside = [asyncio.create_task(self._for_ever(work)) for work in works]
        try:
            while True:
                self._knocks.listen()
                await self._follow_once()
                if await self._hurried(self._pause * random.uniform(0.5, 1.5)):  # noqa: S311 - jitter is no secret
                    await self._feed(e.Hurried())
        finally:
            self._knocks.leave()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self.relaying.stop()
            await self.names.close(self.netmap, self.membership.believed)
            await self.close()

    async def close(self) -> None:
        """Nobody speaks with the coordinator any more."""
        await self._executor.means.by_tcp.end()
        await self.errands.end()
        await self.http.aclose()
        await asyncio.to_thread(self.shelf.close)

    async def _follow_once(self) -> None:
        began = time.monotonic()
        try:
            await self.follow()
        except Exception as error:
            await self.http.begin_anew()  # where the stream led nowhere the other connections do too
            with contextlib.suppress(DeviceError):
                await self._feed(e.Parted(error, time.monotonic() - began))

    async def follow(self, *, once: bool = False) -> None:
        """One connection, from its hello to its end; with `once`, until caught up. Raises Lost, Denied, Ended."""
        self._ending, self._follower = None, asyncio.current_task()
        try:
            async with asyncio.timeout(None) as self._patience:
                async with resuming.resumed(self.http, self.netmap) as chunks:
                    self._knocks.leave()
                    await self._feed(e.Opened())
                    async for frames in chunks:
                        await self._feed(e.Told(frames))
                        if self._ending is not None:
                            raise self._ending
                        if once and self.agent.connection.state is State.FOLLOWING:
                            break
        except TimeoutError:
            raise self._ending or Lost("the coordinator does not answer any more", silent=True) from None
        finally:
            self._patience = self._follower = None
            await self._feed(e.Closed())

    async def _hurried(self, seconds: float) -> bool:
        """Wait so long, or until there is reason not to."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        hurried = self._hurry.is_set()
        self._hurry.clear()
        return hurried

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

    async def _watch(self) -> None:
        """What others do to the interface is put right at once, and who is told where this host went."""
        async for moved in watch.changes(self.paths.interface):
            with contextlib.suppress(DeviceError):
                await self._feed(e.Disturbed())
            if moved.host:
                with contextlib.suppress(DeviceError):
                    await self._feed(e.Moved(moved.host))

    async def _tick(self) -> None:
        """Put right what others changed on the device, and try the next endpoint of peers that are silent."""
        while True:
            await self._until_next()
            before, began = self.agent.change.device, time.monotonic()
            try:
                await self._look()
            except (DeviceError, Failure, OSError) as error:
                self._log.error("device", error=str(error))
                await asyncio.sleep(_AGAIN)
            device = self.agent.change.device
            self._is_lull = self.agent.due is None and is_quiet(before, device)
            self._look_took = time.monotonic() - began if device is not None and len(device.peers) > MANY else 0.0

    async def _look(self) -> None:
        self._finder.look_up(self.netmap, self.membership.presence)
        if not self.tunnel.is_same():
            await self._feed(e.Disturbed())
        await self.apply()
        await self.names.check(self.netmap, self.membership.believed, anew=False)
        self.journal.add([])  # what could not be written
        if self.shelf.broken is not None:
            await asyncio.to_thread(self.shelf.retry)
        device = self.agent.change.device
        if device is not None and self._finder.note(device, self.membership.believed(), self.agent.transport.port):
            await asyncio.to_thread(self.shelf.save_last, self._finder.last)

    async def _until_next(self) -> None:
        """Wait for a tick; before it, for a peer's first turn, or for news of where a name is. What takes long is done
        less often, and what finds nothing."""
        tick = self.choices.tick * (_LULL if self._is_lull else 1.0)
        ends = time.monotonic() + max(tick, min(_LONGEST_TICK, _REST * self._look_took))
        least = time.time() + _LEAST  # whatever is due: a look that changed nothing is not done again at once
        while (left := min(ends - time.monotonic(), max(least, self.agent.due or float("inf")) - time.time())) > 0:
            if self._finder.has_news():
                break
            with contextlib.suppress(TimeoutError):  # and not wait_for: on Python 3.11 it swallows cancellations
                async with asyncio.timeout(left):
                    await self._waiting.wait()
            self._waiting.clear()


_OWN: dict[type[Command], Callable[[Session, Any], Awaitable[None]]] = {
    c.GivePort: Session._give_port,
    c.SendProbes: Session._probe,
    c.AskForMoments: Session._ask_for_moments,
    c.Connect: Session._connect,
    c.HangUp: Session._hang_up,
    c.AskCoordinator: Session._ask_coordinator,
}
