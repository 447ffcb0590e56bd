"""A coordinator in memory: the real writer, hub and app over the store and the device in memory, on a clock that
is stepped by hand.

Peers ask from their own addresses. Without sockets (`World.client`) that is the ASGI client address; with real ones
(`World.listening`) the network lies in 127.0.0.0/8, where any process may bind any address.
"""

import asyncio
import contextlib
import os
import re
import socket
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from email.utils import formatdate
from hashlib import sha256
from ipaddress import ip_address, ip_network
from itertools import count
from typing import Any

import httpx2
from msgspec.structs import replace

from innerd.admin.client import no_certificates
from innerd.api.app import create_app
from innerd.api.services import Services
from innerd.api.sources import Sources
from innerd.api.timings import Timings
from innerd.coordinator.configs import Configs
from innerd.coordinator.device_sync import DeviceSync, OwnInterface
from innerd.coordinator.history import History
from innerd.coordinator.looks import Looks
from innerd.coordinator.presence import Presence
from innerd.coordinator.replay import load
from innerd.coordinator.writer import Writer
from innerd.domain import commands as c
from innerd.domain.network import Peer
from innerd.domain.values import Name, PublicKey, endpoint_of, parse_endpoint, parse_public_key
from innerd.log.codec import Who
from innerd.log.memory import MemoryStore
from innerd.serve.listener import Listener
from innerd.streaming.convergence import Convergence
from innerd.streaming.hub import Hub
from innerd.streaming.registry import Stream
from innerd.wire import proof
from innerd.wire.checkpoint import signer
from innerd.wire.stream import Cursor
from innerd.wireguard import keys
from innerd.wireguard.memory import MemoryBackend

BEGINNING = 1_790_000_000.0  # seconds since 1970, when every world begins
LOCAL = Who("local:root", "socket")
RANGE = "127.42.0.0/16"
HUMANS = "127.42.128.0/17"
PORT = 51820
INTERFACE = "kermpany"


def private_key(name: str) -> str:
    """A private key that belongs to a name: the same in every run."""
    return keys.clamped(b64encode(sha256(name.encode()).digest()).decode())


def key(name: str) -> PublicKey:
    """The public key that belongs to a name."""
    return keys.public_key(private_key(name))


class Pipe:
    """Where the bytes of a stream go that no socket carries."""

    def __init__(self) -> None:
        self.drained: Callable[[], None] = lambda: None
        self.stuck = 0  # bytes that a reader leaves lying
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def waiting(self) -> int:
        return self.stuck

    def taken(self) -> bytes:
        """What was written since the last time."""
        data, self.written = b"".join(self.written), []
        return data


OURS = re.compile(r"/v1/(user/(applied|connect|events)|why)\b")  # what needs a proof of the peer's key


class Proving(httpx2.Auth):
    """Makes the proof that `inn` makes, where a peer needs one."""

    requires_request_body = True

    def __init__(self, world: "World", who: str) -> None:
        self._world, self._who = world, who

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        target = request.url.raw_path.decode()
        if OURS.match(target) and proof.HEADER not in request.headers:
            request.headers[proof.HEADER] = self._world.proof(self._who, request.method, target, request.content)
        yield request


