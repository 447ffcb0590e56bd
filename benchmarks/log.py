"""The log: commands a second through the single writer, durable (SQLite, synchronous=FULL), by group commit and, as
the reference, with one transaction a command."""

import asyncio
import itertools
import os
import tempfile
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from hashlib import sha256
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.figures import figure, quantile, say, title
from innerd.admin.transport import in_process
from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.values import Name, PublicKey, parse_endpoint
from innerd.log import chain, codec
from innerd.log.codec import Who
from innerd.log.database import SELECT, connect
from innerd.log.projection import Rows
from innerd.log.sqlite import SqliteStore
from innerd.log.store import Query, Stored
from innerd.log.verify import verify_file
from innerd.wire.ours import Audit
from tests.world import World

CLIENTS = 64
LONG = 1_000_000  # events
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


async def lone_commands(count: int) -> list[float]:
    """Seconds of one durable command after the other, with nobody beside it."""
    with tempfile.TemporaryDirectory() as folder:
        store, writer = await opened(Path(folder))
        todo, took = commands(), []
        for _ in range(count):
            began = time.perf_counter()
            await writer.submit(next(todo), WHO)
            took.append(time.perf_counter() - began)
        await store.close()
    return took


def fsyncs(count: int) -> list[float]:
    """Seconds of the disk alone: 4 KiB appended and synced."""
    took = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(count):
            began = time.perf_counter()
            os.write(file.fileno(), b"x" * 4096)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return took


KINDS = (
    lambda n: e.PeerAdded(
        id=n,
        name=f"p{n}",
        ip=f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}",
        public_key=key(n),
        is_admin=False,
        is_redeemed=True,
        invite_expires=None,
    ),
    lambda n: e.PeerDisabled(id=n - 1, name=f"p{n - 1}"),
    lambda n: e.PeerEnabled(id=n - 2, name=f"p{n - 2}"),
)


def growing() -> Iterator[e.AnyEvent]:
    """Peers that come, are disabled and enabled again: a third of the events are peers."""
    for seq in itertools.count(3):
        yield KINDS[seq % 3](seq)


def lived(peers: int = 10_000) -> Iterator[e.AnyEvent]:
    """So many peers that come, and then change for years."""
    yield from (KINDS[0](number) for number in range(1, peers + 1))
    for number in itertools.cycle(range(2, peers + 1)):
        name, other = f"p{number}", f"q{number}"
        yield e.PeerDisabled(id=number, name=name)
        yield e.PeerEnabled(id=number, name=name)
        yield e.EndpointOverridden(peer=number, name=name, endpoint=f"192.0.2.{number % 250}:51820", was=None)
        yield e.PeerRenamed(id=number, name=other, was=name)
        yield e.PeerRenamed(id=number, name=name, was=other)


FOUNDING: list[e.AnyEvent] = [
    e.NetworkCreated(id="00" * 16, name="bench", range="10.0.0.0/8"),
    e.CidrCreated(id=1, name="bench", range="10.0.0.0/8", parent=None),
]


async def filled(path: Path, happened: Iterable[e.AnyEvent], count: int) -> SqliteStore:
    """A log of so many events, written without deciding."""
    store = await SqliteStore.open(path, create=True)
    link, batch = chain.genesis("00" * 16), []
    for seq, each in enumerate(itertools.islice(itertools.chain(FOUNDING, happened), count), 1):
        record, salt = codec.encode(each, seq, 1.7e9 + seq, Who(f"peer:{seq % 7}", "10.0.0.2")), b"s" * 16
        link = chain.link(link, salt, record)
        batch.append(Stored(seq, record, salt, link))
        if len(batch) == 10_000 or seq == count:
            await store.append(batch, Rows(), [])
            batch = []
    return store


def bare(path: Path) -> float:
    """Seconds to read all records and hash each once: what no replay can do without."""
    with closing(connect(path)) as database:
        began = time.perf_counter()
        for _, record, _, _ in database.execute(SELECT):
            sha256(record).digest()
        return time.perf_counter() - began


ROUNDS = 5


