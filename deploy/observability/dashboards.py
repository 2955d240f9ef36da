"""`python deploy/observability/dashboards.py`: write Grafana's dashboards; a test compares them with what is committed.

Three: an overview, one service in detail, and the way of orders. Their data source is whichever Prometheus is chosen.
"""

import json
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "grafana" / "dashboards"

Panel = tuple[str, str, str, list[tuple[str, str]]]
"""Kind, title, unit, and queries with the legend of each."""

OVERVIEW: list[Panel] = [
    (
        "stat",
        "Objective: mail within 5 minutes of the keys, 30 days",
        "percentunit",
        [("sum(increase(bitloot_keys_in_time_total[30d])) / sum(increase(bitloot_keys_ready_total[30d]))", "in time")],
    ),
    ("stat", "Orders that stand still", "short", [("max(bitloot_orders_stuck)", "stuck")]),
    ("stat", "Orders for a person", "short", [('max(bitloot_orders_open{status="needs_review"})', "needs review")]),
    ("stat", "Oldest paid order", "s", [("max(bitloot_orders_oldest_seconds)", "oldest")]),
    (
        "timeseries",
        "Time to key",
        "s",
        [
            (
                f"histogram_quantile({q}, sum by (le) (rate(bitloot_time_to_key_seconds_bucket[$__rate_interval])))",
                f"p{n}",
            )
            for q, n in ((0.5, 50), (0.9, 90), (0.99, 99))
        ],
    ),
    (
        "timeseries",
        "Notifications a second",
        "reqps",
        [
            ("sum by (provider) (rate(bitloot_webhooks_accepted_total[$__rate_interval]))", "{{provider}}"),
            (
                "sum by (provider, reason) (rate(bitloot_webhooks_refused_total[$__rate_interval]))",
                "{{provider}} {{reason}}",
            ),
            (
                "sum by (provider) (rate(bitloot_webhooks_not_stored_total[$__rate_interval]))",
                "{{provider}} not stored",
            ),
            ("sum by (provider) (rate(bitloot_webhooks_duplicate_total[$__rate_interval]))", "{{provider}} repeats"),
        ],
    ),
    (
        "timeseries",
        "Expected of providers, and seen",
        "short",
        [
            ("max by (provider) (bitloot_notices_expected)", "{{provider}} expected"),
            ("max by (provider) (bitloot_notices_seen)", "{{provider}} seen"),
        ],
    ),
    (
        "timeseries",
        "Last heard of providers",
        "s",
        [("min by (provider) (bitloot_notice_age_seconds)", "{{provider}}")],
    ),
    (
        "timeseries",
        "Oldest unhandled record, by topic",
        "s",
        [("max by (topic) (bitloot_oldest_unhandled_seconds)", "{{topic}}")],
    ),
    (
        "timeseries",
        "Dead letters",
        "short",
        [("sum by (topic, reason) (increase(bitloot_dead_letters_total[$__rate_interval]))", "{{topic}} {{reason}}")],
    ),
    (
        "timeseries",
        "Balance",
        "short",
        [("max by (provider, currency) (bitloot_provider_balance)", "{{provider}} {{currency}}")],
    ),
    ("timeseries", "Breakers", "short", [("max by (provider) (bitloot_breaker_open)", "{{provider}}")]),
    ("table", "What runs", "short", [("count by (service, version) (bitloot_build_info)", "{{service}} {{version}}")]),
]

