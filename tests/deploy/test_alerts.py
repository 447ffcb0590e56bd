"""The alerts of deploy/prometheus, by promtool: they can be read, they fire when they should and only then, and their
tests would notice if they were other alerts."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.expressions import PROMETHEUS, ROOT, alerts
from tests.netns.prometheus import program


def promtool(*arguments: str | Path, folder: Path = PROMETHEUS) -> subprocess.CompletedProcess[str]:
    tool = program("promtool")
    if tool is None:
        pytest.skip("promtool can't be had: it is not installed, and there are no packages")
    return subprocess.run([tool, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=600)


def test_the_rules_and_the_example_are_what_prometheus_takes() -> None:
    for what, file in (("rules", "rules.yml"), ("config", "prometheus.yml")):
        done = promtool("check", what, file)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    done = promtool("test", "rules", "tests.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_where_it_fires_and_one_where_it_does_not() -> None:
    """The watchdog has no second one: it always fires."""
    cases = (PROMETHEUS / "tests.yml").read_text()
    for name in alerts():
        assert f"alertname: {name}\n        exp_alerts:" in cases, name
        assert f"alertname: {name}, exp_alerts: []" in cases or name == "InnWatchdog", name


CHANGES = [
    ("for: 3m", "for: 2m"),
    ('up{job="innerd"} == 0', "up == 0"),
    ("last_sequence > 0", "last_sequence > 1"),
    ("[15m]", "[10m]"),
    ("> 0.02", "> 0.03"),
    ('code=~"5.."', 'code=~"[45].."'),
    ("> 0.1", "> 0.2"),
    ("> 64 *", "> 65 *"),
    ("online > 5", "online > 4"),
    ("> 900", "> 960"),
    ('{cidr=~"servers|ovens"}', ""),
    ("4 * 86400", "5 * 86400"),
    ("vector(1)", "vector(0) > 0"),
    ("broken > 0", "broken > 1"),
    ("forked > 0", "forked > 1"),
    ("for: 15m", "for: 14m"),
    ("log_failing > 0", "log_failing > 1"),
    ("innerd_device_failing > 0", "innerd_device_failing > 1"),
    ("ahead > 0", "ahead > 1"),
    ("doubted > 0", "doubted > 1"),
    ("shared > 0", "shared > 1"),
    ("relay_failing > 0", "relay_failing > 1"),
    ("total[15m]) > 10", "total[15m]) > 12"),
    ("behind > 0", "behind > 1"),
    ("busy_total[15m]", "busy_total[10m]"),
    ("> 512 *", "> 513 *"),
    ("for: 1d", "for: 23h"),
    ("free_bytes < 64", "free_bytes < 63"),
    ("<= 0", "< 0"),
    ("inn_device_failing > 0", "inn_device_failing > 1"),
    ("disk_failing > 0", "disk_failing > 1"),
]


def cases_of(alert: str) -> str:
    """The tests of the rules, but for the cases that do not name an alert."""
    head, *cases = (PROMETHEUS / "tests.yml").read_text().split("\n\n  - name: ")
    head, _, first = head.rpartition("  - name: ")
    its = [case for case in (first, *cases) if re.search(rf"alertname: {alert}\b", case)]
    return head + "\n\n".join(f"  - name: {case}" for case in its)


@pytest.mark.parametrize(("here", "changed"), CHANGES, ids=[f"{a} to {b}" for a, b in CHANGES])
def test_another_threshold_would_be_noticed(tmp_path: Path, here: str, changed: str) -> None:
    """By the cases of the alert that has it."""
    rules = (PROMETHEUS / "rules.yml").read_text()
    assert here in rules
    alert = rules.partition(here)[0].rpartition("alert: ")[2].splitlines()[0]
    (tmp_path / "tests.yml").write_text(cases_of(alert))
    (tmp_path / "rules.yml").write_text(rules)
    done = promtool("test", "rules", "tests.yml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "rules.yml").write_text(rules.replace(here, changed, 1))
    assert promtool("check", "rules", "rules.yml", folder=tmp_path).returncode == 0
    assert promtool("test", "rules", "tests.yml", folder=tmp_path).returncode == 1


def test_every_alert_has_its_paragraph_in_the_docs() -> None:
    page = (ROOT / "docs/monitoring.md").read_text()
    for name in alerts():
        assert f"`{name}`" in page, name
