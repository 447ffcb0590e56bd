"""`/metrics`: what the coordinator counts and knows, as Prometheus reads it.

Hot paths count in plain numbers; this module makes families of them when somebody asks. The per-peer series are
written by hand: at 5,000 peers the library would hold the loop for 90 ms.
"""

import platform
from collections.abc import Iterable, Iterator
from time import perf_counter

from prometheus_client import CollectorRegistry, GCCollector, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from inndns.server import BUCKETS, Counters
from innerd import __version__
from innerd.api.services import Services
from innerd.api.telling import MAX_WAITING
from innerd.domain.network import COORDINATOR

_HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0)
_COMMIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)


class Metrics:
    """The registry of one coordinator. `dns` is absent where DNS is switched off."""

    def __init__(self, services: Services, dns: Counters | None, *, per_peer: bool) -> None:
        self._services = services
        self._per_peer = per_peer
        self._registry = CollectorRegistry()
        self._http = Histogram(
            "innerd_http_request_duration_seconds",
            "Time to answer a request, by route template.",
            ("route", "method", "code"),
            buckets=_HTTP_BUCKETS,
            registry=self._registry,
        )
        self._append = Histogram(
            "innerd_event_append_duration_seconds",
            "Time of one commit of the log, however many commands it holds.",
            buckets=_COMMIT_BUCKETS,
            registry=self._registry,
        )
        self._children: dict[tuple[str, str, int], Histogram] = {}
        self._registry.register(_Coordinator(services))
        if dns is not None:
            self._registry.register(_Dns(dns))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def observe_request(self, route: str, method: str, code: int, seconds: float) -> None:
        key = (route, method, code)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._http.labels(*map(str, key))
        child.observe(seconds)

    def observe_commit(self, seconds: float) -> None:
        self._append.observe(seconds)

    def render(self) -> bytes:
        """The whole page, in Prometheus' text format."""
        began = perf_counter()
        page = generate_latest(self._registry)
        peers = "".join(_per_peer(self._services)).encode() if self._per_peer else b""
        last = (
            "# HELP innerd_metrics_collect_duration_seconds Time to collect this page.\n"
            "# TYPE innerd_metrics_collect_duration_seconds gauge\n"
            f'innerd_metrics_collect_duration_seconds{{collector="all"}} {perf_counter() - began:.6f}\n'
        )
        return page + peers + last.encode()


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(family: Metric, label: str, values: dict[str, int]) -> Metric:
    for key in sorted(values):
        family.add_sample(family.name + ("_total" if family.type == "counter" else ""), {label: key}, values[key])
    return family


class _Coordinator(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services

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
            writer.appended,
        )
        yield _gauge("innerd_event_log_last_sequence", "The newest event of the log.", network.revision)
        yield _gauge("innerd_event_log_generation", "The log's generation: restores raise it.", network.generation)
        yield _labelled(
            CounterMetricFamily(
                "innerd_projection_errors", "Followers that failed on an event.", labels=("projection",)
            ),
            "projection",
            writer.feed.errors,
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
        size, wal = services.store_size()
        yield _gauge("innerd_sqlite_database_bytes", "Size of the database.", size)
        yield _gauge("innerd_sqlite_wal_bytes", "Size of its write-ahead log.", wal)

    def _peers(self) -> Iterator[Metric]:
        network, now = self._services.writer.network, self._services.clock()
        peers = {"active": 0, "invited": 0, "disabled": 0}
        online = 0
        for peer in network.peers.values():
            state = "disabled" if peer.is_disabled else "active" if peer.is_redeemed else "invited"
            peers[state] += 1
            online += peer.is_active and self._services.presence.is_online(peer.id, now)
        peers["retired"] = len(network.retired)
        yield _labelled(GaugeMetricFamily("innerd_peers", "Peers by state.", labels=("state",)), "state", peers)
        yield _gauge("innerd_peers_online", "Active peers with a stream or a handshake within 3 minutes.", online)
        yield _gauge("innerd_cidrs", "CIDRs.", len(network.cidrs))
        yield _gauge("innerd_associations", "Associations.", len(network.associations))
        invitations = {"open": 0, "expired": 0}
        for peer in network.peers.values():
            if not peer.is_redeemed:
                invitations[
                    "expired" if peer.invite_expires is not None and peer.invite_expires <= now else "open"
                ] += 1
        yield _labelled(
            GaugeMetricFamily("innerd_invitations", "Invitations not redeemed.", labels=("state",)),
            "state",
            invitations,
        )


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


def _per_peer(services: Services) -> Iterator[str]:
    view, observed = services.writer.view, services.presence.observed
    lines: tuple[list[str], ...] = ([], [], [], [])
    for peer in view.network.peers.values():
        if not peer.is_active or peer.id == COORDINATOR:
            continue
        cidr = view.network.cidrs[view.class_of(peer)].name
        lines[0].append(f'innerd_wireguard_peer_info{{peer="{peer.name}",cidr="{cidr}"}} 1\n')
        seen = observed.get(peer.id)
        if seen is None:
            continue
        lines[1].append(f'innerd_wireguard_peer_received_bytes_total{{peer="{peer.name}"}} {seen.rx_bytes}\n')
        lines[2].append(f'innerd_wireguard_peer_sent_bytes_total{{peer="{peer.name}"}} {seen.tx_bytes}\n')
        if seen.handshake is not None:
            name = "innerd_wireguard_peer_last_handshake_timestamp_seconds"
            lines[3].append(f'{name}{{peer="{peer.name}"}} {seen.handshake:.3f}\n')
    for (name, kind, text), family in zip(_PER_PEER, lines, strict=True):
        if family:
            yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
            yield "".join(family)
