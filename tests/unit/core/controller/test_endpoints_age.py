"""How old the endpoints of weight sets are, at a leader and at a standby."""

from __future__ import annotations

from aeraki_core.controller.endpoints_age import EndpointsAge, EndpointsClock
from aeraki_core.controller.observer import (
    FilterChanged,
    PassReport,
    SourceSynced,
    SourceUnsynced,
)
from aeraki_core.pipeline.reconcile import differences
from aeraki_core.sinks.carry_out import carry_out
from aeraki_core.testing.memory_sink import MemorySink

from tests.unit.core.test_live_weights import Canary


class Watched:
    """A canary whose controller passes when told, and a clock of the test's."""

    def __init__(self, canary: Canary | None = None) -> None:
        self.canary, self.sink, self.now = canary or Canary(), MemorySink(), 0.0
        self.clock = EndpointsClock(
            lambda: self.canary.pipeline.filters,
            self.sink.live,
            ["kubernetes"],
            clock=lambda: self.now,
        )
        self.first = True

    def write(self) -> None:
        """What the leader does, here or elsewhere."""
        desired = self.canary.pipeline.filters
        steps = differences({*desired, *self.sink.live()}, desired, self.sink.live())
        assert all(each.error is None for each in carry_out(self.sink, steps))

    def ends_a_pass(self) -> None:
        report = PassReport(
            first=self.first,
            generated=self.canary.run(),
            written=(),
            kept=(),
            released=(),
            new_findings=(),
            resolved_findings=(),
            held=None,
            seconds=0.0,
        )
        self.first = False
        self.clock(report)

    def age(self) -> float:
        return self.clock.age().seconds


def test_it_counts_from_the_change_to_the_write() -> None:
    watched = Watched()
    watched.ends_a_pass()
    watched.write()
    assert watched.clock.age() == EndpointsAge(sets=1)
    watched.now = 10.0
    watched.canary.pods("v1-0")
    watched.ends_a_pass()
    watched.now = 30.0
    watched.canary.pods("v1-0", "v1-1")
    watched.ends_a_pass()
    watched.now = 80.0
    age = watched.clock.age()
    assert (age.unwritten, age.unread) == (70.0, 0.0)
    assert "ServiceEntry shop/aeraki-weights-cart-7000-" in age.reason
    # No pass need tell of the write: a standby sees it in the live objects.
    watched.write()
    assert watched.age() == 0.0


def test_what_somebody_else_changes_counts() -> None:
    watched = Watched()
    watched.ends_a_pass()
    watched.write()
    key = next(key for key in watched.sink.live() if key.kind.plural == "serviceentries")
    watched.sink.tamper(key, None)
    watched.clock(FilterChanged(key))
    watched.now = 5.0
    assert watched.age() == 5.0


def test_a_source_without_pods_does_not_count() -> None:
    watched = Watched()
    watched.ends_a_pass()
    watched.write()
    watched.clock(SourceUnsynced("istiod", "away"))
    watched.now = 20.0
    assert watched.age() == 0.0
    watched.clock(SourceUnsynced("kubernetes", "403"))
    watched.clock(SourceUnsynced("kubernetes", "401"))
    watched.now = 50.0
    age = watched.clock.age()
    assert (age.unread, age.reason) == (30.0, "source kubernetes is not in sync: 401")
    watched.clock(SourceSynced("kubernetes", None))
    assert watched.age() == 0.0


def test_without_a_weight_set_nothing_is_old() -> None:
    watched = Watched()
    watched.ends_a_pass()
    watched.canary.weights(90, 10, asks=False)
    watched.ends_a_pass()
    watched.clock(SourceUnsynced("kubernetes", "403"))
    watched.now = 500.0
    assert watched.clock.age() == EndpointsAge()
