"""The composition root of the coordinator: what is made of what, in which order it starts and stops.

`opened` gives a network with its API and nothing that listens: enough for a verb in the same process. `Coordinator`
adds the device, the sockets, names and metrics: `innerd serve`.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog
from msgspec import Struct

from inndns.server import DnsServer
from innerd.api.app import create_app
from innerd.api.gate import Door
from innerd.api.metrics import Metrics
from innerd.api.services import Services
from innerd.config import Config, Paths, address_of, listen_address, metrics_rule, network_range, signer_of
from innerd.coordinator import remembering
from innerd.coordinator.device_sync import DeviceSync, wanted_device
from innerd.coordinator.history import History
from innerd.coordinator.names import Names
from innerd.coordinator.presence import Presence
from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain.values import endpoint_of
from innerd.failure import INTERNAL, USAGE, Failure
from innerd.host.systemd import keep_told, keep_watched, notify
from innerd.log.codec import UnknownEvent
from innerd.log.sqlite import SqliteStore
from innerd.log.store import StoreCorrupt, StoreError, StoreNewer
from innerd.serve import heads, holding, unopened
from innerd.serve.clock import Clock
from innerd.serve.dns import DNS_PORT, Answering
from innerd.serve.exposing import MetricsOnly
from innerd.serve.hosts import HostsBlock
from innerd.serve.housekeeping import keep_house, keep_trying, keep_whole
from innerd.serve.listener import Listener, control_socket
from innerd.serve.status_line import headline, troubles
from innerd.streaming.convergence import Convergence
from innerd.streaming.hub import Hub
from innerd.wire.ours import Trouble
from innerd.wireguard import keys, links, ownership, watch
from innerd.wireguard.backend import Backend, BackendName, choose
from innerd.wireguard.device import DeviceError
from innerd.wireguard.plan import identity, plan
from innerd.wireguard.sockets import bound, port_is_free

_log = structlog.get_logger("innerd")

_QUERIES = 1000.0  # answers a second to one peer


class Options(Struct, frozen=True, kw_only=True):
    """What a command line says beside the config file."""

    backend: BackendName = "auto"
    mtu: int | None = None  # what the routes carry
    routing: bool = True
    write_hosts: bool = True
    hosts_path: Path | None = None
    host_suffix: str | None = None
    log_queries: bool = False


class Opened(Struct):
    """A network that can be asked: its log is held, nothing listens."""

    config: Config
    store: SqliteStore
    writer: Writer
    hub: Hub
    services: Services
    clock: Clock
    keeper: heads.Keeper


@contextlib.asynccontextmanager
async def opened(
    paths: Paths, config: Config, fatal: Callable[[str], None], lock: int | None = None
) -> AsyncIterator[Opened]:
    """Open a network's log, verify it, put the API on top. `lock`: the log's, where it is taken already. Raises
    Failure."""
    store = await _open_store(paths, await holding.lock(paths) if lock is None else lock)
    try:
        writer = Writer(store, await load(store), time.time, fatal)
        _check_config(paths, config, writer)
        await heads.check(paths, writer)
        clock = Clock(heads.epoch_of(paths.database))
        keeper = heads.Keeper(paths.database, writer, clock)
        await keeper.write()
        presence = Presence()
        await remembering.recall(writer, presence)
        hub = Hub(writer, presence, time.time, config.dns.suffix, signer_of(config, writer.network.id))
        services = Services(
            writer=writer,
            history=History(writer),
            presence=presence,
            hub=hub,
            convergence=Convergence(writer, presence, hub, time.time),
            server_key=keys.public_key(config.private_key),
            internal_endpoint=endpoint_of(config.address, config.listen_port),
            suffix=config.dns.suffix,
            proof_required=config.admin_proof == "required",
            shared_secret=lambda key: keys.shared_secret(config.private_key, key),
            own_address=address_of(config),
            troubles=lambda: list(troubles(writer, clock, hub, presence)),
        )
        try:
            yield Opened(config, store, writer, hub, services, clock, keeper)
        finally:
            await keeper.write()
    except (UnknownEvent, StoreError) as error:
        raise unopened.failure(error, f"the log of {paths.network}") from error
    finally:
        await store.close()


async def _open_store(paths: Paths, lock: int) -> SqliteStore:
    try:
        return await SqliteStore.open(paths.database, lock=lock)
    except (StoreNewer, StoreError) as error:
        raise unopened.failure(error) from error


def _check_config(paths: Paths, config: Config, writer: Writer) -> None:
    """The config must be this network's: a coordinator with another key is nobody to its peers."""
    if not writer.network.revision:
        raise StoreCorrupt(f"{paths.database} holds no events")
    coordinator = writer.network.coordinator
    if keys.public_key(config.private_key) != coordinator.public_key:
        raise Failure(
            USAGE, "config_invalid", f"{paths.config}: private-key is not the one that the peers of this network know"
        )
    if address_of(config) != coordinator.ip or network_range(config) != writer.network.root.range:
        raise Failure(
            USAGE,
            "config_invalid",
            f"{paths.config}: address {config.address}/{config.network_cidr_prefix} is not the log's "
            f"({coordinator.ip} in {writer.network.root.range})",
        )


