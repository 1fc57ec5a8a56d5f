"""Many writes to an API server: several at once, and one that is slow delays no other."""

from __future__ import annotations

import threading
from pathlib import Path

from aeraki_core.kube.client import connect
from aeraki_core.pipeline.reconcile import Step, differences
from aeraki_core.sinks.carry_out import carry_out
from aeraki_core.sinks.kubernetes.sink import KubernetesSink
from aeraki_core.testing.memory_sink import MemorySink

from tests.unit.core.controller.running import pipeline, service
from tests.unit.core.kube.fake_api import FakeApi

SERVICES = 100
WAIT = 120.0  # seconds that a busy machine may take


def steps_of_a_start() -> tuple[Step, ...]:
    of = pipeline()
    for number in range(SERVICES):
        of.upsert(service(f"s{number:02}", number))
    of.run()
    return differences(of.filters, of.filters, {})


def test_a_slow_write_delays_no_other(tmp_path: Path) -> None:
    steps = steps_of_a_start()
    slow, others = steps[0].key.name, threading.Event()
    begun: set[str] = set()
    with FakeApi() as api:

        def wait(name: str) -> None:
            begun.add(name)
            if len(begun) == len(steps):
                others.set()
            if name == slow:
                assert others.wait(WAIT)

        api.before_write = wait
        sink = KubernetesSink(lambda: connect(api.kubeconfig(tmp_path)))
        sink.start(lambda key: None)
        try:
            done = list(sink.apply(steps))
        finally:
            others.set()
            sink.stop()
    assert [each.step for each in done] == list(steps)
    assert {each.error for each in done} == {None}
    assert len(begun) == 2 * SERVICES


def test_no_step_is_begun_once_the_time_is_over() -> None:
    steps, sink = steps_of_a_start(), MemorySink()
    results = list(carry_out(sink, steps, enough=lambda: sink.writes == 7))
    assert [each.step for each in results] == list(steps[:7])
