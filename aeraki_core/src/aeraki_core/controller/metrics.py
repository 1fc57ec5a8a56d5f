"""What Prometheus scrapes, in the names that controller-runtime uses where it has one.

The controller's thread sets all numbers after each pass, so a scrape never looks at the pipeline.
docs/cluster.md lists the metrics; a test compares that list with this file.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from aeraki_core.controller.endpoints_age import EndpointsAge
from aeraki_core.controller.observer import (
    ControllerEvent,
    FilterChanged,
    LeadershipChanged,
    PassReport,
    SourceSynced,
    SourceUnsynced,
)
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.kube.client import Client
from aeraki_core.model.plugin_calls import PLUGIN_CALLS
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.pipeline.reconcile import Action
from aeraki_core.plugins.discovery import core_version
from aeraki_core.plugins.dispatch import CallStats

__all__ = ["Metrics"]


_NAME = "aeraki"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """All metrics of one controller, in a registry of their own.

    ``sources``: the names of its sources.
    ``election``: the name of the Lease; empty without an election.
    ``queued``: gives how many things wait for the loop.
    ``busy``: gives for how many seconds the loop has been at work.
    ``endpoints``: gives how old the endpoints of weight sets are.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sources: Iterable[str] = (),
        election: str = "",
        queued: Callable[[], int] = lambda: 0,
        busy: Callable[[], float] = lambda: 0.0,
        endpoints: Callable[[], EndpointsAge] = EndpointsAge,
    ) -> None:
        self._pipeline = pipeline
        self._registry = registry = CollectorRegistry(auto_describe=True)
        self._kept: dict[FilterKey, Action] = {}
        self._findings: Counter[tuple[str, str]] = Counter()
        self._sources = _Sources(sources)
        self._plugins = _Plugins()
        self._election = election
        weight_sets = _WeightSets(endpoints)
        for collector in (self._sources, self._plugins, weight_sets, _Running(), _Requests()):
            registry.register(collector)
        ProcessCollector(registry=registry)
        controller = ("controller",)
        self._reconciles = prometheus_client.Counter(
            "controller_runtime_reconcile",
            "Passes, by result.",
            (*controller, "result"),
            registry=registry,
        )
        self._errors = prometheus_client.Counter(
            "controller_runtime_reconcile_errors",
            "Passes with a failed write.",
            controller,
            registry=registry,
        )
        self._seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "How long a pass takes.",
            controller,
            registry=registry,
            buckets=_BUCKETS,
        )
        depth = Gauge(
            "workqueue_depth",
            "What waits for the loop; events that came together count as one.",
            ("name",),
            registry=registry,
        )
        depth.labels(_NAME).set_function(queued)
        active = Gauge(
            "controller_runtime_active_workers",
            "1 while the loop works.",
            controller,
            registry=registry,
        )
        active.labels(_NAME).set_function(lambda: float(busy() > 0))
        self._generators = prometheus_client.Counter(
            "aeraki_generator_runs", "Service ports whose generator ran.", registry=registry
        )
        self._writes = prometheus_client.Counter(
            "aeraki_writes", "Writes of filters.", ("action", "result"), registry=registry
        )
        self._restored = prometheus_client.Counter(
            "aeraki_filters_changed_by_others",
            "Our filters that somebody else changed or deleted.",
            registry=registry,
        )
        self._filters = Gauge(
            "aeraki_filters",
            "Filters: current, kept, orphan, outside.",
            ("state",),
            registry=registry,
        )
        self._ports = Gauge(
            "aeraki_service_ports",
            "Service ports by protocol and state.",
            ("protocol", "state"),
            registry=registry,
        )
        self._finding_counts = Gauge(
            "aeraki_findings",
            "Findings by severity and code.",
            ("severity", "code"),
            registry=registry,
        )
        self._leads = Gauge(
            "leader_election_master_status",
            "1 while this replica leads.",
            ("name",),
            registry=registry,
        )
        if election:
            self._leads.labels(election).set(0)
        for result in ("success", "error"):
            self._reconciles.labels(_NAME, result)
        self._errors.labels(_NAME)
        build = Gauge(
            "aeraki_build_info",
            "Always 1; the version is a label.",
            ("version",),
            registry=registry,
        )
        build.labels(core_version()).set(1)

    def text(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self._registry)

    def __call__(self, event: ControllerEvent) -> None:
        """Count what happens."""
        match event:
            case LeadershipChanged(leads):
                self._leads.labels(self._election).set(leads)
            case SourceSynced(source, incomplete):
                self._sources.synced(source, incomplete is None)
            case SourceUnsynced(source, _):
                self._sources.synced(source, False)
            case FilterChanged():
                self._restored.inc()
            case PassReport() as report:
                self._count(report)

    def _count(self, report: PassReport) -> None:
        failed = bool(report.failures)
        self._reconciles.labels(_NAME, "error" if failed else "success").inc()
        self._errors.labels(_NAME).inc(failed)
        self._seconds.labels(_NAME).observe(report.seconds)
        self._generators.inc(report.generated.calls)
        for written in report.written:
            self._writes.labels(
                str(written.step.action), "error" if written.error else "success"
            ).inc()
        self._count_filters(report)
        for (protocol, state), number in self._pipeline.port_counts().items():
            self._ports.labels(protocol, state).set(number)
        for finding in report.new_findings:
            self._findings[(finding.severity.label, finding.code.id)] += 1
        for finding in report.resolved_findings:
            self._findings[(finding.severity.label, finding.code.id)] -= 1
        for labels, number in self._findings.items():
            self._finding_counts.labels(*labels).set(number)
        self._plugins.set(self._pipeline.dispatcher.stats)

    def _count_filters(self, report: PassReport) -> None:
        for key in report.released:
            self._kept.pop(key, None)
        for step in report.kept:
            self._kept[step.key] = step.action
        kept = Counter(self._kept.values())
        self._filters.labels("current").set(len(self._pipeline.filters))
        for action, state in (
            (Action.KEEP, "kept"),
            (Action.ORPHAN, "orphan"),
            (Action.OUTSIDE, "outside"),
        ):
            self._filters.labels(state).set(kept[action])


