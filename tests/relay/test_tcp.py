"""Who comes by TCP, over real connections of the loopback: who proves the key of a peer is carried, nobody else is. In
place of WireGuard there is a socket that says what it heard; of the probes' raw sockets, nothing."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Any

import pytest

from innclient.agent.by_tcp import ByTcp
from innclient.agent.errands import Errands
from innclient.core import events as e
from innclient.core.netmap import Netmap
from innerd.domain.values import COORDINATOR, Endpoint, PublicKey, is_by_tcp
from innerd.relay import tcp
from innerd.relay.limits import Limits
from innerd.relay.table import Place
from innerd.relay.tcp import TcpListener, TcpSetup
from innerd.wire.probe import PING, PONG, Probe, decode, encode, probe_key
from innerd.wire.tcp import GREETING, framed
from innerd.wireguard.device import Device, DeviceError
from innerd.wireguard.keys import shared_secret
from tests.client.support import eventually
from tests.world import key, private_key

RYO = 2


class WireGuard:
    """A socket that has WireGuard's place."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    async def hears(self) -> tuple[bytes, Endpoint]:
        async with asyncio.timeout(20):
            data, source = await asyncio.get_running_loop().sock_recvfrom(self.socket, 1 << 16)
        return data, Endpoint(f"{source[0]}:{source[1]}")

    def says(self, data: bytes, to: Endpoint) -> None:
        host, _, port = to.rpartition(":")
        self.socket.sendto(data, (host, int(port)))


class Probes:
    """What would come to the raw sockets, and what was sent by them."""

    def __init__(self, port: int, heard: Callable[[bytes, Endpoint, str], None], what: object) -> None:
        self.heard, self.sent = heard, list[tuple[Place, bytes]]()
        made.append(self)

    def send(self, to: Place, data: bytes) -> None:
        self.sent.append((to, data))

    def close(self) -> None: ...


made: list[Probes] = []


class Agent:
    """What a session is to the way by TCP."""

    netmap = Netmap(me=RYO)

    def __init__(self, wireguard: WireGuard) -> None:
        self._wireguard, self.events = wireguard, list[e.Event]()

    async def device(self) -> Device:
        return Device(listen_port=self._wireguard.port)

    async def happens(self, event: e.Event) -> None:
        self.events.append(event)

    def happened(self, kind: type) -> bool:
        return any(isinstance(event, kind) for event in self.events)


@pytest.fixture
def wireguards() -> Iterator[tuple[WireGuard, WireGuard]]:
    """The coordinator's, and the peer's."""
    both = WireGuard(), WireGuard()
    yield both
    for one in both:
        one.socket.close()


@pytest.fixture
async def listener(
    wireguards: tuple[WireGuard, WireGuard], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TcpListener]:
    monkeypatch.setattr(tcp, "RawSockets", Probes)
    monkeypatch.setattr(tcp, "_tls", _tls)
    setup = TcpSetup(
        host="127.0.0.1",
        port=_free_port(),
        wireguard=wireguards[0].port,
        private_key=private_key("coordinator"),
        limits=Limits(),
    )
    peers: dict[PublicKey, int] = {key("ryo"): RYO}
    listener = TcpListener(setup, peers.get)
    listener.peers = peers  # type: ignore[attr-defined]
    await listener.start()
    yield listener
    await listener.stop()


_make = tcp._tls


@cache
def _tls() -> tuple[ssl.SSLContext, bytes]:
    return _make()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def coming(listener: TcpListener, wireguard: WireGuard, name: str = "ryo") -> AsyncIterator[Agent]:
    agent, errands = Agent(wireguard), Errands()
    way = ByTcp(agent, private_key(name), key("coordinator"), errands)
    way.open([Endpoint(f"127.0.0.1:{wireguard.port}")], listener.setup.port)
    try:
        yield agent
    finally:
        way.close()
        await errands.end()


async def reached(agent: Agent) -> Endpoint:
    await eventually(lambda: agent.happened(e.TcpOpened))
    return next(event.local for event in agent.events if isinstance(event, e.TcpOpened))


