"""The coordinator of the stream figures, in a process of its own: the real store, API and hub on a loopback socket,
without a device. It is told what to do by lines on its standard input, and answers each with one line.

`python -m benchmarks.streaming FOLDER PEERS PORT`; the network is made where there is none.
"""

import asyncio
import os
import socket
import sys
import time
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import uvloop

from innerd.api.app import create_app
from innerd.api.services import Services
from innerd.command.options import raise_file_limit
from innerd.config import Paths, load
from innerd.domain import commands as c
from innerd.domain.values import Endpoint, Name
from innerd.host import logs
from innerd.log import codec
from innerd.manage.create import found
from innerd.serve.coordinator import share_the_interpreter, spare_the_collector
from innerd.serve.listener import Listener
from innerd.serve.opened import Opened, opened, services_of
from tests.world import LOCAL, key

NETWORK = "streambench"
COORDINATOR = "127.42.0.1"
A_CIDR = 100  # peers


committed_at: list[float] = []


async def populate(network: Opened, peers: int) -> None:
    """Teams of a hundred, each with its own CIDR; two neighbours know each other."""
    teams = range(1, peers // A_CIDR + 1)
    for team in teams:
        block = ip_network(f"127.42.{team}.0/24")
        await network.writer.submit(c.AddCidr(Name(f"team-{team}"), block, 1), LOCAL)
    numbers = {cidr.name: cidr.id for cidr in network.writer.network.cidrs.values()}
    for team in teams:
        adding = (
            c.AddPeer(name=Name(name), cidr=numbers[f"team-{team}"], ip=None, public_key=key(name), is_redeemed=True)
            for name in (f"p{team}-{n}" for n in range(A_CIDR))
        )
        await asyncio.gather(*(network.writer.submit(command, LOCAL) for command in adding))
        if team > 1:
            await network.writer.submit(c.AddAssociation(numbers[f"team-{team - 1}"], numbers[f"team-{team}"]), LOCAL)


async def serve(folder: Path, peers: int, port: int) -> None:
    paths = Paths(NETWORK, folder / "etc", folder / "lib", folder / "run")
    config = load(paths)
    async with opened(paths, config, print) as network:
        if len(network.writer.network.peers) == 1:
            await populate(network, peers)
        network.writer.feed.follow("bench", lambda change: committed_at.append(time.monotonic()))
        network.writer.feed.follow("streams", network.hub.follow)
        services = services_of(network, is_serving=True)
        listening = socket.create_server((COORDINATOR, port), backlog=4096)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 131_072)  # as the tunnel's
        listening.setblocking(False)
        listener = Listener(create_app(services), listening, sources=services.sources)
        await listener.start()
        telling = asyncio.create_task(network.hub.sender.run())
        spare_the_collector()
        share_the_interpreter()
        answer(services.server_key, network.writer.network.id)
        while line := (await asyncio.to_thread(sys.stdin.readline)).split():
            answer(*await obey(network, services, line))
        telling.cancel()
        await listener.stop()


def answer(*words: Any) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def obey(network: Opened, services: Services, line: list[str]) -> tuple[Any, ...]:
    match line:
        case ["rename", name]:  # all hear of it
            reply = await network.writer.submit(c.RenameCidr(3, Name(name)), LOCAL)
            return committed_at[-1], reply.revision
        case ["applied", revision]:  # who has it, and the seconds after that revision's event in which the receipt came
            await services.convergence.wait(int(revision), 60)
            stored = [record async for page in network.store.read(int(revision) - 1, 1) for record in page][:1]
            written, peers = codec.envelope(stored[0].record).time, network.writer.network.peers
            came = [(n, r.at - written) for n, r in network.presence.receipts.items() if r.revision >= int(revision)]
            return tuple(f"{peers[number].ip}={seconds:.4f}" for number, seconds in came)
        case ["memory"]:
            return (int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),)
        case ["cpu"]:
            return time.process_time(), os.times().system
        case ["streams"]:
            return (len(network.hub.streams.by_peer), network.writer.network.revision)
    raise ValueError(line)


def make(folder: Path, port: int) -> None:
    """The network's files."""
    paths = Paths(NETWORK, folder / "etc", folder / "lib", folder / "run")
    found(paths, ip_network("127.42.0.0/16"), Endpoint(f"192.0.2.1:{port}"), port, "bench")


if __name__ == "__main__":
    logs.configure("text", 0)
    raise_file_limit()
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
