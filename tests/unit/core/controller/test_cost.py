"""What one change costs follows the change, not the mesh: counted in calls, not in seconds."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from aeraki_core.controller.observer import PassReport
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.source_object import SourceObject

from tests.unit.core.controller.running import Feed, Running, codes, routes, service
from tests.unit.core.controller.test_following import slice_of


class Calls:
    """Counts the calls of Python functions in threads that start inside it, except while paused."""

    def __init__(self) -> None:
        self.count = 0
        self.resting = True

    def __enter__(self) -> Calls:
        threading.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        threading.setprofile(None)  # which ends it

    def _called(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and not self.resting:
            self.count += 1


def cost_of_a_change(services: int) -> tuple[int, PassReport]:
    """Count the calls for one changed VirtualService; every service has a finding."""
    objects = [service(f"s{number}", number, volume="99") for number in range(services)]
    feed = Feed(*objects, *(routes(f"s{number}", "a") for number in range(services)))
    with Calls() as calls, Running(feed) as running:
        assert len(running.next().written) == 2 * services
        assert len(running.controller.findings) >= services
        calls.resting = False
        feed.put(routes("s7", "b"))
        report = running.next()
        calls.resting = True
    return calls.count, report


def test_one_change_takes_as_many_calls_in_a_large_mesh_as_in_a_small_one() -> None:
    small, _ = cost_of_a_change(20)
    large, report = cost_of_a_change(200)
    assert report.generated.calls == 1
    assert len(report.written) == 2
    assert large < small * 1.2


def test_findings_that_stay_are_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = [service(f"s{number}", number, volume="99") for number in range(200)]
    looked_at: list[Finding] = []
    compute = Finding.__hash__

    def count(self: Finding) -> int:
        looked_at.append(self)
        return compute(self)

    feed = Feed(*objects)
    with Running(feed) as running:
        assert len(running.next().written) == 400
        monkeypatch.setattr(Finding, "__hash__", count)
        feed.put(service("s7", 7, volume="3"))
        report = running.next()
        assert codes(report.resolved_findings) == ["AER0111"]
        assert report.new_findings == ()
        assert {item.ref for item in looked_at} == {objects[7].ref}


def cost_of_workloads(namespaces: int) -> int:
    """Count the calls for changed workloads of a service that speaks no protocol."""

    def in_namespace(item: SourceObject, number: int) -> SourceObject:
        ref = item.ref._replace(namespace=f"shop-{number}")
        metadata = {**item.content["metadata"], "namespace": ref.namespace}
        return replace(item, ref=ref, content={**item.content, "metadata": metadata})

    objects = [in_namespace(service("cart", number), number) for number in range(namespaces)]
    feed = Feed(*objects)
    with Calls() as calls, Running(feed) as running:
        written = len(running.next().written)
        while written < 2 * namespaces:
            written += len(running.next().written)
        running.controller.call(lambda: None, 60.0)
        calls.resting = False
        for number in range(10):
            feed.put(slice_of("other", *(f"pod-{each}" for each in range(number + 1))))
        running.controller.call(lambda: None, 60.0)
        calls.resting = True
    return calls.count


def test_workloads_of_others_cost_the_same_in_many_namespaces_as_in_few() -> None:
    assert cost_of_workloads(200) < cost_of_workloads(5) * 1.2
