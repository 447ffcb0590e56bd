"""A coordinator's host with a small network in its files, for tests of what is done with the files as a whole."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from innerd.config import Paths
from tests.client.commands import Host

NETWORK = "ferment"  # a name that no interface of the host has


def found(folder: Path) -> Host:
    """A network of four CIDRs and one invited peer."""
    host = Host(folder, "innerd")
    where = ("--network-cidr", "10.42.0.0/16", "--external-endpoint", "192.0.2.1:51820", "--listen-port", "51820")
    host.ok("new", "--network-name", NETWORK, *where)
    for name, cidr in (("humans", "10.42.128.0/17"), ("cats", "10.42.3.0/24")):
        host.ok("add-cidr", NETWORK, "--name", name, "--cidr", cidr, "--parent", NETWORK)
    flags = ("--auto-ip", "--admin", "false", "--invite-expires", "14d", "--save-config", str(folder / "tama.toml"))
    host.ok("add-peer", NETWORK, "--name", "tama", "--cidr", "cats", *flags)
    return host


def copied(host: Host, folder: Path) -> Host:
    shutil.copytree(host.folder, folder)
    return Host(folder, "innerd")


def paths(host: Host) -> Paths:
    return Paths(NETWORK, host.etc, host.lib, host.run_dir)


def private_key(host: Host) -> str:
    line = next(x for x in paths(host).config.read_text().splitlines() if "private-key" in x)
    return line.partition("=")[2].strip().strip('"')


def seen(folder: Path) -> dict[str, bytes]:
    """All files below a folder, with what is in them."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("-lock")
    }


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database, database:
        return database.execute(statement).fetchall()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777
