"""`innerd new` and `innerd uninstall`: the files of a network, made and removed."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from innerd.command import consent, networks
from innerd.config import Config, Paths, network_range, save
from innerd.config import load as load_config
from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain.commands import CreateNetwork, ImportNetwork
from innerd.domain.errors import Refused
from innerd.domain.values import Endpoint, Range, endpoint_address, first_address
from innerd.failure import REFUSED, SYSTEM, Failure, not_found
from innerd.host import files, hostsfile, overlap
from innerd.host.overlap import Neighbour
from innerd.log.codec import Who
from innerd.log.sqlite import SqliteStore
from innerd.log.store import StoreError
from innerd.relay.kernel import clear
from innerd.serve import heads, holding, unopened
from innerd.wireguard import keys, ownership
from innerd.wireguard.backend import Backend
from innerd.wireguard.device import DeviceError


def found(paths: Paths, block: Range, endpoint: Endpoint, listen_port: int, user: str, *, relays: bool) -> None:
    """Make a network: its config with a new key, its log with the founding events. All or nothing; raises Failure."""
    if Path(f"/sys/class/net/{paths.network}").exists():
        raise Failure(
            SYSTEM, "interface_taken", f"this host has an interface {paths.network}", "choose another network name"
        )
    private_key = keys.generate()
    command = CreateNetwork(
        id=os.urandom(16).hex(),
        name=paths.network,
        range=block,
        public_key=keys.public_key(private_key),
        endpoint=endpoint,
        relays=relays,
    )
    config = Config(
        private_key=private_key,
        listen_port=listen_port,
        address=str(first_address(block)),
        network_cidr_prefix=block.prefixlen,
    )
    begin(paths, config, command, Who(f"local:{user}", "innerd new"))


def agree(
    paths: Paths, block: Range, endpoint: Endpoint, port: int, *, public_range: bool, accept_overlap: bool
) -> None:
    """Have leave for what a new network takes of this host, before anything is made. Raises Failure, Refused."""
    at = endpoint_address(endpoint)
    if at is not None and at in block:
        raise Refused(
            "invalid_endpoint",
            f"{endpoint} lies in the network itself ({block}): nobody reaches it before they are in",
            "give an address of this host outside the network",
        )
    consent.to_range(block, given=public_range)
    said = overlap.overlaps_of(block, overlap.of_host(paths.network))
    said += overlap.of_neighbours(_neighbours(paths), block, port, None)
    consent.to_overlaps(block, said, given=accept_overlap)


def _neighbours(paths: Paths) -> Iterator[Neighbour]:
    """The other networks that this host coordinates, so far as their configs can be read."""
    for name in sorted(path.stem for path in paths.config_dir.glob("*.toml")):
        with contextlib.suppress(Failure, OSError):
            other = load_config(replace(paths, network=name))
            if name != paths.network:
                yield Neighbour(name=name, block=network_range(other), port=other.listen_port)


def begin(paths: Paths, config: Config, command: CreateNetwork | ImportNetwork, who: Who) -> None:
    """The log of a network with its first command, and its config. All or nothing; raises Failure."""
    for path in (paths.config, paths.database):
        if path.exists():
            raise Failure(
                REFUSED,
                "network_exists",
                f'the network "{paths.network}" exists already ({path})',
                f"innerd uninstall {paths.network} removes it",
            )
    try:
        files.make_private(paths.data_dir)
        heads.write(paths.database, asyncio.run(_found_log(paths.database, command, who)))
        save(paths, config)
    except BaseException:
        _remove_files(paths)
        raise


async def _found_log(database: Path, command: CreateNetwork | ImportNetwork, who: Who) -> heads.Head:
    try:
        store = await SqliteStore.open(database, create=True)
    except StoreError as error:
        raise unopened.failure(error) from error
    try:
        writer = Writer(store, await load(store), time.time, lambda why: None)
        await writer.submit(command, who)
        return heads.head_of(writer)
    finally:
        await store.close()


def _remove_files(paths: Paths) -> None:
    for suffix in ("", "-wal", "-shm", "-lock"):
        paths.database.with_name(paths.database.name + suffix).unlink(missing_ok=True)
    heads.path_of(paths.database).unlink(missing_ok=True)
    with contextlib.suppress(NotADirectoryError):
        files.remove(paths.config)


def uninstall(paths: Paths, backend: Backend, hosts_path: Path) -> str | None:
    """Remove a network that nobody serves: interface, log, config, names; what is to be said where interface and names
    stay, as they are somebody else's: another log of the same name is run here. Raises Failure."""
    if not paths.config.exists() and not paths.database.exists():
        hint = networks.meant(paths.config_dir, paths.runtime_dir, paths.network, "innerd new makes one")
        raise not_found("network_not_found", f'there is no network "{paths.network}" here', hint)
    lock = asyncio.run(holding.lock(paths)) if paths.database.exists() else None
    try:
        left = _release(paths, backend)
        try:
            if left is None:
                hostsfile.update(hosts_path, paths.network, [])
        finally:  # names that can't be taken out keep nothing else here
            _remove_files(paths)
            if not holding.answers(paths.socket):
                paths.socket.unlink(missing_ok=True)
        return left
    finally:
        if lock is not None:
            os.close(lock)


def _release(paths: Paths, backend: Backend) -> str | None:
    """Take the interface away; what is to be said, where it is somebody else's and stays."""
    private_keys: tuple[str, ...] = ()
    with contextlib.suppress(Failure):  # a broken config must not keep a network from being removed
        private_keys = (load_config(paths).private_key,)
    try:
        ownership.release(backend, paths.network, ownership.COORDINATOR, private_keys, paths.database)
        clear(paths.network)
    except DeviceError as error:
        if error.code != "interface_taken":
            raise
        return error.message
    return None
