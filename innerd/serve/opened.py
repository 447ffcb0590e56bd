"""A network that can be asked: its log is held and verified, its engine runs, and nothing listens.

Enough for a verb in the same process (`services_of`); `coordinator` adds the device, the sockets, names and metrics.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from msgspec import Struct

from innerd.api.services import Services
from innerd.api.timings import Timings
from innerd.config import Config, Paths, address_of, network_range, signer_of, tcp_port
from innerd.coordinator import remembering
from innerd.coordinator.configs import Configs
from innerd.coordinator.history import History
from innerd.coordinator.looks import Looks
from innerd.coordinator.presence import Presence
from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain.values import endpoint_of
from innerd.failure import USAGE, Failure
from innerd.log.codec import UnknownEvent
from innerd.log.sqlite import SqliteStore
from innerd.log.store import StoreCorrupt, StoreError, StoreNewer
from innerd.serve import heads, holding, unopened
from innerd.serve.clock import Clock
from innerd.serve.status_line import troubles
from innerd.streaming.convergence import Convergence
from innerd.streaming.hub import Hub
from innerd.wireguard import keys


class Opened(Struct, frozen=True, kw_only=True):
    config: Config
    store: SqliteStore
    writer: Writer
    presence: Presence
    looks: Looks
    hub: Hub
    clock: Clock
    keeper: heads.Keeper
    timings: Timings


@contextlib.asynccontextmanager
async def opened(
    paths: Paths, config: Config, fatal: Callable[[str], None], lock: int | None = None
) -> AsyncIterator[Opened]:
    """Open a network's log, verify it, put the engine on top. `lock`: the log's, where it is taken already. Raises
    Failure."""
    store = await _open_store(paths, await holding.lock(paths) if lock is None else lock)
    try:
        timings = Timings()
        writer = Writer(store, await load(store), time.time, fatal, observe_commit=timings.observe_commit)
        _check_config(paths, config, writer)
        await heads.check(paths, writer)
        clock = Clock(heads.epoch_of(paths.database))
        keeper = heads.Keeper(paths.database, writer, clock)
        await keeper.write()
        presence, looks = Presence(), Looks()
        await remembering.recall(writer, presence)
        by, tcp = signer_of(config, writer.network.id), tcp_port(config.relay)
        hub = Hub(writer, presence, time.time, config.dns.suffix, by, looks, tcp)
        try:
            yield Opened(
                config=config,
                store=store,
                writer=writer,
                presence=presence,
                looks=looks,
                hub=hub,
                clock=clock,
                keeper=keeper,
                timings=timings,
            )
        finally:
            await keeper.write()
    except (UnknownEvent, StoreError) as error:
        raise unopened.failure(error, f"the log of {paths.network}") from error
    finally:
        await store.close()


def services_of(network: Opened, **served: Any) -> Services:
    """What the routes work with; `served` is what only who serves has."""
    config, writer = network.config, network.writer
    found = {"troubles": lambda: list(troubles(writer, network.clock, network.hub, network.presence))} | served
    history = History(writer)
    return Services(
        writer=writer,
        history=history,
        configs=Configs(history),
        presence=network.presence,
        hub=network.hub,
        convergence=Convergence(writer, network.presence, network.hub, time.time),
        server_key=keys.public_key(config.private_key),
        internal_endpoint=endpoint_of(config.address, config.listen_port),
        suffix=config.dns.suffix,
        tcp=tcp_port(config.relay),
        proof_required=config.admin_proof == "required",
        shared_secret=lambda key: keys.shared_secret(config.private_key, key),
        own_address=address_of(config),
        **found,
    )


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
