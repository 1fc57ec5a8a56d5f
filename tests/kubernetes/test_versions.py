"""Istio's kinds in whichever version the cluster serves, and while that changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from aeraki_core.kube.informer import Tuning
from aeraki_core.pipeline.reconcile import Action

from tests.rig import availability
from tests.rig.api import Object
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.errors import ApiError
from tests.waiting import wait_until

from .running import Running

pytestmark = pytest.mark.mesh

GROUP = "networking.istio.io"
CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
KINDS = {
    "ServiceEntry": "serviceentries",
    "VirtualService": "virtualservices",
    "DestinationRule": "destinationrules",
}
ALL = ("v1", "v1beta1", "v1alpha3")
HOST = "calc.example.org"
FILTER = f"aeraki-outbound-{HOST}-9090"
QUICK = Tuning(absent=0.2)


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane of these tests' own: istiod itself wants the versions that they take away."""
    if reason := availability.obstacle() or availability.unbuilt():
        pytest.fail(f"the rig cannot run: {reason}", pytrace=False)
    with ControlPlane() as started:
        yield started


@pytest.fixture
def shop(plane: ControlPlane) -> Iterator[str]:
    """A namespace; afterwards it is gone, and every version is served again."""
    namespace = plane.namespaces.make()
    yield namespace
    for kind in KINDS:
        serve(plane, kind, *ALL)
    plane.namespaces.remove(namespace)
    plane.namespaces.clean_root()


def serve(plane: ControlPlane, kind: str, *wanted: str) -> None:
    """Serve the kind in these versions alone, and wait until the server does."""
    name = f"{KINDS[kind]}.{GROUP}"
    found = plane.api.get(*CRD, name)["spec"]["versions"]
    versions = [{**each, "served": each["name"] in wanted} for each in found]
    plane.api.merge(*CRD, name, {"spec": {"versions": versions}})

    def is_served(version: str) -> bool:
        try:
            answer = plane.api.request("GET", f"/apis/{GROUP}/{version}")
            plane.api.request("GET", f"/apis/{GROUP}/{version}/{KINDS[kind]}")
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return any(item["kind"] == kind for item in answer["resources"])

    wait_until(
        lambda: all(is_served(each) is (each in wanted) for each in ALL),
        20,
        f"{kind} to be served as {', '.join(wanted) or 'nothing'}",
    )


def serve_all(plane: ControlPlane, *wanted: str) -> None:
    for kind in KINDS:
        serve(plane, kind, *wanted)


def write(
    plane: ControlPlane, kind: str, version: str, namespace: str, spec: Mapping[str, Any]
) -> None:
    """Create or change the object of that kind; each has one."""
    metadata = {"name": "calc", "namespace": namespace}
    body: Object = {
        "apiVersion": f"{GROUP}/{version}",
        "kind": kind,
        "metadata": metadata,
        "spec": dict(spec),
    }
    path = f"/apis/{GROUP}/{version}/namespaces/{namespace}/{KINDS[kind]}/calc"
    params = {"fieldManager": "test", "force": "true"}
    plane.api.request(
        "PATCH", path, body, params=params, content_type="application/apply-patch+yaml"
    )


def write_service(plane: ControlPlane, version: str, namespace: str) -> None:
    ports = [{"number": 9090, "name": "tcp-thrift", "protocol": "TCP"}]
    write(
        plane,
        "ServiceEntry",
        version,
        namespace,
        {"hosts": [HOST], "addresses": ["240.2.0.1"], "ports": ports, "resolution": "STATIC"},
    )
    subsets = [{"name": name, "labels": {"version": name}} for name in ("one", "two")]
    write(plane, "DestinationRule", version, namespace, {"host": HOST, "subsets": subsets})


def write_route(plane: ControlPlane, version: str, namespace: str, subset: str) -> None:
    route = [{"destination": {"host": HOST, "subset": subset}}]
    write(
        plane, "VirtualService", version, namespace, {"hosts": [HOST], "http": [{"route": route}]}
    )


def the_filter(plane: ControlPlane) -> Object | None:
    return plane.api.find(f"{GROUP}/v1alpha3", "EnvoyFilter", FILTER, namespace=ROOT_NAMESPACE)


def routes_to(plane: ControlPlane, subset: str) -> bool:
    return f"outbound|9090|{subset}|{HOST}" in json.dumps(the_filter(plane) or {})


@pytest.mark.parametrize("version", ["v1beta1", "v1alpha3"])
def test_an_older_version_alone_is_enough(plane: ControlPlane, shop: str, version: str) -> None:
    serve_all(plane, version)
    write_service(plane, version, shop)
    write_route(plane, version, shop, "one")
    with Running(plane.kubeconfig, ["thrift"], tuning=QUICK) as running:
        running.wait(lambda: routes_to(plane, "one"), "the filter with the route")
        write_route(plane, version, shop, "two")
        running.wait(lambda: routes_to(plane, "two"), "the changed route")
        running.wait(lambda: not running.controller.findings, "nothing to be said")


