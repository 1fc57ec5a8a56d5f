"""Two services whose selectors share a pod: istiod gives the pod the older service's filter."""

from __future__ import annotations

import pytest
from aeraki_core.findings.codes import INBOUND_OVERLAP

from tests.istio.truth import chains_at, wait_chains
from tests.kubernetes.running import Running
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import SidecarFactory
from tests.rig.workloads import Port, Workloads

pytestmark = pytest.mark.mesh

THRIFT = Port("tcp-thrift", 9090, 19090)
DUBBO = Port("tcp-dubbo", 20880, 19090)


def test_the_older_service_has_the_pod_that_both_select(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    # By name the younger one's filter would come first.
    both = workloads.pod("both", labels={"zone": "z", "app": "a"})
    alone = workloads.pod("alone", labels={"app": "a"})
    workloads.service("older", [THRIFT], selector={"zone": "z"})
    workloads.endpoints("older", [THRIFT], [both])
    workloads.service("younger", [DUBBO], selector={"app": "a"})
    workloads.endpoints("younger", [DUBBO], [alone])
    shared, own = sidecar_factory(both), sidecar_factory(alone)
    with Running(control_plane.kubeconfig, ["thrift", "dubbo"]) as running:
        wait_chains(own, DUBBO, ("dubbo_proxy",), 1)
        assert not [item for item in running.controller.findings if item.code == INBOUND_OVERLAP]
        workloads.endpoints("younger", [DUBBO], [alone, both])
        running.wait(
            lambda: (
                {
                    item.ref.name
                    for item in running.controller.findings
                    if item.ref and item.code == INBOUND_OVERLAP
                }
                == {"older", "younger"}
            ),
            "the findings",
        )
        wait_chains(shared, THRIFT, ("thrift_proxy",), 1)
        assert chains_at(own, DUBBO.target_port) == {("dubbo_proxy",): 1}
    assert not shared.rejected()