async def beside(path: Path, act: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """The medians of seconds of something, and of reading and hashing bare beside it, in turns."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await act()
        ours.append(time.perf_counter() - began)
        theirs.append(bare(path))
    return quantile(ours, 0.5), quantile(theirs, 0.5)


async def long_log(count: int) -> None:
    """What a log costs that ten thousand peers wrote over years."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        path = Path(folder) / "bench.db"
        store = await filled(path, lived(), count)
        say(f"  {count:,} events of 10,000 peers; load {os.getloadavg()[0]:.1f}")
        world: World = World(store)  # type: ignore[arg-type]
        await world.start()
        api = in_process(world.app, 0)

        async def audited(limit: int) -> None:
            asked: dict[str, str | int] = {}
            while limit:
                page = (await api.get("/v1/admin/events", limit=1000, newest="true", **asked)).read(Audit)
                asked, limit = {"until": page.events[0].seq - 1}, limit - 1000

        rows: list[tuple[str, str, Callable[[], Awaitable[object]]]] = [
            ("replay, the chain checked", ">= 150,000/s", lambda: load(store)),
            ("verify, the records", ">= 300,000/s", lambda: asyncio.to_thread(verify_file, path, whole=False)),
            ("verify, every page", ">= 300,000/s", lambda: asyncio.to_thread(verify_file, path)),
            (f"pages of the newest {min(count, 100_000):,}", "<= 1 s", lambda: audited(min(count, 100_000))),
            ("the network as it was in the middle", "<= 1 s", lambda: api.get("/v1/network", at=str(count // 2))),
        ]
        for what, goal, act in rows:
            seconds, reference = await beside(path, act)
            shown = f"{seconds:.2f} s, {count / seconds:,.0f}/s"
            figure(what, shown, goal, f"bare read and hash {reference:.2f} s", reference / seconds)
        figure("memory of this process, at the most", f"{getrusage(RUSAGE_SELF).ru_maxrss >> 10} MiB", "<= 200 MiB")
        await store.close()


async def reading(count: int) -> None:
    """Replay, verification and audit of one log."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        path = Path(folder) / "bench.db"
        store = await filled(path, growing(), count)
        began = time.perf_counter()
        await load(store)
        ours, theirs = count / (time.perf_counter() - began), reference_replay(30_000)
        figure(
            f"replay of {count:,} events, chain checked",
            f"{ours:,.0f}/s",
            ">= 120,000/s, >= 2x",
            f"eventsourcing {theirs:,.0f}/s",
            ours / theirs,
        )
        began = time.perf_counter()
        verify_file(path)
        figure("innerd verify", f"{count / (time.perf_counter() - began):,.0f}/s", ">= 300,000/s")
        worst = 0.0
        for query in QUERIES:
            began = time.perf_counter()
            await store.find(query, 100)
            worst = max(worst, time.perf_counter() - began)
        figure("first page of an audit, the slowest filter", f"{1000 * worst:.1f} ms", "<= 50 ms")
        figure("bytes an event on disk, indexes included", f"{path.stat().st_size / count:.0f}")
        await store.close()


QUERIES = (
    Query(),
    Query(newest=True),
    Query(type="peer."),
    Query(type="cidr.", newest=True),
    Query(actors=("peer:3",)),
    Query(actors=("nobody",)),
    Query(subject="peer:5"),
    Query(since=codec.timestamp(1.7e9 + 100_000)),
)


class Reference(Aggregate):
    """The same peers as an aggregate of the eventsourcing package, the field's well-kept library."""

    def __init__(self) -> None:
        self.peers: dict[int, dict[str, object]] = {}

    @event("PeerAdded")
    def add(self, number: int, name: str, ip: str, public_key: str) -> None:
        self.peers[number] = {"name": name, "ip": ip, "public_key": public_key, "is_disabled": False}


def reference_replay(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        app = Application(env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": f"{folder}/es.db"})
        aggregate = Reference()
        for number in range(count):
            aggregate.add(number, f"p{number}", f"10.0.{number >> 8 & 255}.{number & 255}", key(number))
        app.save(aggregate)
        began = time.perf_counter()
        app.repository.get(aggregate.id)
        seconds = time.perf_counter() - began
        app.close()
    return count / seconds


def run() -> None:
    title(f"The log ({CLIENTS} clients at once; SQLite, WAL, synchronous=FULL)")
    single = asyncio.run(commands_a_second(1_280, together=False))
    group = asyncio.run(commands_a_second(12_800, together=True))
    figure(
        "commands a second, group commit",
        f"{group:,.0f}/s",
        ">= 8x, >= 15,000/s",
        f"one transaction each {single:,.0f}/s",
        group / single,
    )
    lone, disk = asyncio.run(lone_commands(1_000)), fsyncs(1_000)
    figure(
        "a lone durable command, p99",
        f"{1000 * quantile(lone, 0.99):.2f} ms",
        "<= fsync + 2 ms",
        f"fsync p99 {1000 * quantile(disk, 0.99):.2f} ms",
    )
    asyncio.run(reading(200_000))
    asyncio.run(long_log(LONG))
