"""Only what read something that changed runs again, and what goes wrong takes nothing away."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.controller.holds import holds_for
from aeraki_core.filters.envoyfilter import FilterKey, ServicePort
from aeraki_core.filters.live import Live
from aeraki_core.pipeline.reconcile import Action, Plan, reconcile
from aeraki_core.sources.gaps import NO_GAPS, Gaps

from tests.unit.core.echo import Mesher

KEY = FilterKey("istio-system", "aeraki-outbound-cart.shop.svc.cluster.local-7000")


def http(method: str, host: str = "cart") -> list[Any]:
    return [{"match": [{"method": {"exact": method}}], "route": [{"destination": {"host": host}}]}]


@pytest.fixture
def mesh() -> Mesher:
    found = Mesher()
    for number in range(20):
        found.service(f"s{number}", f"10.0.1.{number}")
    found.service()
    found.routes("r", ["cart"], http("a"))
    found.run()
    return found


def ran(mesh: Mesher) -> list[str]:
    return [service_id[1].split(".")[0] for service_id, _ in mesh.run().generated]


def test_nothing_runs_without_a_change(mesh: Mesher) -> None:
    assert ran(mesh) == []
    mesh.routes("r", ["cart"], http("a"))
    mesh.service()
    assert ran(mesh) == []


def test_one_virtual_service_runs_one_generator(mesh: Mesher) -> None:
    mesh.routes("r", ["cart"], http("b"))
    done = mesh.run()
    assert [service_id[1].split(".")[0] for service_id, _ in done.generated] == ["cart"]
    assert done.changed == {
        KEY,
        *(key for key in mesh.pipeline.filters if "inbound-app-cart" in key.name),
    }


def test_what_nobody_reads_runs_nothing(mesh: Mesher) -> None:
    mesh.routes("r", ["cart"], http("a"), creationTimestamp="2026-01-01T00:00:00Z")
    mesh.service(
        labels={"a": "b"}, annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    )
    assert ran(mesh) == []


def test_an_option_that_is_read_runs_its_own_service(mesh: Mesher) -> None:
    mesh.service(annotations={"echo.aeraki.io/volume": "3"})
    assert ran(mesh) == ["cart"]
    assert mesh.said().startswith("volume=3")


def test_endpoints_run_nobody_who_does_not_read_them(mesh: Mesher) -> None:
    endpoints = {
        "endpoints": [{"addresses": ["10.1.0.1"]}],
        "ports": [{"name": "tcp-echo", "port": 9000}],
    }
    mesh.put("EndpointSlice", "x", endpoints, labels={"kubernetes.io/service-name": "cart"})
    assert ran(mesh) == []


def test_a_destination_that_appears_runs_who_asked_for_it(mesh: Mesher) -> None:
    mesh.routes("r", ["cart"], http("a", "later"))
    assert "AER0301" in mesh.codes()
    mesh.service("later", "10.0.2.1")
    assert sorted(ran(mesh)) == ["cart", "later"]
    assert mesh.codes() == []


def test_a_secret_runs_who_read_it(mesh: Mesher) -> None:
    mesh.put("EchoPolicy", "p", {"host": "cart", "secret": "s"})
    mesh.put("Secret", "s", {"stringData": {"password": "hunter2"}})
    assert mesh.said().startswith("volume=1 policy=1 secret=1")
    mesh.put("Secret", "other", {"stringData": {"password": "x"}})
    assert ran(mesh) == []
    mesh.put("Secret", "s", {"stringData": {"password": "hunter2", "user": "me"}})
    assert ran(mesh) == ["cart"]
    assert "hunter2" not in repr(mesh.pipeline.store.secret("shop", "s"))


def test_a_missing_secret_keeps_the_last_good_filter(mesh: Mesher) -> None:
    mesh.put("EchoPolicy", "p", {"host": "cart", "volume": 7})
    before = mesh.said()
    mesh.put("EchoPolicy", "p", {"host": "cart", "volume": 8, "secret": "s"})
    assert mesh.said() == before
    assert mesh.codes() == ["AER0405"]
    mesh.put("Secret", "s", {"data": {"password": "aHVudGVyMg=="}})
    assert mesh.said().startswith("volume=1 policy=8 secret=1")
    assert mesh.codes() == []


def test_a_generator_that_raises_keeps_the_last_good_filter(mesh: Mesher) -> None:
    before = mesh.said()
    mesh.service(annotations={"echo.aeraki.io/fail": "true", "echo.aeraki.io/volume": "4"})
    assert mesh.said() == before
    assert mesh.codes() == ["AER0401"]
    states = {report.service.ref.name: report.state for report in mesh.pipeline.reports()}
    assert states["cart"] == "held"
    mesh.service(annotations={"echo.aeraki.io/volume": "4"})
    assert mesh.said().startswith("volume=4")
    assert mesh.codes() == []


def test_a_rejected_object_keeps_its_last_good_form(mesh: Mesher) -> None:
    before = mesh.said()
    mesh.put("VirtualService", "r", {"hosts": ["cart"], "http": "nonsense"})
    assert mesh.said() == before
    assert mesh.codes() == ["AER0106"]
    mesh.routes("r", ["cart"], http("z"))
    assert "z>" in mesh.said()
    assert mesh.codes() == []


def test_a_service_that_is_gone_takes_its_filters_along(mesh: Mesher) -> None:
    mesh.pipeline.remove(mesh.service())
    assert not any("cart" in name for name in mesh.names())
    assert mesh.codes() == ["AER0301"]  # of the VirtualService that is left


def test_findings_go_when_their_object_goes(mesh: Mesher) -> None:
    ref = mesh.put("EchoPolicy", "p", {"host": "cart", "volume": 99})
    assert mesh.codes() == ["ECH0101"]
    mesh.pipeline.remove(ref)
    assert mesh.codes() == []


@pytest.mark.parametrize(
    ("annotations", "code", "said"),
    [
        ({"echo.aeraki.io/volume": "12"}, "AER0111", "volume=1"),
        ({"echo.aeraki.io/volume": "x"}, "AER0111", "volume=1"),
        ({"echo.aeraki.io/volumes": "2"}, "AER0112", "volume=1"),
        ({"volume": "5"}, None, "volume=5"),
    ],
)
def test_options(mesh: Mesher, annotations: dict[str, str], code: str | None, said: str) -> None:
    mesh.service(annotations=annotations)
    assert mesh.said().startswith(said)
    assert mesh.codes() == ([code] if code else [])


@pytest.mark.parametrize(
    ("annotations", "field"),
    [
        ({"echo.aeraki.io/volume": "11"}, "echo.aeraki.io/volume"),
        ({"volume": "11"}, "volume"),
        ({"echo.aeraki.io/volume": "11", "volume": "3"}, "echo.aeraki.io/volume"),
        ({"echo.aeraki.io/volume": "loud", "volume": "11"}, "volume"),
    ],
)
def test_a_finding_about_an_option_is_at_the_annotation_that_gave_it(
    mesh: Mesher, annotations: dict[str, str], field: str
) -> None:
    mesh.service(annotations=annotations)
    mesh.run()
    (finding,) = (item for item in mesh.pipeline.findings() if item.code.id == "ECH0101")
    assert finding.field == f"metadata.annotations.{field}"


def plan(mesh: Mesher, live: dict[FilterKey, Live], gaps: Gaps = NO_GAPS) -> Plan:
    mesh.run()
    desired = mesh.pipeline.filters
    holds = holds_for(live.values(), mesh.pipeline, gaps)
    return reconcile({*desired, *live}, desired, live, active_plugins={"echo"}, holds=holds)


def live_of(mesh: Mesher) -> dict[FilterKey, Live]:
    mesh.run()
    return {
        key: Live(key, item.plugin, item.service_ports, item)
        for key, item in mesh.pipeline.filters.items()
    }


def test_a_restart_over_an_unchanged_mesh_plans_nothing(mesh: Mesher) -> None:
    done = plan(mesh, live_of(mesh))
    assert (done.steps, done.kept) == ((), ())


def test_a_cold_start_without_a_good_form_holds_what_is_live(mesh: Mesher) -> None:
    live = live_of(mesh)
    fresh = Mesher()
    for number in range(20):
        fresh.service(f"s{number}", f"10.0.1.{number}")
    fresh.service()
    fresh.put("VirtualService", "r", {"hosts": ["cart"], "http": "nonsense"})
    done = plan(fresh, live)
    assert done.steps == ()
    assert {step.key.name.split("-")[1] for step in done.kept} == {"inbound", "outbound"}
    assert "VirtualService shop/r names cart.shop.svc.cluster.local and cannot be used" in {
        step.message for step in done.kept
    }


def test_a_cold_start_with_a_rejected_service_holds_what_is_live(mesh: Mesher) -> None:
    live = live_of(mesh)
    fresh = Mesher()
    for number in range(20):
        fresh.service(f"s{number}", f"10.0.1.{number}")
    fresh.service(port=70000)
    fresh.routes("r", ["cart"], http("a"))
    assert plan(fresh, live).count(Action.DELETE) == 0


def test_a_cold_start_with_a_failing_generator_holds_what_is_live(mesh: Mesher) -> None:
    live = live_of(mesh)
    fresh = Mesher()
    for number in range(20):
        fresh.service(f"s{number}", f"10.0.1.{number}")
    fresh.service(annotations={"echo.aeraki.io/fail": "true"})
    done = plan(fresh, live)
    assert done.steps == ()
    assert {
        str(owner) for step in done.kept if step.before for owner in step.before.service_ports
    } == {"cart.shop.svc.cluster.local:7000"}


def test_filters_of_a_plugin_that_is_not_active_are_orphans(mesh: Mesher) -> None:
    stray = FilterKey("istio-system", "aeraki-outbound-x-1")
    live = {**live_of(mesh), stray: Live(stray, "gone", (ServicePort("x", 1),), None)}
    done = plan(mesh, live)
    assert done.steps == ()
    assert [(step.action, step.key) for step in done.kept] == [(Action.ORPHAN, stray)]


def test_nothing_is_deleted_while_a_source_is_not_synced(mesh: Mesher) -> None:
    live = live_of(mesh)
    mesh.pipeline.remove(mesh.service())
    held = plan(mesh, live, Gaps("files: b.yaml cannot be read"))
    assert held.count(Action.DELETE) == 0
    assert held.count(Action.KEEP) == 2
    assert plan(mesh, live).count(Action.DELETE) == 2


def test_an_edited_filter_is_restored(mesh: Mesher) -> None:
    live = live_of(mesh)
    live[KEY] = Live(KEY, "echo", live[KEY].service_ports, None)
    (step,) = plan(mesh, live).steps
    assert (step.action, step.key) == (Action.UPDATE, KEY)


def test_entries_of_one_second_have_the_same_filter_in_whatever_order_they_come() -> None:
    def patches(*names: str) -> Any:
        mesh = Mesher()
        for name in names:
            # One has the wildcard listener, the other one that of its address.
            addresses = ["10.9.0.1"] if name == "b" else []
            mesh.entry(name, ["e.example.com"], resolution="STATIC", addresses=addresses)
        mesh.run()
        (envoy_filter,) = mesh.pipeline.filters.values()
        return envoy_filter

    assert patches("a", "b") == patches("b", "a")
