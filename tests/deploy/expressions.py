"""The dashboards' panels and the alerts' expressions, and which metrics an expression asks for."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy/grafana"
PROMETHEUS = ROOT / "deploy/prometheus"

VARIABLES = {"job": "innerd", "instance": "coordinator", "agents": "inn", "peer": "ryo", "__rate_interval": "1m"}
_NAME = re.compile(r"\b(?:(?:innerd|inn|process|python|scrape)_[a-z0-9_]+|up\b|ALERTS\b)")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboards", GRAFANA / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dashboards() -> dict[str, dict[str, Any]]:
    """The committed ones, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def panel_expressions() -> Iterator[tuple[str, str]]:
    """Where it stands, and the expression as Grafana would send it."""
    for name, board in dashboards().items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", filled(target["expr"])


def filled(expr: str) -> str:
    """With the variables replaced by what the demo network has."""
    for name, value in VARIABLES.items():
        expr = re.sub(rf"\${name}\b", value, expr)
    assert "$" not in expr, expr
    return expr


def metrics_of(expr: str) -> set[str]:
    """The names of the metrics that an expression asks for."""
    return set(_NAME.findall(re.sub(r'"[^"]*"', '""', expr)))


def alerts() -> dict[str, str]:
    """The expressions of the alerts, by name. Not a parser of YAML: the rules are ours, and promtool reads them."""
    text = (PROMETHEUS / "rules.yml").read_text()
    found = {}
    for part in text.split("- alert: ")[1:]:
        name, _, rest = part.partition("\n")
        expr = re.search(r"expr: (?:\|\n((?: {10,}.*\n)+)|(.*)\n)", rest)
        assert expr is not None, name
        found[name] = " ".join((expr[1] or expr[2]).split())
    return found
