"""A TCPRoute with a Service as its parent: istiod follows it, and so does the filter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kubernetes.running import Running
from tests.rig.api import Object
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import SidecarFactory
from tests.rig.names import listener_of
from tests.rig.workloads import Port, Workloads

pytestmark = pytest.mark.mesh

GROUP = "gateway.networking.k8s.io"
THRIFT = Port("tcp-thrift", 9090, 19090)
CRDS = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")


def definition(kind: str) -> Object:
    """A CRD of the Gateway API, as far as istiod looks at it."""
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": CRDS[0],
        "kind": CRDS[1],
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "annotations": {
                "api-approved.kubernetes.io": "unapproved, for a test",
                f"{GROUP}/bundle-version": "v1.6.0",
                f"{GROUP}/channel": "experimental",
            },
        },
        "spec": {
            "group": GROUP,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


@pytest.fixture
def tcp_routes(control_plane: ControlPlane) -> Iterator[None]:
    """The API server with TCPRoutes, for one test."""
    control_plane.api.create(definition("TCPRoute"))
    control_plane.istiod.restart()  # it looks for kinds that are missing only now and then
    yield
    control_plane.api.delete(*CRDS, f"tcproutes.{GROUP}")


@pytest.mark.usefixtures("tcp_routes")
def test_a_tcp_route_counts_before_and_after(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    clusters = [f"outbound|9090||{name}.{namespace}.svc.cluster.local" for name in ("a", "b")]
    service = workloads.service("a", [THRIFT])
    workloads.service("b", [THRIFT])
    backends = [{"name": "a", "port": 9090, "weight": 3}, {"name": "b", "port": 9090}]
    parent = {"group": "", "kind": "Service", "name": "a", "port": 9090}
    control_plane.api.create(
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "TCPRoute",
            "metadata": {"name": "r", "namespace": namespace},
            "spec": {"parentRefs": [parent], "rules": [{"backendRefs": backends}]},
        }
    )
    sidecar = sidecar_factory(workloads.pod("client"))
    listener = listener_of(service, THRIFT)
    shares = dict(zip(clusters, (3, 1), strict=True))

    def weighted(config: Object) -> dict[str, int]:
        parts = config.get("weighted_clusters", {}).get("clusters", [])
        return {part["name"]: part["weight"] for part in parts}

    sidecar.wait_filter(
        listener, "envoy.filters.network.tcp_proxy", lambda config: weighted(config) == shares
    )
    with Running(control_plane.kubeconfig, ["thrift"]):
        sidecar.wait_filter(
            listener,
            "envoy.filters.network.thrift_proxy",
            lambda config: weighted(config["route_config"]["routes"][-1]["route"]) == shares,
        )
