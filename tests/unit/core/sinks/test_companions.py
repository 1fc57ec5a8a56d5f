"""What a filter names is written before it and deleted after it, with the same promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from aeraki_core.filters.companion import Companion, freeze_spec
from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey, ServicePort
from aeraki_core.filters.output import Output, from_dict, in_order, to_dict
from aeraki_core.filters.output_kind import OutputKind
from aeraki_core.pipeline.reconcile import Action, Step, differences, reconcile
from aeraki_core.sinks.carry_out import carry_out
from aeraki_core.sinks.files import FilesSink
from aeraki_core.sinks.live import live_of
from aeraki_core.testing.memory_sink import MemorySink

PORTS = (ServicePort("cart.shop.svc.cluster.local", 7000),)
ENTRY = FilterKey("istio-system", "aeraki-weights-cart", OutputKind.SERVICE_ENTRY)
RULE = ENTRY._replace(kind=OutputKind.DESTINATION_RULE)
FILTER = FilterKey("istio-system", "aeraki-outbound-cart")


def companion(key: FilterKey, **spec: object) -> Companion:
    return Companion(
        key=key,
        plugin="echo",
        service_ports=PORTS,
        spec=freeze_spec(spec),
        namespaces=("shop",),
    )


def envoy_filter(*companions: FilterKey) -> EnvoyFilter:
    return EnvoyFilter(
        FILTER, "echo", PORTS, (), 10, (), ("shop",), companions=companions or (ENTRY, RULE)
    )


WANTED: dict[FilterKey, Output] = {
    FILTER: envoy_filter(),
    ENTRY: companion(ENTRY, hosts=["a"]),
    RULE: companion(RULE, host="a"),
}


def steps(desired: dict[FilterKey, Output], sink: MemorySink) -> tuple[Step, ...]:
    return differences({*desired, *sink.live()}, desired, sink.live())


def test_companions_are_written_first_and_deleted_last() -> None:
    sink = MemorySink()
    done = [each.step.key for each in carry_out(sink, steps(WANTED, sink))]
    assert done == [RULE, ENTRY, FILTER]
    done = [each.step.key for each in carry_out(sink, steps({}, sink))]
    assert done == [FILTER, RULE, ENTRY]
    assert not sink.live()


def test_a_filter_waits_for_what_it_names() -> None:
    sink = MemorySink()
    sink.refuse = {ENTRY: True}
    results = {each.step.key: each for each in carry_out(sink, steps(WANTED, sink))}
    assert FILTER not in sink.live()
    assert results[FILTER].retry
    assert "ServiceEntry istio-system/aeraki-weights-cart must be there first" in str(
        results[FILTER].error
    )
    sink.refuse = {}
    assert all(each.error is None for each in carry_out(sink, steps(WANTED, sink)))


def test_a_companion_stays_while_the_filter_that_names_it_could_not_be_changed() -> None:
    sink = MemorySink(WANTED.values())
    sink.refuse = {FILTER: True}
    ordinary: dict[FilterKey, Output] = {
        FILTER: replace(envoy_filter(), priority=11, companions=())
    }
    for desired in (ordinary, {}):
        list(carry_out(sink, steps(desired, sink)))
        assert {ENTRY, RULE} <= set(sink.live())


def test_reconcile_keeps_the_promises_for_every_kind() -> None:
    live = MemorySink(WANTED.values()).live()
    assert reconcile(live, WANTED, live, active_plugins=["echo"]).steps == ()
    plan = reconcile(live, {}, live, active_plugins=[])
    assert {step.action for step in plan.kept} == {Action.ORPHAN}
    assert len(plan.kept) == 3


@pytest.mark.parametrize("key", WANTED)
def test_an_output_comes_back_from_its_object(key: FilterKey) -> None:
    output = WANTED[key]
    assert from_dict(to_dict(output)) == output
    live = live_of(to_dict(output))
    assert live is not None
    assert (live.key, live.filter, live.namespaces) == (key, output, ("shop",))


def test_a_companion_with_another_field_is_not_as_we_write_it() -> None:
    content = to_dict(companion(ENTRY, hosts=["a"]))
    assert live_of({**content, "kind": "Gateway"}) is None
    assert live_of({**content, "metadata": {**content["metadata"], "labels": {}}}) is None


def test_the_order_to_apply_and_the_files(tmp_path: Path) -> None:
    assert [each.key for each in in_order(WANTED.values())] == [RULE, ENTRY, FILTER]
    sink = FilesSink(tmp_path, watch=False)
    sink.start(lambda key: None)
    results = carry_out(sink, differences(WANTED, WANTED, sink.live()))
    assert [each.error for each in results] == [None] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "istio-system.aeraki-outbound-cart.yaml",
        "istio-system.aeraki-weights-cart.destinationrule.yaml",
        "istio-system.aeraki-weights-cart.serviceentry.yaml",
    ]
    again = FilesSink(tmp_path, watch=False)
    again.start(lambda key: None)
    assert differences({*WANTED, *again.live()}, WANTED, again.live()) == ()
