"""What a network's size costs one peer: the real agent on a real device, with its disk and its hosts file, told of one
change after the other. In a network namespace of its own, over userspace WireGuard."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path

from benchmarks.figures import figure, quantile, title
from innclient import config
from innclient.agent.paths import now
from innclient.agent.session import Choices, Session
from innclient.agent.tunnel import Making, Tunnel
from innclient.core import events as e
from innclient.names.publisher import NameSettings
from innerd.wire import PROTOCOL
from innerd.wire.innernet import CidrJson, PeerJson
from innerd.wire.stream import DeltaJson, Hello, PeerPresence, PresenceJson, Snapshot
from innerd.wireguard.userspace import UserspaceBackend
from tests.world import key, private_key

SIZES = (100, 2_000, 5_000)
ROUNDS = 15
REACHED = 2  # peers that have an endpoint
ME, NAME = 2, f"bench{os.getpid() % 10_000}"


def address(number: int) -> str:
    return str(ip_address("10.42.0.0") + number)


def peer(number: int, name: str = "") -> PeerJson:
    return PeerJson(
        id=number,
        name=name or f"p{number}",
        ip=address(number),
        cidr_id=1,
        public_key=key(f"peer {number}"),
        endpoint=None,
        persistent_keepalive_interval=25,
        is_admin=False,
        is_disabled=False,
        is_redeemed=True,
        invite_expires=None,
        candidates=[],
        records=[],
    )


class Told:
    """A session that hears what a coordinator could say."""

    def __init__(self, folder: Path, size: int) -> None:
        paths = config.Paths(NAME, folder / "etc", folder / "lib", folder / "run")
        me, server = private_key(f"peer {ME}"), key("peer 1")
        values = {
            "interface": {"network-name": NAME, "address": f"{address(ME)}/16", "private-key": me},
            "server": {
                "public-key": server,
                "external-endpoint": "192.0.2.1:51820",
                "internal-endpoint": f"{address(1)}:51820",
            },
        }
        import msgspec

        config.save(paths, msgspec.convert(values, config.Config))
        hosts = folder / "hosts"
        hosts.write_text("127.0.0.1 localhost\n")
        names = NameSettings(path=hosts, suffix=None, dns="hosts")
        backend = UserspaceBackend()
        choices = Choices(names=names, making=Making(mtu=1420), report_candidates=False)
        self.session = Session(paths, config.load(paths), Tunnel(backend, NAME, paths.data), choices)
        self.size, self.revision, self.folder = size, 1, folder

    async def begin(self) -> float:
        await self.session.bring_up()
        hello = Hello(
            protocol=PROTOCOL,
            network=NAME,
            network_id="n",
            suffix="wg",
            generation=1,
            head=1,
            head_hash="h1",
            cursor_hash=None,
            time=time.time(),
            peer=ME,
            keepalive=20,
        )
        peers = [peer(number) for number in range(1, self.size + 1)]
        cidrs = [CidrJson(id=1, name="root", cidr="10.42.0.0/16", parent=None)]
        reached = [
            PeerPresence(peer=n, endpoint=f"198.51.100.{n}:51820", candidates=[], online=True)
            for n in range(3, 3 + REACHED)
        ]
        began = time.perf_counter()
        await self.tell(hello, Snapshot(revision=1, head_hash="h1", peers=peers, cidrs=cidrs))
        await self.tell(PresenceJson(whole=True, peers=reached))
        return time.perf_counter() - began

    async def tell(self, *frames: object) -> None:
        if isinstance(frames[0], Hello):
            await self.session._feed(e.Opened())
        await self.session._feed(e.Told(list(frames)))  # type: ignore[arg-type]
        await self.session.settle(reports=False)
        for command in self.session.agent.handle(e.Reported(is_heard=True), now()):
            self.session.aside.put(command)
        await self.session.settle(reports=False)

    async def delta(self, peers: list[PeerJson], gone: list[int]) -> None:
        self.revision += 1
        await self.tell(DeltaJson(revision=self.revision, head_hash=f"h{self.revision}", peers=peers, gone=gone))

    async def renamed(self, turn: int) -> None:
        await self.delta([peer(10 + turn, f"renamed-{turn}")], [])

    async def added(self, turn: int) -> None:
        await self.delta([peer(self.size + 1 + turn)], [])

    async def gone(self, turn: int) -> None:
        await self.delta([], [40 + turn])

    async def online(self, turn: int) -> None:
        seen = PeerPresence(peer=60 + turn, endpoint=f"198.51.100.{60 + turn}:51820", candidates=[], online=True)
        await self.tell(PresenceJson(whole=False, peers=[seen]))

    async def look(self, turn: int) -> None:
        await self.session._look()


async def costs(work: Callable[[int], Awaitable[None]]) -> tuple[float, float]:
    """Seconds, and of CPU, in the median."""
    took, spent = [], []
    for turn in range(ROUNDS):
        began, cpu = time.perf_counter(), time.process_time()
        await work(turn)
        took.append(time.perf_counter() - began)
        spent.append(time.process_time() - cpu)
    return quantile(took, 0.5), quantile(spent, 0.5)


async def one(size: int) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        told = Told(Path(folder), size)
        try:
            began = await told.begin()
            figure(f"{size:,} peers: from nothing", f"{began:.2f} s")
            works = {"a peer renamed": told.renamed, "one added": told.added, "one gone": told.gone}
            works |= {"one comes online": told.online, "a look while nothing happens": told.look}
            for what, work in works.items():
                took, spent = await costs(work)
                figure(f"{size:,} peers: {what}", f"{1e3 * took:.1f} ms", "<= 2 ms", f"CPU {1e3 * spent:.1f} ms")
        finally:
            await asyncio.to_thread(told.session.tunnel.backend.delete, NAME)
            await told.session.http.aclose()


def run() -> None:
    subprocess.run(["unshare", "--net", sys.executable, "-m", "benchmarks.agent"], check=True)


def main() -> None:
    title("One peer's agent in a large network (real device, disk and hosts file)")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for size in SIZES:
        asyncio.run(one(size))


if __name__ == "__main__":
    os.environ.setdefault("LOG_LEVEL", "error")
    main()
