"""A real Prometheus (Debian's) for tests and `make observe`: where it is, and one that runs in a host of a lab, asked
from outside. Unpacked by tests/tools/prometheus-fetch where it is not installed."""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.netns.forward import forwarded
from tests.netns.lab import Host, wait_for

ROOT = Path(__file__).parents[2]
UNPACKED = Path(os.environ.get("KWG_CACHE", "/var/cache/kwg")) / "prometheus/usr"
RULES = ROOT / "deploy/prometheus/rules.yml"
PORT = 9090


@cache
def program(name: str) -> Path | None:
    """Where `prometheus` or `promtool` is, fetched if need be; None where it can't be had."""
    if found := shutil.which(name):
        return Path(found)
    there = UNPACKED / "bin" / name
    if not there.exists() and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run([ROOT / "tests/tools/prometheus-fetch"], capture_output=True, check=False)
    return there if there.exists() else None


class Prometheus:
    """One that runs, asked over its API."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **fields: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", f"/api/v1/{path}?{urlencode(fields)}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if answer["status"] != "success":
            raise ValueError(f"{fields}: {answer['error']}")
        return answer["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The samples of an expression at this moment. Raises ValueError where it can't be parsed."""
        found = self.get("query", query=expr)
        return found["result"] if found["resultType"] == "vector" else [{"metric": {}, "value": found["result"]}]

    def healthy(self) -> dict[str, str]:
        """What is wrong with each target ("" for nothing), by its address."""
        targets = self.get("targets", state="active")["activeTargets"]
        return {
            target["scrapeUrl"]: "" if target["health"] == "up" else target["lastError"] or "?" for target in targets
        }

    def alerts(self) -> dict[str, str]:
        """The state of each alert that is pending or firing."""
        return {alert["labels"]["alertname"]: alert["state"] for alert in self.get("alerts")["alerts"]}


@contextlib.contextmanager
def running(host: Host, jobs: dict[str, dict[str, str]], *, every: str = "1s", at: int = 0) -> Iterator[Prometheus]:
    """Prometheus on a host, with our rules and these jobs (name: instance: address), when all of them answer. `at` is
    the port of this machine by which it should be reached."""
    binary = program("prometheus")
    assert binary is not None
    host.path("/run/.lab/prometheus.yml").write_text(config(jobs, every))
    if UNPACKED in binary.parents:  # its own pages are looked for where a package would have put them
        host.run("mount", "-t", "overlay", "-o", f"lowerdir={UNPACKED}/share:/usr/share", "overlay", "/usr/share")
    process = host.start(
        *(str(binary), "--config.file=/run/.lab/prometheus.yml", "--storage.tsdb.path=/run/.lab/tsdb"),
        f"--web.listen-address=127.0.0.1:{PORT}",
        log="/run/.lab/prometheus.log",
    )
    with forwarded(host, PORT, at) as port:
        made = Prometheus(port)

        def ready() -> bool:
            assert process.poll() is None, host.path("/run/.lab/prometheus.log").read_text()[-2000:]
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                states = made.healthy()
                return len(states) == sum(map(len, jobs.values())) and not any(states.values())
            return False

        wait_for(ready, "Prometheus to have scraped everything", seconds=40)
        yield made


def config(jobs: dict[str, dict[str, str]], every: str) -> str:
    """As JSON, which is YAML too."""
    scrapes = [
        {
            "job_name": job,
            "static_configs": [{"targets": [at], "labels": {"instance": name}} for name, at in addresses.items()],
        }
        for job, addresses in jobs.items()
    ]
    times = {"scrape_interval": every, "evaluation_interval": every, "scrape_timeout": every}
    return json.dumps({"global": times, "rule_files": [str(RULES)], "scrape_configs": scrapes})
