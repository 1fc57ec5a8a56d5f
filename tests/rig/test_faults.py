"""Faults of the control plane: it recovers, forgets nothing, and is healthy for the next test."""

from __future__ import annotations

import pytest
from urllib3.exceptions import HTTPError

from .api import Api
from .control_plane import ControlPlane
from .errors import ApiError
from .fixtures import SidecarFactory
from .names import listener_of
from .samples import REDIS, envoy_filter, redis_proxy
from .workloads import Workloads

pytestmark = pytest.mark.mesh


def test_istiod_comes_back_and_the_sidecar_follows(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    sidecar = sidecar_factory(workloads.pod("client"))
    before = control_plane.root_certificate()
    control_plane.istiod.kill()
    assert not control_plane.istiod.running
    with pytest.raises(ApiError, match="failed calling webhook"):
        control_plane.api.create(envoy_filter("10.96.0.97_6379", redis_proxy("none")))
    control_plane.istiod.start()
    service = workloads.workload("late", [REDIS])
    sidecar.wait_listener(listener_of(service, REDIS), timeout=30)
    assert control_plane.root_certificate() == before


def test_the_api_server_forgets_nothing_when_it_restarts(
    control_plane: ControlPlane, namespace: str, workloads: Workloads
) -> None:
    created = workloads.service("kept", [REDIS])
    control_plane.apiserver.restart()
    found = control_plane.api.get("v1", "Service", "kept", namespace=namespace)
    assert found["metadata"]["uid"] == created["metadata"]["uid"]


def test_a_paused_api_server_does_not_answer(control_plane: ControlPlane, namespace: str) -> None:
    impatient = Api(control_plane.server, control_plane.ca_file, "rig-admin", timeout=0.5)
    control_plane.apiserver.pause()
    with pytest.raises(HTTPError):
        impatient.get("v1", "Namespace", namespace)
    control_plane.apiserver.resume()
    assert impatient.get("v1", "Namespace", namespace)


def test_what_a_test_broke_is_healed(control_plane: ControlPlane) -> None:
    control_plane.etcd.kill()
    control_plane.istiod.pause()
    control_plane.set_mesh_config(accessLogFile="/dev/null")
    control_plane.heal()
    assert "accessLogFile" not in control_plane.mesh_config
    control_plane.namespaces.remove(control_plane.namespaces.make())
