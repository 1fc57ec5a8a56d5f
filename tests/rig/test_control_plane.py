"""The rig's control plane: the API server is real, and namespaces are left clean."""

from __future__ import annotations

import json

import pytest

from .api import Api, Object
from .control_plane import ROOT_NAMESPACE, ControlPlane
from .errors import ApiError
from .fixtures import NamespaceFactory
from .samples import REDIS, envoy_filter, redis_proxy
from .workloads import Workloads

pytestmark = pytest.mark.mesh


def test_the_control_plane_is_real(control_plane: ControlPlane) -> None:
    version = control_plane.api.request("GET", "/version")
    assert version["gitVersion"] == "v1.36.3"
    kinds = {(each.api_version, each.kind) for each in control_plane.api.types()}
    assert ("networking.istio.io/v1alpha3", "EnvoyFilter") in kinds
    assert ("networking.istio.io/v1", "ServiceEntry") in kinds
    assert "pilot_info" in control_plane.istiod_metrics()
    assert "BEGIN CERTIFICATE" in control_plane.root_certificate()


def test_server_side_apply_watch_and_conflict(control_plane: ControlPlane, namespace: str) -> None:
    api = control_plane.api
    data: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "seen", "namespace": namespace},
        "data": {"key": "one"},
    }
    first = api.apply(data)
    events = api.watch("v1", "ConfigMap", namespace=namespace)
    # istiod writes ConfigMaps of its own into every namespace.
    assert any(event["object"]["metadata"]["name"] == "seen" for event in events)
    changed = api.apply({**data, "data": {"key": "two"}})
    assert changed["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    with pytest.raises(ApiError, match="Conflict") as refused:
        api.replace({**first, "data": {"key": "three"}})
    assert refused.value.status == 409
    assert api.find("v1", "ConfigMap", "none", namespace=namespace) is None


def test_a_service_account_has_no_rights_of_its_own(
    control_plane: ControlPlane, namespace: str
) -> None:
    config = json.loads(control_plane.kubeconfig_for("default", namespace).read_text())
    token = config["users"][0]["user"]["token"]
    api = Api(control_plane.server, control_plane.ca_file, token)
    with pytest.raises(ApiError, match="Forbidden"):
        api.get("v1", "Namespace", namespace)


def test_a_namespace_is_emptied_and_removed(control_plane: ControlPlane) -> None:
    api, namespaces = control_plane.api, control_plane.namespaces
    name = namespaces.make()
    Workloads(api, name).workload("redis", [REDIS])
    held: Object = {"name": "held", "namespace": name, "finalizers": ["example.org/nobody"]}
    api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
    namespaces.remove(name)
    assert api.find("v1", "Namespace", name) is None
    namespaces.make(name)
    assert not api.objects("v1", "Pod", namespace=name)
    assert not api.objects("v1", "Service", namespace=name)
    namespaces.remove(name)


def test_the_root_namespace_is_cleaned_but_keeps_what_istiod_needs(
    control_plane: ControlPlane, make_namespace: NamespaceFactory
) -> None:
    api = control_plane.api
    api.create(envoy_filter("10.96.0.99_6379", redis_proxy("none")))
    control_plane.namespaces.clean_root()
    assert not api.objects("networking.istio.io/v1alpha3", "EnvoyFilter")
    assert api.find(
        "security.istio.io/v1", "PeerAuthentication", "default", namespace=ROOT_NAMESPACE
    )
    assert control_plane.root_certificate()