class Through:
    """The app of a world, whatever its gate is at that moment."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._world.gate(scope, receive, send)


class Dated:
    """The app of a world, whose answers are dated by its clock: clients learn it from there."""

    def __init__(self, world: "World", app: Any = None) -> None:
        self._world, self._app = world, app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_date(message: Any) -> None:
            if message["type"] == "http.response.start":
                date = (b"date", formatdate(self._world.now, usegmt=True).encode())
                message = message | {"headers": [*message["headers"], date]}
            await send(message)

        await (self._app or self._world.app)(scope, receive, with_date)


async def nothing_more() -> None:
    """Nobody minds."""


class World:
    """One network with its coordinator. Commands are submitted as the local root; `now` is the clock."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.now = BEGINNING
        self.fatal: list[str] = []
        self._nonces = 0
        self._holders: dict[str, str] = {}  # public key -> whose private key it belongs to
        self.backend = MemoryBackend()
        self.knocked: list[Any] = []  # the addresses of peers to whom it was knocked
        self.presence = Presence(lambda: self.now)
        self.looks = Looks()
        self.timings = Timings()
        self.writer: Writer
        self.hub: Hub
        self.services: Services
        self.gate: Any
        self.app: Any

    async def start(self, *, proof_required: bool = False) -> None:
        """Replay the store and put hub, API and app on top: what a coordinator does when it starts."""
        found, clock = await load(self.store), lambda: self.now
        self.writer = Writer(self.store, found, clock, self.fatal.append, observe_commit=self.timings.observe_commit)
        by = signer(b64decode(private_key("coordinator")), self.writer.network.id) if self.writer.network.id else None
        self.hub = Hub(self.writer, self.presence, clock, signer=by, looks=self.looks)
        convergence = Convergence(self.writer, self.presence, self.hub, lambda: self.now)
        self.writer.feed.follow("streams", self.hub.follow)
        history = History(self.writer)
        self.services = Services(
            writer=self.writer,
            history=history,
            configs=Configs(history),
            presence=self.presence,
            hub=self.hub,
            convergence=convergence,
            server_key=key("coordinator"),
            internal_endpoint=endpoint_of(str(self._own_address()), PORT),
            proof_required=proof_required,
            shared_secret=lambda other: keys.shared_secret(private_key("coordinator"), other),
            own_address=self._own_address(),
            sources=Sources(count().__next__),  # seconds fly: what this machine is slow at is forgiven
            clock=lambda: self.now,
        )
        self.gate, self.app = create_app(self.services), Through(self)

    def provide(self, **changes: Any) -> None:
        """Another gate, whose services differ."""
        self.services = replace(self.services, **changes)
        self.gate = create_app(self.services)

    def _own_address(self) -> Any:
        network = self.writer.network
        return network.coordinator.ip if network.peers else ip_address("127.42.0.1")

    def device_sync(
        self,
        farewells: Callable[[], Awaitable[None]] | None = None,
        remade: Callable[[], Awaitable[None]] = nothing_more,
    ) -> DeviceSync:
        """The coordinator's device in memory, kept in step by hand (`await sync.sync()`)."""

        def bring_up() -> list[str]:
            self.backend.create(INTERFACE)
            return []

        own = OwnInterface(
            backend=self.backend,
            name=INTERFACE,
            private_key=private_key("coordinator"),
            port=PORT,
            bring_up=bring_up,
            knock=self.knocked.extend,
        )
        said = farewells or self.hub.farewells
        return DeviceSync(own, lambda: self.writer.network, self.presence, self.looks, said, remade)

    # -- commands -----------------------------------------------------------------------------------------------

    async def do(self, command: c.Command, who: Who = LOCAL) -> None:
        """Submit a command, and tell the streams of it."""
        await self.writer.submit(command, who)
        await self.tell()

    async def tell(self) -> None:
        """Tell the streams all that they are owed."""
        await self.hub.sender.flush()
        await self.hub.sender.haul()
        await self.hub.sender.flush()

    async def open(self, name: str, cursor: Cursor | None = None) -> Stream:
        """A stream of a peer that no socket carries."""
        stream = await self.hub.open(self.peer(name), cursor, Pipe())
        await self.tell()
        return stream

    def peer(self, name: str) -> Peer:
        found = self.writer.network.peer_named(name)
        assert found is not None, name
        return found

    def cidr_id(self, name: str) -> int:
        found = self.writer.network.cidr_named(name)
        assert found is not None, name
        return found.id

    async def add_cidr(self, name: str, block: str, parent: str | None = None) -> int:
        parent_id = None if parent is None else self.cidr_id(parent)
        await self.do(c.AddCidr(Name(name), ip_network(block), parent_id))
        return self.cidr_id(name)

    async def invite(
        self, name: str, cidr: str, *, ip: str | None = None, admin: bool = False, expires: int | None = None
    ) -> Peer:
        """A peer that has not redeemed; the key of its invitation is `key("<name> invitation")`."""
        await self.do(
            c.AddPeer(
                name=Name(name),
                cidr=self.cidr_id(cidr),
                ip=None if ip is None else ip_address(ip),
                public_key=key(f"{name} invitation"),
                is_admin=admin,
                invite_expires=expires,
            )
        )
        return self.peer(name)

    async def join(self, name: str, cidr: str, *, ip: str | None = None, admin: bool = False) -> Peer:
        """A peer that has redeemed its invitation for `key(name)`, long enough ago that nothing is in transition."""
        peer = await self.invite(name, cidr, ip=ip, admin=admin)
        await self.do(c.Redeem(peer.id, key(name)), Who(f"peer:{peer.id}", str(peer.ip)))
        self._holders[key(name)] = name
        return self.peer(name)

    async def associate(self, one: str, other: str) -> None:
        await self.do(c.AddAssociation(self.cidr_id(one), self.cidr_id(other)))

    def holder(self, who: str) -> str | None:
        """The name by which a peer's key was made: peers are renamed, keys are not. None for who is no peer."""
        peer = self.writer.network.peer_named(who)
        if peer is None:
            return None
        return self._holders.get(peer.public_key, who if peer.public_key == key(who) else None)

    def proof(self, who: str, method: str, target: str, body: bytes = b"") -> str:
        """The proof of a peer's key for a request without conditions."""
        self._nonces += 1
        shared = keys.shared_secret(private_key(self.holder(who) or who), key("coordinator"))
        target = target.removesuffix("?")
        request = proof.Request(method=method, target=target, host=self.services.internal_endpoint, body=body)
        derived = proof.derive_key(shared, self.writer.network.id)
        return proof.prove(derived, request, int(self.now), f"nonce-{self._nonces:08}")

    # -- asking -------------------------------------------------------------------------------------------------

    def client(self, who: str | None, **headers: str) -> httpx2.AsyncClient:
        """Requests of a peer by name (with the server-key header), of a bare address, or (None) of local root."""
        peer = None
        if who is None:
            source, known = "local:0", {}
        else:
            peer = self.writer.network.peer_named(who)
            source = who if peer is None else str(peer.ip)
            known = {"X-Innernet-Server-Key": key("coordinator")}
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.app, client=(source, 40_000)),
            base_url=f"http://{self.services.internal_endpoint}",
            headers=known | headers,
            auth=None if who is None or peer is None else Proving(self, who),
        )

    @contextlib.asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[int]:
        """The app on a real TCP socket, on the coordinator's address; the port, which the Host header must say."""
        listening = socket.create_server((str(self._own_address()), port))
        listening.setblocking(False)
        port = int(listening.getsockname()[1])
        self.provide(internal_endpoint=endpoint_of(str(self._own_address()), port))
        listener = Listener(Dated(self), listening, sources=self.services.sources)
        listener.config.date_header = False
        await listener.start()
        telling = asyncio.create_task(self.hub.sender.run())
        try:
            yield port
        finally:
            await self.hub.shut_down()
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            await listener.stop()

    def over_socket(self, name: str, port: int) -> httpx2.AsyncClient:
        """Requests of a peer over a real socket, from its own address."""
        return httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(
                verify=no_certificates(), local_address=str(self.peer(name).ip), trust_env=False
            ),
            base_url=f"http://{endpoint_of(str(self._own_address()), port)}",
            headers={"X-Innernet-Server-Key": key("coordinator")},
            auth=Proving(self, name),
            trust_env=False,
        )


