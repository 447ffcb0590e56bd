"""`[agent] metrics-listen`: what the agent of an interface knows, as Prometheus reads it, on an address of this host.

`GET /metrics`, and nothing else. The page is made when somebody asks, in slices, so that thousands of peers don't hold
the loop; and whoever asks slowly, or reads slowly, takes one of a few places and nothing more. Metrics must not keep
tunnels from being up: where the address can't be had, that is said, and tried again.
"""

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import structlog

from innclient.agent.session import Session
from innclient.config import listen_address
from innclient.core.netmap import KnownPeer
from innclient.core.trials import is_silent
from innerd import __version__
from innerd.domain.values import endpoint_of
from innerd.wire.exposition import family, labels
from innerd.wire.pages import why_refused
from innerd.wireguard.device import Device, DeviceError, DevicePeer

_log = structlog.get_logger("agent")

_AGAIN = 5.0  # seconds until an address that can't be had is tried again
_REQUEST, _ANSWER = 2.0, 10.0  # seconds for the head of a request, and for taking the page
_HEAD = 8 * 1024  # bytes
_MOST = 16  # connections
_SLICE = 250  # peers between two looks at what else is to do
_PATHS = ("lan", "direct", "punched", "relayed", "tcp", "none")
_FOUND = "200 OK"
_PLACE = resource.getpagesize()


async def export(session: Session) -> None:
    """Serve the page until cancelled, where the config asks for it."""
    where = session.loaded.config.agent.metrics_listen
    if where is None:
        return
    exporter = _Exporter(session, per_peer=session.loaded.config.agent.metrics_per_peer)
    try:
        await exporter.listen(where)
        await asyncio.Event().wait()
    finally:
        exporter.close()


class _Exporter:
    def __init__(self, session: Session, *, per_peer: bool) -> None:
        self._session, self._per_peer = session, per_peer
        self._where = ""
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._rendering = asyncio.Lock()  # one page at a time

    async def listen(self, where: str) -> None:
        host, port = listen_address(where)
        self._where = endpoint_of(host, port)
        is_said = False
        while self._server is None:
            try:
                self._server = await asyncio.start_server(self._connected, host, port, limit=_HEAD)
            except OSError as error:
                if not is_said:
                    _log.warning("metrics are not served", address=where, why=error.strerror)
                    is_said = True
                await asyncio.sleep(_AGAIN)
        if ip_address(host).is_loopback:
            _log.info("metrics are served", address=where)
        else:
            _log.warning("metrics are served beyond this host: to whoever reaches the address", address=where)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= _MOST:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            async with asyncio.timeout(_REQUEST):
                head = await reader.readuntil(b"\r\n\r\n")
            status = _verdict(head, self._where)
            body = await self._page() if status == _FOUND else b""
            writer.transport.set_write_buffer_limits(0)  # so that drain waits for all of it
            async with asyncio.timeout(_ANSWER):
                writer.write(_answer(status, body))
                await writer.drain()
            writer.close()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            writer.transport.abort()  # gone, too slow, or no client of ours
        finally:
            self._open.discard(writer)

    async def _page(self) -> bytes:
        async with self._rendering:
            return "".join([part async for part in _families(self._session, per_peer=self._per_peer)]).encode()


def _verdict(head: bytes, where: str) -> str:
    """The status of an answer to a request with this head, on a socket that listens at `where`."""
    line, *lines = head.decode("latin-1").split("\r\n")
    fields = ((name.strip(), value) for name, _, value in (line.partition(":") for line in lines))
    if why_refused(fields, where) is not None:
        return "403 Forbidden"
    method, _, rest = line.partition(" ")
    is_found = method == "GET" and rest.partition(" ")[0] == "/metrics"
    return _FOUND if is_found else "404 Not Found"


def _answer(status: str, body: bytes) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
        f"X-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body


# -- the page -------------------------------------------------------------------------------------------------------


def _gauge(name: str, text: str, value: float | None) -> str:
    return family(name, "gauge", text, () if value is None else [("", value)])


async def _families(session: Session, *, per_peer: bool) -> AsyncIterator[str]:
    yield _about(session)
    yield _state(session)
    device = Device()
    with contextlib.suppress(DeviceError):  # it is being made anew
        device = await asyncio.to_thread(session.tunnel.get)
    async for part in _peers(session, device, per_peer=per_peer):
        yield part
    yield _names(session)
    yield _process()


