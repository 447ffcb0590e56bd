"""Peers that are where UDP is blocked come here by TCP, and to WireGuard's port from here. Off by default: it is a
second port that anybody may knock at. Who proves the key of a peer is carried; all others cost a TLS handshake at most,
and few of them at a time.

Who is carried asks by UDP now and then whether that way is open again: it is answered from WireGuard's own port.
"""

import asyncio
import socket
import ssl
import subprocess
import tempfile
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from time import monotonic

import structlog
from msgspec import Struct
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from innerd.domain.bucket import Bucket
from innerd.domain.values import COORDINATOR, Endpoint, PublicKey, endpoint_of, plain
from innerd.relay.limits import Limits
from innerd.relay.sockets import PROBES, RawSockets
from innerd.relay.table import Place
from innerd.wire import tcp as wire
from innerd.wire.probe import PING, PONG, Probe, decode, encode, probe_key, sender_of
from innerd.wireguard.device import DeviceError
from innerd.wireguard.holders import holder
from innerd.wireguard.keys import shared_secret
from innerd.wireguard.tcp import Local, Pace, Pipe

_log = structlog.get_logger("relay")

_IN_TIME = 5.0  # seconds for TLS, and again for the greeting
_MOST, _MOST_STRANGERS, _MOST_OF_ONE = 4_000, 64, 8  # connections: of peers; of who proved nothing; of one address
_BEGINNINGS, _BURST = 50.0, 100.0  # TLS handshakes a second, of a millisecond each
_ECHOES, _ECHOES_BURST = 1.0, 10.0  # probes a second of one that are answered
_SEALED = wire.GREETING + 48  # bytes: an ephemeral key, and a MAC
_BACKLOG = 1024
_NO_FILE = 0.5  # seconds until it is tried again to accept


class TcpSetup(Struct, frozen=True, kw_only=True):
    """`host` and `port` are where it listens, `wireguard` is WireGuard's port."""

    host: str
    port: int
    wireguard: int
    private_key: str
    limits: Limits


class Carried(Struct):
    """A peer that is here by TCP, and where from."""

    public_key: PublicKey
    remote: Endpoint
    pipe: Pipe
    local: Local
    probe_key: bytes
    echoes: Bucket


