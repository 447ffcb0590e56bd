"""Writes the Grafana dashboards: `python deploy/grafana/generate.py [FOLDER]`, by default into `dashboards/` beside it.

The JSON is committed, and a test compares it with what this makes. Plain dicts of Grafana 10's schema, which later ones
read too. No expression names a span of time by hand: `$__rate_interval` fits the scrape interval, whatever it is.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Json = dict[str, Any]

HERE = Path(__file__).parent
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24  # of Grafana's grid
OF = '{job="$job",instance="$instance"}'  # the coordinator that was chosen
AGENT = 'on (instance) inn_network_info{job="$agents",peer="$peer"}'  # the agent of the peer that was chosen


def of(**labels: str) -> str:
    """The chosen coordinator's series with further labels, each given as it is matched: `=~"5.."`."""
    return OF[:-1] + "".join(f",{label}{match}" for label, match in labels.items()) + "}"


class Board:
    """A dashboard under construction: panels fall into place from left to right, row by row."""

    def __init__(self, name: str, title: str, description: str) -> None:
        self.name, self.title, self.description = name, title, description
        self.panels: list[Json] = []
        self.variables: list[Json] = [_source()]
        self._x = self._y = self._height = 0

    def variable(self, name: str, label: str, query: str) -> None:
        self.variables.append(_variable(name, label, query))

    def row(self, title: str) -> None:
        self._break()
        self._add({"type": "row", "title": title, "collapsed": False, "panels": []}, WIDTH, 1)
        self._break()

    def stat(self, title: str, expr: str, description: str, unit: str = "none", **options: Any) -> None:
        defaults: Json = {"unit": unit, "thresholds": _thresholds(options.pop("bad", None), options.pop("low", None))}
        if "words" in options:
            defaults["mappings"] = [{"type": "value", "options": _words(options.pop("words"))}]
        panel = self._panel("stat", title, description, [(expr, "")], defaults)
        panel["targets"][0]["instant"] = True
        panel["options"] = {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "none",
        }
        self._add(panel, options.get("width", 4), 4)

    def graph(
        self, title: str, targets: Iterable[tuple[str, str]], description: str, unit: str = "none", **options: Any
    ) -> None:
        """Lines over time; each target with the legend of its lines."""
        custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
        if options.get("stacked"):
            custom["stacking"] = {"mode": "normal", "group": "A"}
        panel = self._panel("timeseries", title, description, list(targets), {"unit": unit, "min": 0, "custom": custom})
        panel["options"] = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
        self._add(panel, options.get("width", 8), 8)

    def table(self, title: str, expr: str, description: str, unit: str, hidden: Iterable[str]) -> None:
        panel = self._panel("table", title, description, [(expr, "")], {"unit": unit})
        panel["targets"][0] |= {"instant": True, "format": "table"}
        panel["options"] = {"showHeader": True, "sortBy": [{"displayName": "Value", "desc": True}]}
        excluded = dict.fromkeys(("Time", *hidden), True)
        panel["transformations"] = [{"id": "organize", "options": {"excludeByName": excluded}}]
        self._add(panel, 8, 8)

    def _panel(self, kind: str, title: str, description: str, targets: list[tuple[str, str]], defaults: Json) -> Json:
        return {
            "type": kind,
            "title": title,
            "description": description,
            "datasource": SOURCE,
            "targets": [
                {"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": expr, "legendFormat": legend or "__auto"}
                for n, (expr, legend) in enumerate(targets)
            ],
            "fieldConfig": {"defaults": defaults, "overrides": []},
        }

    def _add(self, panel: Json, width: int, height: int) -> None:
        if self._x + width > WIDTH:
            self._break()
        panel["id"] = len(self.panels) + 1
        panel["gridPos"] = {"x": self._x, "y": self._y, "w": width, "h": height}
        self.panels.append(panel)
        self._x, self._height = self._x + width, max(self._height, height)

    def _break(self) -> None:
        self._x, self._y, self._height = 0, self._y + self._height, 0

    def json(self) -> str:
        document = {
            "id": None,
            "uid": f"innerd-{self.name}",
            "title": self.title,
            "description": self.description,
            "tags": ["innerd"],
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "schemaVersion": 39,
            "time": {"from": "now-6h", "to": "now"},
            "timezone": "browser",
            "links": [{"type": "dashboards", "tags": ["innerd"], "title": "innerd", "asDropdown": False}],
            "templating": {"list": self.variables},
            "panels": self.panels,
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _source() -> Json:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }


