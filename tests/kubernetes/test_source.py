"""What the Kubernetes source says of a real cluster."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from aeraki_core.kube.client import connect
from aeraki_core.kube.informer import Tuning
from aeraki_core.model.resource import Kind, LoadedKind
from aeraki_core.sources.kubernetes.source import KubernetesSource
from pydantic import BaseModel

from tests.rig.api import Object
from tests.rig.control_plane import ControlPlane
from tests.rig.workloads import Port, Workloads

from .recorder import Recorder

pytestmark = pytest.mark.mesh

PORT = Port("tcp-demo", 4000, 14000)
QUICK = Tuning(page=3, watch=20, idle=30, absent=0.3)


class DemoSpec(BaseModel):
    host: str = ""
    password: str = ""


DEMO = Kind(
    group="demo.aeraki.io",
    version="v1",
    kind="Demo",
    plural="demos",
    spec=DemoSpec,
    summary="for tests",
    secrets=lambda spec: [spec.password] if spec.password else [],
)

Start = Callable[..., tuple[KubernetesSource, Recorder]]


@pytest.fixture
def start(control_plane: ControlPlane) -> Iterator[Start]:
    """Starts sources that are stopped when the test ends."""
    with ExitStack() as started:

        def begin(
            *kinds: Kind[Any], tuning: Tuning = QUICK, **settings: Any
        ) -> tuple[KubernetesSource, Recorder]:
            loaded = [LoadedKind.of(kind, "demo") for kind in kinds]
            source = KubernetesSource(
                lambda: connect(control_plane.kubeconfig), loaded, tuning=tuning, **settings
            )
            recorder = Recorder()
            started.callback(source.stop)
            source.start(recorder)
            return source, recorder

        yield begin


def service_entry(name: str, namespace: str, host: str = "", **spec: Any) -> Object:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "hosts": [host or f"{name}.example.org"],
            "ports": [{"number": 4000, "name": "tcp-demo", "protocol": "TCP"}],
            "resolution": "DNS",
            **spec,
        },
    }


def secret(name: str, namespace: str, value: str) -> Object:
    data = {"password": base64.b64encode(value.encode()).decode()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def test_everything_there_is_arrives_page_by_page(
    start: Start, control_plane: ControlPlane, namespace: str, workloads: Workloads
) -> None:
    for number in range(7):  # more than two pages of three
        workloads.workload(f"demo-{number}", [PORT])
    control_plane.api.create(service_entry("outside", namespace))
    _, seen = start()
    seen.wait_synced()
    for number in range(7):
        assert f"Service {namespace}/demo-{number}" in seen.objects
        assert f"EndpointSlice {namespace}/demo-{number}-rig" in seen.objects
    entry = seen.objects[f"ServiceEntry {namespace}/outside"]
    assert entry.api_version == "networking.istio.io/v1"
    assert entry.content["spec"]["hosts"] == ["outside.example.org"]
    assert "managedFields" not in entry.content["metadata"]
    assert not any(seen.problems.values())


def test_changes_arrive_one_by_one(
    start: Start, control_plane: ControlPlane, namespace: str
) -> None:
    api = control_plane.api
    _, seen = start()
    seen.wait_synced()
    name = f"ServiceEntry {namespace}/outside"
    api.create(service_entry("outside", namespace))
    seen.wait_object(name)
    # istiod writes the address that it allocates into the status.
    seen.wait_object(name, lambda item: bool(item.content.get("status", {}).get("addresses")))
    patch = {"metadata": {"labels": {"changed": "yes"}}}
    api.merge("networking.istio.io/v1", "ServiceEntry", "outside", patch, namespace=namespace)
    seen.wait_object(
        name, lambda item: item.content["metadata"].get("labels") == {"changed": "yes"}
    )
    api.delete("networking.istio.io/v1", "ServiceEntry", "outside", namespace=namespace)
    seen.wait_no_object(name)


def test_envoy_filters_of_other_people_arrive_and_ours_do_not(
    start: Start, control_plane: ControlPlane, namespace: str
) -> None:
    def envoy_filter(name: str, **labels: str) -> Object:
        meta = {"name": name, "namespace": namespace, "labels": labels}
        kind = {"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter"}
        return {**kind, "metadata": meta, "spec": {"priority": 5}}

    api = control_plane.api
    ours = {"app.kubernetes.io/managed-by": "aeraki"}
    api.create(envoy_filter("ours", **ours))
    api.create(envoy_filter("theirs"))
    _, seen = start()
    seen.wait_synced()
    assert f"EnvoyFilter {namespace}/theirs" in seen.objects
    api.create(envoy_filter("ours-too", **ours))
    api.create(envoy_filter("theirs-too", team="data"))
    seen.wait_object(f"EnvoyFilter {namespace}/theirs-too")
    assert not [name for name in seen.objects if name.startswith(f"EnvoyFilter {namespace}/ours")]


def test_namespaces_arrive_for_their_annotations(
    start: Start, make_namespace: Callable[..., str], control_plane: ControlPlane
) -> None:
    name = make_namespace()
    _, seen = start()
    seen.wait_synced()
    assert f"Namespace {name}" in seen.objects
    patch = {"metadata": {"annotations": {"aeraki.io/exclude": "true"}}}
    control_plane.api.merge("v1", "Namespace", name, patch)
    seen.wait_object(
        f"Namespace {name}",
        lambda item: "aeraki.io/exclude" in (item.content["metadata"].get("annotations") or {}),
    )


def test_only_the_namespaces_asked_for(
    start: Start, make_namespace: Callable[[], str], control_plane: ControlPlane
) -> None:
    mine, other = make_namespace(), make_namespace()
    for name in (mine, other):
        control_plane.api.create(service_entry("outside", name))
    _, seen = start(namespaces=[mine])
    seen.wait_synced()
    assert f"ServiceEntry {mine}/outside" in seen.objects
    assert {item.ref.namespace for item in seen.objects.values()} == {mine}


def demo(name: str, namespace: str, password: str | None = None) -> Object:
    spec = {"host": name} if password is None else {"host": name, "password": password}
    return {
        "apiVersion": "demo.aeraki.io/v1",
        "kind": "Demo",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def test_only_the_secrets_that_something_refers_to(
    start: Start, control_plane: ControlPlane, namespace: str
) -> None:
    api = control_plane.api
    with demo_crd(control_plane):
        api.create(secret("wanted", namespace, "one"))
        api.create(secret("other", namespace, "two"))
        api.create(demo("one", namespace, "wanted"))
        _, seen = start(DEMO)
        seen.wait_synced()  # with the Secret: nobody must make a filter without its password first
        assert f"Secret {namespace}/wanted" in seen.objects
        api.create(demo("two", namespace, "later"))
        seen.wait_object(f"Demo {namespace}/two")
        api.create(secret("later", namespace, "three"))
        seen.wait_object(f"Secret {namespace}/later")
        value = base64.b64encode(b"new").decode()
        api.merge("v1", "Secret", "wanted", {"data": {"password": value}}, namespace=namespace)
        seen.wait_object(
            f"Secret {namespace}/wanted", lambda item: item.content["data"]["password"] == value
        )
        api.merge(
            "demo.aeraki.io/v1", "Demo", "one", {"spec": {"password": None}}, namespace=namespace
        )
        seen.wait_no_object(f"Secret {namespace}/wanted")
        assert f"Secret {namespace}/later" in seen.objects
        assert f"Secret {namespace}/other" not in seen.upserted_since(0)


def test_a_crd_that_comes_later_and_goes_again(
    start: Start, control_plane: ControlPlane, namespace: str
) -> None:
    api = control_plane.api
    _, seen = start(DEMO)
    seen.wait_synced()  # a plugin's kind that was never there holds nothing up
    seen.wait(
        lambda: any(
            "demo" in text.lower() for text in seen.problems.get("Demo.demo.aeraki.io", ())
        ),
        "a word",
    )
    with demo_crd(control_plane):
        api.create(demo("one", namespace))
        seen.wait_object(f"Demo {namespace}/one")
        assert not seen.problems["Demo.demo.aeraki.io"]
        mark = seen.mark()
    # Deleting the definition deleted the object, although no user deleted it.
    seen.wait(lambda: "does not serve" in seen.reason, "the source to say that the kind is gone")
    assert not seen.removed_since(mark)
    assert f"Demo {namespace}/one" in seen.objects
    with demo_crd(control_plane):
        api.create(demo("two", namespace))
        seen.wait_object(f"Demo {namespace}/two")
        seen.wait_no_object(f"Demo {namespace}/one")
        seen.wait_synced()
        api.delete("demo.aeraki.io/v1", "Demo", "two", namespace=namespace)
        seen.wait_no_object(f"Demo {namespace}/two")


class demo_crd:  # noqa: N801
    """The definition of the kind Demo, while a ``with`` lasts."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    def __enter__(self) -> None:
        self._plane.apply_crds(
            """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: demos.demo.aeraki.io}
spec:
  group: demo.aeraki.io
  scope: Namespaced
  names: {kind: Demo, plural: demos, singular: demo}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
        )

    def __exit__(self, *_: object) -> None:
        from tests.waiting import wait_until

        api, kind = (
            self._plane.api,
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "demos.demo.aeraki.io"),
        )
        api.delete(*kind)
        wait_until(lambda: api.find(*kind) is None, 20, "the CRD to be gone")
