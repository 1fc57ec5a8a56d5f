"""Selectors that share workloads without one containing the other.

The older service has the shared workloads, and both have a finding.
"""

from __future__ import annotations

from itertools import permutations

import pytest
from aeraki_core.filters.output import to_dict
from aeraki_core.model.meta import ObjectRef

from tests.unit.core.echo import EchoPlugin, Mesher

APP, TIER, ZONE = {"app": "cart"}, {"tier": "back"}, {"zone": "a"}


def add(mesh: Mesher, name: str, selector: dict[str, str], month: int, volume: int = 1) -> None:
    mesh.service(
        name,
        f"10.0.0.{month}",
        selector=selector,
        creationTimestamp=f"2026-{month:02}-01T00:00:00Z",
        annotations={"echo.aeraki.io/volume": str(volume)},
    )


def pods(mesh: Mesher, service: str, *addresses: str) -> ObjectRef:
    endpoints = [{"addresses": [address]} for address in addresses]
    labels = {"kubernetes.io/service-name": service}
    body = {"endpoints": endpoints, "ports": [{"name": "tcp-echo", "port": 9000}]}
    return mesh.put("EndpointSlice", f"{service}-x", body, labels=labels)


def priorities(mesh: Mesher) -> dict[str, int]:
    """The priority of each inbound filter by its selector."""
    mesh.run()
    found = [
        to_dict(item)["spec"]
        for key, item in sorted(mesh.pipeline.filters.items())
        if "inbound" in key.name
    ]
    return {",".join(spec["workloadSelector"]["labels"]): spec["priority"] for spec in found}


def told(mesh: Mesher) -> dict[str, str]:
    mesh.run()
    return {
        item.ref.name: item.message
        for item in mesh.pipeline.findings()
        if item.ref and item.code.id == "AER0210"
    }


def test_the_older_service_has_the_shared_workloads_and_both_are_told() -> None:
    mesh = Mesher()
    add(mesh, "young", APP, 2, volume=5)
    add(mesh, "old", TIER, 1)
    pods(mesh, "young", "10.1.0.1", "10.1.0.2")
    pods(mesh, "old", "10.1.0.2", "10.1.0.3")
    assert priorities(mesh) == {"app": 11, "tier": 10}
    assert told(mesh) == {
        "young": "its selector and the one of Service shop/old select the same workloads, "
        "and both configure port 9000: the filter of Service shop/old takes effect there",
        "old": "its selector and the one of Service shop/young select the same workloads, "
        "and both configure port 9000: the filter of Service shop/old takes effect there",
    }


def test_it_follows_the_pods() -> None:
    mesh = Mesher()
    add(mesh, "young", APP, 2, volume=5)
    add(mesh, "old", TIER, 1)
    pods(mesh, "young", "10.1.0.1")
    old = pods(mesh, "old", "10.1.0.3")
    assert (priorities(mesh), told(mesh)) == ({"app": 10, "tier": 10}, {})
    pods(mesh, "old", "10.1.0.3", "10.1.0.1")
    assert priorities(mesh) == {"app": 11, "tier": 10}
    assert told(mesh).keys() == {"young", "old"}
    mesh.pipeline.remove(old)
    assert (priorities(mesh), told(mesh)) == ({"app": 10, "tier": 10}, {})


def test_it_is_over_when_a_label_keeps_them_apart_or_one_of_them_goes() -> None:
    mesh = Mesher()
    add(mesh, "young", APP, 2, volume=5)
    add(mesh, "old", TIER, 1)
    pods(mesh, "young", "10.1.0.1")
    pods(mesh, "old", "10.1.0.1")
    add(mesh, "young", {**APP, "tier": "front"}, 2, volume=5)
    assert (priorities(mesh), told(mesh)) == ({"app,tier": 10, "tier": 10}, {})
    add(mesh, "young", APP, 2, volume=5)
    assert told(mesh).keys() == {"young", "old"}
    mesh.pipeline.remove(ObjectRef("Service", "shop", "old"))
    assert (priorities(mesh), told(mesh)) == ({"app": 10}, {})