def _thresholds(bad: float | None, low: float | None) -> Json:
    """Red from `bad` on, or below `low`."""
    if low is not None:
        steps: list[Json] = [{"color": "red", "value": None}, {"color": "green", "value": low}]
    else:
        steps = [{"color": "green", "value": None}]
        steps += [] if bad is None else [{"color": "red", "value": bad}]
    return {"mode": "absolute", "steps": steps}


def _words(words: tuple[str, str]) -> Json:
    return {str(n): {"text": text, "index": n} for n, text in enumerate(words)}


def per_second(metric: str, labels: str = OF, by: str = "") -> str:
    rate = f"rate({metric}{labels}[$__rate_interval])"
    return f"sum by ({by}) ({rate})" if by else f"sum ({rate})"


def quantiles(metric: str, by: str = "") -> list[tuple[str, str]]:
    """The median and the 99th percentile of a histogram."""
    kept = f"le, {by}" if by else "le"
    buckets = f"sum by ({kept}) (rate({metric}_bucket{OF}[$__rate_interval]))"
    legend = f" {{{{{by}}}}}" if by else ""
    return [(f"histogram_quantile({q}, {buckets})", f"p{100 * q:.0f}{legend}") for q in (0.5, 0.99)]


def coordinator(board: Board) -> None:
    board.variable("job", "Job", "label_values(innerd_build_info, job)")
    board.variable("instance", "Coordinator", 'label_values(innerd_build_info{job="$job"}, instance)')


def agents(board: Board) -> None:
    board.variable("agents", "Job of the agents", "label_values(inn_build_info, job)")


def overview() -> Board:
    board = Board("overview", "innerd: overview", "Is the network well, and what happens in it.")
    coordinator(board)
    agents(board)
    board.row("Now")
    board.stat("Coordinator", f"up{OF}", "Whether it answers Prometheus.", low=1, words=("down", "up"))
    firing = 'count(ALERTS{alertstate="firing",alertname!="InnWatchdog"}) or vector(0)'
    board.stat("Alerts", firing, "Alerts that fire, but for the watchdog.", bad=1)
    active = of(state='="active"')
    board.stat("Peers", f"innerd_peers{active}", "Active peers, the coordinator among them.")
    board.stat("Online", f"innerd_peers_online{OF}", "With a stream, or a handshake within three minutes.")
    board.stat("Streams", f"innerd_stream_subscribers{OF}", "Agents that are told of changes at once.")
    board.stat("Revision", f"innerd_event_log_last_sequence{OF}", "The number of the log's newest event.")
    board.row("Peers")
    board.graph("Peers by state", [(f"innerd_peers{OF}", "{{state}}")], "What the log says.", stacked=True)
    online = [(f"innerd_peers_online{OF}", "online"), (f"innerd_stream_subscribers{OF}", "with a stream")]
    board.graph("Online", online, "A gap between the two are clients that poll: innernet's.")
    board.graph("Invitations", [(f"innerd_invitations{OF}", "{{state}}")], "Not redeemed. Expired ones go after a day.")
    board.graph(
        "Traffic with the coordinator",
        [
            (per_second("innerd_wireguard_peer_received_bytes_total"), "received"),
            (per_second("innerd_wireguard_peer_sent_bytes_total"), "sent"),
        ],
        "Between two peers nothing passes the coordinator: that is not in here.",
        "Bps",
    )
    top = f"topk(10, sum by (peer) (rate(innerd_wireguard_peer_received_bytes_total{OF}[$__rate_interval])))"
    board.graph("Peers that send the most to it", [(top, "{{peer}}")], "The ten first.", "Bps")
    age = f"time() - innerd_wireguard_peer_last_handshake_timestamp_seconds{OF}"
    cidr = f"* on (job, instance, peer) group_left (cidr) innerd_wireguard_peer_info{OF}"
    board.table("Last handshakes", f"({age}) {cidr}", "How long ago. Laptops sleep.", "s", ("job", "instance"))
    board.row("What happens")
    board.graph("Events", [(per_second("innerd_events_appended_total", by="type"), "{{type}}")], "By type.", "ops")
    count = "innerd_http_request_duration_seconds_count"
    board.graph("Requests", [(per_second(count, by="code"), "{{code}}")], "By status.", "reqps", stacked=True)
    board.graph("Names", [(per_second("innerd_dns_responses_total", by="rcode"), "{{rcode}}")], "Answers.", "reqps")
    board.row("Agents that are scraped")
    board.graph("Connected", [('inn_connected{job="$agents"}', "{{instance}}")], "1 while it holds a stream.", width=8)
    behind = 'inn_revision{job="$agents"} - on (job, instance) inn_applied_revision{job="$agents"}'
    board.graph("Behind what they were told", [(behind, "{{instance}}")], "Events that are not on the device yet.")
    paths = 'sum by (path) (inn_peers{job="$agents"})'
    board.graph("Ways", [(paths, "{{path}}")], "By kind, of all scraped agents together.", stacked=True)
    return board


