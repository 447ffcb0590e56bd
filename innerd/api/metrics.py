"""`/metrics`: what the coordinator counts and knows, as Prometheus reads it.

Hot paths count in plain numbers; this module makes text of them when somebody asks. What has many series (requests by
route, peers) is written by hand: at 5,000 peers the library would hold the loop for 90 ms.
"""

import asyncio
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import repeat
from pathlib import Path
from time import perf_counter
from typing import Protocol

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from inndns.server import BUCKETS, Counters
from innerd import __version__
from innerd.api.services import Services
from innerd.api.timings import Timings
from innerd.coordinator.feed import Committed, Follower
from innerd.domain.network import EMPTY, Network
from innerd.domain.values import COORDINATOR
from innerd.streaming.sender import MAX_WAITING
from innerd.wire.exposition import head
from innerd.wire.reach import RelayStatus, TcpStatus


class OnDisk(Protocol):
    """A store in a file."""

    path: Path
    busy: int

    def size(self) -> tuple[int, int]:
        """Bytes of the database, and of its write-ahead log."""


class Counted:
    """A follower of the feed whose revision is known: the one that it began with, then those it took in."""

    def __init__(self, follower: Follower, revision: int) -> None:
        self._follower, self.revision = follower, revision

    def follow(self, change: Committed) -> None:
        self._follower(change)
        self.revision = change.after.network.revision


