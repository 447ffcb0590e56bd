"""The two systems that have innernet's API, innerd and innernet-server, as servers on a host of a lab: founded, filled
with peers, served and stopped again, each time from the same state.

The state lies on this machine's disk, as what is answered must be durable.
"""

import asyncio
import contextlib
import shutil
import sqlite3
import time
import tomllib
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain import commands as c
from innerd.domain.values import Name
from innerd.log.sqlite import SqliteStore
from tests.netns import steps
from tests.netns.lab import Host, wait_for
from tests.world import LOCAL, key

INNERNET = Path(__file__).parents[2] / ".innernet/bin"
NETWORK, RANGE, HUMANS = steps.NETWORK, "10.42.0.0/16", "10.42.128.0/17"
CIDR = 3  # the number that both give to the first CIDR that is added
FIRST = IPv4Address("10.42.128.100")  # of the peers that a network is filled with


class System(Protocol):
    name: str
    folder: str  # on the host, where its state is
    process: str  # its command line, when it serves

    def found(self, host: Host) -> str:
        """Found the network; the invitation of an administrator."""
        ...

    def serve(self, host: Host) -> None:
        """Return when it serves."""
        ...

    def stop(self, host: Host) -> None:
        """End it and its device."""
        ...

    def fill(self, folder: Path, peers: int) -> None:
        """So many redeemed peers into the state of a network that is not served."""
        ...

    def network_id(self, host: Host) -> str | None:
        """What proofs are bound to, where they are needed."""
        ...


class Innerd:
    name, folder, process = "innerd", "/var/lib/innerd", f"innerd serve {NETWORK}"

    def found(self, host: Host) -> str:
        steps.found(host, RANGE)
        host.run("innerd", "add-cidr", NETWORK, "--name", "humans", "--cidr", HUMANS, "--parent", NETWORK)
        return steps.invite(host, "innerd", "ryo", "humans", "--admin", "true")

    def serve(self, host: Host) -> None:
        before = len(steps.said(host, "innerd.log"))
        host.start("innerd", "serve", NETWORK, log="/run/.lab/innerd.log")  # as installed, not loaded already
        wait_for(lambda: f'serves "{NETWORK}"' in steps.said(host, "innerd.log")[before:], "innerd serve")

    def stop(self, host: Host) -> None:
        _stop(host, self.process)

    def fill(self, folder: Path, peers: int) -> None:
        asyncio.run(_fill(folder / f"{NETWORK}.db", peers))

    def network_id(self, host: Host) -> str | None:
        return str(steps.asked(host, "innerd", "status", NETWORK)["id"])


class Innernet:
    name, folder, process = "innernet", "/var/lib/innernet-server", f"innernet-server serve {NETWORK}"
    command = str(INNERNET / "innernet-server")

    @staticmethod
    def is_here() -> bool:
        return (INNERNET / "innernet-server").exists()

    def found(self, host: Host) -> str:
        host.path("/etc/innernet-server").mkdir(mode=0o700)
        host.run(
            *(self.command, "new", "--network-name", NETWORK, "--network-cidr", RANGE, "--listen-port", "51820"),
            *("--external-endpoint", f"{host.address}:51820"),
        )
        host.run(
            *(self.command, "add-cidr", NETWORK, "--name", "humans", "--cidr", HUMANS, "--parent", NETWORK, "--yes")
        )
        host.run(
            *(self.command, "add-peer", NETWORK, "--name", "ryo", "--cidr", "humans", "--auto-ip", "--admin", "true"),
            *("--save-config", "/run/.lab/ryo.toml", "--invite-expires", "1d", "--yes"),
        )
        return host.path("/run/.lab/ryo.toml").read_text()

    def serve(self, host: Host) -> None:
        host.start(self.command, "serve", NETWORK, "--backend", "userspace", "--no-write-hosts")
        wait_for(lambda: "10.42.0.1" in host.run("ss", "-lnt"), "innernet-server")

    def stop(self, host: Host) -> None:
        _stop(host, self.process)

    def fill(self, folder: Path, peers: int) -> None:
        rows = [(f"filled{n}", str(FIRST + n), key(f"filled {n}"), CIDR, 0, 0, 1) for n in range(peers)]
        columns = "name, ip, public_key, cidr_id, is_admin, is_disabled, is_redeemed"
        with closing(sqlite3.connect(folder / f"{NETWORK}.db")) as database, database:
            database.executemany(f"INSERT INTO peers ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def network_id(self, host: Host) -> str | None:
        return None


def _stop(host: Host, pattern: str) -> None:
    steps.kill(host, pattern)
    steps.kill(host, f"wireguard-go {NETWORK}")
    host.path(f"/run/wireguard/{NETWORK}.sock").unlink(missing_ok=True)


async def _fill(path: Path, peers: int) -> None:
    store = await SqliteStore.open(path)
    writer = Writer(store, await load(store), time.time, lambda _: None)
    adding = [
        c.AddPeer(name=Name(f"filled{n}"), cidr=CIDR, ip=FIRST + n, public_key=key(f"filled {n}"), is_redeemed=True)
        for n in range(peers)
    ]
    await asyncio.gather(*(writer.submit(command, LOCAL) for command in adding))
    await store.close()


class Kept:
    """The state of a system on a disk, and copies of it to begin from again."""

    def __init__(self, system: System, host: Host, disk: Path) -> None:
        self._system, self._host, self._disk = system, host, disk

    @property
    def now(self) -> Path:
        return self._disk / "now"

    def keep(self, name: str) -> Path:
        """Keep the state as it is, of a system that is stopped."""
        kept = self._disk / name
        shutil.copytree(self.now, kept)
        return kept

    def back(self, kept: Path) -> None:
        for file in self.now.iterdir():
            file.unlink()
        shutil.copytree(kept, self.now, dirs_exist_ok=True)

    @contextlib.contextmanager
    def served(self, kept: Path) -> Iterator[None]:
        """The system, from a state that was kept."""
        self.back(kept)
        self._system.serve(self._host)
        try:
            yield
        finally:
            self._system.stop(self._host)


@contextlib.contextmanager
def on_disk(system: System, host: Host, disk: Path) -> Iterator[Kept]:
    now = disk / "now"
    now.mkdir(mode=0o700)
    host.path(system.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    host.run("mount", "--bind", str(now), system.folder)
    yield Kept(system, host, disk)


def parsed(invitation: str) -> tuple[str, str, str, str]:
    """The API, the server's key, the private key and the address of an invitation."""
    found = tomllib.loads(invitation)
    server, interface = found["server"], found["interface"]
    return server["internal-endpoint"], server["public-key"], interface["private-key"], interface["address"]