def test_nothing_is_said_of_workloads_that_are_not_known() -> None:
    mesh = Mesher()
    add(mesh, "young", APP, 2, volume=5)
    add(mesh, "old", TIER, 1)
    pods(mesh, "young", "10.1.0.1")
    assert (priorities(mesh), told(mesh)) == ({"app": 10, "tier": 10}, {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"app": "cart"}, {"app": "till"}),
        ({"app": "cart", "zone": "a"}, {"tier": "back", "zone": "b"}),
        ({"app": "cart"}, {"app": "cart", "tier": "back"}),  # one holds the other
    ],
)
def test_selectors_that_cannot_overlap_or_are_in_one_another(
    one: dict[str, str], other: dict[str, str]
) -> None:
    mesh = Mesher()
    add(mesh, "a", one, 1)
    add(mesh, "b", other, 2, volume=5)
    assert told(mesh) == {}


def test_a_filter_that_is_inserted_is_there_twice() -> None:
    mesh = Mesher(EchoPlugin(insert=True))
    add(mesh, "a", APP, 1)
    add(mesh, "b", TIER, 2)
    assert told(mesh) == {}
    pods(mesh, "a", "10.1.0.1")
    pods(mesh, "b", "10.1.0.1")
    assert told(mesh)["a"].endswith("both filters apply")


def test_three_in_a_row_are_in_the_order_of_their_age_however_they_came() -> None:
    """The first and the last share no workload."""
    services = {
        "old": (TIER, 1, "10.1.0.1"),
        "middle": (APP, 2, "10.1.0.1"),
        "young": (ZONE, 3, "10.1.0.2"),
    }
    for order in permutations(services):
        mesh = Mesher()
        for name in order:
            selector, month, address = services[name]
            add(mesh, name, selector, month, volume=month)
            pods(mesh, name, address, *(["10.1.0.2"] if name == "middle" else []))
            mesh.run()
        assert priorities(mesh) == {"tier": 10, "app": 11, "zone": 12}
        mesh.pipeline.remove(ObjectRef("Service", "shop", "old"))
        assert priorities(mesh) == {"app": 10, "zone": 11}


def test_a_broader_selector_takes_the_place_of_the_one_that_it_holds() -> None:
    mesh = Mesher()
    add(mesh, "narrow", {**APP, "version": "v1"}, 1)
    add(mesh, "other", TIER, 2, volume=5)
    pods(mesh, "narrow", "10.1.0.1")
    pods(mesh, "other", "10.1.0.1")
    assert told(mesh).keys() == {"narrow", "other"}
    add(mesh, "broad", APP, 3)
    pods(mesh, "broad", "10.1.0.1", "10.1.0.2")
    assert priorities(mesh) == {"app": 11, "tier": 10}
    assert told(mesh).keys() == {"broad", "other"}
    mesh.pipeline.remove(ObjectRef("Service", "shop", "broad"))
    assert priorities(mesh) == {"app,version": 10, "tier": 11}
    assert told(mesh).keys() == {"narrow", "other"}


def test_a_service_that_goes_in_the_same_moment_as_the_pods_of_another_change() -> None:
    mesh = Mesher()
    add(mesh, "young", APP, 2, volume=5)
    add(mesh, "old", TIER, 1)
    pods(mesh, "young", "10.1.0.1")
    pods(mesh, "old", "10.1.0.1")
    assert told(mesh).keys() == {"young", "old"}
    mesh.pipeline.remove(ObjectRef("Service", "shop", "old"))
    pods(mesh, "young", "10.1.0.1", "10.1.0.2")
    assert (priorities(mesh), told(mesh)) == ({"app": 10}, {})


def test_workloads_on_one_address_are_not_shared_when_no_workload_can_have_both_labels() -> None:
    """Pods in their node's network all have its address."""
    mesh = Mesher()
    add(mesh, "young", APP, 2, volume=5)
    add(mesh, "old", {"app": "till"}, 1)
    add(mesh, "part", {**APP, "tier": "back"}, 3, volume=7)
    for name in ("young", "old", "part"):
        pods(mesh, name, "192.168.0.1")
    assert told(mesh) == {}
    assert priorities(mesh) == {"app": 10}
