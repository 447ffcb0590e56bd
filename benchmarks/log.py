"""The log: commands a second through the single writer, durable (SQLite, synchronous=FULL), by group commit and, as
the reference, with one transaction a command."""

import asyncio
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from ipaddress import IPv4Address, ip_network
from pathlib import Path

from benchmarks.figures import figure, title
from innerd.coordinator.writer import Writer, load
from innerd.domain import commands as c
from innerd.domain.values import Name, PublicKey, parse_endpoint
from innerd.log.codec import Who
from innerd.log.sqlite import SqliteStore

CLIENTS = 64
WHO = Who("local:root", "socket")


def key(number: int) -> PublicKey:
    return PublicKey(b64encode(sha256(str(number).encode()).digest()).decode())


def commands() -> Iterator[c.AddPeer]:
    """Peers with addresses of their own, without end."""
    first = int(IPv4Address("10.0.1.0"))
    number = 0
    while True:
        number += 1
        yield c.AddPeer(
            name=Name(f"peer{number}"), cidr=1, ip=IPv4Address(first + number), public_key=key(number), is_redeemed=True
        )


async def opened(folder: Path) -> tuple[SqliteStore, Writer]:
    store = await SqliteStore.open(folder / "bench.db", create=True)
    writer = Writer(store, await load(store), time.time, print)
    founding = c.CreateNetwork(
        id="00" * 16,
        name="bench",
        range=ip_network("10.0.0.0/8"),
        public_key=key(0),
        endpoint=parse_endpoint("192.0.2.1:51820"),
    )
    await writer.submit(founding, WHO)
    return store, writer


async def commands_a_second(count: int, *, together: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store, writer = await opened(Path(folder))
        todo = commands()
        alone = asyncio.Lock()

        async def client(share: int) -> None:
            for _ in range(share):
                if together:
                    await writer.submit(next(todo), WHO)
                else:
                    async with alone:
                        await writer.submit(next(todo), WHO)

        began = time.perf_counter()
        await asyncio.gather(*(client(count // CLIENTS) for _ in range(CLIENTS)))
        seconds = time.perf_counter() - began
        await store.close()
    return count / seconds


async def replay(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store, writer = await opened(Path(folder))
        todo = commands()
        for _ in range(count // 500):
            await asyncio.gather(*(writer.submit(next(todo), WHO) for _ in range(500)))
        began = time.perf_counter()
        loaded = await load(store)
        seconds = time.perf_counter() - began
        await store.close()
    return loaded.network.revision / seconds


def run() -> None:
    title(f"The log ({CLIENTS} clients at once)")
    single = asyncio.run(commands_a_second(1_280, together=False))
    group = asyncio.run(commands_a_second(12_800, together=True))
    figure(
        "commands a second, group commit",
        f"{group:,.0f}/s",
        ">= 8x",
        f"one transaction each {single:,.0f}/s",
        group / single,
    )
    figure("replay with chain check, at every start", f"{asyncio.run(replay(30_000)):,.0f} events/s")
