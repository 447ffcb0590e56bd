"""The way to the coordinator by TCP, where UDP is blocked: a socket of this host that the device takes for the
coordinator, and a TLS connection behind it. When, and for how long, is `core/transport`'s to say."""

import asyncio
import contextlib
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

from nacl.public import PublicKey as SealingKey
from nacl.public import SealedBox

from innclient.agent.errands import Errands
from innclient.core import events as e
from innclient.core.netmap import Netmap
from innclient.core.transport import ASKS
from innerd.domain.errors import plainly
from innerd.domain.values import Endpoint, PublicKey, endpoint_of, key_bytes, split_endpoint
from innerd.wire import tcp as wire
from innerd.wire.probe import PING, PONG, Probe, decode, encode, probe_key
from innerd.wireguard.device import Device, DeviceError
from innerd.wireguard.keys import public_key, shared_secret
from innerd.wireguard.tcp import Local, Pipe

_CONNECT = 5.0  # seconds for TCP and TLS, and again for the answer
_GIVES_UP = 10.0  # seconds for which a connection that was lost is tried again
_FIRST_PAUSE, _PAUSE = 0.5, 2.0  # seconds before the first such attempt, and between the others
_LATER, _MOST_RETURNS = 4, 4  # times as long before UDP is asked for, after each return that was too soon
_ASK, _TIMES = 0.5, 3  # seconds for an answer by UDP, and how often it is asked


class Host(Protocol):
    """What it needs of the session that it is part of. May raise DeviceError."""

    @property
    def netmap(self) -> Netmap: ...

    async def device(self) -> Device: ...

    async def happens(self, event: e.Event) -> None: ...


class ByTcp:
    def __init__(self, host: Host, private_key: str, server_key: PublicKey, errands: Errands) -> None:
        self._host, self._private_key, self._server_key, self._errands = host, private_key, server_key, errands
        self._run: asyncio.Task[None] | None = None
        self._way: Way | None = None
        self._ask_now = asyncio.Event()

    def open(self, addresses: list[Endpoint], port: int, returns: int = 0) -> None:
        """Reach the coordinator at this port of one of its addresses. `returns`: how often it was gone back to UDP too
        soon before."""
        self.close()
        self._run = asyncio.create_task(self._running(addresses, port, returns))

    def close(self) -> None:
        if self._run is not None:
            self._run.cancel()
            self._run = None

    async def end(self) -> None:
        """Close it, and wait until it is."""
        run = self._run
        self.close()
        if run is not None:
            await asyncio.gather(run, return_exceptions=True)

    def ask(self) -> None:
        """See at once whether it answers by UDP."""
        self._ask_now.set()

    def see(self, device: Device) -> None:
        """The device may have another port than when this began."""
        if self._way is not None and device.listen_port:
            self._way.towards(device.listen_port)

    async def _running(self, addresses: list[Endpoint], port: int, returns: int) -> None:
        run = asyncio.current_task()
        try:
            self._way = way = Way(self._private_key, self._server_key, (await self._host.device()).listen_port)
            try:
                connect = partial(way.connect, addresses, port)
                self._tell(run, e.TcpOpened(way.endpoint, await connect()))
                await self._carry(connect, way.lost, self._watch_udp(run, addresses, returns))
            finally:
                if self._way is way:
                    self._way = None
                way.close()
        except Exception as error:  # a bug of ours too: else it would be waited for, for ever
            self._tell(run, e.TcpFailed(plainly(error)))

    async def _carry(
        self, connect: Callable[[], Awaitable[Endpoint]], lost: asyncio.Event, watching: Coroutine[Any, Any, None]
    ) -> None:
        """One connection after the other. Raises OSError where none can be had any more."""
        asking = asyncio.create_task(watching)
        try:
            while True:
                await lost.wait()
                lost_at, pause = time.monotonic(), _FIRST_PAUSE
                while lost.is_set():
                    await asyncio.sleep(pause)
                    pause = _PAUSE
                    try:
                        await connect()
                    except OSError:
                        if time.monotonic() - lost_at > _GIVES_UP:
                            raise
        finally:
            asking.cancel()

    async def _watch_udp(self, run: "asyncio.Task[None] | None", addresses: list[Endpoint], returns: int) -> None:
        """Ask now and then, until there is an answer."""
        key, asked = probe_key(shared_secret(self._private_key, self._server_key)), 0
        first = ASKS[0] * _LATER ** min(returns, _MOST_RETURNS)
        while True:
            pause = ASKS[min(asked, len(ASKS) - 1)] if asked else first
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ask_now.wait()
            self._ask_now.clear()
            asked += 1
            for at in addresses:
                if await answers_by_udp(at, self._host.netmap.me, key):
                    self._tell(run, e.UdpOpen(at))
                    break

    def _tell(self, run: "asyncio.Task[None] | None", event: e.Event) -> None:
        """Aside: what comes of it may end this. What an earlier run says concerns nobody."""
        self._errands.send(self._told(run, event))

    async def _told(self, run: "asyncio.Task[None] | None", event: e.Event) -> None:
        if run is self._run:
            with contextlib.suppress(DeviceError):
                await self._host.happens(event)


