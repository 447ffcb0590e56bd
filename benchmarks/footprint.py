"""The memory of a whole coordinator, in a process of its own: its log on a disk, names, API and streams; no device.

`python -m benchmarks.footprint FOLDER` is that process: it prints its MiB before it opened the log, as it is ready, and
at the most. With `--held` it prints instead which lines of code made what is held.
"""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from ipaddress import IPv4Address, ip_network
from pathlib import Path

from benchmarks.figures import figure, say
from innerd.api.app import create_app
from innerd.config import Paths, load
from innerd.coordinator.names import NetworkNames
from innerd.domain import events as e
from innerd.domain.values import Endpoint
from innerd.host import logs
from innerd.log import chain, codec
from innerd.log.projection import Rows
from innerd.log.sqlite import SqliteStore
from innerd.log.store import Stored
from innerd.manage.create import found
from innerd.serve.coordinator import spare_the_collector
from innerd.serve.opened import opened, services_of

PEERS, CIDRS = 60_000, 300
_NETWORK, _RANGE = "large", "10.0.0.0/8"
_WHO = codec.Who("local:root", "bench")
_FIRST = int(IPv4Address("10.1.0.0"))


def happened() -> Iterator[e.AnyEvent]:
    """Regions of 200 peers."""
    size = PEERS // CIDRS
    for number in range(CIDRS):
        block = ip_network((_FIRST + (number << 8), 24))
        yield e.CidrCreated(id=3 + number, name=f"region-{number}", range=str(block), parent=1)
        for n in range(size):
            peer = 2 + number * size + n
            yield e.PeerAdded(
                id=peer,
                name=f"machine-{peer}",
                ip=str(block.network_address + 1 + n),
                public_key=b64encode(sha256(b"%d" % peer).digest()).decode(),
                is_admin=False,
                is_redeemed=True,
                invite_expires=None,
            )
        if number:
            yield e.AssociationAdded(id=number, cidr_id_1=2 + number, cidr_id_2=3 + number)


def _paths(folder: Path) -> Paths:
    return Paths(_NETWORK, folder / "etc", folder / "lib", folder / "run")


def fill(folder: Path) -> None:
    """A network that all these have come to."""
    paths = _paths(folder)
    found(paths, ip_network(_RANGE), Endpoint("192.0.2.1:51820"), 51820, "bench")
    asyncio.run(_written(paths))


async def _written(paths: Paths) -> None:
    store = await SqliteStore.open(paths.database)
    last = [stored async for page in store.read() for stored in page][-1]
    seq, link, batch = last.seq, last.chain, list[Stored]()
    for event in happened():
        seq += 1
        record, salt = codec.encode(event, seq, time.time(), _WHO), os.urandom(16)
        link = chain.link(link, salt, record)
        batch.append(Stored(seq, record, salt, link))
    await store.append(batch, Rows(), [])
    await store.close()


def _now() -> float:
    """MiB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)


async def serve(folder: Path, *, held: bool) -> None:
    bare = _now()
    if held:
        tracemalloc.start(1)
    paths = _paths(folder)
    config = load(paths)
    async with opened(paths, config, say) as network:
        names = NetworkNames(network.writer.view, config.dns.suffix, config.dns.ttl)
        app = create_app(services_of(network, is_serving=True))
        spare_the_collector()
        if held:
            for line in tracemalloc.take_snapshot().statistics("lineno")[:40]:
                say(f"  {line.size / (1 << 20):6.1f} MiB in {line.count:>8,}  {line.traceback}")
        else:
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            say(f"{bare:.1f} {_now():.1f} {most:.1f}")
        del names, app


def run() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        fill(Path(folder))
        command = [sys.executable, "-m", "benchmarks.footprint", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    bare, ready, most = map(float, done.stdout.split())
    figure(f"a whole coordinator of {PEERS:,} peers, no device", f"{ready:.0f} MiB", "<= 120 MiB")
    figure("  the program alone; what it took at the most", f"{bare:.0f}, {most:.0f} MiB")


if __name__ == "__main__":
    logs.configure("text", 0)
    asyncio.run(serve(Path(sys.argv[1]), held="--held" in sys.argv))
