"""`make observe`: the demo network with a real Prometheus in it, until Ctrl-C (or for `SECONDS=30 make observe`).

    switch ── coordinator, ryo, mari, toaster, kiln, tama   as in `make demo`
           └─ monitor      10.99.0.7   inn, monitoring      Prometheus: scrapes the coordinator and all agents over the
                                                            tunnel, by their WireGuard addresses

The rules of deploy/prometheus are loaded. Grafana is in none of the registries that this project builds from, so it is
not started: its dashboards (deploy/grafana) are run against this Prometheus by tests/deploy instead. Whoever has a
Grafana points it at the URL that is printed.
"""

import contextlib
import sys
import time
import tomllib
from collections.abc import Iterator
from typing import Any

import tomli_w

from tests.netns import demo, prometheus, steps
from tests.netns.demo import API, MEMBERS, say, title, typed
from tests.netns.lab import Failed, Host, Lab, lab, wait_for
from tests.netns.prometheus import Prometheus
from tests.netns.steps import NETWORK

MONITOR, MONITORING = "monitor", "10.42.7.0/24"
AGENTS = 9587  # the port of their metrics

QUERIES = (
    ("who answers", "up"),
    ("peers by state", "innerd_peers"),
    ("streams", "innerd_stream_subscribers"),
    ("revision of the log", "innerd_event_log_last_sequence"),
    ("followers behind it", "innerd_event_log_last_sequence - on () group_right () innerd_projection_last_sequence"),
    ("answers of DNS", "sum by (rcode) (innerd_dns_responses_total)"),
    ("ways between peers", "sum by (path) (inn_peers)"),
    ("seconds since the last handshake", "time() - innerd_wireguard_peer_last_handshake_timestamp_seconds"),
    ("seconds of a scrape", "scrape_duration_seconds"),
    ("alerts", "ALERTS"),
)


def grown(made: Lab) -> dict[str, Host]:
    """The demo's network, all of it joined and exporting, and the monitor in it."""
    hosts = {name: made.host(name) for name in ("coordinator", *MEMBERS, MONITOR)}
    coordinator, ryo = hosts["coordinator"], hosts["ryo"]
    demo.found(coordinator)
    title("Who is in monitoring may read the coordinator's metrics")
    _put(coordinator, f"/etc/innerd/{NETWORK}.toml", "metrics", allow=["admins", MONITORING])
    steps.kill(coordinator, "innerd serve")
    demo.serve(coordinator)
    title("Ryo joins, and invites the others")
    demo.carry(coordinator, ryo)
    join(ryo)
    demo.grow(ryo)
    _add_monitor(ryo)
    title("The others join")
    for name in (*MEMBERS, MONITOR):
        if name != "ryo":
            demo.carry(ryo, hosts[name])
            join(hosts[name])
    steps.converged(coordinator)
    return hosts


def _add_monitor(ryo: Host) -> None:
    """A peer that sees everybody, as it must reach their agents."""
    typed(ryo, f"inn add-cidr {NETWORK} --name monitoring --cidr {MONITORING} --parent {NETWORK}")
    typed(
        ryo,
        f"inn add-peer {NETWORK} --name {MONITOR} --cidr monitoring --auto-ip --admin false"
        f" --invite-expires 14d --save-config {MONITOR}.toml",
    )
    for cidr in sorted(set(MEMBERS.values())):
        typed(ryo, f"inn add-association {NETWORK} monitoring {cidr} --yes")


def join(host: Host) -> None:
    """As in the demo, but the agent's metrics are served on its WireGuard address."""
    typed(host, f"inn install {host.name}.toml --default-name --delete-invite -d")
    path = f"/etc/inn/{NETWORK}.toml"
    address = tomllib.loads(host.path(path).read_text())["interface"]["address"].partition("/")[0]
    _put(host, path, "agent", **{"metrics-listen": f"{address}:{AGENTS}", "metrics-per-peer": True})
    say(f"{host.name}# inn up -d {NETWORK} &")
    steps.agent(host)


def _put(host: Host, path: str, section: str, **values: Any) -> None:
    """Values into a section of a config file."""
    file = host.path(path)
    document = tomllib.loads(file.read_text())
    document.setdefault(section, {}).update(values)
    file.write_text(tomli_w.dumps(document))
    for key, value in values.items():
        say(f"    [{section}] {key} = {value!r}")


def jobs(hosts: dict[str, Host]) -> dict[str, dict[str, str]]:
    """What is scraped: the coordinator, and every agent but the monitor's own."""
    agents = {name: f"{steps.status(hosts[name])['ip']}:{AGENTS}" for name in MEMBERS}
    return {"innerd": {"coordinator": f"{API}:51820"}, "inn": agents}


def live(hosts: dict[str, Host]) -> None:
    """Something of everything that is counted: names asked for, here and at the coordinator; a request that is refused;
    traffic; a stream that ended."""
    for one in ("ryo", "tama"):
        hosts[one].ask("dig", f"@{API}", f"mari.{NETWORK}.wg", "+tries=2", "+timeout=2")
        hosts[one].ask("curl", "-s", "-m", "5", f"http://{API}:51820/metrics")
    hosts["ryo"].ask("dig", "@127.0.0.153", f"mari.{NETWORK}.wg", "+tries=1", "+timeout=2")
    steps.reaches(hosts["ryo"], f"toaster.{NETWORK}.wg")
    steps.kill(hosts["kiln"], "inn up")
    steps.agent(hosts["kiln"])


@contextlib.contextmanager
def observed(at: int = 0) -> Iterator[tuple[dict[str, Host], Prometheus]]:
    with lab() as made:
        hosts = grown(made)
        title("Prometheus, on the monitor")
        with prometheus.running(hosts[MONITOR], jobs(hosts), at=at) as asked:
            live(hosts)
            wait_for(lambda: not any(asked.healthy().values()), "the agent that was started anew to be scraped")
            yield hosts, asked


def tell(asked: Prometheus) -> None:
    for what, expr in QUERIES:
        say(f"  {what}: {expr}")
        for sample in asked.query(expr):
            labels = {name: value for name, value in sample["metric"].items() if name not in ("__name__", "job")}
            value = float(sample["value"][1])
            say(f"      {value:<12.6g} {', '.join(f'{name}={value}' for name, value in labels.items())}")


def watch(seconds: float | None) -> None:
    with observed(at=prometheus.PORT) as (_, asked):
        wait_for(lambda: asked.query("ALERTS"), "the rules to be evaluated")
        tell(asked)
        title(f"Prometheus: http://127.0.0.1:{asked.port}/classic/graph   …/alerts   …/targets")
        say("No Grafana here: where you have one, its data source is that URL, its dashboards are deploy/grafana's.")
        say("Ctrl-C ends it all." if seconds is None else f"It ends by itself in {seconds:.0f} s, or by Ctrl-C.")
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(86_400 * 365 if seconds is None else seconds)
    say("Everything is cleaned up again.")


def main() -> int:
    if not steps.is_root():
        sys.stderr.write("error: observe makes network namespaces, and needs root [not_root]\n")
        return 6
    if prometheus.program("prometheus") is None:
        sys.stderr.write("error: there is no Prometheus here, and none to be fetched from Debian [no_prometheus]\n")
        return 6
    try:
        watch(float(sys.argv[1]) if len(sys.argv) > 1 else None)
    except KeyboardInterrupt:
        say("Ended early. Everything is cleaned up again.")
    except (Failed, AssertionError) as error:
        say(f"\nFAILED: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