class Way:
    """The socket that stands for the coordinator, and the TLS connection behind it; `lost` while there is none.
    `wireguard`: the port that the device has. Raises OSError."""

    def __init__(self, private_key: str, server_key: PublicKey, wireguard: int) -> None:
        self._own, self._server_key = key_bytes(public_key(private_key)), server_key
        self._key = wire.tcp_key(shared_secret(private_key, server_key))
        self.lost = asyncio.Event()
        self._pipe: Pipe | None = None
        self._local = Local(wireguard, self._send)

    @property
    def endpoint(self) -> Endpoint:
        return self._local.endpoint

    def towards(self, wireguard: int) -> None:
        """The device has this port now."""
        self._local.towards(wireguard)

    def _send(self, packet: bytes) -> None:
        if self._pipe is not None:
            self._pipe.send(packet)

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.drop()
        self._local.close()

    async def connect(self, addresses: Sequence[Endpoint], port: int) -> Endpoint:
        """This port of the first of some addresses that is reached. Raises OSError."""
        failed: list[str] = []
        for address in addresses:
            remote = endpoint_of(split_endpoint(address)[0], port)
            try:
                await self._connect(remote)
            except TimeoutError:
                failed.append(f"{remote} does not answer")
            except OSError as error:
                failed.append(f"{remote}: {plainly(error)}")
            else:
                return remote
        raise OSError("; ".join(failed) or "nobody knows an address of it")

    async def _connect(self, remote: Endpoint) -> None:
        """Raises OSError; ssl.SSLError and TimeoutError are."""
        host, port = split_endpoint(remote)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # its MAC is what proves who it is
        pipe = Pipe(partial(self._answered, answer), partial(self._is_lost, answer), wire.MOST)
        async with asyncio.timeout(_CONNECT):
            await asyncio.get_running_loop().create_connection(lambda: pipe, host, port, ssl=context)
        try:
            await self._introduce(pipe, answer)
        except BaseException:
            pipe.drop()
            raise
        self._pipe = pipe
        if not pipe.transport.is_closing():
            self.lost.clear()

    async def _introduce(self, pipe: Pipe, answer: "asyncio.Future[bytes]") -> None:
        certificate, nonce = pipe.certificate, secrets.token_bytes(wire.NONCE)
        said = wire.greeting(self._own, self._key, certificate, nonce)
        pipe.send(SealedBox(SealingKey(key_bytes(self._server_key))).encrypt(said))
        async with asyncio.timeout(_CONNECT):
            if not wire.is_answered(await answer, self._key, certificate, nonce):
                raise OSError("whoever answers there is not the coordinator")

    def _answered(self, answer: "asyncio.Future[bytes]", pipe: Pipe, said: bytes) -> bool:
        pipe.carry = self._local.send  # whoever it is: WireGuard takes nothing that is not the coordinator's
        if not answer.done():
            answer.set_result(said)
        return True

    def _is_lost(self, answer: "asyncio.Future[bytes]", pipe: Pipe) -> None:
        if not answer.done():
            answer.set_exception(OSError("whoever is there takes this machine for no peer"))
            answer.exception()  # it may be that nobody waits for it any more
        if pipe is self._pipe:
            self._pipe = None
            self.lost.set()


class _Asking(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.said.done():
            self.said.set_result(data)


async def answers_by_udp(at: Endpoint, me: int, key: bytes) -> bool:
    """Whether the coordinator answers us at an endpoint, from any port."""
    nonce = secrets.randbits(63)
    for _ in range(_TIMES):
        with contextlib.suppress(OSError):  # TimeoutError is one
            loop = asyncio.get_running_loop()
            asking, protocol = await loop.create_datagram_endpoint(_Asking, remote_addr=split_endpoint(at))
            try:
                asking.sendto(encode(Probe(PING, 0, me, nonce), key))
                async with asyncio.timeout(_ASK):
                    said = decode(await protocol.said, key)
            finally:
                asking.abort()
            if said is not None and (said.kind, said.nonce) == (PONG, nonce):
                return True
    return False
