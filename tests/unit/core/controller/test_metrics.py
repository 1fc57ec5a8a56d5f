"""What Prometheus scrapes, as it reads it; and the page that lists it."""

from __future__ import annotations

import re
from pathlib import Path

from aeraki_core.controller.loop import Controller
from aeraki_core.controller.metrics import Metrics
from aeraki_core.controller.observer import LeadershipChanged
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.testing.memory_sink import MemorySink
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.core.controller.running import FAST, Feed, Running, key, pipeline, routes, service
from tests.unit.core.echo import EchoPlugin, Mesher

PAGE = (Path(__file__).parents[4] / "docs" / "cluster.md").read_text(encoding="utf-8")


def values(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Name and labels of every sample, and its value."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = [f"{name}={value}" for name, value in sorted(sample.labels.items())]
            found[(sample.name, *labels)] = sample.value
    return found


def ran(of: Pipeline, *feeds: Feed, sink: MemorySink | None = None) -> dict[tuple[str, ...], float]:
    metrics = Metrics(of, [feed.name for feed in feeds])
    Controller(of, feeds, sink or MemorySink(), timing=FAST, observer=metrics).run_once()
    return values(metrics)


def test_a_pass_is_counted() -> None:
    found = ran(pipeline(), Feed(service("cart"), service("order", 2)))
    assert found["controller_runtime_reconcile_total", "controller=aeraki", "result=success"] == 1
    assert found["controller_runtime_reconcile_total", "controller=aeraki", "result=error"] == 0
    assert found["controller_runtime_reconcile_time_seconds_count", "controller=aeraki"] == 1
    assert found["aeraki_generator_runs_total",] == 2
    assert found["aeraki_writes_total", "action=create", "result=success"] == 4
    assert found["aeraki_filters", "state=current"] == 4
    assert found["aeraki_service_ports", "protocol=echo", "state=current"] == 2
    assert found["aeraki_source_synced", "source=feed"] == 1
    assert found["aeraki_plugin_calls_total", "hook=aeraki_generate", "plugin=echo"] == 2
    assert found["process_resident_memory_bytes",] > 0


def test_what_goes_wrong_is_counted() -> None:
    found = ran(pipeline(), Feed(service("cart", fail="true"), service("order", 2, nonsense="1")))
    assert found["aeraki_service_ports", "protocol=echo", "state=none"] == 1
    assert found["aeraki_service_ports", "protocol=echo", "state=current"] == 1
    assert found["aeraki_plugin_errors_total", "hook=aeraki_generate", "plugin=echo"] == 1
    assert found["aeraki_findings", "code=AER0401", "severity=error"] == 1


def test_states_of_ports_follow_what_happens() -> None:
    of = pipeline()
    metrics, feed = Metrics(of, ["feed"]), Feed(service("cart"), service("order", 2))

    def states() -> dict[str, float]:
        return {
            name[2].partition("=")[2]: count
            for name, count in values(metrics).items()
            if name[0] == "aeraki_service_ports" and count
        }

    with Running(feed, of=of, observer=metrics) as running:
        running.next()
        assert states() == {"current": 2}
        feed.put(service("order", 2, fail="true"))
        running.next()
        assert states() == {"current": 1, "held": 1}
        # The address of an older service: this one's clients get no filter.
        feed.put(service("late", 1))
        running.next()
        assert states() == {"current": 1, "held": 1, "partial": 1}
        feed.drop(service("late", 1), service("order", 2))
        running.next()
        assert states() == {"current": 1}
        feed.drop(service("cart"))
        running.next()
        assert states() == {}


def test_orphans_are_counted() -> None:
    sink = MemorySink()
    ran(pipeline(), Feed(service("cart")), sink=sink)
    found = ran(Mesher(EchoPlugin(name="other")).pipeline, Feed(service("cart")), sink=sink)
    assert found["aeraki_filters", "state=orphan"] == 2
    assert key("cart") in sink.filters


def test_a_source_that_has_not_spoken_yet_is_not_in_sync() -> None:
    found = values(Metrics(pipeline(), ["feed"]))
    assert found["aeraki_source_synced", "source=feed"] == 0
    assert ("aeraki_source_unsynced_seconds", "source=feed") in found


def test_who_leads() -> None:
    metrics = Metrics(pipeline(), election="lease")
    assert values(metrics)["leader_election_master_status", "name=lease"] == 0
    metrics(LeadershipChanged(True))
    assert values(metrics)["leader_election_master_status", "name=lease"] == 1


def test_the_page_lists_every_metric_with_its_labels() -> None:
    of, sink = pipeline(), MemorySink()
    metrics = Metrics(of, ["feed"], "lease")
    Controller(
        of, [Feed(service("cart"), routes("nobody", "a"))], sink, timing=FAST, observer=metrics
    ).run_once()
    metrics(LeadershipChanged(True))
    said: dict[str, set[str]] = {}
    for name, *labels in values(metrics):
        if not name.startswith(("process_",)) and not name.endswith(
            ("_created", "_bucket", "_sum")
        ):
            said[name.removesuffix("_count")] = {label.partition("=")[0] for label in labels}
    listed: dict[str, set[str]] = {}
    table = PAGE.partition("### Metrics")[2].partition("Beside them")[0]
    for names, labels_cell in re.findall(r"^\| (`[^|]*) \| ([^|]*)\|", table, re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            listed[name] = set(re.findall(r"`([^`]+)`", labels_cell))
    listed.pop("rest_client_requests_total")  # of a cluster alone
    listed.pop("aeraki_plugin_running_seconds")  # while a call runs
    said.pop("rest_client_requests_total", None)
    assert said == listed
