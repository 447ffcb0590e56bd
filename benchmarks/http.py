"""Commands over HTTP on loopback: the server in a process of its own, as it serves a tunnel; the client beside it.

`python -m benchmarks.http` is that server: it prints its port, its public key, an administrator's private key and the
network's id, and ends with its standard input.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path

import uvloop

from benchmarks import commands
from benchmarks.figures import figure, quantile, title
from inndns.server import Counters
from innerd.api.metrics import Metrics
from innerd.coordinator.presence import Observed
from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain import commands as c
from innerd.domain.values import PublicKey, parse_endpoint
from innerd.host import logs
from innerd.log.sqlite import SqliteStore
from innerd.serve.coordinator import spare_the_collector
from innerd.wire import proof
from innerd.wireguard import keys
from tests.world import LOCAL, World, crowded, key, private_key, world

PEERS = 5_000
COORDINATOR, RYO = "127.42.0.1", "127.42.128.1"


async def serve() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # on a disk: what is answered is durable
        store = await SqliteStore.open(Path(folder) / "bench.db", create=True)
        made = World(store)
        made.now = time.time()
        founding = c.CreateNetwork(
            id="ab" * 16,
            name="kermpany",
            range=ip_network("127.42.0.0/16"),
            public_key=key("coordinator"),
            endpoint=parse_endpoint("192.0.2.1:51820"),
        )
        await Writer(store, await load(store), time.time, print).submit(founding, LOCAL)
        await made.start(proof_required=True)
        made.provide(clock=time.time)
        await made.add_cidr("humans", "127.42.128.0/17")
        await made.join("ryo", "humans", admin=True)
        async with made.listening() as port:
            sys.stdout.write(f"{port} {key('coordinator')} {private_key('ryo')} {made.writer.network.id}\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)
        await store.close()


async def scrape() -> tuple[list[float], list[float]]:
    """Seconds that a metrics page takes, and the longest that the loop waits for a part of one: series of each peer,
    requests of forty routes."""
    made = await world()
    await made.add_cidr("humans", "127.42.128.0/17")
    await crowded(made, "humans", "127.42.128.0", PEERS)
    for number in made.writer.network.peers:
        made.presence.observe(number, Observed(None, made.now, 123_456_789, 987_654_321))
    metrics = Metrics(made.services, made.timings, {}, dns=Counters(), per_peer=True)
    for route in range(40):
        for code in (200, 401, 404):
            made.timings.observe_request(f"/v1/admin/{route}", "GET", code, 0.01)
    spans, waits = [], []
    for _ in range(30):
        pieces = [time.perf_counter()]
        for _piece in metrics.pieces():
            pieces.append(time.perf_counter())
        spans.append(pieces[-1] - pieces[0])
        waits.append(max(after - before for before, after in pairwise(pieces)))
    return spans, waits


def run() -> None:
    title(f"A scrape of {PEERS:,} peers (four series each) and 120 request histograms")
    spans, waits = asyncio.run(scrape())
    figure("the page", f"{1000 * quantile(spans, 0.5):.1f} ms", "<= 20 ms")
    figure("how long the loop waits for a part of it", f"{1000 * quantile(waits, 0.5):.1f} ms", "<= 5 ms")
    title(f"HTTP on loopback ({commands.CLIENTS} clients, each command proved and durable)")
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.http"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port, server_key, secret, network_id = server.stdout.readline().split()
        where = f"{COORDINATOR}:{port}"
        shared = proof.derive_key(keys.shared_secret(secret, PublicKey(server_key)), network_id)
        todo = commands.requests(where, server_key, shared, block="127.42")
        figure("commands a second", f"{asyncio.run(commands.rate(where, todo, source=RYO)):,.0f}/s", ">= 3,000/s")
        server.communicate()


if __name__ == "__main__":
    logs.configure("text", 0)
    spare_the_collector()
    uvloop.run(serve())
