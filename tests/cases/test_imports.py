"""Filters only for who imports the service: every client keeps what it had, also meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.pipeline.arrange import Arrangement
from aeraki_core.testing import Made

from tests.cases.test_sidecar_routes import GREETER, LISTENER, MESH, V2, sidecar
from tests.reach import client_of, made_of

ROOT = "istio-system"
# Clients in crm have no cluster for the subset: they have a filter of their own.
RULE_OF_CRM = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "DestinationRule",
    "metadata": {"name": "greeter", "namespace": "crm"},
    "spec": {"host": GREETER, "trafficPolicy": {"tls": {"mode": "DISABLE"}}},
}
ZOOKEEPER = """
apiVersion: v1
kind: Service
metadata: {name: keeper, namespace: shop}
spec:
  clusterIP: 10.96.3.5
  ports: [{name: tcp-zookeeper, port: 2181}]
"""
OBJECTS = (
    MESH.replace("NAMESPACE", "shop"),
    ZOOKEEPER,
    RULE_OF_CRM,
    sidecar("web", "shop/*"),
    sidecar("crm", "shop/*"),
)
ROOTS_SIDECAR = sidecar(ROOT, "./*", f"{ROOT}/*")


def made(*more: Any) -> Made:
    return made_of(*OBJECTS, *more, arrangement=Arrangement.IMPORTS)


def places(of: Made) -> set[str]:
    return {
        item["metadata"]["namespace"]
        for item in of.filters
        if item["metadata"]["name"].startswith("aeraki-outbound-")
    }


@pytest.mark.parametrize(
    ("namespace", "routed"), [("shop", True), ("web", True), ("crm", False), ("new", None)]
)
def test_each_client_keeps_its_filter_while_the_arrangement_changes(
    namespace: str, routed: bool | None
) -> None:
    for_all, by_import = made(), made(ROOTS_SIDECAR)
    assert places(for_all) == {ROOT, "crm"}
    assert places(by_import) == {"shop", "web", "crm"}
    after = client_of(by_import, namespace)
    if routed is None:
        # It has no Sidecar, so it follows the root's, and has none of the service's listeners.
        assert LISTENER not in {listener.name for listener in after.config.listeners}
        return
    # Both are there, until the last new one is written.
    old = [item for item in for_all.filters if item not in by_import.filters]
    meanwhile = client_of(by_import, namespace, more=old)
    for client in (client_of(for_all, namespace), meanwhile, after):
        assert client.filters(LISTENER) == ["dubbo_proxy"]
        assert (V2 in client.reaches(LISTENER)) is routed
        assert not client.missing(LISTENER)
    assert "zookeeper_proxy" in str(after.config.listeners)


def test_a_namespace_that_appears_without_a_sidecar_has_the_filter_of_all() -> None:
    assert V2 in client_of(made(), "new").reaches(LISTENER)
