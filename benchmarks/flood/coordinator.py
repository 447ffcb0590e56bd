"""Who is attacked: `innerd serve`, its network made beforehand, its memory, log and journal as others see them."""

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

from msgspec import Struct

from benchmarks.flood.wire import DEVICE, PORT, SERVER, Peer, Target
from innerd.config import Config, MetricsSection, Paths, load
from innerd.domain import commands as c
from innerd.domain.values import Endpoint, Name, first_address
from innerd.manage.create import begin
from innerd.serve.opened import Opened, opened
from innerd.wire import proof
from innerd.wireguard import keys
from tests.world import LOCAL, key, private_key

BLOCK = ip_network("10.42.0.0/16")
PEERS_LIE_IN = "10.42.128.0/17"  # every peer, hostile or honest
GROUPS = {"tenants": 128, "monitors": 129, "admins": 130, "invitees": 131, "honest": 132}  # the third byte
MOST = 64  # of a group
OVERRIDES = 10_000  # events of each of two peers, where there is a history
_CPU = min(os.sched_getaffinity(0))  # the coordinator's own
_NETWORK_ID = "ab" * 16
_SERVER_KEY = private_key("coordinator")


def peers_of(group: str, count: int = MOST) -> list[Peer]:
    """The peers of a group, with what they prove themselves with."""
    return [
        Peer(
            ip=f"10.42.{GROUPS[group]}.{1 + number}",
            name=f"{group}-{number}",
            secret=proof.derive_key(
                keys.shared_secret(private_key(f"{group}-{number}"), key("coordinator")), _NETWORK_ID
            ),
        )
        for number in range(count)
    ]


def paths_in(folder: Path) -> Paths:
    return Paths(DEVICE, folder / "etc", folder / "lib", folder / "run")


def make(folder: Path, *, history: bool) -> None:
    """A network on disk with all that attack and are attacked."""
    config = Config(
        private_key=_SERVER_KEY,
        listen_port=PORT,
        address=str(first_address(BLOCK)),
        network_cidr_prefix=BLOCK.prefixlen,
        metrics=MetricsSection(allow=["admins", "infra", f"10.42.{GROUPS['monitors']}.0/24"]),
    )
    endpoint = Endpoint(f"192.0.2.1:{PORT}")
    founding = c.CreateNetwork(
        id=_NETWORK_ID, name=DEVICE, range=BLOCK, public_key=key("coordinator"), endpoint=endpoint
    )
    paths = paths_in(folder)
    begin(paths, config, founding, LOCAL)
    asyncio.run(_populate(paths, history=history))


async def _populate(paths: Paths, *, history: bool) -> None:
    async with opened(paths, load(paths), print) as network:
        for group, block in GROUPS.items():
            await network.writer.submit(c.AddCidr(Name(group), ip_network(f"10.42.{block}.0/24"), 1), LOCAL)
        numbers = {str(cidr.name): cidr.id for cidr in network.writer.network.cidrs.values()}
        for group in GROUPS:
            adding = (
                c.AddPeer(
                    name=Name(peer.name),
                    cidr=numbers[group],
                    ip=None,
                    public_key=key(peer.name),
                    is_admin=group == "admins" or peer.name == "honest-0",
                    is_redeemed=group != "invitees",
                )
                for peer in peers_of(group)
            )
            await asyncio.gather(*(network.writer.submit(command, LOCAL) for command in adding))
        for other in ("monitors", "admins", "honest"):
            await network.writer.submit(c.AddAssociation(numbers["tenants"], numbers[other]), LOCAL)
        if history:
            await _remember(network)


async def _remember(network: Opened) -> None:
    """Two peers that changed their endpoints for a long time."""
    found = (network.writer.network.peer_named(f"tenants-{number}") for number in range(2))
    pair = [peer.id for peer in found if peer is not None]
    for start in range(0, OVERRIDES, 500):
        turns = ((peer, turn) for turn in range(start, start + 500) for peer in pair)
        changes = (c.OverrideEndpoint(peer, Endpoint(f"198.51.100.9:{1 + turn % 60_000}")) for peer, turn in turns)
        await asyncio.gather(*(network.writer.submit(command, LOCAL) for command in changes))


