"""Endpoints that carry weights are followed at once, whatever else changes at that time."""

from __future__ import annotations

from typing import Any

from aeraki_core.controller.loop import LoopTiming
from aeraki_core.filters.output import to_dict
from aeraki_core.filters.output_kind import OutputKind
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.reconcile import Action

from tests.unit.core.controller.running import Feed, Running, routes, service
from tests.unit.core.test_live_weights import Canary

NEVER = LoopTiming(quiet=6000.0, longest=6000.0, lead=6000.0)


def slice_of(service_name: str, *pods: str, ready: bool = True) -> SourceObject:
    endpoints = [
        {
            "addresses": [f"10.1.0.{number}"],
            "conditions": {"ready": ready or name != pods[0], "terminating": not ready},
            "targetRef": {"kind": "Pod", "name": name},
        }
        for number, name in enumerate(pods, 1)
    ]
    metadata = {
        "name": f"{service_name}-x",
        "namespace": "shop",
        "labels": {"kubernetes.io/service-name": service_name},
    }
    content: dict[str, Any] = {
        "metadata": metadata,
        "endpoints": endpoints,
        "ports": [{"name": "tcp-echo", "port": 9000}],
    }
    ref = ObjectRef("EndpointSlice", "shop", f"{service_name}-x")
    return SourceObject(ref, "discovery.k8s.io/v1", content)


def test_a_pod_that_ends_leaves_at_once_and_alone() -> None:
    feed = Feed()
    with Running(feed, of=Canary().pipeline, timing=NEVER) as running:
        assert running.next().first
        # A burst that does not end, of a user and of pods that carry no weight.
        feed.put(service("order", 2), routes("order", "a"), slice_of("other", "v1-0"))
        feed.put(slice_of("cart", "v1-0", "v1-1", "v2-0", ready=False))
        report = running.next()
        (written,) = report.written
        assert written.step.key.kind is OutputKind.SERVICE_ENTRY
        assert written.error is None
        assert written.step.after is not None
        endpoints = to_dict(written.step.after)["spec"]["endpoints"]
        assert [each["address"] for each in endpoints] == ["10.1.0.2", "10.1.0.3"]
        # The cost is that of the one service port.
        assert report.generated.calls <= 1
        assert len(report.generated.generated) == 1
        assert running.controller.call(lambda: running.pipeline.run().calls, 60.0) > 0


def test_what_nobody_asks_about_prolongs_no_burst() -> None:
    """Neither pods of other services nor our own objects, which come back as they are written."""
    now = [0.0]
    timing = LoopTiming(quiet=0.5, longest=6000.0, lead=0.05)
    canary = Canary()
    (entry,) = canary.made(OutputKind.SERVICE_ENTRY)
    ours = ObjectRef("ServiceEntry", "shop", entry["metadata"]["name"])
    echo = SourceObject(ours, entry["apiVersion"], entry)
    feed = Feed(echo)
    with Running(feed, of=canary.pipeline, timing=timing, clock=lambda: now[0]) as running:
        assert running.next().first
        now[0] = 100.0
        for number in range(20):
            feed.put(slice_of("other", "v1-0", ready=bool(number % 2)), echo)
            running.controller.call(lambda: None, 60.0)
            now[0] += 0.1
        before = running.controller.passes
        now[0] += 0.1
        feed.put(routes("cart", "a"))
        running.controller.call(lambda: None, 60.0)
        now[0] += 0.06
        assert running.next().generated.generated
        assert running.controller.passes == before + 1


def test_pods_that_come_and_go_all_day_do_not_delay_a_change() -> None:
    """Those of a service with a filter: each time a pass looks who shares workloads with it."""
    now = [0.0]
    timing = LoopTiming(quiet=0.5, longest=6000.0, lead=0.05)
    feed = Feed(service("order", 2), service("cart"), slice_of("order", "a"))
    with Running(feed, timing=timing, clock=lambda: now[0]) as running:
        assert running.next().first
        for number in range(20):
            now[0] = 100.0 + number * 0.1
            feed.put(slice_of("order", *("a" * each for each in range(1, number % 5 + 2))))
            running.controller.call(lambda: None, 60.0)
        passes = running.controller.passes
        assert 3 <= passes <= 6
        feed.put(service("cart", volume="2"))
        feed.put(slice_of("order", "a"))
        running.controller.call(lambda: None, 60.0)
        now[0] += 0.06
        report = running.until(lambda report: report.written)
        assert {written.step.action for written in report.written} == {Action.UPDATE}
        assert running.controller.passes == passes + 1