SERVICE: list[Panel] = [
    ("stat", "Processes that answer", "short", [('sum(up{job="$service"})', "up")]),
    ("stat", "Waits, for too much fails", "short", [('max(bitloot_held_back{job="$service"})', "{{consumer}}")]),
    ("stat", "Log lost", "short", [('max(bitloot_log_lost{job="$service"})', "{{consumer}}")]),
    (
        "timeseries",
        "Records a second",
        "reqps",
        [
            (
                'sum by (topic) (rate(bitloot_records_consumed_total{job="$service"}[$__rate_interval]))',
                "read {{topic}}",
            ),
            (
                'sum by (topic) (rate(bitloot_records_produced_total{job="$service"}[$__rate_interval]))',
                "sent {{topic}}",
            ),
            (
                'sum by (topic) (rate(bitloot_records_failed_total{job="$service"}[$__rate_interval]))',
                "failed {{topic}}",
            ),
        ],
    ),
    (
        "timeseries",
        "Oldest unhandled record, by partition",
        "s",
        [('max by (topic, partition) (bitloot_oldest_unhandled_seconds{job="$service"})', "{{topic}}/{{partition}}")],
    ),
    (
        "timeseries",
        "Records behind",
        "short",
        [('max by (topic, partition) (bitloot_consumer_lag{job="$service"})', "{{topic}}/{{partition}}")],
    ),
    (
        "timeseries",
        "Commits",
        "s",
        [
            ('max by (group) (bitloot_commit_age_seconds{job="$service"})', "{{group}}"),
            ('max by (topic, partition) (bitloot_uncommitted_seconds{job="$service"})', "{{topic}}/{{partition}}"),
        ],
    ),
    (
        "timeseries",
        "Effects a second",
        "reqps",
        [
            (
                'sum by (kind, outcome) (rate(bitloot_effects_total{job="$service"}[$__rate_interval]))',
                "{{kind}} {{outcome}}",
            )
        ],
    ),
    (
        "timeseries",
        "Effects, p99",
        "s",
        [
            (
                "histogram_quantile(0.99, sum by (le, kind) "
                '(rate(bitloot_effect_seconds_bucket{job="$service"}[$__rate_interval])))',
                "{{kind}}",
            )
        ],
    ),
    (
        "timeseries",
        "Calls to providers",
        "reqps",
        [
            (
                'sum by (provider, call, result) (rate(bitloot_provider_calls_total{job="$service"}[$__rate_interval]))',
                "{{provider}} {{call}} {{result}}",
            )
        ],
    ),
    (
        "timeseries",
        "Calls to providers, p99",
        "s",
        [
            (
                "histogram_quantile(0.99, sum by (le, provider, call) "
                '(rate(bitloot_provider_call_seconds_bucket{job="$service"}[$__rate_interval])))',
                "{{provider}} {{call}}",
            )
        ],
    ),
    (
        "timeseries",
        "Requests",
        "reqps",
        [
            (
                'sum by (method, route, status) (rate(bitloot_http_requests_total{job="$service"}[$__rate_interval]))',
                "{{method}} {{route}} {{status}}",
            )
        ],
    ),
    (
        "timeseries",
        "Requests, p99",
        "s",
        [
            (
                "histogram_quantile(0.99, sum by (le, method, route) "
                '(rate(bitloot_http_request_seconds_bucket{job="$service"}[$__rate_interval])))',
                "{{method}} {{route}}",
            )
        ],
    ),
    (
        "timeseries",
        "Tables",
        "s",
        [
            ('max(bitloot_recovery_seconds{job="$service"})', "incomplete for"),
            ('sum by (topic) (bitloot_standby_lag{job="$service"})', "standby behind {{topic}} (records)"),
        ],
    ),
]

ORDERS: list[Panel] = [
    (
        "bargauge",
        "The way of orders, last 24 hours",
        "short",
        [
            (f'sum(increase(bitloot_orders_total{{status="{status}"}}[24h]))', status)
            for status in ("awaiting_payment", "paid", "purchasing", "delivering", "fulfilled")
        ],
    ),
    (
        "bargauge",
        "Off the way, last 24 hours",
        "short",
        [
            (f'sum(increase(bitloot_orders_total{{status="{status}"}}[24h]))', status)
            for status in ("needs_review", "canceled", "refunded", "failed")
        ],
    ),
    ("timeseries", "Open orders", "short", [("max by (status) (bitloot_orders_open)", "{{status}}")]),
    (
        "heatmap",
        "Time to key",
        "s",
        [("sum by (le) (increase(bitloot_time_to_key_seconds_bucket[$__rate_interval]))", "{{le}}")],
    ),
    (
        "heatmap",
        "From the keys at the provider to the mail",
        "s",
        [("sum by (le) (increase(bitloot_keys_to_mail_seconds_bucket[$__rate_interval]))", "{{le}}")],
    ),
    (
        "timeseries",
        "Timers",
        "s",
        [
            ("max by (source) (bitloot_timer_lag_seconds)", "{{source}} late"),
            ("sum by (source) (bitloot_timers_waiting)", "{{source}} waiting (orders)"),
        ],
    ),
    (
        "timeseries",
        "Sales on Kinguin",
        "short",
        [
            ("sum by (status) (increase(bitloot_sales_total[$__rate_interval]))", "{{status}}"),
            ("max by (state) (bitloot_stock_codes)", "stock {{state}}"),
            ("max by (problem) (bitloot_offer_problems)", "offers {{problem}}"),
        ],
    ),
]

_SERVICES = "ingress,fulfillment,kinguin,delivery,order-page,sink,admin-api,seller"


def dashboards() -> dict[str, dict[str, Any]]:
    """Return each dashboard by the name of its file."""
    return {
        "overview.json": _dashboard("bitloot-overview", "BitLoot: overview", OVERVIEW),
        "service.json": _dashboard("bitloot-service", "BitLoot: one service", SERVICE, services=True),
        "orders.json": _dashboard("bitloot-orders", "BitLoot: the way of orders", ORDERS),
    }


def _dashboard(uid: str, title: str, panels: list[Panel], *, services: bool = False) -> dict[str, Any]:
    variables: list[dict[str, Any]] = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    ]
    if services:
        variables.append({"name": "service", "label": "Service", "type": "custom", "query": _SERVICES})
    return {
        "uid": uid,
        "title": title,
        "tags": ["bitloot"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": variables},
        "panels": [_panel(number, *panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, kind: str, title: str, unit: str, queries: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": kind,
        "title": title,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "expr": expression,
                "legendFormat": legend,
                **({"format": "heatmap"} if kind == "heatmap" else {}),
            }
            for index, (expression, legend) in enumerate(queries)
        ],
    }


def text(dashboard: dict[str, Any]) -> str:
    """Return the content of its file."""
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the files."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, dashboard in dashboards().items():
        (DIRECTORY / name).write_text(text(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()
