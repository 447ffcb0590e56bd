"""The composition root of the coordinator, `innerd serve`: what is made of what, in which order it starts and stops."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
from msgspec.structs import replace

from inndns.server import DnsServer
from innerd.api.app import create_app
from innerd.api.metrics import Counted, Metrics
from innerd.api.services import Services
from innerd.api.sources import Sources
from innerd.config import Config, Paths, address_of, listen_address, metrics_rule, tcp_address
from innerd.coordinator import remembering
from innerd.coordinator.device_sync import DeviceSync, OwnInterface
from innerd.coordinator.names import NetworkNames
from innerd.domain.values import endpoint_of
from innerd.failure import INTERNAL, Failure
from innerd.host.systemd import keep_told, keep_watched, notify
from innerd.log.store import StoreError
from innerd.relay.limits import limits_of
from innerd.relay.relay import Setup
from innerd.relay.tcp import TcpSetup
from innerd.serve import holding
from innerd.serve.by_tcp import ByTcp
from innerd.serve.device import Options, bring_up
from innerd.serve.dns import DNS_PORT, Answering
from innerd.serve.exposing import MetricsOnly
from innerd.serve.hosts import HostsBlock
from innerd.serve.housekeeping import keep_clear, keep_house, keep_trying, keep_whole
from innerd.serve.lanes import Lanes
from innerd.serve.listener import Listener, control_socket
from innerd.serve.opened import Opened, opened, services_of
from innerd.serve.relaying import Relaying
from innerd.serve.status_line import headline, troubles
from innerd.wire.ours import Trouble
from innerd.wire.reach import RelayStatus
from innerd.wireguard import keys, ownership, watch
from innerd.wireguard.backend import Backend, choose
from innerd.wireguard.device import DeviceError
from innerd.wireguard.sockets import knock

_log = structlog.get_logger("innerd")

_QUERIES = 1000.0  # answers a second to one peer
_AT_ONCE, _APART = 50, 0.1  # peers that are told that it is there again, and seconds between so many
_GROWN_BY = 250_000  # objects that hold others: those of five thousand connections


class Coordinator:
    """What `innerd serve` runs."""

    def __init__(self, opened: Opened, paths: Paths, options: Options, backend: Backend) -> None:
        self._opened, self._paths, self._options = opened, paths, options
        self._interface = paths.network
        self._address = address_of(opened.config)
        self._backend = backend
        config, writer = opened.config, opened.writer
        own = OwnInterface(
            backend=backend,
            name=paths.network,
            private_key=config.private_key,
            port=config.listen_port,
            bring_up=self._bring_up,
            knock=partial(knock, backend.link(paths.network)),
        )
        self._sync = DeviceSync(
            own, lambda: writer.network, opened.presence, opened.looks, opened.hub.farewells, self._bind
        )
        self._names = NetworkNames(writer.view, config.dns.suffix, config.dns.ttl, self._sync.has_spent_key)
        self._dns = DnsServer(
            lambda: self._names.zone,
            asker=self._names.asker,
            log_queries=config.dns.log_queries or options.log_queries,
            rate=_QUERIES,
        )
        self._answering = Answering(self._dns, paths.network, self._address, str(paths.config))
        self._relaying = Relaying(_relay_setup(paths.network, config), writer, opened.presence, opened.looks)
        self._by_tcp = ByTcp(_tcp_setup(config), writer, opened.looks)
        self._hosts = self._hosts_block()
        self._sources = Sources(between=self._dns.answer)
        self._lanes = Lanes(paths.network, self._address, config.listen_port, self._sources)
        self._services = self._provided(self._followed())
        self._app = create_app(self._services)
        self._listeners: list[Listener] = []
        self._tunnel: Listener | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def _followed(self) -> dict[str, Callable[[], int]]:
        """Let all follow the log that do; which revision each has taken in. In the order in which a change must be
        known: names and streams first, so that farewells are under way when the device lets go of keys."""
        feed, sync, hosts = self._opened.writer.feed, self._sync, self._hosts
        streams = Counted(self._opened.hub.follow, self._opened.writer.network.revision)
        feed.follow("dns", self._names.follow)
        feed.follow("streams", streams.follow)
        feed.follow("relay", self._relaying.follow)
        feed.follow("tcp", self._by_tcp.follow)
        feed.follow("device", sync.follow)
        feed.follow("head", self._opened.keeper.follow)
        feed.follow("lanes", self._lanes.follow)
        taken: dict[str, Callable[[], int]] = {
            "streams": lambda: streams.revision,
            "dns": lambda: self._names.zone.serial,
            "device": lambda: sync.synced,
        }
        if hosts is not None:
            feed.follow("hosts", hosts.follow)
            taken["hosts"] = lambda: hosts.shown
        return taken

    def _provided(self, projections: dict[str, Callable[[], int]]) -> Services:
        """What the routes work with where a network is served; the metrics page is made of the rest."""
        opened, sync, config = self._opened, self._sync, self._opened.config
        rule = metrics_rule(config.metrics)
        services = services_of(
            opened,
            is_serving=True,
            settle=sync.settle,
            is_redeeming=sync.is_redeeming,
            device_errors=lambda: sync.errors,
            troubles=self._troubles,
            may_read_metrics=lambda peer: rule.allows(peer, opened.writer.view),
            observe_request=opened.timings.observe_request,
            sources=self._sources,
            relay_status=self._relay_status,
        )
        metrics = Metrics(
            services,
            opened.timings,
            projections,
            dns=self._dns.counters if config.dns.enabled else None,
            per_peer=config.metrics.per_peer,
            store=opened.store,
        )
        return replace(services, render_metrics=metrics.page)

    async def _relay_status(self, *, with_pairs: bool = False) -> RelayStatus:
        return replace(await self._relaying.status(with_pairs=with_pairs), tcp=self._by_tcp.status())

    def _hosts_block(self) -> HostsBlock | None:
        """The names on this host itself, where they are wanted."""
        names, options, writer = self._opened.config.names, self._options, self._opened.writer
        if not (names.write_hosts and options.write_hosts):
            return None
        configured = options.host_suffix if options.host_suffix is not None else names.host_suffix
        suffix = self._names.zone.domain if configured is None else configured
        path = options.hosts_path or Path(names.hosts_path)
        return HostsBlock(path, self._interface, suffix, lambda: writer.network)

    def _troubles(self) -> list[Trouble]:
        opened = self._opened
        found = [
            *troubles(opened.writer, opened.clock, opened.hub, opened.presence, self._sync),
            *self._answering.troubles(),
            *self._relaying.troubles(),
            *self._by_tcp.troubles(),
        ]
        return found if self._hosts is None else [*found, *self._hosts.troubles()]

    def _bring_up(self) -> list[str]:
        return bring_up(self._backend, self._paths, self._opened.config, self._options)

    async def _watch(self) -> None:
        """What others do to the interface is put right at once, not at the next look."""
        async for moved in watch.changes(self._interface):
            if moved.own or moved.host:
                self._sync.disturbed()
            if moved.host:
                await self._relaying.relay.look(ways=True)

    def served(self) -> list[str]:
        """What is served where, and what should be and is not, in words."""
        missing = [f"NOT SERVED: {trouble.text}\n    {trouble.hint}" for trouble in self._answering.troubles()]
        return [*_addresses(self._paths, self._opened.config, dns=not missing), *missing]

    # -- start and stop -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Interface, device, sockets. Where one of them can't be had, what was made for it goes again. Raises
        DeviceError."""
        was_there = await asyncio.to_thread(self._backend.exists, self._interface)
        try:
            await self._start()
        except BaseException:
            if self._listeners:
                self._paths.socket.unlink(missing_ok=True)
            if not was_there:
                await asyncio.to_thread(self._take_away)
            raise

    def _take_away(self) -> None:
        keys, home = (self._opened.config.private_key,), self._paths.database
        ownership.release(self._backend, self._interface, ownership.COORDINATOR, keys, home)

    async def _start(self) -> None:
        await asyncio.to_thread(self._bring_up)
        await self._sync.sync()
        control = Listener(self._app, control_socket(self._paths.socket))
        await control.start()
        self._listeners.append(control)
        await self._bind()
        if self._opened.config.metrics.listen is not None:
            await self._listen_for_metrics(self._opened.config.metrics.listen)
        for run in (self._sync.run, self._watch, self._opened.hub.sender.run, self._come_back):
            self._tasks.append(asyncio.create_task(run()))
        opened, writer = self._opened, self._opened.writer
        for beside in (
            keep_house(writer, opened.clock),
            keep_trying(writer),
            keep_clear(),
            keep_whole(writer),
            self._relaying.run(),
            self._by_tcp.run(),
            keep_told(lambda: headline(writer, opened.presence, self._troubles())),
            opened.keeper.run(),
            remembering.keep(writer, opened.presence),
            *([self._hosts.run()] if self._hosts is not None else []),
            *([self._answering.run()] if opened.config.dns.enabled else []),
        ):
            self._tasks.append(asyncio.create_task(beside))
        spare_the_collector()
        share_the_interpreter()

    async def _come_back(self) -> None:
        """Agents ask less and less often for a coordinator that is away: it is there again. Not all at once, as each of
        them comes by a connection of its own."""
        network, presence = self._opened.writer.network, self._opened.presence
        link = self._backend.link(self._interface)
        away = [peer for peer in network.peers.values() if peer.is_active and presence.learned(peer.id) is not None]
        for at in range(0, len(away), _AT_ONCE):
            addresses = [peer.ip for peer in away[at : at + _AT_ONCE] if peer.id not in presence.streaming]
            await asyncio.to_thread(knock, link, addresses)
            await asyncio.sleep(_APART)

    async def _bind(self) -> None:
        """The sockets on the WireGuard address, bound to the device: anew when the device is another one."""
        before = self._tunnel
        listening = self._lanes.open(self._opened.writer.network)
        self._tunnel = Listener(self._app, *listening, sources=self._sources)
        if before is not None:
            _log.warning("the interface was made anew: listening anew", interface=self._interface)
            self._opened.hub.end_all("interface_remade")
            # Their sockets lead nowhere, and nobody waits for what is still in them.
            self._tasks.append(asyncio.create_task(before.stop()))
        await self._tunnel.start()
        if self._opened.config.dns.enabled:
            await self._answering.begin()

    async def _listen_for_metrics(self, where: str) -> None:
        host, port = listen_address(where)
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listening = socket.create_server((host, port), family=family)
        except OSError as error:
            raise DeviceError("port_in_use", f"can't listen for metrics on {where}: {error.strerror}") from error
        listening.setblocking(False)
        listener = Listener(MetricsOnly(self._services, endpoint_of(host, port)), listening)
        await listener.start()
        self._listeners.append(listener)

    async def stop(self) -> None:
        """Streams first, each with its reason; then the sockets. The tunnel stays: peers use it."""
        await self._opened.hub.shut_down()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tunnel is not None:
            self._listeners.append(self._tunnel)
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        await self._dns.close()
        await self._relaying.stop()
        self._paths.socket.unlink(missing_ok=True)
        with contextlib.suppress(StoreError):  # said already, if it is the disk
            await remembering.write(self._opened.writer, self._opened.presence)


