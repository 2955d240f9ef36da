"""Dashboards, rules and the page of metrics speak of what `/metrics` has, and every alert has its runbook and tests."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from bitloot.metrics_page import declared, page

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/observability/prometheus/rules.yaml"
RULES_TEST = ROOT / "deploy/observability/prometheus/rules_test.yaml"

# What Prometheus adds to every series of a process, and what it knows of it by itself.
OF_PROMETHEUS = {"job", "instance", "le"}
UP = {"up": OF_PROMETHEUS}
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
_SERIES = re.compile(r"\b(up|bitloot_[a-z_]+)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")
_RECORDED = re.compile(r"\bbitloot:[a-z0-9_:]+")


def dashboards_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboards", ROOT / "deploy/observability/dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DASHBOARDS = dashboards_module()
EXPOSED = UP | {
    f"{metric._name}{suffix}": {*metric._labelnames, *OF_PROMETHEUS}
    for metric in declared()
    for suffix in _SUFFIXES[metric._type]
}


def queries() -> Iterator[tuple[str, str]]:
    for name, dashboard in DASHBOARDS.dashboards().items():
        for panel in dashboard["panels"]:
            yield from ((f"{name}: {panel['title']}", target["expr"]) for target in panel["targets"])


def rules() -> list[dict]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def unknown(expression: str) -> list[str]:
    """Return what an expression names that no process exposes."""
    wrong, labels = [], set()
    for name, matchers in _SERIES.findall(_RECORDED.sub("", expression)):
        if name not in EXPOSED:
            wrong.append(name)
            continue
        labels |= EXPOSED[name]
        wrong += [f"{name}{{{label}}}" for label in _MATCHER.findall(matchers) if label not in EXPOSED[name]]
    groupings = {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")}
    return wrong + sorted(groupings - labels)


def test_the_page_is_made_from_the_declarations():
    assert (ROOT / "docs/metrics.md").read_text() == page(), "python -m bitloot.metrics_page > docs/metrics.md"


def test_dashboards_are_made_by_their_code():
    written = {path.name: path.read_text() for path in DASHBOARDS.DIRECTORY.glob("*.json")}
    made = {name: DASHBOARDS.text(each) for name, each in DASHBOARDS.dashboards().items()}
    assert written == made, "python deploy/observability/dashboards.py"


@pytest.mark.parametrize(("panel", "expression"), list(queries()))
def test_every_query_asks_for_what_is_exposed(panel: str, expression: str):
    assert unknown(expression) == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_rule_asks_for_what_is_exposed(rule: dict):
    assert unknown(rule["expr"]) == []
    recorded = {each["record"] for each in rules() if "record" in each}
    assert set(_RECORDED.findall(rule["expr"])) <= recorded


def test_what_is_not_exposed_would_be_found():
    assert unknown("sum by (shop) (rate(bitloot_orders_total[5m]))") == ["shop"]
    assert unknown('bitloot_orders_totals{status="paid"}') == ["bitloot_orders_totals"]
    assert unknown('bitloot_orders_total{state="paid"}') == ["bitloot_orders_total{state}"]


@pytest.mark.parametrize("rule", [rule for rule in rules() if "alert" in rule], ids=lambda rule: rule["alert"])
def test_every_alert_has_a_runbook_that_names_it_and_two_tests(rule: dict):
    runbook = ROOT / rule["annotations"]["runbook_url"]
    assert rule["alert"] in runbook.read_text(), f"{runbook.name} does not speak of {rule['alert']}"
    assert rule["labels"]["severity"] in {"page", "ticket"}
    named = [case["name"] for case in yaml.safe_load(RULES_TEST.read_text())["tests"]]
    assert sum(name.startswith(f"{rule['alert']} fires ") for name in named) == 1
    assert sum(name.startswith(f"{rule['alert']} stays silent ") for name in named) == 1
