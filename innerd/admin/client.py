"""The coordinator as a client reaches it: through the tunnel and no other way, with the proof of the peer's key, and
with bounds on what is read of it.

An address says nothing about a path: whoever has the coordinator's inner address on some LAN of this host would be
spoken with. So every connection is bound to the interface (SO_BINDTODEVICE), which WireGuard authenticates.
"""

import asyncio
import contextlib
import errno
import random
import secrets
import socket
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore2
import httpx2
import msgspec

from innerd import __version__
from innerd.admin.invitation import Parsed
from innerd.domain.errors import plainly
from innerd.domain.unreadable import UNREADABLE
from innerd.domain.values import PublicKey, endpoint_of
from innerd.wire import proof
from innerd.wire.caller import OURS
from innerd.wire.ours import Capabilities
from innerd.wireguard.keys import shared_secret

SERVER_KEY = "X-Innernet-Server-Key"
ENDLESS = {"endless": True}  # extensions of a request whose answer goes on and on

_MOST_BYTES = 64 << 20  # of an answer: the whole network of 65,000 peers has half of that
_MOST_SECONDS = 60.0  # for all of an answer, once its head is there
_CAPABILITIES = b"/v1/user/capabilities"
_LOW_PORTS = range(600, 1024)  # of them, only root may send
_TRIES = 8


class Problem(msgspec.Struct):
    """What the coordinator says when it refuses (RFC 9457)."""

    title: str = ""
    code: str = ""
    hint: str | None = None


def problem_of(response: httpx2.Response) -> Problem:
    """Of an answer that was read; without a code where there is nothing to be read in it."""
    try:
        return msgspec.json.decode(response.content, type=Problem)
    except UNREADABLE:
        return Problem(f"the coordinator answered {response.status_code}")


def unheard(error: BaseException) -> str:
    """Why nothing was heard of the coordinator, as people say it."""
    match error:
        case httpx2.ConnectTimeout():
            return "nobody answered the attempt to connect"
        case httpx2.TimeoutException() | TimeoutError():
            return "no answer came in time"
        case httpx2.ConnectError():
            return _of_system(error) or plainly(error)
        case httpx2.ReadError() | httpx2.WriteError() | httpx2.RemoteProtocolError():
            why = _of_system(error) or plainly(error)
            return f"the connection broke off: {why}"
    return plainly(error)


def _of_system(error: BaseException) -> str | None:
    """The operating system's own word, however often it was wrapped."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror and found.errno:
            return found.strerror
        if isinstance(found, BaseExceptionGroup):
            return next(filter(None, map(_of_system, found.exceptions)), None)
        found = found.__cause__ or found.__context__
    return None


class Proof(httpx2.Auth):
    """Proves of each request that who sends it holds the peer's private key. The network's id, which the proof binds,
    is asked for where it is not known yet; the coordinator's clock is learned from its answers."""

    requires_request_body = True

    def __init__(self, private_key: str, server_key: PublicKey, network_id: str = "") -> None:
        self._secret = shared_secret(private_key, server_key)
        self._key = proof.derive_key(self._secret, network_id) if network_id else None
        self._ahead = 0.0  # the coordinator's clock less ours, seconds

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        if self._key is None:
            url = request.url.copy_with(raw_path=_CAPABILITIES)
            asked = httpx2.Request("GET", url, headers={SERVER_KEY: request.headers.get(SERVER_KEY, "")})
            response = yield asked
            await response.aread()
            self._introduce(response)
        for _ in range(2):
            if self._key is not None:
                request.headers[proof.HEADER] = self._header(self._key, request)
            response = yield request
            if not self._learn(response.headers.get("date")) or response.status_code != 401:
                return
            await response.aread()
            if problem_of(response).code != "proof_invalid":
                return

    def _introduce(self, response: httpx2.Response) -> None:
        """Where that is refused, or can't be read, the request goes without a proof: the answer to it says why."""
        if response.status_code != 200:
            return
        with contextlib.suppress(*UNREADABLE, ValueError):
            told = msgspec.json.decode(response.content, type=Capabilities)
            self._key = proof.derive_key(self._secret, told.network_id)
            self._learn(response.headers.get("date"))

    def _learn(self, date: str | None) -> bool:
        """Take the coordinator's time from an answer; whether ours was so far off that a proof may have failed."""
        if date is None:
            return False
        try:
            ahead = parsedate_to_datetime(date).timestamp() + 0.5 - time.time()  # it tells whole seconds
        except ValueError:
            return False
        was, self._ahead = self._ahead, ahead
        return abs(ahead - was) > 1.5

    def _header(self, key: bytes, request: httpx2.Request) -> str:
        bound = proof.Request(
            method=request.method,
            target=request.url.raw_path.decode("ascii"),
            host=request.headers["host"],
            body=request.content,
            if_match=request.headers.get("if-match", ""),
            idempotency_key=request.headers.get("idempotency-key", ""),
        )
        return proof.prove(key, bound, int(time.time() + self._ahead), secrets.token_hex(12))


