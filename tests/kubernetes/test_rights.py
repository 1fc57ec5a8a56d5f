"""The rights that `aeraki rbac` prints suffice, and a refusal of the webhook is a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aeraki_core.filters.companion import Companion, freeze_spec
from aeraki_core.filters.envoyfilter import FilterKey, ServicePort
from aeraki_core.filters.output_kind import OutputKind
from aeraki_core.kube.client import Client, connect
from aeraki_core.kube.errors import ApiError
from aeraki_core.manifests.crds import crd
from aeraki_core.manifests.rbac import Watched, bindings, roles
from aeraki_core.pipeline.reconcile import Action
from aeraki_core.plugins.registry import build_registry
from aeraki_core.settings import resolve
from aeraki_core.sinks.kubernetes.writer import resource_of
from aeraki_core.wiring.cluster import istiod_of

from tests.rig.api import Object
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.fixtures import NamespaceFactory
from tests.rig.workloads import Port, Workloads
from tests.waiting import wait_until

from .running import Running
from .test_faults import GROUP, entry, live
from .test_source import secret

pytestmark = pytest.mark.mesh

OURS = "app.kubernetes.io/managed-by=aeraki"
FILTERS = resource_of(OutputKind.ENVOY_FILTER)


@contextmanager
def redis_crds(plane: ControlPlane) -> Iterator[None]:
    """The plugin's kinds, while a ``with`` lasts."""
    definitions = [crd(kind) for kind in build_registry(only=["redis"]).kinds]
    plane.apply_crds("\n---\n".join(yaml.safe_dump(item) for item in definitions))
    try:
        yield
    finally:
        kind = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        for item in definitions:
            plane.api.delete(*kind, item["metadata"]["name"])
        for item in definitions:
            name = item["metadata"]["name"]
            wait_until(lambda name=name: plane.api.find(*kind, name) is None, 20, "the CRD to go")  # type: ignore[misc]


def destination(namespace: str, password: str) -> Object:
    pool = {"redis": {"auth": {"secret": {"name": password}}}}
    return {
        "apiVersion": "redis.aeraki.io/v1alpha1",
        "kind": "RedisDestination",
        "metadata": {"name": "cache", "namespace": namespace},
        "spec": {
            "host": "redis",
            "trafficPolicy": {"connectionPool": pool},
            "exportTo": ["*"],
        },
    }


Account = Callable[[Watched], Path]


@pytest.fixture
def account(control_plane: ControlPlane, namespace: str, workloads: Workloads) -> Iterator[Account]:
    """Gives the kubeconfig of an account that has the printed rights and no more."""
    api = control_plane.api
    workloads.service_account("aeraki")
    printed: list[Object] = []

    def make(watched: Watched) -> Path:
        kinds = build_registry(only=["redis"]).kinds
        own = roles(
            kinds, name="aeraki", namespace=namespace, election_id="aeraki", watched=watched
        )
        printed.extend([*own, *bindings(own, namespace=namespace, service_account="aeraki")])
        for item in printed:
            api.apply(item)
        path = control_plane.kubeconfig_for("aeraki", namespace)
        client = connect(path)
        # The authorizer reads roles and bindings from watches: a moment passes before they count.
        for where in (*(watched.names or (None,)), *watched.clients):
            wait_until(lambda where=where: _may_list(client, where), 20, "the roles to count")  # type: ignore[misc]
        return path

    yield make
    for item in printed:
        metadata = item["metadata"]
        api.delete(
            item["apiVersion"], item["kind"], metadata["name"], namespace=metadata.get("namespace")
        )


def _may_list(client: Client, namespace: str | None) -> bool:
    try:
        client.request("GET", FILTERS.path(namespace), params={"limit": "1"})
    except ApiError as error:
        if error.status == 403:
            return False
        raise
    return True


@pytest.fixture
def limited(account: Account) -> Path:
    """The kubeconfig of an account with the rights to watch everything."""
    return account(Watched())


