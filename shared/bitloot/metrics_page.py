"""`python -m bitloot.metrics_page > docs/metrics.md`: the list of all metrics, from their declarations."""

import sys

from prometheus_client.metrics import MetricWrapperBase

from bitloot import metrics

_HEAD = """# Metrics

Every process serves these at `/metrics` (`PROBE_PORT`, else `HTTP_PORT`) in Prometheus' text format, or OpenMetrics for who asks for it. They are declared
in [metrics.py](../shared/bitloot/metrics.py), and this page is made from there: `python -m bitloot.metrics_page > docs/metrics.md`. Times are in seconds.
Labels come from closed sets; no metric names an order, a person or an address. Alerts: [rules.yaml](../deploy/observability/prometheus/rules.yaml), each with
a [runbook](runbooks). Dashboards: [grafana](../deploy/observability/grafana/dashboards), made by `python deploy/observability/dashboards.py`.

The objective: of paid orders, 99.9 % have their mail within 5 minutes of the provider having the keys: `bitloot_keys_in_time_total / bitloot_keys_ready_total`.

| metric | type | labels | meaning |
| --- | --- | --- | --- |
"""


def declared() -> list[MetricWrapperBase]:
    """Return all metrics in the order of their declaration."""
    return [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]


def shown_name(metric: MetricWrapperBase) -> str:
    """Return the name as Prometheus has it."""
    return f"{metric._name}_total" if metric._type == "counter" else metric._name  # noqa: SLF001 - there is no other way


def page() -> str:
    """Return the page."""
    rows = [
        f"| `{shown_name(each)}` | {each._type} | {', '.join(f'`{label}`' for label in each._labelnames)} | "  # noqa: SLF001
        f"{each._documentation} |\n"  # noqa: SLF001
        for each in declared()
    ]
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(page())
