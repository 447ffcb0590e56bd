"""What the agent sends to peers behind NATs, and when it is silent. The device and the wires are in memory."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from innclient.agent.raw_udp import Heard
from innclient.agent.session import Session
from innclient.core import events as e
from innclient.core.netmap import KnownPeer, Whereabouts
from innclient.core.pins import Pins
from innerd.domain.values import Endpoint, Name, parse_address
from innerd.wire.probe import PING, PONG, Probe, decode, encode, probe_key
from innerd.wire.stream import Connect
from innerd.wireguard.keys import shared_secret
from innerd.wireguard.plan import SetPort
from tests.client.support import eventually, session_at
from tests.world import INTERFACE, key, private_key

ME, MARI, OVEN = 2, 3, 5
NAMES = {MARI: "mari", OVEN: "oven"}
ROUTERS = {ME: "198.51.100.2:51820", MARI: "198.51.100.3:51820", OVEN: "198.51.100.5:51820"}


class Prober:
    """The probes that were sent; `answering` are the peers that answer those that arrive."""

    def __init__(self, port: int, heard: Heard) -> None:
        self.port, self._heard = port, heard
        self.sent: list[tuple[int, int | None]] = []
        self.answering: set[int] = set()

    def send(self, endpoint: Endpoint, data: bytes, ttl: int | None) -> None:
        number = next(n for n, router in ROUTERS.items() if router == endpoint)
        self.sent.append((number, ttl))
        secret = probe_key(shared_secret(private_key(NAMES[number]), key("ryo")))
        probe = decode(data, secret)
        if number in self.answering and ttl is None and probe is not None and probe.kind == PING:
            answer = encode(Probe(PONG, probe.epoch, number, probe.nonce), secret)
            asyncio.get_running_loop().call_soon(self._heard, answer, endpoint)

    def close(self) -> None:
        self.sent = []


@pytest.fixture
def probers(monkeypatch: pytest.MonkeyPatch) -> list[Prober]:
    """Those that were made."""
    made: list[Prober] = []

    def make(port: int, heard: Heard) -> Prober:
        made.append(Prober(port, heard))
        return made[-1]

    monkeypatch.setattr("innclient.agent.paths.Prober", make)
    return made


@pytest.fixture
async def session(tmp_path: Path, probers: list[Prober]) -> AsyncIterator[Session]:
    """An agent behind a NAT, connected, with two peers behind NATs."""
    made = session_at(tmp_path, "ryo", "127.42.128.1", 1)
    peers = {
        number: KnownPeer(
            id=number,
            name=Name(name),
            ip=parse_address(f"127.42.128.{number}"),
            cidr_id=2,
            public_key=key(name),
            endpoint=None,
            is_admin=False,
        )
        for number, name in NAMES.items()
    }
    made.membership.netmap = replace(made.netmap, me=ME, peers=peers)
    made.membership.pins = Pins({**made.pins.keys, **{str(peer.ip): peer.public_key for peer in peers.values()}})
    made.membership.presence = {
        number: Whereabouts((Endpoint(router),), True, Endpoint(router), (Endpoint(f"192.168.{number}.9:51820"),))
        for number, router in ROUTERS.items()
    }
    await asyncio.to_thread(made._executor.make)
    made.tunnel.change([SetPort(51820)])
    await made._feed(e.Stays())
    await made.apply()
    made.agent.connection.since = time.time()
    made.membership._is_greeted = True
    yield made
    await made.close()


@contextlib.asynccontextmanager
async def probing(session: Session, probers: list[Prober]) -> AsyncIterator[Prober]:
    task = asyncio.create_task(session._path_finder.run())
    try:
        await eventually(lambda: probers, "something to probe with")
        yield probers[-1]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def tell(session: Session, number: int, epoch: int, later: float = 0.0) -> None:
    await session._feed(e.Told([Connect(peer=number, epoch=epoch, go_at=time.time() + later)]))


def endpoint_of(session: Session, number: int) -> Endpoint | None:
    return session.tunnel.get().peers[key(NAMES[number])].endpoint


async def test_who_was_told_of_before_there_were_probes_is_looked_for_when_there_are(
    session: Session, probers: list[Prober]
) -> None:
    await session.apply()
    assert not session.peer_paths.known[OVEN].tried, "there is nothing to look with"
    async with probing(session, probers):
        await eventually(lambda: session.peer_paths.known[OVEN].tried == [ROUTERS[OVEN]], "both are looked for")


async def test_the_probes_of_one_pair_do_not_wait_for_what_was_found_of_another(
    session: Session, probers: list[Prober]
) -> None:
    """Late probes are a stranger's to the other's router."""
    async with probing(session, probers) as prober:
        prober.answering = {MARI}
        await tell(session, OVEN, 2, later=1.0)
        await tell(session, MARI, 1)
        async with session._turn:  # the device is busy: nothing that was found can be set on it
            await eventually(lambda: (MARI, None) in prober.sent)
            await eventually(lambda: (OVEN, None) in prober.sent, "its probes")
            assert endpoint_of(session, MARI) is None
        await eventually(lambda: endpoint_of(session, MARI) == ROUTERS[MARI])


async def test_from_a_moment_on_the_device_sends_nothing_to_who_does_not_answer(
    session: Session, probers: list[Prober]
) -> None:
    """It would send to where it tried the peer last, every five seconds without end, and the peer's router would take
    us for a stranger as long."""
    async with probing(session, probers):
        for number in NAMES:
            peer = session.netmap.peers[number]
            await session.happens(e.PathFound(number, peer.public_key, Endpoint(ROUTERS[number])))
        session.tunnel.backend.hear(INTERFACE, key("mari"), time.time(), ROUTERS[MARI])  # type: ignore[attr-defined]
        await tell(session, OVEN, 1)
        await tell(session, MARI, 2)
        await eventually(lambda: endpoint_of(session, OVEN) is None)
        await session.errands.done()
        assert endpoint_of(session, MARI) == ROUTERS[MARI], "it answers"
        assert session.peer_paths.holds(OVEN, stays=True)
        assert session.tunnel.get().peers[key("oven")].allowed_ips, "it may still come to us"


async def test_the_device_has_no_turn_before_a_peer_had_time_to_start(session: Session, probers: list[Prober]) -> None:
    """A peer that was just installed shook hands with the coordinator, and its agent is about to start."""
    async with probing(session, probers):
        await session.apply()
        path = session.peer_paths.known[OVEN]
        turns = []
        for _ in range(8):
            path.failed(0.0)
            turns.append(not session.peer_paths.holds(OVEN, stays=True))
        assert turns == [False, True, False, False, False, True, False, False]