def test_kinds_in_different_versions(plane: ControlPlane, shop: str) -> None:
    serve(plane, "VirtualService", "v1alpha3")
    serve(plane, "DestinationRule", "v1beta1")
    serve(plane, "ServiceEntry", "v1")
    ports = [{"number": 9090, "name": "tcp-thrift", "protocol": "TCP"}]
    spec = {"hosts": [HOST], "addresses": ["240.2.0.1"], "ports": ports, "resolution": "STATIC"}
    write(plane, "ServiceEntry", "v1", shop, spec)
    subsets = [{"name": "one", "labels": {"version": "one"}}]
    write(plane, "DestinationRule", "v1beta1", shop, {"host": HOST, "subsets": subsets})
    write_route(plane, "v1alpha3", shop, "one")
    with Running(plane.kubeconfig, ["thrift"], tuning=QUICK) as running:
        running.wait(lambda: routes_to(plane, "one"), "the filter with the route")
        running.wait(lambda: not running.controller.findings, "nothing to be said")


def test_a_version_that_is_served_no_longer_while_we_watch_it(
    plane: ControlPlane, shop: str
) -> None:
    """The watches move to another one; nothing is written for that, let alone deleted."""
    serve_all(plane, "v1", "v1beta1")
    write_service(plane, "v1", shop)
    write_route(plane, "v1", shop, "one")
    with Running(plane.kubeconfig, ["thrift"], tuning=QUICK) as running:
        running.wait(lambda: routes_to(plane, "one"), "the filter with the route")
        before = the_filter(plane)
        serve_all(plane, "v1beta1")
        write_route(plane, "v1beta1", shop, "two")
        running.wait(lambda: routes_to(plane, "two"), "a change that only the other version tells")
        serve_all(plane, "v1alpha3")
        write_route(plane, "v1alpha3", shop, "one")
        running.wait(lambda: routes_to(plane, "one"), "a change that only the third version tells")
        assert running.count(Action.CREATE) == 1
        assert running.count(Action.UPDATE) == 2
        assert running.count(Action.DELETE) == 0
        running.wait(lambda: not running.controller.findings, "nothing to be said")
    after = the_filter(plane)
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"] == before["spec"]


def test_a_kind_that_is_served_in_no_version_any_more_and_comes_back(
    plane: ControlPlane, shop: str
) -> None:
    write_service(plane, "v1", shop)
    write_route(plane, "v1", shop, "one")
    with Running(plane.kubeconfig, ["thrift"], tuning=QUICK) as running:
        running.wait(lambda: routes_to(plane, "one"), "the filter with the route")
        before = the_filter(plane)
        assert before is not None
        for kind in KINDS:
            serve(plane, kind)
        running.wait(lambda: running.controller.held, "deletions to wait")
        running.wait(
            lambda: (
                sum(item.code.id == "AER0113" for item in running.controller.findings) == len(KINDS)
            ),
            "a finding for each kind",
        )
        found = the_filter(plane)
        assert found is not None
        assert found["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        serve_all(plane, "v1beta1")
        write_route(plane, "v1beta1", shop, "two")
        running.wait(lambda: routes_to(plane, "two"), "the changed route")
        running.wait(lambda: not running.controller.held, "deletions to be possible again")
        running.wait(lambda: not running.controller.findings, "nothing to be said")
        plane.api.request("DELETE", f"/apis/{GROUP}/v1beta1/namespaces/{shop}/serviceentries/calc")
        running.wait(
            lambda: the_filter(plane) is None, "the filter of a service that is gone to go"
        )


def test_a_kind_that_the_cluster_comes_to_serve_later(plane: ControlPlane, shop: str) -> None:
    """Istio is installed or upgraded after us.

    The source reads the kinds that exist, and draws no conclusion from the others.
    """
    write_service(plane, "v1", shop)
    write_route(plane, "v1", shop, "one")
    serve(plane, "VirtualService")
    with Running(plane.kubeconfig, ["thrift"], tuning=QUICK) as running:
        running.wait(lambda: the_filter(plane) is not None, "the filter of what can be read")
        assert not routes_to(plane, "one")
        assert running.controller.held
        plane.api.request("DELETE", f"/apis/{GROUP}/v1/namespaces/{shop}/destinationrules/calc")
        serve(plane, "VirtualService", "v1alpha3")
        running.wait(lambda: not running.controller.held, "everything to be read")
        write_service(plane, "v1", shop)
        running.wait(lambda: routes_to(plane, "one"), "the route")
        assert running.count(Action.DELETE) == 0
