"""The rights that `aeraki rbac` prints are enough, and a refusal of the webhook is a finding at the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from aeraki_core.cli.cluster import istiod_of
from aeraki_core.plugins.registry import build_registry
from aeraki_core.rbac import bindings, roles
from aeraki_core.reconcile import Action
from aeraki_core.settings import resolve

from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.workloads import Port, Workloads

from .running import Running
from .test_faults import entry, live

pytestmark = pytest.mark.mesh


@pytest.fixture
def limited(control_plane: ControlPlane, namespace: str, workloads: Workloads) -> Iterator[Path]:
    """The kubeconfig of an account that has the printed rights and no more."""
    api = control_plane.api
    workloads.service_account("aeraki")
    registry = build_registry(only=["redis"])
    printed = [
        *roles(registry.kinds, name="aeraki", namespace=namespace, election_id="aeraki"),
        *bindings(name="aeraki", namespace=namespace, service_account="aeraki"),
    ]
    for item in printed:
        api.apply(item)
    yield control_plane.kubeconfig_for("aeraki", namespace)
    for item in printed:
        metadata = item["metadata"]
        api.delete(item["apiVersion"], item["kind"], metadata["name"], namespace=metadata.get("namespace"))


def test_the_printed_rights_are_enough(
    limited: Path, control_plane: ControlPlane, namespace: str, workloads: Workloads, caplog: pytest.LogCaptureFixture
) -> None:
    api = control_plane.api
    workloads.workload("redis", [Port("tcp-redis", 6379, 16379)])
    api.create(entry(1, namespace))
    with Running(limited, ["redis"]) as running:
        running.wait_written(2)
        api.delete("networking.istio.io/v1", "ServiceEntry", "redis-1", namespace=namespace)
        running.wait(lambda: running.count(Action.DELETE) == 1, "the filter to go")
    assert len(live(control_plane)) == 1
    assert "forbidden" not in caplog.text.lower()


def test_they_let_us_read_what_vouches_for_istiod(limited: Path, control_plane: ControlPlane) -> None:
    settings = resolve({"kubeconfig": (str(limited),), "istiodAddress": ("istiod.istio-system:15012",)})
    certificate = istiod_of(settings).certificate
    assert certificate is not None
    assert certificate() == control_plane.root_certificate().encode()


def test_without_rights_nothing_is_written_and_it_says_why(control_plane: ControlPlane, namespace: str) -> None:
    from aeraki_core.errors import AerakiError
    from aeraki_core.kube.client import connect
    from aeraki_core.sinks.kubernetes import KubernetesSink

    kubeconfig = control_plane.kubeconfig_for("default", namespace)
    sink = KubernetesSink(lambda: connect(kubeconfig), start_timeout=1.0)
    with pytest.raises(AerakiError, match="forbidden"):
        sink.start(lambda key: None)


def test_a_refusal_and_a_name_that_is_taken_are_findings(control_plane: ControlPlane, namespace: str) -> None:
    taken = f"aeraki-outbound-redis-1.{namespace}.example.org-6379"
    control_plane.api.create(
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": taken, "namespace": ROOT_NAMESPACE},
            "spec": {"workloadSelector": {"labels": {"app": "none"}}, "configPatches": []},
        }
    )
    control_plane.api.create(entry(1, namespace))
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        running.wait(lambda: running.passes, "a pass")
        found = {item.code.id: item for item in running.controller.findings}
        assert str(found["AER0506"].ref) == f"ServiceEntry {namespace}/redis-1"
        assert "not ours" in found["AER0506"].message
        assert "AER0504" in found