def one_peer() -> Board:
    board = Board("peer", "innerd: one peer", "What the coordinator and the peer's own agent say of it.")
    coordinator(board)
    known = 'label_values(innerd_wireguard_peer_info{job="$job",instance="$instance"}, peer)'
    board.variable("peer", "Peer", known)
    agents(board)
    chosen = of(peer='="$peer"')
    board.row("As the coordinator sees it")
    shaken = f"time() - innerd_wireguard_peer_last_handshake_timestamp_seconds{chosen}"
    info = f"innerd_wireguard_peer_info{chosen}"
    board.table("CIDR", info, "The narrowest that holds its address.", "none", ("job", "instance", "__name__", "Value"))
    board.stat("Last handshake", shaken, "Every two minutes while it is on.", "s", bad=180, width=8)
    board.graph(
        "Traffic with the coordinator",
        [
            (per_second("innerd_wireguard_peer_received_bytes_total", chosen), "it sends"),
            (per_second("innerd_wireguard_peer_sent_bytes_total", chosen), "it is sent"),
        ],
        "Not what it exchanges with other peers.",
        "Bps",
    )
    board.row("As its own agent sees it (only where it is scraped)")
    board.stat("Stream", f"inn_connected and {AGENT}", "Of the coordinator.", low=1, words=("none", "open"))
    heard = f"(time() - inn_last_contact_timestamp_seconds) and {AGENT}"
    board.stat("Coordinator heard", heard, "How long ago.", "s", bad=60)
    board.stat("Revision", f"inn_applied_revision and {AGENT}", "That its device matches.")
    board.stat("Refused keys", f"inn_trust_broken and {AGENT}", "Peers with another key than the pinned.", bad=1)
    board.stat("Device", f"inn_device_failing and {AGENT}", "Can it be changed?", bad=1, words=("well", "failing"))
    board.stat("Disk", f"inn_disk_failing and {AGENT}", "Can it be written?", bad=1, words=("well", "failing"))
    board.graph("Ways to others", [(f"inn_peers and {AGENT}", "{{path}}")], "By kind.", stacked=True)
    repairs = f"increase(inn_device_repairs_total[$__rate_interval]) and {AGENT}"
    board.graph("Repairs", [(repairs, "repairs")], "Times that somebody else had changed its device.")
    names = f"sum by (instance, rcode) (rate(inn_dns_responses_total[$__rate_interval])) and {AGENT}"
    board.graph("Names answered on it", [(names, "{{rcode}}")], "By the agent's own stub.", "reqps")
    for verb, word in (("received", "from"), ("sent", "to")):
        each = f"rate(inn_peer_{verb}_bytes_total[$__rate_interval]) and {AGENT}"
        board.graph(f"Bytes {word} others", [(each, "{{peer}}")], "Needs metrics-per-peer.", "Bps", width=12)
    return board


def internals() -> Board:
    board = Board("internals", "innerd: log, streams, names", "The coordinator from inside.")
    coordinator(board)
    _log(board)
    _http(board)
    _streams(board)
    _dns(board)
    _process(board)
    return board


def _log(board: Board) -> None:
    board.row("Log")
    board.graph(
        "Time of a commit", quantiles("innerd_event_append_duration_seconds"), "A disk that syncs takes it.", "s"
    )
    board.graph("Revision", [(f"innerd_event_log_last_sequence{OF}", "revision")], "The newest event.")
    lag = f"innerd_event_log_last_sequence{OF} - on (job, instance) group_right () innerd_projection_last_sequence{OF}"
    board.graph("Followers behind the log", [(lag, "{{projection}}")], "0, but for moments.")
    errors = [(f"increase(innerd_projection_errors_total{OF}[$__rate_interval])", "{{projection}}")]
    errors += [(f"increase(innerd_wireguard_device_errors_total{OF}[$__rate_interval])", "device, changing it")]
    board.graph("Followers that failed", errors, "Each has its reason in the coordinator's log.")
    board.graph(
        "Files",
        [(f"innerd_sqlite_database_bytes{OF}", "database"), (f"innerd_sqlite_wal_bytes{OF}", "write-ahead log")],
        "A write-ahead log that only grows is kept from the database by a reader.",
        "bytes",
    )
    board.graph("Room on the disk", [(f"innerd_sqlite_disk_free_bytes{OF}", "free")], "Under the database.", "bytes")
    age = f"time() - innerd_sqlite_last_checkpoint_timestamp_seconds{OF}"
    board.graph("Since the last checkpoint", [(age, "age")], "Grows while nothing is written, and that is well.", "s")
    board.graph("Generation", [(f"innerd_event_log_generation{OF}", "generation")], "A restore raises it.")


