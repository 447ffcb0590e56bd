"""Finds paths to peers: sends the probes that are due and hears what comes, on sockets beside WireGuard's own port.
Which peers, when and why is `core/paths`' to say."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Protocol

import structlog

from innclient.agent.errands import Errands
from innclient.agent.raw_udp import Prober
from innclient.core import events as e
from innclient.core.netmap import KnownPeer
from innclient.core.paths import ALONE, PeerPaths
from innclient.core.peer_path import Instant
from innclient.core.traversal import Action, Found, GaveUp, Send
from innerd.domain.values import Endpoint, PublicKey
from innerd.wire.probe import decode, encode, probe_key, sender_of
from innerd.wireguard.device import Device, DeviceError
from innerd.wireguard.keys import shared_secret

_log = structlog.get_logger("agent")

_OPENS_AGAIN = 30.0  # seconds until it is looked whether the device has another port
_MOST_ASKS = 4  # at a time


class Host(Protocol):
    """What a finder needs of the session that it is part of. All may raise DeviceError."""

    def known(self, number: int) -> KnownPeer | None:
        """A peer, if it is believed."""
        ...

    async def device(self) -> Device: ...

    async def ask_for_moment(self, number: int) -> None:
        """Have the coordinator name a moment to us and a peer."""
        ...

    async def happens(self, event: e.Event) -> None: ...

    async def apply(self) -> None:
        """There is no way to some peer at this time: the device may try it by itself."""
        ...


def now() -> Instant:
    return Instant(time.time(), time.monotonic())


class PathFinder:
    def __init__(self, paths: PeerPaths, private_key: str, host: Host, errands: Errands) -> None:
        self._paths, self._private_key, self._host = paths, private_key, host
        self._is_between_ports = False
        self._prober: Prober | None = None
        self._opened_at = 0.0
        self._keys: dict[PublicKey, bytes] = {}
        self._errands = errands
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(_MOST_ASKS)

    def stir(self) -> None:
        """There are probes to be sent."""
        self._wake.set()

    def ask(self, numbers: Iterable[int]) -> None:
        """Have the coordinator name moments to us and some peers."""
        for number in numbers:
            self._errands.send(self._ask(number))

    async def _ask(self, number: int) -> None:
        async with self._room:
            if not self._paths.holds(number, stays=True):
                await asyncio.sleep(ALONE)  # the device tries it by itself, and mostly that is enough
            if self._paths.traversal.is_trying(number):
                await self._host.ask_for_moment(number)

    @contextlib.contextmanager
    def without_probes(self) -> Iterator[None]:
        """While the device gets another port: what is answered from the old one, others would take for a way."""
        self._close()
        self._is_between_ports = True
        try:
            yield
        finally:
            self._is_between_ports = False
            self._wake.set()

    # -- the loop -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        try:
            while True:
                if self._prober is None or time.monotonic() - self._opened_at > _OPENS_AGAIN:
                    await self._open()
                self._act(self._paths.traversal.tick(time.monotonic()))
                due = self._paths.traversal.next_at()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if due is None else max(0.0, due - time.monotonic())):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            self._close()

    def _close(self) -> None:
        if self._prober is not None:
            self._prober.close()
            self._prober = None
            self._paths.probing(None)

    async def _open(self) -> None:
        """The raw sockets, for the port that the device has now."""
        self._opened_at = time.monotonic()
        port = (await self._host.device()).listen_port
        if not port or self._is_between_ports:
            return
        if self._prober is not None and self._prober.port == port:
            return
        self._close()
        try:
            self._prober = Prober(port, self._hear)
        except OSError as error:
            if self._paths.may_probe:
                _log.warning("no probes: endpoints of silent peers are tried one by one", why=error.strerror)
            self._paths.probing(False)
        else:
            self._paths.probing(True)
            self._errands.send(self._host.happens(e.Probing()))

    def _hear(self, data: bytes, source: Endpoint) -> None:
        sender = sender_of(data)
        peer = None if sender is None else self._host.known(sender)
        if peer is None or (probe := decode(data, self._key(peer.public_key))) is None:
            return
        self._act(self._paths.traversal.hear(probe, source, time.monotonic()))
        self._wake.set()

    def _key(self, public_key: PublicKey) -> bytes:
        key = self._keys.get(public_key)
        if key is None:
            key = self._keys[public_key] = probe_key(shared_secret(self._private_key, public_key))
        return key

    def _act(self, actions: list[Action]) -> None:
        """Waits for nothing: the probes of another pair would be late, and its routers would take them for a
        stranger's."""
        for action in actions:
            match action:
                case Send():
                    peer = self._host.known(action.peer)
                    if self._prober is not None and peer is not None:
                        self._prober.send(action.endpoint, encode(action.probe, self._key(peer.public_key)), action.ttl)
                case Found():
                    self._errands.send(self._found(action))
                case GaveUp():
                    path = self._paths.gave_up(action.peer, time.time())
                    _log.info("no way found", peer=action.peer, tried=path.tried)
                    if not self._paths.holds(action.peer, stays=True):
                        self._errands.send(self._host.apply())

    async def _found(self, found: Found) -> None:
        whose = self._paths.found(found, time.time())
        if whose is not None:
            peer, pause = whose
            await asyncio.sleep(pause)
            with contextlib.suppress(DeviceError):
                await self._host.happens(e.PathFound(peer.id, peer.public_key, found.endpoint))