class TcpListener:
    """`whose` says which peer has a key; `left` is called when one is here no more. `carried`: who is here, by peer."""

    def __init__(
        self, setup: TcpSetup, whose: Callable[[PublicKey], int | None], left: Callable[[], None] = lambda: None
    ) -> None:
        self.setup = setup
        self.carried: dict[int, Carried] = {}
        self.refused: Counter[str] = Counter()  # connections that were not carried, by why
        self._whose, self._left = whose, left
        self._own = SealedBox(PrivateKey(b64decode(setup.private_key)))
        self._strangers: dict[Pipe, str] = {}  # from which address
        self._of: dict[Pipe, int] = {}  # who comes by it
        self._beginning: Counter[str] = Counter()  # TLS handshakes under way, by address
        self._may_begin = Bucket(_BEGINNINGS, _BURST)
        self._total = Pace(setup.limits.total)
        self._listening: socket.socket | None = None
        self._probes: RawSockets | None = None
        self._tls: tuple[ssl.SSLContext, bytes] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises DeviceError."""
        if self._tls is None:
            self._tls = await asyncio.to_thread(_tls)
        try:
            self._probes = RawSockets(self.setup.wireguard, self._probed, PROBES)
        except OSError as error:
            what = f"can't answer whether UDP is open again: {error.strerror}"
            raise DeviceError("relay_failed", what, "it needs CAP_NET_RAW") from error
        try:
            self._listening = _listening(self.setup.host, self.setup.port)
        except BaseException:
            await self.stop()
            raise
        self._listen()
        _log.info("peers may come by TCP", at=endpoint_of(self.setup.host, self.setup.port))

    def _listen(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().add_reader(self._listening, self._accept)

    async def stop(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
        if self._probes is not None:
            self._probes.close()
        self._listening = self._probes = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pipe in [*self._strangers, *(one.pipe for one in self.carried.values())]:
            pipe.drop()

    def part(self, peers: Iterable[int]) -> None:
        """Let go of those of some peers that are none any more, or have another key."""
        for peer in peers:
            one = self.carried.get(peer)
            if one is not None and self._whose(one.public_key) != peer:
                one.pipe.drop()

    # -- who comes ----------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        assert self._listening is not None  # noqa: S101 - it is read while it is there
        try:
            connection, address = self._listening.accept()
        except BlockingIOError:
            return
        except OSError as error:  # one that broke meanwhile, or no file is left: which does not change by asking
            _log.warning("a connection could not be accepted", error=error.strerror)
            asyncio.get_running_loop().remove_reader(self._listening)
            asyncio.get_running_loop().call_later(_NO_FILE, self._listen)
            return
        host = str(plain(ip_address(address[0].partition("%")[0])))
        site = _site(host)
        why = self._why_not(site)
        if why is not None:
            self.refused[why] += 1
            connection.close()
            return
        connection.setblocking(False)
        task = asyncio.create_task(self._begin(connection, site, endpoint_of(host, address[1])))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _why_not(self, site: str) -> str | None:
        """Why nobody is listened to now who comes from an address."""
        if len(self._strangers) + self._beginning.total() >= _MOST_STRANGERS:
            return "too many strangers"
        if [*self._strangers.values()].count(site) + self._beginning[site] >= _MOST_OF_ONE:
            return "too many of one address"
        if len(self.carried) >= _MOST:
            return "too many peers"
        return None if self._may_begin.take(1.0, monotonic()) else "too often"

    async def _begin(self, connection: socket.socket, site: str, remote: Endpoint) -> None:
        assert self._tls is not None  # noqa: S101 - made before it listens
        paces = Pace(self.setup.limits.per_peer), self._total
        pipe = Pipe(partial(self._greeted, remote), self._gone, _SEALED, paces)
        self._beginning[site] += 1
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: pipe, connection, ssl=self._tls[0], ssl_handshake_timeout=_IN_TIME
            )
        except (OSError, ssl.SSLError):
            self.refused["no TLS"] += 1
            connection.close()
            return
        finally:
            self._beginning[site] -= 1
            self._beginning += Counter()  # without those that have none
        if pipe.carry is None and not pipe.transport.is_closing():  # else it has greeted already
            self._strangers[pipe] = site
            asyncio.get_running_loop().call_later(_IN_TIME, self._too_late, pipe)

    def _too_late(self, pipe: Pipe) -> None:
        if pipe in self._strangers:
            self.refused["no greeting"] += 1
            pipe.drop()

    def _greeted(self, remote: Endpoint, pipe: Pipe, sealed: bytes) -> bool:
        """Whether it is a peer: it is answered, and carried from here on."""
        assert self._tls is not None  # noqa: S101 - it came by it
        try:
            found = wire.parse_greeting(self._own.decrypt(sealed))
        except (CryptoError, ValueError):
            found = None
        key = None if found is None else PublicKey(b64encode(found.public_key).decode())
        peer = None if key is None else self._whose(key)
        if found is None or key is None or peer is None:
            self.refused["no peer"] += 1
            return False
        secret = shared_secret(self.setup.private_key, key)
        mac_key = wire.tcp_key(secret)
        if not wire.is_proved(found, mac_key, self._tls[1]):
            self.refused["no proof"] += 1
            return False
        try:
            local = Local(self.setup.wireguard, pipe.send)
        except OSError as error:
            _log.error("a peer can't be carried", peer=peer, why=error.strerror)
            return False
        self._strangers.pop(pipe, None)
        if (before := self.carried.get(peer)) is not None:  # it lost that one, which nobody told us
            before.pipe.drop()
            self._gone(before.pipe)
        echoes = Bucket(_ECHOES, _ECHOES_BURST)
        self.carried[peer] = Carried(key, remote, pipe, local, probe_key(secret), echoes)
        self._of[pipe] = peer
        pipe.carry = local.send
        pipe.send(wire.answer(mac_key, self._tls[1], found.nonce))
        return True

    def _gone(self, pipe: Pipe) -> None:
        self._strangers.pop(pipe, None)
        peer = self._of.pop(pipe, None)
        if peer is not None:
            self.carried.pop(peer).local.close()
            self._left()

    # -- whether UDP is open again ------------------------------------------------------------------------------

    def _probed(self, data: bytes, source: Endpoint, own: str) -> None:
        """Only who is here asks, so nobody else's is looked at. It is answered from the address that was asked."""
        sender = sender_of(data)
        one = None if sender is None else self.carried.get(sender)
        probe = None if one is None else decode(data, one.probe_key)
        if one is None or probe is None or probe.kind != PING or self._probes is None:
            return
        if one.echoes.take(1.0, monotonic()):
            said = Probe(PONG, probe.epoch, COORDINATOR, probe.nonce)
            self._probes.send(Place(source, own), encode(said, one.probe_key))


def _site(host: str) -> str:
    """What counts as one address: of IPv6 everybody has 2^64."""
    return host if ":" not in host else str(ip_network((host, 64), strict=False))


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        both = host == "::" and socket.has_dualstack_ipv6()
        made = socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        by = holder("tcp", port)
        what = f"can't listen on TCP {endpoint_of(host, port)}: {error.strerror}{f' (by {by})' if by else ''}"
        raise DeviceError("port_in_use", what, "stop what holds it, or change [relay] tcp") from error
    made.setblocking(False)
    return made


def _tls() -> tuple[ssl.SSLContext, bytes]:
    """TLS with a certificate that is made for this start alone, and that certificate (DER). Blocks. Raises
    DeviceError."""
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key"), Path(folder, "certificate")
        making = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        making += ["-subj", "/CN=localhost", "-days", "3650", "-keyout", str(key), "-out", str(certificate)]
        try:
            subprocess.run(making, check=True, capture_output=True, timeout=30)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            return context, ssl.PEM_cert_to_DER_cert(certificate.read_text())
        except (OSError, subprocess.SubprocessError, ssl.SSLError) as error:
            what = f"no certificate for TLS can be made: {error}"
            raise DeviceError("relay_failed", what, "it needs openssl(1) (apt install openssl)") from error