def test_the_printed_rights_are_enough(
    limited: Path,
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    caplog: pytest.LogCaptureFixture,
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


@pytest.mark.parametrize("by", ["all", "name"])
def test_what_live_weights_left_goes_without_the_right_to_write_it(
    by: str, account: Account, control_plane: ControlPlane, namespace: str
) -> None:
    api, names = control_plane.api, (namespace,) if by == "name" else ()
    specs: dict[OutputKind, dict[str, Any]] = {
        OutputKind.DESTINATION_RULE: {"host": "x.weights.aeraki.internal"},
        OutputKind.SERVICE_ENTRY: {
            "hosts": ["x.weights.aeraki.internal"],
            "addresses": ["240.241.0.1"],
            "ports": [{"number": 7070, "name": "tcp", "protocol": "TCP"}],
            "resolution": "STATIC",
        },
    }
    for kind, spec in specs.items():
        left = Companion(
            key=FilterKey(namespace, "aeraki-weights-x", kind),
            plugin="redis",
            service_ports=(ServicePort("x.example.org", 6379),),
            spec=freeze_spec(spec),
            namespaces=(namespace,),
        )
        api.create(left.as_object())
    with Running(account(Watched(names)), ["redis"], namespaces=names) as running:
        running.wait(
            lambda: not any(api.objects(GROUP, str(kind), labels=OURS) for kind in specs),
            "what is left to go",
        )


@pytest.mark.parametrize("by", ["name", "label"])
def test_those_for_some_namespaces_are_enough(
    by: str,
    account: Account,
    control_plane: ControlPlane,
    make_namespace: NamespaceFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With all that a filter depends on: a Secret, inbound in the service's namespace."""
    mine, other = make_namespace(labels={"env": by}), make_namespace()
    api = control_plane.api
    with redis_crds(control_plane):
        for name in (mine, other):
            Workloads(api, name).workload("redis", [Port("tcp-redis", 6379, 16379)])
            api.create(secret("redis-password", name, "hunter2"))
            api.create(destination(name, "redis-password"))
        names = (mine,) if by == "name" else ()
        watched = Watched(names, secrets=(mine,))
        chosen: dict[str, Any] = (
            {"namespaces": [mine]} if by == "name" else {"selectors": [f"env={by}"]}
        )
        with Running(account(watched), ["redis"], **chosen) as running:
            running.wait_written(1)
            running.wait(
                lambda: not running.controller.held and not running.controller.findings,
                "everything to be read and written",
            )
            assert not [name for name in live(control_plane) if other in name]
            api.delete("v1", "Service", "redis", namespace=mine)
            running.wait(lambda: not live(control_plane), "the filters to go")
    assert "forbidden" not in caplog.text.lower()


def test_those_for_named_namespaces_let_nobody_look_elsewhere(
    account: Account, control_plane: ControlPlane, make_namespace: NamespaceFactory
) -> None:
    mine, other = make_namespace(), make_namespace()
    client = connect(account(Watched(names=(mine,))))
    paths = ("/api/v1/services", "/api/v1/secrets", "/api/v1/namespaces", FILTERS.path())
    elsewhere = (
        f"/api/v1/namespaces/{other}/services",
        f"/api/v1/namespaces/{ROOT_NAMESPACE}/secrets",
        FILTERS.path(other),
    )
    for path in (*paths, *elsewhere):
        with pytest.raises(ApiError) as refused:
            client.request("GET", path)
        assert refused.value.status == 403


def test_they_let_us_read_what_vouches_for_istiod(
    limited: Path, control_plane: ControlPlane
) -> None:
    settings = resolve(
        {"kubeconfig": (str(limited),), "istiodAddress": ("istiod.istio-system:15012",)}
    )
    certificate = istiod_of(settings).certificate
    assert certificate is not None
    assert certificate() == control_plane.root_certificate().encode()


def test_without_rights_nothing_is_written_and_it_says_why(
    control_plane: ControlPlane, namespace: str
) -> None:
    from aeraki_core.errors import AerakiError
    from aeraki_core.kube.client import connect
    from aeraki_core.sinks.kubernetes.sink import KubernetesSink

    kubeconfig = control_plane.kubeconfig_for("default", namespace)
    sink = KubernetesSink(lambda: connect(kubeconfig), start_timeout=1.0)
    with pytest.raises(AerakiError, match="forbidden"):
        sink.start(lambda key: None)


def test_a_refusal_and_a_name_that_is_taken_are_findings(
    control_plane: ControlPlane, namespace: str
) -> None:
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
        assert str(found["AER0504"].ref) == f"ServiceEntry {namespace}/redis-1"
        assert "not ours" in found["AER0504"].message
        assert "AER0506" not in found
        control_plane.api.delete(GROUP, "ServiceEntry", "redis-1", namespace=namespace)
        running.wait(
            lambda: "AER0504" not in {item.code.id for item in running.controller.findings},
            "nobody to want the name",
        )
