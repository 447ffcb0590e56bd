"""The Grafana dashboards: what is committed is what is generated, and it is what Grafana takes. Their expressions run
against a real Prometheus in test_observed.py."""

import re
from itertools import combinations
from typing import Any

import pytest

from tests.deploy.expressions import GRAFANA, VARIABLES, dashboards, filled, generator, metrics_of, panels

BOARDS = dashboards()
UNITS = {"none", "s", "bytes", "Bps", "ops", "reqps"}


def test_what_is_committed_is_what_the_generator_writes() -> None:
    committed = {path.name: path.read_text() for path in (GRAFANA / "dashboards").iterdir()}
    assert committed == generator().pages(), "run: python deploy/grafana/generate.py"


def test_there_are_three_and_each_has_an_identity_of_its_own() -> None:
    assert set(BOARDS) == {"overview", "peer", "internals"}
    assert len({board["uid"] for board in BOARDS.values()}) == 3
    assert len({board["title"] for board in BOARDS.values()}) == 3
    assert all(board["id"] is None for board in BOARDS.values())


@pytest.fixture(params=sorted(BOARDS))
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    return BOARDS[request.param]


def test_ids_of_panels_are_unique(board: dict[str, Any]) -> None:
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert all(numbers)


def test_panels_lie_in_the_grid_and_on_nobody_else(board: dict[str, Any]) -> None:
    places = [(panel["title"], panel["gridPos"]) for panel in board["panels"]]
    for title, at in places:
        assert 0 <= at["x"] < at["x"] + at["w"] <= 24, title
    for (one, a), (other, b) in combinations(places, 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"] or a["y"] + a["h"] <= b["y"]
        assert apart or b["y"] + b["h"] <= a["y"], (one, other)


def test_every_panel_says_what_it_shows_and_in_which_unit(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith(("", "?"))
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]


def test_the_data_source_is_the_variable_everywhere(board: dict[str, Any]) -> None:
    """Neither a uid of somebody's Grafana, nor the inputs that break provisioning from files."""
    assert "__inputs" not in board
    sources = [panel["datasource"] for panel in panels(board)]
    sources += [target["datasource"] for panel in panels(board) for target in panel["targets"]]
    sources += [variable["datasource"] for variable in board["templating"]["list"] if variable["type"] == "query"]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    assert [v["name"] for v in board["templating"]["list"] if v["type"] == "datasource"] == ["datasource"]


def test_every_variable_is_defined_before_it_is_used_and_used(board: dict[str, Any]) -> None:
    defined = [variable["name"] for variable in board["templating"]["list"]]
    assert set(defined) <= {"datasource", *VARIABLES}
    used = set()
    for number, variable in enumerate(board["templating"]["list"]):
        if variable["type"] == "query":
            names = set(re.findall(r"\$(\w+)", variable["definition"]))
            assert names <= set(defined[:number]), variable["name"]
            used |= names
    for panel in panels(board):
        for target in panel["targets"]:
            names = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
            assert names <= set(defined), panel["title"]
            used |= names
    assert used | {"datasource"} == set(defined)


def test_rates_fit_the_scrape_interval(board: dict[str, Any]) -> None:
    for panel in panels(board):
        for target in panel["targets"]:
            for span in re.findall(r"\[([^\]]+)\]", re.sub(r'"[^"]*"', "", target["expr"])):
                assert span == "$__rate_interval", panel["title"]
            for name in metrics_of(filled(target["expr"])):
                if name.endswith("_total"):
                    assert re.search(rf"(rate|increase) ?\({name}\b", target["expr"]), (panel["title"], name)


def test_provisioning_leads_to_the_dashboards_and_to_prometheus() -> None:
    source = (GRAFANA / "provisioning/datasources/innerd.yaml").read_text()
    assert "type: prometheus" in source
    provider = (GRAFANA / "provisioning/dashboards/innerd.yaml").read_text()
    assert "type: file" in provider
    assert "path: /var/lib/grafana/dashboards/innerd" in provider
