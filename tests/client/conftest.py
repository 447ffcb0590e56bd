"""A coordinator's host with a network in its files, made once by the commands themselves; each test gets a copy."""

import asyncio
import contextlib
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain.commands import Redeem
from innerd.log.codec import Who
from innerd.log.sqlite import SqliteStore
from tests.client.commands import Host
from tests.world import key

NETWORK = "ferment"  # a name that no interface of the host has


async def _redeem(database: Path, *names: str) -> None:
    store = await SqliteStore.open(database)
    try:
        writer = Writer(store, await load(store), time.time, lambda why: None)
        for name in names:
            peer = writer.network.peer_named(name)
            assert peer is not None
            await writer.submit(Redeem(peer.id, key(name)), Who(f"peer:{peer.id}", str(peer.ip)))
    finally:
        await store.close()


def add_peer(host: Host, name: str, cidr: str, *more: str) -> None:
    path = str(host.folder / f"{name}.toml")
    flags = ("--auto-ip", "--admin", "false", "--invite-expires", "14d", "--save-config", path)
    host.ok("add-peer", NETWORK, "--name", name, "--cidr", cidr, *flags, *more)


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """humans: ryo (an admin) and mari; ovens: oven; all have redeemed. cats: tama, who has not."""
    folder = tmp_path_factory.mktemp("coordinator")
    host = Host(folder, "innerd")
    where = ("--network-cidr", "10.42.0.0/16", "--external-endpoint", "192.0.2.1:51820", "--listen-port", "51820")
    host.ok("new", "--network-name", NETWORK, *where)
    for name, cidr in (("humans", "10.42.128.0/17"), ("ovens", "10.42.64.0/24"), ("cats", "10.42.3.0/24")):
        host.ok("add-cidr", NETWORK, "--name", name, "--cidr", cidr, "--parent", NETWORK)
    for name, cidr in (("ryo", "humans"), ("mari", "humans"), ("oven", "ovens"), ("tama", "cats")):
        add_peer(host, name, cidr)
    asyncio.run(_redeem(host.lib / f"{NETWORK}.db", "ryo", "mari", "oven"))
    host.ok("grant-admin", NETWORK, "--name", "ryo")
    return folder


@pytest.fixture
def host(founded: Path, tmp_path: Path) -> Host:
    """The coordinator's host."""
    shutil.copytree(founded, tmp_path / "host")
    return Host(tmp_path / "host", "innerd")


@pytest.fixture(scope="session")
def _busied(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("busy") / "host"
    shutil.copytree(founded, folder)
    host = Host(folder, "innerd")
    host.ok("add-cidr", NETWORK, "--name", "empty", "--cidr", "10.42.9.0/24", "--parent", NETWORK)
    add_peer(host, "lost", "cats")
    host.ok("add-peer", NETWORK, "phone", "--plain", "--cidr", "cats", "--save-config", str(host.folder / "phone.conf"))
    host.ok("disable-peer", NETWORK, "--name", "lost", "--yes")
    host.ok("add-association", NETWORK, "humans", "cats")
    return folder


@pytest.fixture
def busy(_busied: Path, tmp_path: Path) -> Host:
    """The host, with something for every verb to change."""
    shutil.copytree(_busied, tmp_path / "busy")
    return Host(tmp_path / "busy", "innerd")


def revision(host: Host) -> int:
    """The newest event, as SQLite says it."""
    with contextlib.closing(sqlite3.connect(host.lib / f"{NETWORK}.db")) as database:
        return database.execute("select max(seq) from events").fetchone()[0]
