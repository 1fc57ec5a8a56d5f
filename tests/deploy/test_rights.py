"""The chart's ServiceAccount may do what the controller does, and no more.

The API server answers for its own token.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from aeraki_core.controller.leader import Leader
from aeraki_core.kube.client import connect
from aeraki_core.pipeline.reconcile import Action, reconcile
from aeraki_core.plugins.registry import build_registry
from aeraki_core.sinks.kubernetes.sink import KubernetesSink
from aeraki_core.sources.kubernetes.source import KubernetesSource

from scripts.render_deploy import bundled_plugins
from tests.kubernetes.filters import redis_filter
from tests.kubernetes.recorder import Recorder
from tests.rig.api import Api, Object
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.errors import ApiError
from tests.rig.fixtures import NamespaceFactory
from tests.waiting import wait_until

from .chart import Chart, Values, installed

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(1200)]

READ = [
    ("v1", "Service"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("networking.istio.io/v1", "ServiceEntry"),
    ("networking.istio.io/v1", "VirtualService"),
    ("networking.istio.io/v1", "DestinationRule"),
    ("networking.istio.io/v1", "WorkloadEntry"),
    ("networking.istio.io/v1alpha3", "EnvoyFilter"),
    ("redis.aeraki.io/v1alpha1", "RedisService"),
    ("redis.aeraki.io/v1alpha1", "RedisDestination"),
]
REDIS = ("redis.aeraki.io/v1alpha1", "RedisService")
NAME = "aeraki-outbound-rights-6379"
LEASE = "coordination.k8s.io/v1"

Install = Callable[[Values], tuple[str, Api]]


@pytest.fixture
def install(
    control_plane: ControlPlane, chart: Chart, make_namespace: NamespaceFactory
) -> Iterator[Install]:
    """Install the chart; yield its namespace and a client with its ServiceAccount's rights."""
    contexts = []

    def start(values: Values) -> tuple[str, Api]:
        namespace = make_namespace()
        context = installed(control_plane.api, chart.render(values, namespace=namespace))
        context.__enter__()
        contexts.append(context)
        api = control_plane.api
        account = Api(control_plane.server, control_plane.ca_file, api.token("aeraki", namespace))
        # The authorizer reads roles and bindings from watches: a moment passes before they count.
        wait_until(lambda: _may(account, "list", "", "services"), 20, "the roles to count")
        wait_until(
            lambda: _may(account, "create", "coordination.k8s.io", "leases", namespace),
            20,
            "the roles to count",
        )
        return namespace, account

    yield start
    for context in contexts:
        context.__exit__(None, None, None)


def _may(
    account: Api, verb: str, group: str, resource: str, namespace: str = "", name: str = ""
) -> bool:
    attributes = {
        "verb": verb,
        "group": group,
        "resource": resource,
        "namespace": namespace,
        "name": name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = account.request(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review
    )
    return bool(answer["status"]["allowed"])


def _refuses(action: Callable[[], Any]) -> bool:
    try:
        action()
    except ApiError as error:
        return error.status == 403
    return False


def _filter(namespace: str, cidr: str = "10.0.0.0") -> Object:
    match = {"context": "SIDECAR_OUTBOUND", "listener": {"name": f"{cidr}_6379"}}
    patch = {
        "applyTo": "LISTENER",
        "match": match,
        "patch": {"operation": "MERGE", "value": {"stat_prefix": "x"}},
    }
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {
            "name": NAME,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "aeraki"},
        },
        "spec": {"configPatches": [patch]},
    }


def test_it_reads_what_the_controller_reads(control_plane: ControlPlane, install: Install) -> None:
    _, account = install({})
    for api_version, kind in READ:
        wait_until(
            partial(control_plane.api.type, api_version, kind),
            20,
            f"{kind} to be served",
            swallow=(ApiError,),
        )
        account.objects(api_version, kind)
        version = account.request("GET", account.type(api_version, kind).path())["metadata"][
            "resourceVersion"
        ]
        assert list(account.watch(api_version, kind, resource_version=version, timeout=1)) == []