def _about(session: Session) -> str:
    me, netmap = session.netmap.peers.get(session.netmap.me), session.netmap
    python = ".".join(map(str, sys.version_info[:3]))
    whose = labels(interface=session.paths.interface, network=netmap.network, peer="" if me is None else me.name)
    return family(
        "inn_build_info", "gauge", "The release that runs.", [(labels(version=__version__, python=python), 1)]
    ) + family("inn_network_info", "gauge", "Whose agent this is.", [(whose, 1)])


def _state(session: Session) -> str:
    heard, link = session.last_heard, session.agent.connection
    gauges = (
        ("inn_revision", "The log's revision that this peer was told.", session.netmap.revision),
        ("inn_applied_revision", "The revision that the device is known to match.", session.applied),
        (
            "inn_connected",
            "1 while there is a stream of the coordinator.",
            int(session.is_connected),
        ),
        ("inn_last_contact_timestamp_seconds", "When the coordinator was last heard; absent if never.", heard),
        ("inn_trust_broken", "Peers whose key is another than the pinned one.", len(session.pins.broken)),
        (
            "inn_log_forked",
            "1 if the coordinator's log is another than was seen.",
            int(link.forked is not None),
        ),
        ("inn_device_failing", "1 while the device can't be changed.", int(session.agent.change.error is not None)),
        ("inn_disk_failing", "1 while what is known can't be written.", int(_is_unwritten(session))),
    )
    repairs = "Times that the device was changed by somebody else, and put right."
    return "".join(_gauge(name, text, value) for name, text, value in gauges) + family(
        "inn_device_repairs_total", "counter", repairs, [("", session.agent.change.repairs)]
    )


def _is_unwritten(session: Session) -> bool:
    return session.unwritten is not None


async def _peers(session: Session, device: Device, *, per_peer: bool) -> AsyncIterator[str]:
    """How many peers are reached by which kind of way, and where it is asked for, each peer."""
    now, paths, each = time.time(), dict.fromkeys(_PATHS, 0), _EachPeer()
    believed = [peer for peer in session.membership.believed() if peer.id != session.netmap.me]
    for number, peer in enumerate(believed):
        if number % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
        entry = device.peers.get(peer.public_key)
        endpoint = None if entry is None or is_silent(entry, now) else entry.endpoint
        kind = session.peer_paths.kind(peer.id, endpoint)
        paths[kind] = paths.get(kind, 0) + 1
        if per_peer and entry is not None:
            each.add(peer, entry)
    samples = [(labels(path=kind), count) for kind, count in paths.items()]
    yield family("inn_peers", "gauge", "Visible peers, by the kind of way to them.", samples)
    presence = session.membership.presence
    online = sum(peer.id in presence and presence[peer.id].online for peer in believed)
    yield _gauge("inn_peers_online", "Visible peers that the coordinator calls online.", online)
    yield each.text()


class _EachPeer:
    """The families that have a series for each peer."""

    def __init__(self) -> None:
        self._received: list[tuple[str, float]] = []
        self._sent: list[tuple[str, float]] = []
        self._shaken: list[tuple[str, float]] = []

    def add(self, peer: KnownPeer, entry: DevicePeer) -> None:
        whose = labels(peer=peer.name)
        self._received.append((whose, entry.rx_bytes))
        self._sent.append((whose, entry.tx_bytes))
        if entry.last_handshake is not None:
            self._shaken.append((whose, entry.last_handshake))

    def text(self) -> str:
        received, sent = "inn_peer_received_bytes_total", "inn_peer_sent_bytes_total"
        return (
            family(received, "counter", "Bytes received from a peer.", self._received)
            + family(sent, "counter", "Bytes sent to a peer.", self._sent)
            + family(
                "inn_peer_last_handshake_timestamp_seconds",
                "gauge",
                "The last handshake with a peer; absent if none was.",
                self._shaken,
            )
        )


def _names(session: Session) -> str:
    """What the stub answered; nothing where names are not answered on this host."""
    counters = session.names.stub.counters
    if counters is None:
        return ""
    responses = [
        (labels(transport=transport, qtype=qtype, rcode=rcode), count)
        for (transport, qtype, rcode), count in sorted(counters.responses.items())
    ]
    dropped = [(labels(reason=reason), count) for reason, count in sorted(counters.dropped.items())]
    return family("inn_dns_responses_total", "counter", "Answers given on this host.", responses) + family(
        "inn_dns_dropped_total", "counter", "Packets without an answer.", dropped
    )


def _process() -> str:
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PLACE
    return family(
        "process_cpu_seconds_total", "counter", "CPU time of the agent.", [("", round(time.process_time(), 3))]
    ) + _gauge("process_resident_memory_bytes", "Memory of the agent.", resident)
