"""The chart's Grafana dashboards: the controller, and each protocol's statistics in the proxies.

A proxy's statistic has the service in its name
(``dubbo.outbound|20880||greeter.shop.svc.cluster.local.request``), so Prometheus has one metric for
each service. ``rate`` drops the name of a metric, which would make two services look the same. So
each query first copies the service from the name into a label. scripts/render_deploy.py writes the
files; tests/observe runs every query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["DASHBOARDS", "Dashboard", "Panel", "Query", "render"]

WINDOW = "5m"


@dataclass(frozen=True, slots=True)
class Query:
    """One line of a panel: PromQL, and how its series are called."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A graph; ``unit`` is Grafana's name of it."""

    title: str
    unit: str
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page of Grafana."""

    name: str
    title: str
    panels: tuple[Panel, ...]


def _panel(title: str, unit: str, *queries: tuple[str, str]) -> Panel:
    return Panel(title, unit, tuple(Query(*query) for query in queries))


def _calls(pattern: str, *, labels: Sequence[str] = ("service",), but: str = "") -> str:
    """The rate of the proxies' counters with a name like this; its groups become these labels."""
    excluded = f', __name__!~"{but}"' if but else ""
    series = f'{{__name__=~"{pattern}"{excluded}}}'
    for number, label in enumerate(labels, 1):
        series = f'label_replace({series}, "{label}", "${number}", "__name__", "{pattern}")'
    return f"sum by ({', '.join(labels)}) (rate({series}[{WINDOW}:15s]))"


def _present(pattern: str) -> str:
    """The sum of the proxies' gauges with a name like this, by service."""
    series = f'label_replace({{__name__=~"{pattern}"}}, "service", "$1", "__name__", "{pattern}")'
    return f"sum by (service) ({series})"