def test_it_writes_filters_in_every_namespace(
    install: Install, make_namespace: NamespaceFactory
) -> None:
    _, account = install({})
    for namespace in (ROOT_NAMESPACE, make_namespace()):
        account.apply(_filter(namespace), manager="aeraki")
        changed = account.apply(_filter(namespace, "10.0.0.1"), manager="aeraki")
        account.replace(changed)
        account.delete("networking.istio.io/v1alpha3", "EnvoyFilter", NAME, namespace=namespace)


def test_it_writes_the_status_of_the_plugins_kinds_and_not_the_objects(
    control_plane: ControlPlane, install: Install
) -> None:
    namespace, account = install({})
    wait_until(
        lambda: control_plane.api.type(*REDIS), 20, "RedisService to be served", swallow=(ApiError,)
    )
    metadata = {"name": "cache", "namespace": namespace}
    written = control_plane.api.create(
        {
            "apiVersion": REDIS[0],
            "kind": REDIS[1],
            "metadata": metadata,
            "spec": {"host": ["cache"]},
        }
    )
    condition = {
        "type": "Accepted",
        "status": "True",
        "reason": "Fine",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {
        "apiVersion": REDIS[0],
        "kind": REDIS[1],
        "metadata": metadata,
        "status": {
            "observedGeneration": written["metadata"]["generation"],
            "conditions": [condition],
        },
    }
    account.apply(status, manager="aeraki", status=True)
    found = control_plane.api.get(*REDIS, "cache", namespace=namespace)
    assert found["status"]["conditions"][0]["reason"] == "Fine"
    assert _refuses(lambda: account.replace({**found, "spec": {"host": ["other"]}}))
    assert _refuses(lambda: account.delete(*REDIS, "cache", namespace=namespace))


def test_it_says_events_where_the_services_are(
    install: Install, make_namespace: NamespaceFactory
) -> None:
    _, account = install({})
    namespace = make_namespace()
    event: Object = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "cache.1", "namespace": namespace},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "aeraki",
        "reportingInstance": "aeraki-0",
        "action": "Generate",
        "reason": "AER0101",
        "type": "Warning",
        "regarding": {
            "apiVersion": "v1",
            "kind": "Service",
            "name": "cache",
            "namespace": namespace,
        },
    }
    account.create(event)
    series = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}}
    account.merge("events.k8s.io/v1", "Event", "cache.1", series, namespace=namespace)


def test_it_holds_its_own_lease_and_no_other(
    install: Install, make_namespace: NamespaceFactory
) -> None:
    namespace, account = install({"leaderElection.id": "mine"})

    def lease(name: str, where: str) -> Object:
        spec = {"holderIdentity": "me", "leaseDurationSeconds": 15}
        return {
            "apiVersion": LEASE,
            "kind": "Lease",
            "metadata": {"name": name, "namespace": where},
            "spec": spec,
        }

    account.create(lease("mine", namespace))
    account.replace(account.get(LEASE, "Lease", "mine", namespace=namespace))
    assert _refuses(lambda: account.get(LEASE, "Lease", "other", namespace=namespace))
    assert _refuses(lambda: account.delete(LEASE, "Lease", "mine", namespace=namespace))
    elsewhere = make_namespace()
    assert _refuses(lambda: account.create(lease("mine", elsewhere)))


def test_it_sees_that_a_definition_was_deleted(
    control_plane: ControlPlane, install: Install
) -> None:
    """Else its objects would look like deleted ones, and so would the filters made of them."""
    _, account = install({})
    crd = "apiextensions.k8s.io/v1", "CustomResourceDefinition"
    for api_version, kind in READ:
        group, plural = (
            api_version.partition("/")[0],
            control_plane.api.type(api_version, kind).plural,
        )
        if group.endswith(".io") and kind not in ("EndpointSlice", "EnvoyFilter"):
            assert account.get(*crd, f"{plural}.{group}")
    assert _refuses(lambda: account.get(*crd, "gateways.networking.istio.io"))
    assert _refuses(lambda: account.objects(*crd))