def no_certificates() -> ssl.SSLContext:
    """For clients that speak plain HTTP, where nobody can listen in: it trusts no host. To load the certificates of all
    that this machine trusts would take longer than most commands."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client_of(
    values: Parsed,
    link: str,
    auth: Proof | None = None,
    *,
    timeout: httpx2.Timeout,
    options: Iterable[tuple[int, int, int]] = (),
) -> "TunnelClient":
    """Requests to the coordinator over a link (the interface), never through a proxy. `options` are of its sockets."""
    return TunnelClient(
        _Tunnelled(_Bound(link, str(values.address.ip), tuple(options))),
        base_url=f"http://{endpoint_of(str(values.internal_address), values.internal_port)}",
        headers={
            SERVER_KEY: values.server_key,
            "Accept-Encoding": "identity",
            "User-Agent": f"{OURS}/{__version__}",
        },
        auth=auth,
        timeout=timeout,
        trust_env=False,
    )


class TunnelClient(httpx2.AsyncClient):
    """Requests through the tunnel."""

    def __init__(self, tunnelled: "_Tunnelled", **settings: Any) -> None:
        super().__init__(transport=tunnelled, **settings)
        self._tunnelled = tunnelled

    async def begin_anew(self) -> None:
        """Give up all connections: what is asked from now on takes new ones."""
        await self._tunnelled.begin_anew()


class _Tunnelled(httpx2.AsyncHTTPTransport):
    """HTTP over sockets that are ours, whose answers have an end."""

    def __init__(self, backend: "_Bound") -> None:
        super().__init__(verify=no_certificates(), trust_env=False)
        self._backend = backend
        self._pool = httpcore2.AsyncConnectionPool(network_backend=backend)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.RemoteProtocolError("the answer is encoded in a way that was not asked for")
        if not request.extensions.get("endless"):
            response.stream = _Ending(response.stream)
        return response

    async def begin_anew(self) -> None:
        await self._pool.aclose()

    async def aclose(self) -> None:
        await super().aclose()
        for stream in list(self._backend.streams):  # that connected when the pool did not wait for them any more
            await stream.aclose()


class _Ending(httpx2.AsyncByteStream):
    """A body that is given up where it grows beyond all measure, or drips."""

    def __init__(self, body: Any) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left, deadline = _MOST_BYTES, time.monotonic() + _MOST_SECONDS
        async for part in self._body:
            left -= len(part)
            if left < 0:
                raise httpx2.ReadError(f"the answer has more than {_MOST_BYTES} bytes")
            if time.monotonic() > deadline:
                raise httpx2.ReadTimeout(f"the answer took more than {_MOST_SECONDS:.0f} s")
            yield part

    async def aclose(self) -> None:
        await self._body.aclose()


class _Bound(httpcore2.AsyncNetworkBackend):
    """Connections over one link, from one address."""

    def __init__(self, link: str, source: str, options: tuple[tuple[int, int, int], ...]) -> None:
        self.streams: set[_Stream] = set()  # that are open
        self._link, self._source, self._options = link, source, options

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None, *_: Any, **__: Any
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                connected = await self._connected(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("no answer to the attempt to connect") from error
        except OSError as error:
            raise httpcore2.ConnectError(f"{host} port {port}: {error.strerror or error}") from error
        stream = _Stream(connected, self.streams.discard)
        self.streams.add(stream)
        return stream

    async def _connected(self, host: str, port: int) -> socket.socket:
        """From a port that only root has: the coordinator keeps room for root, whatever others of this host do."""
        for low in (*random.sample(_LOW_PORTS, _TRIES), 0):
            made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            try:
                made.setblocking(False)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._link.encode() + b"\0")
                for option in self._options:
                    made.setsockopt(*option)
                made.bind((self._source, low))
                await asyncio.get_running_loop().sock_connect(made, (host, port))
            except BaseException as error:
                made.close()
                if low and isinstance(error, OSError) and error.errno in _PORT_REFUSED:
                    continue
                raise
            return made
        raise AssertionError("the last port is any that is free")


_PORT_REFUSED = (errno.EADDRINUSE, errno.EACCES, errno.EPERM)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, connected: socket.socket, closed: "Callable[[_Stream], None]") -> None:
        self._socket, self._closed = connected, closed

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.get_running_loop().sock_recv(self._socket, max_bytes)
        except TimeoutError as error:
            raise httpcore2.ReadTimeout("nothing came") from error
        except OSError as error:
            raise httpcore2.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            async with asyncio.timeout(timeout):
                await asyncio.get_running_loop().sock_sendall(self._socket, buffer)
        except TimeoutError as error:
            raise httpcore2.WriteTimeout("nothing was taken") from error
        except OSError as error:
            raise httpcore2.WriteError(str(error)) from error

    async def aclose(self) -> None:
        """Whoever still reads it forgets it now: the loop goes by the number of a file, which is another's soon."""
        loop = asyncio.get_running_loop()
        if self._socket.fileno() >= 0:
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
        self._socket.close()
        self._closed(self)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # the pool asks of an idle connection: then the other side has closed it
            return self._socket.fileno() < 0 or bool(_readable(self._socket))
        return self._socket if info == "socket" else None


def _readable(connected: socket.socket) -> bool:
    try:
        connected.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