def bring_up(backend: Backend, paths: Paths, config: Config, options: Options) -> list[str]:
    """Make the coordinator's interface, or put right what is there; what was done to the link, in words. Raises
    DeviceError."""
    interface, home = paths.network, paths.database
    if not ownership.claim(backend, interface, ownership.COORDINATOR, (config.private_key,), home):
        port_is_free(config.listen_port)
        ownership.make(backend, interface, ownership.COORDINATOR, home)
    backend.apply(interface, identity(backend.get(interface), config.private_key, config.listen_port))
    address, prefix = address_of(config), config.network_cidr_prefix
    mtu = options.mtu or links.mtu_towards(None, address, interface)
    return backend.configure(interface, address, prefix, mtu, routing=options.routing)


def sync_device_once(opened: Opened, paths: Paths, backend_name: BackendName) -> None:
    """After a verb in this process: if the interface is up though nobody serves, bring its peers in step."""
    if os.geteuid() != 0:
        return
    backend, interface, config = choose(backend_name, paths.network), paths.network, opened.config
    if not backend.exists(interface) or not ownership.is_ours(
        backend, interface, ownership.COORDINATOR, (config.private_key,), paths.database
    ):
        return
    device = backend.get(interface)
    wanted = wanted_device(opened.writer.network, device, config.private_key, config.listen_port, time.time())
    backend.apply(interface, plan(device, wanted))


