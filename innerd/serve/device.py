"""The coordinator's interface on this host: made, put right, and brought in step by a verb while nobody serves."""

import os
import time
from pathlib import Path

from msgspec import Struct

from innerd.config import Config, Paths, address_of
from innerd.coordinator.device_sync import wanted_device
from innerd.serve.opened import Opened
from innerd.wireguard import links, ownership
from innerd.wireguard.backend import Backend, BackendName, choose
from innerd.wireguard.plan import identity, plan
from innerd.wireguard.sockets import port_is_free


class Options(Struct, frozen=True, kw_only=True):
    """What a command line says beside the config file."""

    backend: BackendName = "auto"
    mtu: int | None = None  # what the routes carry
    routing: bool = True
    write_hosts: bool = True
    hosts_path: Path | None = None
    host_suffix: str | None = None
    log_queries: bool = False


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
