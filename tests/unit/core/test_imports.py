"""Filters that go only to the namespaces whose Sidecars import the service."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.filters.envoyfilter import EnvoyFilter
from aeraki_core.filters.live import Live
from aeraki_core.pipeline.arrange import Arrangement
from aeraki_core.pipeline.audiences import MAX_IMPORTERS
from aeraki_core.pipeline.patch_counts import patch_counts
from aeraki_core.pipeline.reconcile import Action, differences

from tests.unit.core.echo import Mesher

ROOT = "istio-system"
ALL = frozenset({ROOT})
HOST = "cart.shop.svc.cluster.local"
SELECTOR = {"workloadSelector": {"labels": {"app": "x"}}}


def make_mesh() -> Mesher:
    return Mesher(arrangement=Arrangement.IMPORTS)


def sidecar(mesh: Mesher, namespace: str, *hosts: str, name: str = "default", **more: Any) -> None:
    metadata = more.pop("metadata", {})
    egress = [{"hosts": list(hosts)}] if hosts else []
    mesh.put("Sidecar", name, {"egress": egress, **more}, namespace=namespace, **metadata)


def places(mesh: Mesher, service: str = "cart") -> frozenset[str]:
    """The namespaces of the outbound filters of a service."""
    mesh.run()
    return frozenset(
        key.namespace
        for key in mesh.pipeline.filters
        if key.name.startswith(f"aeraki-outbound-{service}.")
    )


def test_without_a_sidecar_of_the_root_every_new_namespace_imports_everything() -> None:
    mesh = make_mesh()
    mesh.service()
    sidecar(mesh, "web", "web/*")
    assert places(mesh) == ALL


@pytest.mark.parametrize(
    ("sidecars", "namespaces"),
    [
        ({}, {"shop"}),
        ({"web": ["shop/*"]}, {"shop", "web"}),
        (
            {"web": [f"*/{HOST}"], "crm": ["./*", f"shop/{HOST}"], "x": ["./*"]},
            {"shop", "web", "crm"},
        ),
        ({"web": ["*/*.cluster.local"]}, {"shop", "web"}),
        # Istio: no egress at all is everything.
        ({"web": []}, {"shop", "web"}),
        # An older istiod does not know exclusions: they leave out no filter.
        ({"web": ["*/*", "~shop/*"]}, {"shop", "web"}),
        ({f"n{number}": ["shop/*"] for number in range(MAX_IMPORTERS - 1)}, None),
        ({f"n{number}": ["shop/*"] for number in range(MAX_IMPORTERS)}, ALL),
    ],
)
def test_a_filter_for_each_namespace_that_imports_the_service(
    sidecars: dict[str, list[str]], namespaces: set[str] | None
) -> None:
    mesh = make_mesh()
    mesh.service()
    sidecar(mesh, ROOT, "./*", f"{ROOT}/*")
    for namespace, hosts in sidecars.items():
        sidecar(mesh, namespace, *hosts)
    assert places(mesh) == (namespaces or {"shop", *sidecars})


@pytest.mark.parametrize(
    ("hosts", "more"),
    [
        (["shop/*"], {}),
        (["./*", f"*/{HOST}"], {}),
        ([], {}),
        # It is not the default of the mesh, whatever it selects.
        (["./*"], SELECTOR),
        (["./*"], {"workloadSelector": {}}),
        # The proxies of another revision have no default.
        (["./*"], {"metadata": {"labels": {"istio.io/rev": "canary"}}}),
    ],
)
def test_the_roots_sidecar_leaves_the_filter_for_all(hosts: list[str], more: Any) -> None:
    mesh = make_mesh()
    mesh.service()
    sidecar(mesh, ROOT, *hosts, **more)
    assert places(mesh) == ALL


def test_what_proxies_of_the_root_namespace_import_is_for_all() -> None:
    mesh = make_mesh()
    mesh.service()
    mesh.service("own", "10.0.0.2", namespace=ROOT)
    sidecar(mesh, ROOT, "./*")
    assert places(mesh) == {"shop"}
    assert places(mesh, "own") == ALL
    sidecar(mesh, ROOT, "shop/*", name="some", **SELECTOR)
    assert places(mesh) == ALL


def test_a_sidecar_of_some_workloads_counts_for_their_namespace() -> None:
    mesh = make_mesh()
    mesh.service()
    sidecar(mesh, ROOT, "./*")
    sidecar(mesh, "web", "./*")
    sidecar(mesh, "web", "shop/*", name="some", **SELECTOR)
    assert places(mesh) == {"shop", "web"}


def test_a_sidecar_that_cannot_be_read_may_import_anything() -> None:
    mesh = make_mesh()
    mesh.service()
    sidecar(mesh, ROOT, "./*")
    broken = mesh.put("Sidecar", "default", {"egress": "?"}, namespace="web")
    assert places(mesh) == {"shop", "web"}
    mesh.pipeline.remove(broken)
    assert places(mesh) == {"shop"}
    mesh.put("Sidecar", "default", {"egress": "?"}, namespace=ROOT)
    assert places(mesh) == ALL


def test_a_cluster_that_is_changed_reaches_all_who_may_have_it_by_a_route() -> None:
    mesh = make_mesh()
    mesh.service(annotations={"echo.aeraki.io/cluster": "true"})
    sidecar(mesh, ROOT, "./*")
    assert places(mesh) == ALL


def test_a_changed_sidecar_costs_what_it_names() -> None:
    mesh = make_mesh()
    for number in range(20):
        mesh.service(f"s{number}", f"10.0.1.{number}", namespace="bank")
    mesh.service()
    sidecar(mesh, ROOT, "./*")
    sidecar(mesh, "web", "./*", "bank/*")
    mesh.run()
    before = dict(mesh.pipeline.filters)
    sidecar(mesh, "web", "./*", "bank/*", "shop/*")
    done = mesh.run()
    assert [service.host for service, _ in done.generated] == [HOST]
    assert {key.namespace for key in done.changed} == {"web"}
    assert all(mesh.pipeline.filters[key] is before[key] for key in before)
    # What it imports of its own namespace is known without it.
    sidecar(mesh, "web", "bank/*", "shop/*")
    assert mesh.run().generated == ()


def test_a_generator_that_fails_keeps_the_filter_of_all() -> None:
    mesh = make_mesh()
    mesh.service()
    assert places(mesh) == ALL
    mesh.service(annotations={"echo.aeraki.io/fail": "true"})
    sidecar(mesh, ROOT, "./*")
    assert places(mesh) == ALL
    mesh.service()
    assert places(mesh) == {"shop"}
    mesh.service(annotations={"echo.aeraki.io/fail": "true"})
    mesh.pipeline.remove(mesh.put("Sidecar", "default", {}, namespace=ROOT))
    assert places(mesh) == {"shop"}
    mesh.service()
    assert places(mesh) == ALL


def test_what_is_new_is_written_before_the_old_is_deleted() -> None:
    mesh = make_mesh()
    mesh.service()
    mesh.run()
    live = {key: Live.of(item) for key, item in mesh.pipeline.filters.items()}
    sidecar(mesh, ROOT, "./*")
    sidecar(mesh, "web", "shop/*")
    done = mesh.run()
    steps = differences(done.changed, mesh.pipeline.filters, live)
    assert [(step.action, step.key.namespace) for step in steps] == [
        (Action.CREATE, "shop"),
        (Action.CREATE, "web"),
        (Action.DELETE, ROOT),
    ]


def test_the_number_of_patches_by_who_gets_them() -> None:
    mesh = make_mesh()
    mesh.service()
    mesh.service("other", "10.0.0.2")
    mesh.service("popular", "10.0.0.3", namespace="bank")
    sidecar(mesh, ROOT, "./*", "bank/*")
    sidecar(mesh, "web", f"shop/{HOST}", "bank/*")
    mesh.run()
    counts = patch_counts(mesh.pipeline.filters.values(), ROOT)
    assert (counts.mesh_wide, dict(counts.namespaces)) == (1, {"shop": 2, "web": 1})
    shared = [
        item.patches
        for key, item in mesh.pipeline.filters.items()
        if isinstance(item, EnvoyFilter) and key.name.startswith("aeraki-outbound-cart.")
    ]
    assert shared[0] is shared[1]