class Coordinator:
    """What `innerd serve` runs."""

    def __init__(self, opened: Opened, paths: Paths, options: Options, backend: Backend) -> None:
        self.stopping = asyncio.Event()
        self._opened, self._paths, self._options = opened, paths, options
        self._interface = paths.network
        self._address = address_of(opened.config)
        self._backend = backend
        config, writer = opened.config, opened.writer
        self._sync = DeviceSync(
            self._backend,
            paths.network,
            config.private_key,
            config.listen_port,
            lambda: writer.network,
            opened.services.presence,
            self._bring_up,
            opened.hub.farewells,
        )
        self._names = Names(writer.view, config.dns.suffix, config.dns.ttl, self._sync.has_spent_key)
        self._dns = DnsServer(
            lambda: self._names.zone,
            asker=self._names.asker,
            log_queries=config.dns.log_queries or options.log_queries,
            rate=_QUERIES,
        )
        self._answering = Answering(self._dns, paths.network, self._address, str(paths.config))
        self._hosts = self._hosts_block()
        self._app = self._wire()
        self._listeners: list[Listener] = []
        self._tunnel: Listener | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def _wire(self) -> Door:
        opened, sync, config = self._opened, self._sync, self._opened.config
        services = opened.services
        metrics = Metrics(
            services,
            self._dns.counters if config.dns.enabled else None,
            per_peer=config.metrics.per_peer,
            database=self._paths.database,
        )
        rule = metrics_rule(config.metrics)
        services.is_serving = True
        services.settle = sync.settle
        opened.hub.meetings.look = sync.look_now
        services.is_redeeming = sync.is_redeeming
        services.device_errors = lambda: sync.errors
        services.troubles = lambda: self._troubles()
        services.may_read_metrics = lambda peer: rule.allows(peer, opened.writer.view)
        services.render_metrics = metrics.page
        services.observe_request = metrics.observe_request
        services.store_size, services.store_busy = opened.store.size, lambda: opened.store.busy
        opened.writer.observe_commit = metrics.observe_commit
        # In the order in which a change must be known: names and streams first, so that farewells are under way
        # when the device lets go of keys.
        feed = opened.writer.feed
        feed.follow("dns", self._names.follow)
        feed.follow("streams", metrics.followed("streams", opened.hub.follow, opened.writer.network.revision))
        feed.follow("device", sync.follow)
        feed.follow("head", opened.keeper.follow)
        metrics.projections["dns"] = lambda: self._names.zone.serial
        metrics.projections["device"] = lambda: sync.synced
        hosts = self._hosts
        if hosts is not None:
            feed.follow("hosts", hosts.follow)
            metrics.projections["hosts"] = lambda: hosts.shown
        return create_app(services)

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
            *troubles(opened.writer, opened.clock, opened.hub, opened.services.presence, self._sync),
            *self._answering.troubles(),
        ]
        return found if self._hosts is None else [*found, *self._hosts.troubles()]

    def _bring_up(self) -> list[str]:
        return bring_up(self._backend, self._paths, self._opened.config, self._options)

    async def _watch(self) -> None:
        """What others do to the interface is put right at once, not at the next look."""
        async for moved in watch.changes(self._interface):
            if moved.own or moved.host:
                self._sync.disturbed()

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
        self._sync.remade = self._bind
        control = Listener(self._app, control_socket(self._paths.socket))
        await control.start()
        self._listeners.append(control)
        await self._bind()
        if self._opened.config.metrics.listen is not None:
            await self._listen_for_metrics(self._opened.config.metrics.listen)
        for run in (self._sync.run, self._watch, self._opened.hub.teller.run):
            self._tasks.append(asyncio.create_task(run()))
        opened, writer = self._opened, self._opened.writer
        for beside in (
            keep_house(writer, opened.clock),
            keep_trying(writer),
            keep_whole(writer),
            keep_told(lambda: headline(writer, opened.services.presence, opened.services.troubles())),
            opened.keeper.run(),
            remembering.keep(writer, opened.services.presence),
            *([self._hosts.run()] if self._hosts is not None else []),
            *([self._answering.run()] if opened.config.dns.enabled else []),
        ):
            self._tasks.append(asyncio.create_task(beside))
        spare_the_collector()
        share_the_interpreter()

    async def _bind(self) -> None:
        """The sockets on the WireGuard address, bound to the device: anew when the device is another one."""
        port = self._opened.config.listen_port
        before = self._tunnel
        listening = bound(self._interface, self._address, port, socket.SOCK_STREAM)
        self._tunnel = Listener(self._app, listening, self._opened.services.sources)
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
        listener = Listener(MetricsOnly(self._opened.services, endpoint_of(host, port)), listening)
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
        self._paths.socket.unlink(missing_ok=True)
        with contextlib.suppress(StoreError):  # said already, if it is the disk
            await remembering.write(self._opened.writer, self._opened.services.presence)


def spare_the_collector() -> None:
    """What exists now stays, and what a command makes is gone without the collector's help: looking for garbage every
    700 objects costs a third of all commands, and one look at 50,000 holds the loop for 40 ms."""
    gc.freeze()
    gc.set_threshold(5_000, 20, 1_000)


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
        # Netlink never on this loop: pyroute2 would take the running one for its own.
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