_CONTROLLER = Dashboard(
    "controller",
    "Aeraki: controller",
    (
        _panel(
            "Service ports by state",
            "short",
            ("max by (protocol, state) (aeraki_service_ports)", "{{protocol}} {{state}}"),
        ),
        _panel("Filters by state", "short", ("max by (state) (aeraki_filters)", "{{state}}")),
        _panel(
            "Findings",
            "short",
            ("max by (severity, code) (aeraki_findings)", "{{severity}} {{code}}"),
        ),
        _panel(
            "Writes",
            "ops",
            (
                f"sum by (action, result) (rate(aeraki_writes_total[{WINDOW}]))",
                "{{action}} {{result}}",
            ),
            (
                f"sum(rate(aeraki_filters_changed_by_others_total[{WINDOW}]))",
                "changed by somebody else",
            ),
        ),
        _panel(
            "Sources out of sync",
            "s",
            ("max by (source) (aeraki_source_unsynced_seconds)", "{{source}}"),
        ),
        _panel(
            "Age of endpoints of live weights",
            "s",
            ("max(aeraki_weight_set_age_seconds)", "age"),
        ),
        _panel(
            "Time of a pass (95 %)",
            "s",
            (
                "histogram_quantile(0.95, sum by (le)"
                f" (rate(controller_runtime_reconcile_time_seconds_bucket[{WINDOW}])))",
                "pass",
            ),
        ),
        _panel(
            "Passes",
            "ops",
            (
                f"sum by (result) (rate(controller_runtime_reconcile_total[{WINDOW}]))",
                "{{result}}",
            ),
            (f"sum(rate(aeraki_generator_runs_total[{WINDOW}]))", "generator runs"),
        ),
        _panel(
            "The loop",
            "short",
            ("max(workqueue_depth)", "waiting"),
            ("max(controller_runtime_active_workers)", "working"),
        ),
        _panel(
            "Plugins: time in hooks",
            "percentunit",
            (
                f"sum by (plugin, hook) (rate(aeraki_plugin_seconds_total[{WINDOW}]))",
                "{{plugin}} {{hook}}",
            ),
        ),
        _panel(
            "Plugins: calls that raised",
            "ops",
            (
                f"sum by (plugin, hook) (rate(aeraki_plugin_errors_total[{WINDOW}]))",
                "{{plugin}} {{hook}}",
            ),
        ),
        _panel(
            "Requests to the API server",
            "reqps",
            (
                f"sum by (code, method) (rate(rest_client_requests_total[{WINDOW}]))",
                "{{method}} {{code}}",
            ),
        ),
        _panel(
            "Leaders",
            "short",
            ("sum by (name) (leader_election_master_status)", "{{name}}"),
        ),
        _panel(
            "Memory and CPU",
            "short",
            ("process_resident_memory_bytes{job=~'.*aeraki.*'}", "bytes"),
            (f"rate(process_cpu_seconds_total{{job=~'.*aeraki.*'}}[{WINDOW}])", "cores"),
        ),
    ),
)
_DUBBO = Dashboard(
    "dubbo",
    "Aeraki: Dubbo",
    (
        _panel(
            "Calls",
            "reqps",
            (_calls("envoy_dubbo_((?:in|out)bound_.+)_request"), "{{service}}"),
        ),
        _panel(
            "Answers",
            "reqps",
            *(
                (
                    _calls(
                        f"envoy_dubbo_((?:in|out)bound_.+)_response_{outcome}",
                        but=f".+_local_local_response_{outcome}",
                    ),
                    f"{{{{service}}}} {outcome}",
                )
                for outcome in ("success", "business_exception", "error")
            ),
        ),
        _panel(
            "Calls that Envoy could not read",
            "reqps",
            (
                _calls("envoy_dubbo_((?:in|out)bound_.+)_request_decoding_error"),
                "{{service}}",
            ),
        ),
        _panel(
            "Calls under way",
            "short",
            (_present("envoy_dubbo_((?:in|out)bound_.+)_request_active"), "{{service}}"),
        ),
    ),
)
_THRIFT = Dashboard(
    "thrift",
    "Aeraki: Thrift",
    (
        _panel(
            "Calls",
            "reqps",
            (_calls("envoy_thrift_((?:in|out)bound_.+)_request"), "{{service}}"),
        ),
        _panel(
            "Answers",
            "reqps",
            *(
                (
                    _calls(f"envoy_thrift_((?:in|out)bound_.+)_response_{outcome}"),
                    f"{{{{service}}}} {outcome}",
                )
                for outcome in ("success", "exception", "error")
            ),
        ),
        _panel(
            "Calls without a way",
            "reqps",
            *(
                (
                    _calls(f"envoy_thrift_((?:in|out)bound_.+)_{reason}"),
                    f"{{{{service}}}} {reason}",
                )
                for reason in ("route_missing", "unknown_cluster", "no_healthy_upstream")
            ),
        ),
        _panel(
            "Calls that Envoy could not read",
            "reqps",
            (
                _calls("envoy_thrift_((?:in|out)bound_.+)_request_decoding_error"),
                "{{service}}",
            ),
        ),
    ),
)
_REDIS = Dashboard(
    "redis",
    "Aeraki: Redis",
    (
        _panel(
            "Commands",
            "reqps",
            (_calls("envoy_redis_(outbound_.+)_downstream_rq_total"), "{{service}}"),
        ),
        _panel(
            "Connections of clients",
            "short",
            (_present("envoy_redis_(outbound_.+)_downstream_cx_active"), "{{service}}"),
        ),
        _panel(
            "Commands that Envoy refuses",
            "reqps",
            (
                _calls("envoy_redis_(outbound_.+)_splitter_unsupported_command"),
                "{{service}} unsupported",
            ),
            (_calls("envoy_redis_(outbound_.+)_splitter_invalid_request"), "{{service}} invalid"),
        ),
        _panel(
            "Bytes that Envoy could not read",
            "reqps",
            (_calls("envoy_redis_(outbound_.+)_downstream_cx_protocol_error"), "{{service}}"),
        ),
    ),
)
_ZOOKEEPER = Dashboard(
    "zookeeper",
    "Aeraki: ZooKeeper",
    (
        _panel(
            "Requests by operation",
            "reqps",
            (
                _calls(
                    "envoy_((?:in|out)bound_.+)_zookeeper_([a-z0-9]+)_rq",
                    labels=("service", "operation"),
                ),
                "{{service}} {{operation}}",
            ),
        ),
        _panel(
            "Answers by operation",
            "reqps",
            (
                _calls(
                    "envoy_((?:in|out)bound_.+)_zookeeper_([a-z0-9]+)_resp",
                    labels=("service", "operation"),
                ),
                "{{service}} {{operation}}",
            ),
        ),
        _panel(
            "Watch events",
            "ops",
            (_calls("envoy_((?:in|out)bound_.+)_zookeeper_watch_event"), "{{service}}"),
        ),
        _panel(
            "Bytes that Envoy could not read",
            "ops",
            (_calls("envoy_((?:in|out)bound_.+)_zookeeper_decoder_error"), "{{service}}"),
        ),
    ),
)
_KAFKA = Dashboard(
    "kafka",
    "Aeraki: Kafka",
    (
        _panel(
            "Requests by type",
            "reqps",
            (
                _calls(
                    "envoy_kafka_((?:in|out)bound_.+)_request_([a-z_]+)_request",
                    labels=("service", "type"),
                ),
                "{{service}} {{type}}",
            ),
        ),
        _panel(
            "Answers by type",
            "reqps",
            (
                _calls(
                    "envoy_kafka_((?:in|out)bound_.+)_response_([a-z_]+)_response",
                    labels=("service", "type"),
                ),
                "{{service}} {{type}}",
            ),
        ),
    ),
)
DASHBOARDS = (_CONTROLLER, _DUBBO, _THRIFT, _REDIS, _ZOOKEEPER, _KAFKA)
"""All of them."""


def render(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana imports it; the data source is chosen there."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels = [
        {
            "id": number + 1,
            "type": "timeseries",
            "title": panel.title,
            "datasource": source,
            "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "datasource": source,
                    "expr": query.expression,
                    "legendFormat": query.legend,
                }
                for index, query in enumerate(panel.queries)
            ],
        }
        for number, panel in enumerate(dashboard.panels)
    ]
    variable = {
        "name": "source",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
    }
    return {
        "uid": f"aeraki-{dashboard.name}",
        "title": dashboard.title,
        "tags": ["aeraki", "istio"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [variable]},
        "panels": panels,
    }
