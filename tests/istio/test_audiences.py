"""Clients of one namespace with another Envoy extension get a filter over that of the mesh."""

from __future__ import annotations

import pytest
from aeraki_core.model.mesh import Mesh, ProxyRule

from tests.istio.truth import wait_outbound
from tests.kubernetes.running import Running
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import NamespaceFactory, SidecarFactory
from tests.rig.names import listener_of
from tests.rig.workloads import Port, Workloads

pytestmark = pytest.mark.mesh

DUBBO = Port("tcp-dubbo", 20880)


@pytest.mark.parametrize(
    ("engine", "others"), [("auto", "dubbo_proxy"), ("generic_proxy", "tcp_proxy")]
)
def test_clients_of_the_namespace_that_has_generic_proxy_get_it(
    engine: str,
    others: str,
    control_plane: ControlPlane,
    namespace: str,
    make_namespace: NamespaceFactory,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    front = make_namespace()
    service = workloads.workload("greeter", [DUBBO], annotations={"dubbo.aeraki.io/engine": engine})
    listener = listener_of(service, DUBBO)
    here = sidecar_factory(workloads.pod("client"))
    there = sidecar_factory(Workloads(control_plane.api, front).pod("client"))
    mesh = Mesh(proxy_rules=(ProxyRule("envoy.filters.network.generic_proxy", front),))
    with Running(control_plane.kubeconfig, ["dubbo"], mesh=mesh):
        wait_outbound(there, listener, ("generic_proxy",))
        wait_outbound(here, listener, (others,))
    assert not there.rejected()
    assert not here.rejected()