async def connected(listener: TcpListener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stranger's connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return await asyncio.open_connection("127.0.0.1", listener.setup.port, ssl=context)


async def is_dropped(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            return await reader.read(1) == b""
    return True


async def test_packets_go_both_ways_as_they_are(listener: TcpListener, wireguards: tuple[WireGuard, WireGuard]) -> None:
    coordinators, peers = wireguards
    async with coming(listener, peers) as agent:
        local = await reached(agent)
        assert is_by_tcp(local)
        for packet in (b"\x01" * 148, b"\x04" * 1500, b"\x04" * 32):
            peers.says(packet, local)
            heard, source = await coordinators.hears()
            assert (heard, is_by_tcp(source)) == (packet, True)
            coordinators.says(packet[::-1], source)
            assert await peers.hears() == (packet[::-1], local)
        assert listener.carried[RYO].remote.startswith("127.0.0.1:")


async def test_whoever_has_no_peers_key_is_not_carried(
    listener: TcpListener, wireguards: tuple[WireGuard, WireGuard]
) -> None:
    async with coming(listener, wireguards[1], "eve") as agent:
        await eventually(lambda: agent.happened(e.TcpFailed))
    assert (listener.carried, listener.refused["no peer"]) == ({}, 1)


async def test_whoever_is_a_peer_no_more_is_dropped(
    listener: TcpListener, wireguards: tuple[WireGuard, WireGuard]
) -> None:
    async with coming(listener, wireguards[1]) as agent:
        await reached(agent)
        listener.part([RYO])
        assert RYO in listener.carried
        listener.peers.clear()  # type: ignore[attr-defined]
        listener.part([RYO])
        await eventually(lambda: not listener.carried)


async def test_who_comes_again_takes_its_own_place(
    listener: TcpListener, wireguards: tuple[WireGuard, WireGuard]
) -> None:
    async with coming(listener, wireguards[1]) as first:
        await reached(first)
        before = listener.carried[RYO]
        async with coming(listener, wireguards[1]) as second:
            local = await reached(second)
            await eventually(lambda: listener.carried.get(RYO) is not before)
            wireguards[1].says(b"\x04" * 32, local)
            assert (await wireguards[0].hears())[0] == b"\x04" * 32


async def test_a_connection_that_is_lost_is_opened_again_behind_the_same_socket(
    listener: TcpListener, wireguards: tuple[WireGuard, WireGuard]
) -> None:
    async with coming(listener, wireguards[1]) as agent:
        local = await reached(agent)
        before = listener.carried[RYO]
        before.pipe.drop()
        await eventually(lambda: listener.carried.get(RYO) not in (None, before))
        wireguards[1].says(b"\x04" * 32, local)
        assert (await wireguards[0].hears())[0] == b"\x04" * 32
        assert not agent.happened(e.TcpFailed)


async def test_whoever_stands_between_is_not_taken_for_the_coordinator(
    listener: TcpListener, wireguards: tuple[WireGuard, WireGuard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends TLS with a certificate of its own, and hands on what is said."""
    context, _ = _make()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to = await connected(listener)
        await asyncio.gather(_hand_on(reader, to[1]), _hand_on(to[0], writer), return_exceptions=True)

    server = await asyncio.start_server(between, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    agent, errands = Agent(wireguards[1]), Errands()
    way = ByTcp(agent, private_key("ryo"), key("coordinator"), errands)
    way.open([Endpoint(f"127.0.0.1:{wireguards[1].port}")], port)
    await eventually(lambda: agent.happened(e.TcpFailed))
    assert listener.refused["no proof"] == 1
    assert listener.carried == {}
    server.close()
    await errands.end()


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(4096):
        writer.write(data)
    writer.close()


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\n\r\n", framed(b"x" * (GREETING + 48)), framed(b"x"), b"\xff\xff"]
)
async def test_a_stranger_is_sent_away_whatever_it_says(
    listener: TcpListener, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "_IN_TIME", 0.5)
    reader, writer = await connected(listener)
    writer.write(said)
    assert await is_dropped(reader)
    writer.close()
    await eventually(lambda: not listener._strangers)


async def test_strangers_of_one_address_are_few(listener: TcpListener) -> None:
    there = [await connected(listener) for _ in range(tcp._MOST_OF_ONE)]
    with pytest.raises(OSError):
        await connected(listener)
    assert listener.refused["too many of one address"] == 1
    for _, writer in there:
        writer.close()
    await eventually(lambda: not listener._strangers)


async def test_no_tls_is_nobody(listener: TcpListener) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.setup.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(20):
        await reader.read()
    writer.close()
    await eventually(lambda: listener.refused["no TLS"] == 1)


async def test_whoever_is_here_is_answered_by_udp_and_nobody_else(
    listener: TcpListener, wireguards: tuple[WireGuard, WireGuard]
) -> None:
    probe_of = probe_key(shared_secret(private_key("ryo"), key("coordinator")))
    asked = encode(Probe(PING, 0, RYO, 7), probe_of)
    probes, at = made[-1], Endpoint("198.51.100.1:9")
    probes.heard(asked, at, "192.0.2.1")
    assert probes.sent == []
    async with coming(listener, wireguards[1]) as agent:
        await reached(agent)
        probes.heard(encode(Probe(PING, 0, RYO, 7), b"x" * 32), at, "192.0.2.1")
        assert probes.sent == []
        probes.heard(asked, at, "192.0.2.1")
        to, said = probes.sent[0]
        assert to == Place(at, "192.0.2.1")
        assert decode(said, probe_of) == Probe(PONG, 0, COORDINATOR, 7)


async def test_who_asks_without_end_is_answered_a_few_times(
    listener: TcpListener, wireguards: tuple[WireGuard, WireGuard]
) -> None:
    probe_of = probe_key(shared_secret(private_key("ryo"), key("coordinator")))
    async with coming(listener, wireguards[1]) as agent:
        await reached(agent)
        for number in range(100):
            made[-1].heard(encode(Probe(PING, 0, RYO, number), probe_of), Endpoint("198.51.100.1:9"), "")
    assert len(made[-1].sent) <= 12


async def test_packets_that_wireguard_never_sends_end_it(
    listener: TcpListener, wireguards: tuple[WireGuard, WireGuard]
) -> None:
    async with coming(listener, wireguards[1]) as agent:
        await reached(agent)
        before = listener.carried[RYO]
        wireguards[1].says(b"", next(one.local for one in agent.events if isinstance(one, e.TcpOpened)))
        await eventually(lambda: listener.carried.get(RYO) is not before)


async def test_many_small_packets_leave_others_their_turn_and_all_come(
    listener: TcpListener, wireguards: tuple[WireGuard, WireGuard]
) -> None:
    """In one read there may be thousands."""
    async with coming(listener, wireguards[1]) as agent:
        await reached(agent)
        pipe, taken = listener.carried[RYO].pipe, list[int]()
        pipe.carry = lambda packet: taken.append(len(packet))
        turns = 0
        pipe.data_received(framed(bytes(32)) * 1000)
        while len(taken) < 1000:
            assert len(taken) <= 64 * (turns + 1)
            await asyncio.sleep(0)
            turns += 1


def test_addresses_of_ipv6_count_by_site() -> None:
    assert tcp._site("192.0.2.1") == "192.0.2.1"
    assert tcp._site("2001:db8:1:2:3::4") == tcp._site("2001:db8:1:2::9") != tcp._site("2001:db8:1:3::9")


async def test_without_a_file_to_accept_with_it_waits_and_goes_on(
    listener: TcpListener, wireguards: tuple[WireGuard, WireGuard], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """A socket that can't accept for want of files; how often it was asked."""

        asked = 0

        def __init__(self, real: socket.socket) -> None:
            self.real = real

        def accept(self) -> Any:
            self.asked += 1
            raise OSError(24, "Too many open files")

        def fileno(self) -> int:
            return self.real.fileno()

    real = listener._listening
    assert real is not None
    full = Full(real)
    monkeypatch.setattr(tcp, "_NO_FILE", 0.05)
    listener._listening = full  # type: ignore[assignment]
    async with coming(listener, wireguards[1]) as agent:
        await eventually(lambda: full.asked == 2)
        listener._listening = real
        await reached(agent)
    assert full.asked <= 4, "it does not spin"


async def test_a_port_that_is_taken_is_said(listener: TcpListener, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError) as raised:
        await TcpListener(listener.setup, {}.get).start()
    assert raised.value.code == "port_in_use"
    assert str(listener.setup.port) in raised.value.message


async def test_without_openssl_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise FileNotFoundError(2, "No such file or directory", "openssl")

    monkeypatch.setattr("subprocess.run", none)
    with pytest.raises(DeviceError) as raised:
        _make()
    assert "openssl" in str(raised.value.hint)