def _http(board: Board) -> None:
    name = "innerd_http_request_duration_seconds"
    board.row("HTTP")
    board.graph("Requests by route", [(per_second(f"{name}_count", by="route"), "{{route}}")], "Templates.", "reqps")
    board.graph("Time to answer, by route", quantiles(name, "route"), "Streams are not in here.", "s")
    failing = per_second(f"{name}_count", of(code='=~"[45].."'), "route, code")
    board.graph("Refused and failed", [(failing, "{{code}} {{route}}")], "none: before it was routed.", "reqps")


def _streams(board: Board) -> None:
    board.row("Streams")
    board.graph("Open", [(f"innerd_stream_subscribers{OF}", "streams")], "One an agent.")
    waiting = [(f"innerd_stream_queue_bytes{OF}", "all"), (f"innerd_stream_queue_limit_bytes{OF}", "limit of one")]
    board.graph(
        "Bytes that wait for readers", waiting, "Who is slow gets one frame later, nobody waits for it.", "bytes"
    )
    ended = per_second("innerd_stream_disconnects_total", by="reason")
    board.graph("Ended, by reason", [(ended, "{{reason}}")], "disconnected: by the client, or the way to it.", "ops")


def _dns(board: Board) -> None:
    name = "innerd_dns_responses_total"
    board.row("DNS")
    board.graph("Answers by status", [(per_second(name, by="rcode"), "{{rcode}}")], "NXDOMAIN is no fault.", "reqps")
    asked = per_second(name, by="transport, qtype")
    rare = "Types that hardly anybody asks for are one: other."
    board.graph("Questions by type", [(asked, "{{transport}} {{qtype}}")], rare, "reqps")
    board.graph("Time to answer", quantiles("innerd_dns_response_duration_seconds"), "20 µs is usual.", "s")
    dropped = per_second("innerd_dns_dropped_total", by="reason")
    board.graph("Not answered", [(dropped, "{{reason}}")], "unknown_source: no peer, or one that is disabled.", "reqps")


def _process(board: Board) -> None:
    board.row("Process")
    board.graph("CPU", [(f"rate(process_cpu_seconds_total{OF}[$__rate_interval])", "cores")], "One is all it has.")
    board.graph("Memory", [(f"process_resident_memory_bytes{OF}", "resident")], "Grows with the peers.", "bytes")
    files = [(f"process_open_fds{OF}", "open"), (f"process_max_fds{OF}", "limit")]
    board.graph("Files and sockets", files, "Each stream is one.")
    collections = f"rate(python_gc_collections_total{OF}[$__rate_interval])"
    board.graph("Garbage collections", [(collections, "generation {{generation}}")], "Rare, on purpose.", "ops")
    parts = [(f"innerd_metrics_collect_duration_seconds{OF}", "{{collector}}")]
    board.graph(
        "Time to make the metrics page", parts, "The loop waits for it: 5 ms at 5,000 peers.", "s", stacked=True
    )
    board.graph("Time of a scrape", [(f"scrape_duration_seconds{OF}", "seconds")], "As Prometheus saw it.", "s")
    up = f"time() - innerd_start_timestamp_seconds{OF}"
    board.graph("Up", [(up, "since the start")], "A drop is a restart.", "s")
    shape = [(f"innerd_cidrs{OF}", "CIDRs"), (f"innerd_associations{OF}", "associations")]
    board.graph("CIDRs and associations", shape, "The shape of the network.")


BOARDS = (overview, one_peer, internals)


def pages() -> dict[str, str]:
    """File name and content of each dashboard."""
    return {f"{board.name}.json": board.json() for board in (make() for make in BOARDS)}


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "dashboards"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