async def world(block: str = RANGE, *, proof_required: bool = False) -> World:
    """A new network with nothing in it but what every network has."""
    made = World(MemoryStore())
    writer = Writer(made.store, await load(made.store), lambda: made.now, made.fatal.append)
    await writer.submit(
        c.CreateNetwork(
            id=sha256(b"a network").hexdigest()[:32],
            name=INTERFACE,
            range=ip_network(block),
            public_key=parse_public_key(key("coordinator")),
            endpoint=parse_endpoint("192.0.2.1:51820"),
        ),
        Who("local:root", "innerd new"),
    )
    await made.start(proof_required=proof_required)
    return made


async def populated(**kwargs: Any) -> World:
    """The world of most tests: humans (ryo, an admin, and mari), ovens (oven), cats (tama); nobody is associated."""
    made = await world(**kwargs)
    await made.add_cidr("humans", HUMANS)
    await made.add_cidr("ovens", "127.42.64.0/24")
    await made.add_cidr("cats", "127.42.3.0/24")
    await made.join("ryo", "humans", admin=True)
    await made.join("mari", "humans")
    await made.join("oven", "ovens")
    await made.join("tama", "cats")
    made.now += 120  # all redeem transitions are over
    return made


async def crowded(w: World, cidr: str, start: str, count: int) -> list[str]:
    """So many peers in a CIDR; their names."""
    names = [f"{cidr}-{number}" for number in range(count)]
    first = ip_address(start) + 1
    adding = [
        c.AddPeer(name=Name(name), cidr=w.cidr_id(cidr), ip=first + number, public_key=key(name), is_redeemed=True)
        for number, name in enumerate(names)
    ]
    await asyncio.gather(*(w.writer.submit(command, LOCAL) for command in adding))
    return names


assert os.environ.get("PYTHONOPTIMIZE") is None, "tests need their assertions"
