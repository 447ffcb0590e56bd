"""A coordinator that is killed and put up again, people who change things meanwhile and remember what they were told,
and a log that is written and damaged behind the coordinator's back."""

import asyncio
import json
import os
import random
import secrets
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx2
from msgspec import Struct, field

from innerd.admin.client import no_certificates
from innerd.log import chain
from innerd.wireguard.keys import generate, public_key
from tests.netns import steps
from tests.netns.lab import Host, wait_for
from tests.netns.loaded import Begun
from tests.netns.steps import NETWORK

SERVE = ("innerd", "serve", NETWORK)
DATABASE = f"/var/lib/innerd/{NETWORK}.db"
SOCKET = f"/run/innerd/{NETWORK}.sock"
FILES = (".db", ".db-wal", ".db-shm", ".head")


def kill(process: subprocess.Popen[bytes] | Begun) -> None:
    """SIGKILL to the command that a host runs, by its process id: nothing of it is left to tidy up."""
    for child in children(process):
        os.kill(child, signal.SIGKILL)
    process.wait()


def children(process: subprocess.Popen[bytes] | Begun) -> list[int]:
    """The process that we have waits for the command, which is its child."""
    try:
        return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def begin(host: Host) -> subprocess.Popen[bytes]:
    """`innerd serve`, returned as soon as it is a process: what it does at the start lies ahead."""
    process = host.start(*SERVE, log="/run/.lab/innerd.log")
    wait_for(lambda: children(process), "innerd serve to be a process")
    return process