class TestTheControllersParts:
    """With the rights of the pods."""

    def test_the_source_has_all_that_it_wants(
        self, control_plane: ControlPlane, install: Install
    ) -> None:
        namespace, _ = install({})
        kubeconfig = control_plane.kubeconfig_for("aeraki", namespace)
        source = KubernetesSource(
            lambda: connect(kubeconfig), build_registry(only=bundled_plugins()).kinds
        )
        recorder = Recorder()
        try:
            source.start(recorder)
            recorder.wait(lambda: recorder.synced, "all lists")
        finally:
            source.stop()
        assert not {place: problems for place, problems in recorder.problems.items() if problems}

    def test_the_sink_creates_and_deletes(
        self, control_plane: ControlPlane, install: Install
    ) -> None:
        namespace, _ = install({})
        kubeconfig = control_plane.kubeconfig_for("aeraki", namespace)
        sink = KubernetesSink(lambda: connect(kubeconfig))
        wanted = {
            item.key: item for item in [redis_filter(1), redis_filter(2, namespace=namespace)]
        }
        try:
            sink.start(lambda key: None)
            for desired, action in ((wanted, Action.CREATE), ({}, Action.DELETE)):
                live = dict(sink.live())
                plan = reconcile(
                    {*wanted, *live},
                    desired,
                    live,
                    active_plugins={"redis"},
                )
                done = list(sink.apply(plan.steps))
                assert [(each.step.action, each.error) for each in done] == [(action, None)] * 2
        finally:
            sink.stop()

    def test_a_pod_becomes_the_leader(self, control_plane: ControlPlane, install: Install) -> None:
        namespace, _ = install({})
        client = connect(control_plane.kubeconfig_for("aeraki", namespace))
        leads = threading.Event()
        leader = Leader(
            client, namespace, "aeraki-controller", "me", lambda now: leads.set() if now else None
        )
        try:
            leader.start()
            assert leads.wait(20)
        finally:
            leader.stop()
        lease = control_plane.api.get(LEASE, "Lease", "aeraki-controller", namespace=namespace)
        assert lease["spec"]["holderIdentity"] == ""  # given back


@pytest.mark.parametrize(
    ("verb", "group", "resource"),
    [
        ("delete", "", "services"),
        ("create", "networking.istio.io", "virtualservices"),
        ("update", "", "secrets"),
        ("list", "", "pods"),
        ("list", "", "configmaps"),
        ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
        ("create", "apiextensions.k8s.io", "customresourcedefinitions"),
        ("get", "networking.istio.io", "gateways"),
    ],
)
def test_it_may_nothing_else(install: Install, verb: str, group: str, resource: str) -> None:
    _, account = install({})
    assert not _may(account, verb, group, resource, "default")


def test_it_reads_secrets_only_where_it_is_told(
    install: Install, make_namespace: NamespaceFactory
) -> None:
    shop, other = make_namespace(), make_namespace()
    namespace, account = install({"rbac.secretNamespaces": [shop]})
    wait_until(lambda: _may(account, "watch", "", "secrets", shop), 20, "the role to count")
    account.objects("v1", "Secret", namespace=shop)
    for elsewhere in (other, namespace, ROOT_NAMESPACE):
        assert _refuses(lambda: account.objects("v1", "Secret", namespace=elsewhere))  # noqa: B023


def test_by_default_it_reads_no_secret_of_any_namespace(install: Install, namespace: str) -> None:
    _, account = install({})
    for where in (namespace, ROOT_NAMESPACE, None):
        assert _refuses(lambda: account.objects("v1", "Secret", namespace=where))  # noqa: B023


def test_without_a_plugin_that_needs_them_it_reads_no_secrets(install: Install) -> None:
    _, account = install({"plugins": ["dubbo", "thrift"]})
    assert _refuses(lambda: account.objects("v1", "Secret"))