def _relay_setup(network: str, config: Config) -> Setup:
    return Setup(
        network=network,
        interface=network,
        port=config.listen_port,
        own_key=keys.public_key(config.private_key),
        limits=limits_of(config.relay),
        mode=config.relay.mode,
    )


def _tcp_setup(config: Config) -> TcpSetup | None:
    at = tcp_address(config.relay)
    if at is None:
        return None
    return TcpSetup(
        host=at[0],
        port=at[1],
        wireguard=config.listen_port,
        private_key=config.private_key,
        limits=limits_of(config.relay),
    )


def spare_the_collector() -> None:
    """What exists now stays, and what a command or a connection makes is gone without the collector's help (a test
    counts): so it looks when there are many more objects than at its last look, and else seldom (`housekeeping`). While
    thousands of connections come and go it would hold the loop for 5 ms at every 5,000 objects, and for 80 at every
    twentieth of these looks."""
    gc.freeze()
    gc.set_threshold(_GROWN_BY, 10, 100)


def share_the_interpreter() -> None:
    """The disk and the device are asked in threads, which need the interpreter back after each row and each read: by
    default they wait 5 ms for it each time while the loop is busy, and a change takes seconds."""
    sys.setswitchinterval(0.0002)


async def serve(paths: Paths, config: Config, options: Options, ready: Callable[[list[str]], None]) -> None:
    """Serve a network until SIGTERM or SIGINT. `ready` is called with the addresses that are served."""
    failed: list[str] = []
    stopping = asyncio.Event()

    def fatal(why: str) -> None:
        failed.append(why)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with opened(paths, config, fatal, await holding.lock(paths, serves=True)) as network:
        # It asks the kernel, which may take a while.
        backend = await asyncio.to_thread(choose, options.backend, paths.network)
        coordinator = Coordinator(network, paths, options, backend)
        await coordinator.start()
        ready(coordinator.served())
        notify("READY=1")
        watched = asyncio.create_task(keep_watched())
        await stopping.wait()
        notify("STOPPING=1")
        await coordinator.stop()
        watched.cancel()
    if failed:
        raise Failure(INTERNAL, "internal", failed[0], "start it again: the log is replayed and decides")


def _addresses(paths: Paths, config: Config, *, dns: bool) -> list[str]:
    served = [f"API  http://{endpoint_of(config.address, config.listen_port)}", f"control  {paths.socket}"]
    if dns and config.dns.enabled:
        served.append(f"DNS  {endpoint_of(config.address, DNS_PORT)}  zone {paths.network}.{config.dns.suffix}")
    if config.metrics.listen is not None:
        served.append(f"metrics  http://{config.metrics.listen}/metrics")
    return served
