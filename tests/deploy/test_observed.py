"""Every expression of the dashboards and alerts, against a real Prometheus that scraped a real coordinator and agents
over the tunnel: the network of `make observe`."""

import http.client
import math
import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from tests.deploy.expressions import alerts, filled, metrics_of, panel_expressions
from tests.netns import observe, steps
from tests.netns.lab import Host, wait_for
from tests.netns.prometheus import Prometheus, program

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def observed() -> Iterator[tuple[dict[str, Host], Prometheus]]:
    if program("prometheus") is None:
        pytest.skip("Prometheus can't be had: it is not installed, and there are no packages")
    with observe.observed() as found:
        yield found


@pytest.fixture(scope="module")
def asked(observed: tuple[dict[str, Host], Prometheus]) -> Prometheus:
    return observed[1]


@pytest.fixture(scope="module")
def known(asked: Prometheus) -> set[str]:
    """The names of all metrics, when the last of them has been scraped: those of what happened last."""
    late = ("inn_dns_responses_total", "innerd_stream_disconnects_total", "innerd_dns_responses_total", "ALERTS")
    wait_for(lambda: all(map(asked.query, late)), "a scrape of everything")
    return set(asked.get("label/__name__/values"))


def test_no_panel_asks_for_what_cannot_be_parsed_is_not_there_or_is_empty(asked: Prometheus, known: set[str]) -> None:
    """A rate is there from the second scrape on that has its counter."""
    for where, expr in panel_expressions():
        assert metrics_of(expr) <= known, where
        wait_for(partial(asked.query, expr), f"an answer to {where}: {expr}")


def test_the_figures_are_finite_where_something_happened(asked: Prometheus) -> None:
    """A quantile of no observations is not a number; there were requests, commits and questions."""
    for expr in (
        "histogram_quantile(0.5, sum by (le) (rate(innerd_http_request_duration_seconds_bucket[5m])))",
        "histogram_quantile(0.5, sum by (le) (innerd_event_append_duration_seconds_bucket))",
        "histogram_quantile(0.5, sum by (le) (innerd_dns_response_duration_seconds_bucket))",
    ):
        assert math.isfinite(float(asked.query(expr)[0]["value"][1])), expr


def test_the_variables_of_the_dashboards_find_what_they_should(asked: Prometheus) -> None:
    def values(label: str, match: str) -> list[str]:
        return list(asked.get(f"label/{label}/values", **{"match[]": filled(match)}))

    assert values("job", "innerd_build_info") == ["innerd"]
    assert values("instance", 'innerd_build_info{job="$job"}') == ["coordinator"]
    assert values("peer", 'innerd_wireguard_peer_info{job="$job",instance="$instance"}') == sorted(
        [*observe.MEMBERS, observe.MONITOR]
    )
    assert values("job", "inn_build_info") == ["inn"]


def test_every_alert_asks_for_metrics_that_are_there(asked: Prometheus, known: set[str]) -> None:
    for name, expr in alerts().items():
        asked.query(expr)
        assert metrics_of(expr) <= known, name


def test_prometheus_evaluates_all_rules_and_only_the_watchdog_fires(asked: Prometheus) -> None:
    def rules() -> list[dict[str, str]]:
        found = [rule for group in asked.get("rules")["groups"] for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    found = wait_for(rules, "all rules to be evaluated")
    assert {rule["name"]: rule["health"] for rule in found} == dict.fromkeys(alerts(), "ok")
    firing = [name for name, state in asked.alerts().items() if state == "firing"]
    assert firing == ["InnWatchdog"]


PAGES = {"coordinator": ("ryo", "10.42.0.1:51820"), "agent": ("monitor", "{toaster}:9587")}


@pytest.mark.parametrize("whose", PAGES)
def test_promtool_finds_nothing_to_say_of_the_page(observed: tuple[dict[str, Host], Prometheus], whose: str) -> None:
    hosts, _ = observed
    reader, at = PAGES[whose]
    toaster = steps.status(hosts["toaster"])["ip"]
    page = hosts[reader].run("curl", "-s", "-f", f"http://{at.format(toaster=toaster)}/metrics")
    tool = program("promtool")
    assert tool is not None
    done = subprocess.run([tool, "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_agent_is_scraped_only_by_who_sees_it(observed: tuple[dict[str, Host], Prometheus]) -> None:
    hosts, _ = observed
    toaster = steps.status(hosts["toaster"])["ip"]
    assert hosts["tama"].ask("curl", "-s", "-m", "2", f"http://{toaster}:9587/metrics").returncode != 0


def test_prometheus_shows_its_own_pages_too(asked: Prometheus) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", asked.port, timeout=5)
    connection.request("GET", "/classic/graph")  # Debian has the older ones
    with connection.getresponse() as answer:
        assert (answer.status, b"Prometheus" in answer.read()) == (200, True)
    connection.close()


def test_a_coordinator_that_is_killed_becomes_an_alert(observed: tuple[dict[str, Host], Prometheus]) -> None:
    """Pending: that it fires after three minutes, promtool tests. The last test here, for it ends the coordinator."""
    hosts, asked = observed
    steps.kill(hosts["coordinator"], "innerd serve")
    wait_for(lambda: asked.alerts().get("InnerdDown") == "pending", "the alert")
    wait_for(lambda: asked.query("inn_connected == 0"), "the agents to notice", seconds=60)
    wait_for(lambda: "InnDisconnected" not in asked.alerts(), "one alert to be enough")
