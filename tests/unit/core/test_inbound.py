"""Which filters a service's workloads get."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.filters.output import to_dict

from tests.unit.core.echo import EchoPlugin, Mesher


def inbound(mesh: Mesher) -> list[dict[str, Any]]:
    mesh.run()
    return [
        to_dict(item)
        for key, item in sorted(mesh.pipeline.filters.items())
        if "inbound" in key.name
    ]


def ports(mesh: Mesher) -> list[tuple[str, int]]:
    return [
        (
            ",".join(
                f"{key}={value}"
                for key, value in item["spec"]["workloadSelector"]["labels"].items()
            ),
            patch["match"]["listener"]["filterChain"]["destinationPort"],
        )
        for item in inbound(mesh)
        for patch in item["spec"]["configPatches"]
    ]


def slice_of(mesh: Mesher, *numbers: int) -> None:
    for number in numbers:
        mesh.put(
            "EndpointSlice",
            f"cart-{number}",
            {
                "endpoints": [{"addresses": [f"10.1.0.{number % 250}"]}],
                "ports": [{"name": "tcp-echo", "port": number}],
            },
            labels={"kubernetes.io/service-name": "cart"},
        )


def test_the_chain_is_that_of_the_target_port_in_the_services_own_namespace() -> None:
    mesh = Mesher()
    mesh.service(target=9000)
    (item,) = inbound(mesh)
    assert item["metadata"]["namespace"] == "shop"
    assert ports(mesh) == [("app=cart", 9000)]
    (patch,) = item["spec"]["configPatches"]
    assert patch["match"]["context"] == "SIDECAR_INBOUND"
    assert patch["patch"]["value"]["typed_config"]["cluster"] == "inbound|9000||"


def test_a_named_target_port_has_the_numbers_of_the_endpoint_slices() -> None:
    mesh = Mesher()
    mesh.service(target="web")
    assert inbound(mesh) == []
    assert mesh.codes() == ["AER0203"]
    slice_of(mesh, 9001, 9002)
    assert ports(mesh) == [("app=cart", 9001), ("app=cart", 9002)]
    assert mesh.codes() == []


def test_one_filter_however_many_services_share_the_workload() -> None:
    mesh = Mesher()
    mesh.service("cart", "10.0.0.1")
    mesh.service("cart2", "10.0.0.2", selector={"app": "cart"})
    (item,) = inbound(mesh)
    assert item["metadata"]["annotations"]["aeraki.io/services"] == (
        "cart.shop.svc.cluster.local:7000,cart2.shop.svc.cluster.local:7000"
    )


def test_services_that_differ_about_a_workload_the_older_decides() -> None:
    mesh = Mesher()
    mesh.service("old", "10.0.0.1", selector={"app": "x"}, creationTimestamp="2026-01-01T00:00:00Z")
    mesh.service(
        "young",
        "10.0.0.2",
        selector={"app": "x"},
        creationTimestamp="2026-02-01T00:00:00Z",
        annotations={"echo.aeraki.io/volume": "5"},
    )
    assert len(inbound(mesh)) == 1
    assert mesh.codes() == ["AER0204"]
    (finding,) = mesh.pipeline.findings()
    assert finding.ref is not None
    assert finding.ref.name == "young"


def test_a_broader_selector_covers_the_narrower() -> None:
    mesh = Mesher(EchoPlugin(insert=True))
    mesh.service("v1", "10.0.0.2", selector={"app": "cart", "version": "v1"})
    assert ports(mesh) == [("app=cart,version=v1", 9000)]
    mesh.service("all", "10.0.0.1", selector={"app": "cart"})
    assert ports(mesh) == [("app=cart", 9000)]  # twice would insert the filter twice into one chain
    mesh.pipeline.remove(mesh.service("all", "10.0.0.1"))
    assert ports(mesh) == [("app=cart,version=v1", 9000)]


def test_without_a_selector_there_is_none() -> None:
    mesh = Mesher()
    mesh.service(selector={})
    assert inbound(mesh) == []


def test_the_workload_selector_annotation_of_upstream() -> None:
    mesh = Mesher()
    mesh.entry(
        "e", ["a.example.com"], addresses=["10.9.0.1"], annotations={"workloadSelector": "cart"}
    )
    mesh.entry(
        "f", ["b.example.com"], addresses=["10.9.0.2"], annotations={"workloadSelector": "tier: db"}
    )
    assert ports(mesh) == [("app=cart", 7000), ("tier=db", 7000)]


@pytest.mark.parametrize("text", ["app:*", "a" * 70, "x y", "/app:a", "app:a,tier:b/c"])
def test_an_annotation_that_selects_nothing_is_reported(text: str) -> None:
    """The API server refuses a filter with such a selector, far away from the service."""
    mesh = Mesher()
    annotations = {"workloadSelector": text}
    mesh.entry("e", ["a.example.com"], addresses=["10.9.0.1"], annotations=annotations)
    assert inbound(mesh) == []
    (finding,) = mesh.pipeline.findings()
    assert (finding.code.id, finding.field) == (
        "AER0111",
        "metadata.annotations.workloadSelector",
    )


def test_a_service_entrys_own_selector() -> None:
    mesh = Mesher()
    selector = {"labels": {"app": "vm"}}
    mesh.entry(
        "e",
        ["a.example.com"],
        addresses=["10.9.0.1"],
        resolution="STATIC",
        workloadSelector=selector,
    )
    assert ports(mesh) == [("app=vm", 7000)]


def test_filters_of_other_namespaces_do_not_meet() -> None:
    mesh = Mesher()
    mesh.service("cart", "10.0.0.1")
    mesh.service("cart", "10.0.0.2", namespace="other")
    assert {item["metadata"]["namespace"] for item in inbound(mesh)} == {"shop", "other"}
