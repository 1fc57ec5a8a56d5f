"""A companion outlives the filter that named it: connections that drain still need its cluster."""

from __future__ import annotations

from aeraki_core.controller.writer import FilterWriter
from aeraki_core.filters.output_kind import OutputKind
from aeraki_core.model.mesh import LiveWeights
from aeraki_core.sources.gaps import Gaps
from aeraki_core.testing.memory_sink import MemorySink

from tests.unit.core.test_live_weights import Canary


def kinds(sink: MemorySink) -> list[OutputKind]:
    return sorted(key.kind for key in sink.live())


def test_companions_go_when_their_time_is_over() -> None:
    canary, sink = Canary(), MemorySink()
    writer = FilterWriter(canary.pipeline, sink, linger=120.0, clock=lambda: 0.0)
    canary.run()
    writer.write(writer.everything(), 0.0, Gaps(), full=True)
    everything = kinds(sink)
    assert len(everything) == 4
    canary.weights(90, 10, asks=False)
    writer.write(canary.run().changed, 10.0, Gaps())
    assert kinds(sink) == everything
    assert writer.next_try == 130.0
    writer.write((), 129.0, Gaps())
    assert kinds(sink) == everything
    writer.write((), 130.0, Gaps())
    assert kinds(sink) == [OutputKind.ENVOY_FILTER] * 2
    assert writer.next_try is None


def test_companions_that_are_named_again_stay() -> None:
    canary, sink = Canary(), MemorySink()
    writer = FilterWriter(canary.pipeline, sink, linger=120.0, clock=lambda: 0.0)
    canary.run()
    writer.write(writer.everything(), 0.0, Gaps(), full=True)
    everything = kinds(sink)
    for now, asks in ((10.0, False), (20.0, True)):
        canary.weights(90, 10, asks=asks)
        writer.write(canary.run().changed, now, Gaps())
    writer.write((), 1000.0, Gaps())
    assert kinds(sink) == everything
    assert writer.next_try is None


def test_what_a_controller_with_the_setting_left_goes_after_a_restart_without_it() -> None:
    canary, sink = Canary(), MemorySink()
    canary.run()
    before = FilterWriter(canary.pipeline, sink, linger=120.0, clock=lambda: 0.0)
    before.write(before.everything(), 0.0, Gaps(), full=True)
    everything = kinds(sink)
    off = Canary(LiveWeights.OFF)
    off.run()
    after = FilterWriter(off.pipeline, sink, linger=120.0, clock=lambda: 0.0)
    after.write(after.everything(), 0.0, Gaps(), full=True)
    assert kinds(sink) == everything
    after.write((), 120.0, Gaps())
    assert kinds(sink) == [OutputKind.ENVOY_FILTER] * 2