class Spent(Struct, frozen=True, kw_only=True):
    """What the coordinator has by now. `events` and `answers` are those of hostile peers: whose are the honest
    administrator's is known."""

    memory: int  # bytes
    events: int
    event_bytes: int
    answers: int  # kept for who repeats a request
    journal: int  # lines


class Coordinator:
    """`innerd serve` on a copy of a network."""

    def __init__(self, folder: Path) -> None:
        self._paths, self._journal = paths_in(folder), folder / "journal"
        folders = ("--config-dir", self._paths.config_dir, "--data-dir", self._paths.data_dir)
        command = [str(Path(sys.executable).parent / "innerd"), *map(str, folders)]
        command += ["--runtime-dir", str(self._paths.runtime_dir), "serve", DEVICE, "--no-write-hosts"]
        with self._journal.open("wb") as journal:
            self._process = subprocess.Popen(command, stdout=journal, stderr=journal, stdin=subprocess.DEVNULL)
        os.sched_setaffinity(self._process.pid, {_CPU})
        self.target = Target(where=f"{SERVER}:{PORT}", server_key=key("coordinator"))

    @property
    def pid(self) -> int:
        return self._process.pid

    def until_it_serves(self) -> None:
        deadline = time.monotonic() + 60
        while b"serves" not in self._journal.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(self._journal.read_text())
            time.sleep(0.05)
        self._put_before_others()
        # From here on whoever has a socket on the device can be any peer.
        local = ("ip", "route", "replace", "local", PEERS_LIE_IN, "dev", DEVICE, "table", "local")
        subprocess.run(local, check=True)

    def _put_before_others(self) -> None:
        """What else runs on this machine is not what is measured. The daemon of the tunnel, which has a session of its
        own, shares the core with the coordinator as equals, as in a service."""
        daemons = [
            int(at.parent.name) for at in Path("/proc").glob("[0-9]*/comm") if at.read_text() == "wireguard-go\n"
        ]
        for pid in (self._process.pid, *daemons):
            with contextlib.suppress(OSError):  # a kernel without autogroups (sched(7))
                Path(f"/proc/{pid}/autogroup").write_text("-20")

    def memory(self) -> int:
        """Its resident set, in bytes; 0 where it has ended."""
        with contextlib.suppress(OSError, IndexError):
            resident = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
            return int(resident) * os.sysconf("SC_PAGE_SIZE")
        return 0

    def spent(self) -> Spent:
        with contextlib.closing(sqlite3.connect(f"file:{self._paths.database}?mode=ro", uri=True)) as log:
            (admin,) = log.execute("SELECT id FROM peers WHERE name = 'honest-0'").fetchone()
            honest = f"peer:{admin}"
            events, size = log.execute(
                "SELECT count(*), coalesce(sum(length(record)), 0) FROM events WHERE actor != ?", (honest,)
            ).fetchone()
            (answers,) = log.execute("SELECT count(*) FROM commands WHERE actor != ?", (honest,)).fetchone()
        by_honest = f"actor={honest}".encode()
        lines = sum(by_honest not in line.split() for line in self._journal.read_bytes().splitlines())
        return Spent(memory=self.memory(), events=events, event_bytes=size, answers=answers, journal=lines)

    def spare_cidr(self) -> int:
        """The CIDR that the honest administrator renames."""
        with contextlib.closing(sqlite3.connect(f"file:{self._paths.database}?mode=ro", uri=True)) as log:
            (number,) = log.execute("SELECT id FROM cidrs WHERE name = 'invitees'").fetchone()
        return int(number)

    def end(self) -> bool:
        """Whether it still ran; if not, its last words are printed."""
        ran = self._process.poll() is None
        if not ran:
            said = self._journal.read_text(errors="replace").splitlines()[-10:]
            print(f"the coordinator ended with {self._process.returncode}:", *said, sep="\n  ", file=sys.stderr)
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        subprocess.run(("ip", "link", "delete", DEVICE), check=False, stderr=subprocess.DEVNULL)
        return ran


@contextlib.contextmanager
def serving(template: Path, beside: Path) -> Iterator[Coordinator]:
    """A coordinator of a copy of a network, fresh in its process."""
    folder = beside / "served"
    shutil.copytree(template, folder)
    os.sync()  # else the first commit waits until the copy is on the disk
    coordinator = Coordinator(folder)
    try:
        coordinator.until_it_serves()
        yield coordinator
    finally:
        coordinator.end()
        shutil.rmtree(folder)