class _Sources:
    """Whether each source is in sync, and for how long it has been out of sync."""

    def __init__(self, sources: Iterable[str]) -> None:
        now = time.monotonic()
        self._since = dict.fromkeys(sources, now)
        self._good = dict.fromkeys(self._since, False)

    def synced(self, source: str, good: bool) -> None:
        if good or self._good.get(source, True):
            self._since[source] = time.monotonic()
        self._good[source] = good

    def collect(self) -> Iterable[Metric]:
        synced = GaugeMetricFamily(
            "aeraki_source_synced", "1 while the source is in sync.", labels=("source",)
        )
        age = GaugeMetricFamily(
            "aeraki_source_unsynced_seconds",
            "For how long the source has been out of sync.",
            labels=("source",),
        )
        now = time.monotonic()
        for source, good in list(self._good.items()):
            synced.add_metric((source,), float(good))
            age.add_metric((source,), 0.0 if good else now - self._since[source])
        return synced, age


class _WeightSets:
    """How many weight sets there are, and how old their endpoints are as of the scrape."""

    def __init__(self, endpoints: Callable[[], EndpointsAge]) -> None:
        self._endpoints = endpoints

    def collect(self) -> Iterable[Metric]:
        age = self._endpoints()
        sets = GaugeMetricFamily("aeraki_weight_sets", "Routes whose weights are live.")
        sets.add_metric((), age.sets)
        seconds = GaugeMetricFamily(
            "aeraki_weight_set_age_seconds",
            "For how long endpoints of a weight set have not followed the pods; 0 while all do.",
        )
        seconds.add_metric((), age.seconds)
        return sets, seconds


class _Plugins:
    """Calls of each plugin's hooks, as the dispatcher counts them."""

    def __init__(self) -> None:
        self._stats: dict[tuple[str, str], tuple[int, int, float]] = {}

    def set(self, stats: dict[tuple[str, str], CallStats]) -> None:
        self._stats = {
            labels: (calls.calls, calls.errors, calls.seconds) for labels, calls in stats.items()
        }

    def collect(self) -> Iterable[Metric]:
        names = ("plugin", "hook")
        families = (
            CounterMetricFamily("aeraki_plugin_calls", "Calls of a plugin's hook.", labels=names),
            CounterMetricFamily("aeraki_plugin_errors", "Calls that raised.", labels=names),
            CounterMetricFamily(
                "aeraki_plugin_seconds", "Wall time in a plugin's hook.", labels=names
            ),
        )
        for labels, values in list(self._stats.items()):
            for family, value in zip(families, values, strict=True):
                family.add_metric(labels, value)
        return families


class _Running:
    """Calls of plugins that have not returned; a scrape sees them while the loop waits for one."""

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "aeraki_plugin_running_seconds",
            "For how long a call of a plugin's hook has been running.",
            labels=("plugin", "hook"),
        )
        longest: dict[tuple[str, str], float] = {}
        for call in reversed(PLUGIN_CALLS.running()):
            longest[(call.plugin, call.hook)] = call.seconds
        for labels, seconds in longest.items():
            family.add_metric(labels, seconds)
        return (family,)


class _Requests:
    """Requests to API servers, as client-go counts them."""

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "rest_client_requests",
            "Requests to the API server, by method and status code.",
            labels=("code", "method"),
        )
        for (method, code), number in sorted(Client.requests.counts().items()):
            family.add_metric((code, method), number)
        return (family,)
