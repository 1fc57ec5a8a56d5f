"""A real API server accepts every object, knows each field, and allows the pods as restricted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scripts.render_deploy import MANIFESTS
from tests.rig.api import Api, Object
from tests.rig.control_plane import ControlPlane
from tests.rig.errors import ApiError
from tests.rig.fixtures import NamespaceFactory

from . import binaries
from .chart import Chart, Values, load, one, remove
from .test_chart import EVERYTHING

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(1200)]

MONITORS = "servicemonitors.monitoring.coreos.com"


@pytest.fixture
def api(control_plane: ControlPlane) -> Api:
    return control_plane.api


@pytest.fixture(scope="module")
def monitors(control_plane: ControlPlane) -> Iterator[None]:
    """The Prometheus Operator's own CRD is there."""
    control_plane.apply_crds(binaries.service_monitor_crd().read_text(encoding="utf-8"))
    yield
    remove(control_plane.api, "apiextensions.k8s.io/v1", "CustomResourceDefinition", MONITORS)


def _try(api: Api, item: Object) -> Any:
    """Asks whether the object could be created; an unknown field is an error."""
    path = api.type(item["apiVersion"], item["kind"]).path(item["metadata"].get("namespace"))
    return api.request("POST", path, item, params={"dryRun": "All", "fieldValidation": "Strict"})


@pytest.mark.parametrize(
    "values",
    [
        {},
        EVERYTHING,
        {"replicas": 1, "plugins": ["dubbo"]},
        {"settings.source": ["istiod"], "crds.keep": False},
    ],
    ids=["defaults", "everything", "small", "istiod"],
)
def test_every_object_of_the_chart(
    api: Api, chart: Chart, monitors: None, make_namespace: NamespaceFactory, values: Values
) -> None:
    del monitors
    namespace = make_namespace()
    objects = chart.render(values, namespace=namespace)
    for item in objects:
        _try(api, item)
    kinds = {item["kind"] for item in objects}
    assert {
        "Deployment",
        "ConfigMap",
        "ClusterRole",
        "Role",
        "ServiceAccount",
        "Service",
        "PodDisruptionBudget",
    } <= kinds


def test_every_object_of_the_manifests(api: Api, control_plane: ControlPlane) -> None:
    del control_plane
    objects = [item for path in sorted(MANIFESTS.glob("*.yaml")) for item in load(path)]
    assert {item["kind"] for item in objects} >= {"Deployment", "CustomResourceDefinition"}
    for item in objects:
        _try(api, item)


def test_an_unknown_field_would_have_been_noticed(api: Api, chart: Chart, namespace: str) -> None:
    item = one(chart.render(namespace=namespace), "Deployment")
    item["spec"]["replica"] = 1
    with pytest.raises(ApiError, match="replica"):
        _try(api, item)


@pytest.mark.parametrize(
    "values", [{}, {"settings.source": ["kubernetes", "istiod"]}], ids=["defaults", "istiod"]
)
def test_pods_may_run_where_only_restricted_ones_may(
    api: Api, chart: Chart, make_namespace: NamespaceFactory, values: Values
) -> None:
    namespace = make_namespace(labels={"pod-security.kubernetes.io/enforce": "restricted"})
    template = one(chart.render(values, namespace=namespace), "Deployment")["spec"]["template"]

    def pod(spec: Any) -> Object:
        metadata = {"name": "aeraki", "namespace": namespace, **template["metadata"]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    _try(api, pod(template["spec"]))
    with pytest.raises(ApiError, match="violates PodSecurity"):
        _try(api, pod({**template["spec"], "securityContext": {}}))