@asynccontextmanager
async def socket(host: Host) -> AsyncIterator[httpx2.AsyncClient]:
    """The control socket. Unlike `Api`, it repeats nothing by itself."""
    transport = httpx2.AsyncHTTPTransport(uds=str(host.path(SOCKET)), verify=no_certificates(), trust_env=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://innerd", timeout=20) as client:
        yield client


# -- people -----------------------------------------------------------------------------------------------------


class Asked(Struct, kw_only=True):
    """A command under its own Idempotency-Key: how many events it must make, what is so once it is acknowledged."""

    method: str
    path: str
    body: dict[str, Any]
    events: int
    then: Callable[[Any], None]
    key: str = field(default_factory=lambda: secrets.token_hex(12))
    status: int = 0
    answer: bytes = b""
    revision: int = 0

    async def send(self, http: httpx2.AsyncClient, body: dict[str, Any] | None = None) -> httpx2.Response:
        content = json.dumps(self.body if body is None else body).encode()
        return await http.request(self.method, self.path, content=content, headers={"Idempotency-Key": self.key})


def add_cidr(name: str, block: str) -> Asked:
    body = {"name": name, "cidr": block, "parent": 1}
    return Asked(method="POST", path="/v1/admin/cidrs", body=body, events=1, then=lambda made: None)


class Person:
    """Changes its own peers and CIDRs, one command after another; knows from the answers what must be there."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.number, self.chance = number, chance
        self.peers: dict[int, tuple[str, bool]] = {}  # id -> name, disabled
        self.cidrs: dict[int, str] = {}
        self.pairs: set[frozenset[int]] = set()
        self.acknowledged: list[Asked] = []
        self.unanswered: Asked | None = None
        self._count = self._blocks = 0

    async def work(self, http: httpx2.AsyncClient) -> None:
        """Until the coordinator is gone."""
        while True:
            self.unanswered = self._wish()
            try:
                response = await self.unanswered.send(http)
            except httpx2.TransportError:
                return
            self.heard(self.unanswered, response)

    def heard(self, asked: Asked, response: httpx2.Response) -> None:
        assert response.status_code in (200, 201, 204), (asked.path, asked.body, response.content)
        asked.status, asked.answer = response.status_code, response.content
        asked.revision = int(response.headers["x-innerd-revision"])
        asked.then(json.loads(response.content or b"null"))
        self.acknowledged.append(asked)
        self.unanswered = None

    def _wish(self) -> Asked:
        self._count += 1
        name = f"p{self.number}-{self._count}"
        apart = [{a, b} for a in self.cidrs for b in self.cidrs if a < b and frozenset((a, b)) not in self.pairs]
        kinds = ["peer", "cidr", *["rename", "switch", "switch"] * 4 * bool(self.peers), *["join"] * 2 * bool(apart)]
        match self.chance.choice(kinds):
            case "peer":
                return self._add_peer(name)
            case "cidr":
                return self._add_cidr(name)
            case "join":
                return self._join(*sorted(self.chance.choice(apart)))
            case kind:
                return self._change(self.chance.choice(sorted(self.peers)), name if kind == "rename" else None)

    def _add_peer(self, name: str) -> Asked:
        flags = dict.fromkeys(("is_admin", "is_disabled", "is_redeemed"), False)
        body = {"name": name, "cidr_id": 3, "public_key": public_key(generate()), **flags}
        then = lambda made: self.peers.update({made["id"]: (name, False)})  # noqa: E731
        return Asked(method="POST", path="/v1/admin/peers", body=body, events=1, then=then)

    def _add_cidr(self, name: str) -> Asked:
        self._blocks += 1
        if self._blocks >= 1024:
            return self._add_peer(name)
        place = self.number * 1024 + self._blocks  # of the /30s of 10.42.0.0/17, to each person an eighth
        asked = add_cidr(name, f"10.42.{place // 64}.{place % 64 * 4}/30")
        asked.then = lambda made: self.cidrs.update({made["id"]: name})
        return asked

    def _join(self, one: int, other: int) -> Asked:
        then = lambda made: self.pairs.add(frozenset((one, other)))  # noqa: E731
        body = {"cidr_id_1": one, "cidr_id_2": other}
        return Asked(method="POST", path="/v1/admin/associations", body=body, events=1, then=then)

    def _change(self, number: int, name: str | None) -> Asked:
        """A new name, or a switch to what may be so already: then it is a command without events."""
        was, disabled = self.peers[number]
        wanted = self.chance.random() < 0.5
        body: dict[str, Any] = {"is_disabled": wanted} if name is None else {"name": name}
        becomes = (was, wanted) if name is None else (name, disabled)
        return Asked(
            method="PATCH",
            path=f"/v1/admin/peers/{number}",
            body=body,
            events=int(becomes != (was, disabled)),
            then=lambda made: self.peers.update({number: becomes}),
        )


def expected(people: Iterable[Person]) -> tuple[dict[int, Any], dict[int, str], set[frozenset[int]]]:
    """What all of them were told."""
    peers: dict[int, Any] = {}
    cidrs: dict[int, str] = {}
    pairs: set[frozenset[int]] = set()
    for person in people:
        peers |= person.peers
        cidrs |= person.cidrs
        pairs |= person.pairs
    return peers, cidrs, pairs


async def found_there(http: httpx2.AsyncClient) -> tuple[dict[int, Any], dict[int, str], set[frozenset[int]]]:
    """What the coordinator says is there, less what founding the network put there."""
    peers, cidrs, pairs = [(await http.get(f"/v1/admin/{what}")).json() for what in ("peers", "cidrs", "associations")]
    return (
        {p["id"]: (p["name"], p["is_disabled"]) for p in peers if p["id"] > 1},
        {c["id"]: c["name"] for c in cidrs if c["id"] > 3},
        {frozenset((p["cidr_id_1"], p["cidr_id_2"])) for p in pairs},
    )


async def until_killed(
    http: httpx2.AsyncClient, people: list[Person], process: subprocess.Popen[bytes] | Begun, answers: int
) -> None:
    """Let people work until so many answers have come to them in all; what comes with the next is killed half-way."""
    working = [asyncio.create_task(person.work(http)) for person in people]
    done: set[asyncio.Task[None]] = set()
    while not done and sum(len(person.acknowledged) for person in people) < answers:
        done, _ = await asyncio.wait(working, timeout=0.001)
    kill(process)
    await asyncio.gather(*working)


# -- the log, as a file -----------------------------------------------------------------------------------------


def shared(host: Host, folder: Path) -> Path:
    """Let a host keep its log in a folder of this machine, and say where: SQLite can't open a file by way of
    another process's root."""
    host.run("mkdir", "-p", "/var/lib/innerd")
    host.run("mount", "--bind", str(folder), "/var/lib/innerd")
    return folder / f"{NETWORK}.db"


def records(path: Path, after: int = 0) -> list[dict[str, Any]]:
    """The records of a log, as SQL has them."""
    with closing(sqlite3.connect(path)) as log:
        return [json.loads(r) for (r,) in log.execute("SELECT record FROM events WHERE seq > ? ORDER BY seq", (after,))]


def places(found: list[dict[str, Any]]) -> dict[str, list[int]]:
    """The revisions of the events of each request."""
    by_request: dict[str, list[int]] = {}
    for record in found:
        by_request.setdefault(record["request"], []).append(record["seq"])
    return by_request


def head(path: Path) -> tuple[int, str]:
    with closing(sqlite3.connect(path)) as log:
        seq, link = log.execute("SELECT seq, chain FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return int(seq), link.hex()


def append(path: Path, type_: str, data: dict[str, Any], *, version: int = 1, at: str | None = None) -> int:
    """A record, chained as it must be, that no innerd of this release wrote; its seq. Nobody may be serving."""
    with closing(sqlite3.connect(path)) as log:
        last, before, link = log.execute("SELECT seq, record, chain FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        envelope = json.loads(before) | {"seq": last + 1, "type": type_, "version": version, "data": data}
        record, salt = json.dumps(envelope | {"at": at or envelope["at"]}), secrets.token_bytes(16)
        row = (last + 1, record, salt, chain.link(link, salt, record.encode()))
        log.execute("INSERT INTO events (seq, record, salt, chain) VALUES (?, ?, ?, ?)", row)
        log.commit()
    return int(last) + 1


def taken(path: Path) -> dict[str, bytes]:
    """The files of a log as they are."""
    found = {suffix: path.with_suffix(suffix) for suffix in FILES}
    return {suffix: file.read_bytes() for suffix, file in found.items() if file.exists()}


def put_back(path: Path, files: dict[str, bytes]) -> None:
    for suffix in FILES:
        path.with_suffix(suffix).unlink(missing_ok=True)
    for suffix, content in files.items():
        path.with_suffix(suffix).write_bytes(content)


def twice(found: list[dict[str, Any]]) -> list[str]:
    """The requests that were carried out more than once; each of ours makes one event at most."""
    counts = Counter(record["request"] for record in found if record["request"] is not None)
    return [request for request, count in counts.items() if count > 1]


def serves_and_writes(host: Host, name: str, block: str) -> None:
    """Put it up, write one more, take it down."""
    process = steps.serve(host)
    host.run("innerd", "add-cidr", NETWORK, "--name", name, "--cidr", block, "--parent", NETWORK, "--yes")
    host.run("innerd", "verify", NETWORK)
    kill(process)