class Metrics:
    """The page of one coordinator: what `services` know, the revision that each follower of the feed has taken in
    (`projections`), how long things take. `dns` is absent where DNS is switched off, `store` where there is none on
    disk."""

    def __init__(
        self,
        services: Services,
        timings: Timings,
        projections: Mapping[str, Callable[[], int]],
        *,
        dns: Counters | None = None,
        per_peer: bool = False,
        store: OnDisk | None = None,
    ) -> None:
        self._services, self._relayed = services, _Relayed()
        self._parts: dict[str, Callable[[], bytes]] = {
            "network": _rendered(_Coordinator(services, projections)),
            "requests": timings.render,
            "process": _once_a_second(_rendered(ProcessCollector(registry=None), GCCollector(CollectorRegistry()))),
        }
        if services.is_serving:
            self._parts["relay"] = _rendered(self._relayed)
        if store is not None:
            self._parts["database"] = _rendered(_Database(store))
        if dns is not None:
            self._parts["dns"] = _rendered(_Dns(dns))
        if per_peer:
            self._parts["peers"] = lambda: _per_peer(services)

    async def page(self) -> bytes:
        """The whole page, in Prometheus' text format; a part at a time, as others have their turns in between."""
        pieces = []
        self._relayed.status = await self._services.relay_status()
        for piece in self.pieces():
            pieces.append(piece)
            await asyncio.sleep(0)
        return b"".join(pieces)

    def render(self) -> bytes:
        """The same at once."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """The page, part by part."""
        took = "innerd_metrics_collect_duration_seconds"
        last = [head(took, "gauge", "Time to collect a part of this page.")]
        for name, part in self._parts.items():
            began = perf_counter()
            yield part()
            last.append(f'{took}{{collector="{name}"}} {perf_counter() - began:.6f}\n')
        yield "".join(last).encode()


def _once_a_second(part: Callable[[], bytes]) -> Callable[[], bytes]:
    """For a part that goes through all files that the process has open: thousands, where many are connected."""
    made, page = float("-inf"), b""

    def kept() -> bytes:
        nonlocal made, page
        if (now := perf_counter()) >= made + 1.0:
            made, page = now, part()
        return page

    return kept


def _rendered(*collectors: Collector) -> Callable[[], bytes]:
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    return lambda: generate_latest(registry)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(family: Metric, label: str, values: dict[str, int]) -> Metric:
    for key in sorted(values):
        family.add_sample(family.name + ("_total" if family.type == "counter" else ""), {label: key}, values[key])
    return family


class _Coordinator(Collector):
    def __init__(self, services: Services, projections: Mapping[str, Callable[[], int]]) -> None:
        self._services, self._projections = services, projections
        self._counted = _Counted(EMPTY)

    def collect(self) -> Iterable[Metric]:
        services = self._services
        writer, hub, network = services.writer, services.hub, services.writer.network
        build = GaugeMetricFamily("innerd_build_info", "The release that runs.", labels=("version", "python"))
        build.add_metric((__version__, platform.python_version()), 1)
        yield build
        yield _gauge("innerd_start_timestamp_seconds", "When the coordinator started.", services.started)
        yield _labelled(
            CounterMetricFamily("innerd_events_appended", "Events appended since the start.", labels=("type",)),
            "type",
            writer.committer.appended,
        )
        yield _gauge("innerd_event_log_last_sequence", "The newest event of the log.", network.revision)
        yield _gauge("innerd_event_log_generation", "The log's generation: restores raise it.", network.generation)
        yield from self._troubles()
        yield _labelled(
            CounterMetricFamily(
                "innerd_projection_errors", "Followers that failed on an event.", labels=("projection",)
            ),
            "projection",
            writer.feed.errors,
        )
        yield _labelled(
            GaugeMetricFamily(
                "innerd_projection_last_sequence", "The newest event taken in by a follower.", labels=("projection",)
            ),
            "projection",
            {name: revision() for name, revision in self._projections.items()},
        )
        yield _gauge("innerd_stream_subscribers", "Open event streams.", len(hub.streams.by_peer))
        waiting = sum(stream.pipe.waiting() for stream in hub.streams.by_peer.values())
        yield _gauge("innerd_stream_queue_bytes", "Bytes that wait for stream readers.", waiting)
        yield _gauge(
            "innerd_stream_queue_limit_bytes",
            "Bytes at which a reader gets no more frames.",
            MAX_WAITING,
        )
        yield _labelled(
            CounterMetricFamily("innerd_stream_disconnects", "Streams that ended.", labels=("reason",)),
            "reason",
            hub.streams.ended,
        )
        yield from self._peers()
        yield CounterMetricFamily(
            "innerd_wireguard_device_errors", "Failures to bring the device in step.", value=services.device_errors()
        )

    def _troubles(self) -> Iterator[Metric]:
        kinds, hub = Counter(trouble.kind for trouble in self._services.troubles()), self._services.hub
        yield _gauge("innerd_log_failing", "1 while the log can't be written: nothing can be changed.", "log" in kinds)
        yield _gauge("innerd_device_failing", "1 while the WireGuard device can't be changed.", "device" in kinds)
        yield _gauge("innerd_clock_doubted", "1 while the clock was set and is not believed.", "clock" in kinds)
        yield _gauge("innerd_dns_failing", "1 while names are not answered, as they should be.", "dns" in kinds)
        yield _gauge("innerd_relay_failing", "1 while nothing is relayed, though it should be.", "relay" in kinds)
        yield _gauge("innerd_hosts_failing", "1 while the hosts file can't be written.", "hosts" in kinds)
        yield _gauge("innerd_keys_shared", "Peers whose key is on two machines, as it looks.", kinds["twins"])
        behind = len(self._services.convergence.behind())
        yield _gauge("innerd_peers_behind", "Peers with a stream that have not applied all they were to.", behind)
        yield _gauge("innerd_peers_ahead", "Peers that saw more of the log than there is.", len(hub.ahead.cursors))
        yield CounterMetricFamily(
            "innerd_streams_ahead", "Streams opened with a cursor behind the log's end.", value=hub.ahead.count
        )

    def _peers(self) -> Iterator[Metric]:
        view, now = self._services.writer.view, self._services.clock()
        if self._counted.network is not view.network:
            self._counted = _Counted(view.network)
        counted, network = self._counted, view.network
        active = sum(len(held) for held in view.members.values())
        peers = {
            "active": active,
            "invited": len(counted.expiries),
            "disabled": counted.disabled,
            "retired": len(network.retired),
        }
        is_online = self._services.presence.is_online
        online = sum(sum(map(is_online, held, repeat(now))) for held in view.members.values())
        yield _labelled(GaugeMetricFamily("innerd_peers", "Peers by state.", labels=("state",)), "state", peers)
        yield _gauge("innerd_peers_online", "Active peers with a stream or a handshake within 3 minutes.", online)
        others = (number for held in view.members.values() for number in held if number != COORDINATOR)
        yield _labelled(
            GaugeMetricFamily("innerd_peers_running", "Active peers by what they run.", labels=("software",)),
            "software",
            self._services.presence.releases(others),
        )
        yield _gauge("innerd_cidrs", "CIDRs.", len(network.cidrs))
        yield _gauge("innerd_associations", "Associations.", len(network.associations))
        expired = sum(expiry is not None and expiry <= now for expiry in counted.unredeemed)
        yield _labelled(
            GaugeMetricFamily("innerd_invitations", "Invitations not redeemed.", labels=("state",)),
            "state",
            {"open": len(counted.unredeemed) - expired, "expired": expired},
        )


class _Counted:
    """What is counted of a network once, and holds until it is another one."""

    def __init__(self, network: Network) -> None:
        self.network = network
        waiting = [peer for peer in network.peers.values() if not peer.is_active]
        self.disabled = sum(peer.is_disabled for peer in waiting)
        self.expiries = [peer.invite_expires for peer in waiting if not peer.is_disabled]
        self.unredeemed = [peer.invite_expires for peer in waiting if not peer.is_redeemed]


class _Database(Collector):
    def __init__(self, store: OnDisk) -> None:
        self._store, self._path = store, store.path

    def collect(self) -> Iterable[Metric]:
        size, wal = self._store.size()
        yield _gauge("innerd_sqlite_database_bytes", "Size of the database.", size)
        yield _gauge("innerd_sqlite_wal_bytes", "Size of its write-ahead log.", wal)
        yield CounterMetricFamily(
            "innerd_sqlite_busy", "Commits that another program's lock kept out.", value=self._store.busy
        )
        # With a write-ahead log nothing else writes to the file itself.
        checkpointed = self._path.stat().st_mtime
        yield _gauge(
            "innerd_sqlite_last_checkpoint_timestamp_seconds",
            "When the write-ahead log was last brought into the database.",
            checkpointed,
        )
        disk = os.statvfs(self._path)
        yield _gauge(
            "innerd_sqlite_disk_free_bytes", "Room on the database's file system.", disk.f_bavail * disk.f_frsize
        )


class _Relayed(Collector):
    """`status`: as it is at this scrape."""

    status: RelayStatus | None = None

    def collect(self) -> Iterator[Metric]:
        found = self.status or RelayStatus(mode="off")
        modes = {mode: int(found.mode == mode) for mode in ("kernel", "userspace", "off")}
        mode = GaugeMetricFamily("innerd_relay_mode", "1 for how this coordinator relays.", labels=("mode",))
        yield _labelled(mode, "mode", modes)
        yield _gauge("innerd_relay_pairs", "Pairs of peers that are relayed.", found.pairs)
        for name, text, value in (
            ("bytes", "Bytes that were relayed.", found.bytes),
            ("packets", "Packets that were relayed.", found.packets),
            ("held_packets", "Packets above a limit, which were dropped.", found.held),
            ("handshakes", "Handshakes that were sent on.", found.handshakes),
            ("refused_handshakes", "Handshakes that were not sent on.", found.refused),
            ("repairs", "Times that the relay's table was taken away, and made anew.", found.repairs),
        ):
            yield CounterMetricFamily(f"innerd_relay_{name}", text, value=value)
        tcp = found.tcp or TcpStatus(at="")
        yield _gauge("innerd_relay_tcp_peers", "Peers that are here by TCP.", len(tcp.peers))
        text = "Connections by TCP that were turned away."
        yield CounterMetricFamily("innerd_relay_tcp_refused", text, value=tcp.refused)


class _Dns(Collector):
    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def collect(self) -> Iterable[Metric]:
        counters = self._counters
        responses = CounterMetricFamily(
            "innerd_dns_responses", "Answers given.", labels=("transport", "qtype", "rcode")
        )
        for key in sorted(counters.responses):
            responses.add_metric(key, counters.responses[key])
        yield responses
        yield _labelled(
            CounterMetricFamily("innerd_dns_dropped", "Packets without an answer.", labels=("reason",)),
            "reason",
            counters.dropped,
        )
        total, buckets = 0, []
        for edge, count in zip((*map(str, BUCKETS), "+Inf"), counters.durations, strict=True):
            total += count
            buckets.append((edge, float(total)))
        yield HistogramMetricFamily(
            "innerd_dns_response_duration_seconds",
            "Time to answer a question.",
            buckets=buckets,
            sum_value=counters.seconds,
        )


_PER_PEER = (
    ("innerd_wireguard_peer_info", "gauge", "The CIDR of a peer."),
    ("innerd_wireguard_peer_received_bytes_total", "counter", "Bytes that the coordinator received from a peer."),
    ("innerd_wireguard_peer_sent_bytes_total", "counter", "Bytes that the coordinator sent to a peer."),
    ("innerd_wireguard_peer_last_handshake_timestamp_seconds", "gauge", "The last handshake; absent if none was."),
)


def _per_peer(services: Services) -> bytes:
    """Four families of a series each. Of every line only what differs is made here; `join` does the rest."""
    view, observed = services.writer.view, services.presence.observed
    infos: list[str] = []
    received: list[str] = []
    sent: list[str] = []
    shaken: list[str] = []
    for class_, held in view.members.items():
        cidr = view.network.cidrs[class_].name
        for number, peer in held.items():
            if number == COORDINATOR:
                continue
            name = peer.name
            infos.append(f'{name}",cidr="{cidr}"}} 1\n')
            seen = observed.get(number)
            if seen is None:
                continue
            received.append(f'{name}"}} {seen.rx_bytes}\n')
            sent.append(f'{name}"}} {seen.tx_bytes}\n')
            if seen.handshake is not None:
                shaken.append(f'{name}"}} {seen.handshake:.3f}\n')
    page = ""
    for (family, kind, text), lines in zip(_PER_PEER, (infos, received, sent, shaken), strict=True):
        if lines:
            begin = f'{family}{{peer="'
            page += f"{head(family, kind, text)}{begin}{begin.join(lines)}"
    return page.encode()
