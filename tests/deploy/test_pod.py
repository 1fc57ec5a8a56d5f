"""Pods of the chart and of the manifests do all their work with what the Deployment gives them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from scripts.render_deploy import MANIFESTS
from tests.rig.api import Object
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.errors import ApiError, RigError
from tests.rig.fixtures import NamespaceFactory, SidecarFactory
from tests.rig.workloads import Port, Workloads
from tests.waiting import wait_until

from .chart import Chart, Values, installed, load, one
from .pod import WAIT, Node, RunningPod, find_ready

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(1200)]

FILTER = ("networking.istio.io/v1alpha3", "EnvoyFilter")
LEASE = ("coordination.k8s.io/v1", "Lease", "aeraki-controller")
REDIS = ("redis.aeraki.io/v1alpha1", "RedisDestination")
DEPLOYMENT = ("apps/v1", "Deployment")

Install = Callable[..., Sequence[Object]]


@pytest.fixture
def install(
    control_plane: ControlPlane, chart: Chart, make_namespace: NamespaceFactory
) -> Iterator[Install]:
    """Install the rendered chart into the API server, by default into a new namespace."""
    with ExitStack() as stack:

        def start(
            values: Values | None = None, *, objects: Sequence[Object] = (), root: bool = False
        ) -> Sequence[Object]:
            where = ROOT_NAMESPACE if root else make_namespace()
            rendered = list(objects) or chart.render(values, namespace=where)
            if root:
                stack.callback(_remove_from_root, control_plane, rendered)
            return stack.enter_context(installed(control_plane.api, rendered))

        yield start


def _remove_from_root(plane: ControlPlane, objects: Sequence[Object]) -> None:
    """Nothing else empties the root namespace of what is not Istio's."""
    for item in objects:
        if item["metadata"].get("namespace") == ROOT_NAMESPACE:
            plane.api.delete(
                item["apiVersion"], item["kind"], item["metadata"]["name"], namespace=ROOT_NAMESPACE
            )
    plane.api.delete(*LEASE, namespace=ROOT_NAMESPACE)


def filters(plane: ControlPlane) -> dict[str, str]:
    """Name and version of every filter of ours."""
    found = plane.api.objects(*FILTER, labels="app.kubernetes.io/managed-by=aeraki")
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in found}


def wait_filter(plane: ControlPlane, pod: RunningPod, part: str) -> None:
    wait_until(
        lambda: [name for name in filters(plane) if part in name],
        WAIT,
        f"a filter of {part}",
        seen=pod.logs,
    )


def nothing_was_forbidden(*pods: RunningPod) -> bool:
    """By the log of each, and by what it counted, if it still answers."""
    for pod in pods:
        assert not pod.said("orbidden"), pod.logs()
        assert pod.metric("rest_client_requests_total", method="GET", code="200") > 0
        assert pod.metric("rest_client_requests_total", code="403") == 0
        assert pod.metric("rest_client_requests_total", code="401") == 0
    return True


def holder(plane: ControlPlane, namespace: str) -> str:
    return str(plane.api.get(*LEASE, namespace=namespace)["spec"]["holderIdentity"])


def conditions(plane: ControlPlane, namespace: str) -> dict[str, str]:
    found = plane.api.get(*REDIS, "cache", namespace=namespace).get("status") or {}
    return {item["type"]: item["status"] for item in found.get("conditions", ())}


def events(plane: ControlPlane, namespace: str) -> dict[str, str]:
    """Reason and reporter of the Events there."""
    found = plane.api.objects("events.k8s.io/v1", "Event", namespace=namespace)
    return {item["reason"]: item["reportingInstance"] for item in found}


def redis_with_password(plane: ControlPlane, namespace: str) -> None:
    """A Service, what says how to reach it, and the Secret that this names."""
    metadata = {"name": "cache", "namespace": namespace}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": {"password": "open-sesame"},
    }
    plane.api.create(secret)
    policy = {"connectionPool": {"redis": {"auth": {"secret": {"name": "cache"}}}}}
    spec = {"host": "cache", "trafficPolicy": policy}
    wait_until(
        lambda: plane.api.type(*REDIS), 20, "RedisDestination to be served", swallow=(ApiError,)
    )
    plane.api.create({"apiVersion": REDIS[0], "kind": REDIS[1], "metadata": metadata, "spec": spec})
    annotations = {
        "redis.aeraki.io/nonsense": "1"
    }  # an option that nobody knows: a finding, and so an Event
    Workloads(plane.api, namespace).workload(
        "cache", [Port("tcp-redis", 6379, 16379)], annotations=annotations
    )


def secrets_role(manifests: Sequence[Object], namespace: str) -> Sequence[Object]:
    """What lets the manifests' account read the Secrets of a namespace, as docs/install.md says."""
    account = one(manifests, "ServiceAccount")["metadata"]
    metadata = {"name": "aeraki-secrets", "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}
    subject = {
        "kind": "ServiceAccount",
        "name": account["name"],
        "namespace": account["namespace"],
    }
    api = {"apiVersion": f"{group}/v1", "metadata": metadata}
    reference = {"apiGroup": group, "kind": "Role", "name": metadata["name"]}
    return [
        {**api, "kind": "Role", "rules": [rule]},
        {**api, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]},
    ]


def test_it_is_closed_in_as_the_deployment_says(install: Install, node: Node) -> None:
    """Else the other tests would prove nothing."""
    pod = node.start(install())
    pod.wait_ready()
    identity = pod.execute("grep", "-E", "^(Uid|CapEff|CapBnd|NoNewPrivs)", "/proc/1/status")
    assert re.sub(r"\s+", " ", identity).strip() == (
        "Uid: 65532 65532 65532 65532 CapEff: "
        "0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1"
    )
    assert (
        pod.execute("cat", "/var/run/secrets/kubernetes.io/serviceaccount/namespace")
        == pod.namespace
    )
    for place in (
        "/anywhere",
        "/etc/aeraki/settings.yaml",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
    ):
        with pytest.raises(RigError, match=r"Read-only file system|Permission denied"):
            pod.execute("sh", "-c", f"echo >>{place}")
    pod.execute("touch", "/tmp/anything")


@pytest.mark.parametrize("plain", [False, True], ids=["chart", "manifests"])
def test_two_pods_do_all_the_work_and_one_goes_on_after_the_other(
    install: Install,
    node: Node,
    control_plane: ControlPlane,
    make_namespace: NamespaceFactory,
    plain: bool,
) -> None:
    shop = make_namespace()
    if plain:
        manifests = [item for path in MANIFESTS.glob("*.yaml") for item in load(path)]
        objects = install(objects=[*manifests, *secrets_role(manifests, shop)], root=True)
    else:
        objects = install({"rbac.secretNamespaces": [shop]})
    redis_with_password(control_plane, shop)
    Workloads(control_plane.api, shop).workload("greeter", [Port("tcp-dubbo", 20880)])
    deployment = one(objects, *DEPLOYMENT[1:])
    leader, standby = find_ready(
        [node.start(objects) for _ in range(deployment["spec"]["replicas"])]
    )
    home = leader.namespace

    # The leader writes filters, statuses and Events; its pod holds the Lease.
    for service in ("cache", "greeter"):
        wait_filter(control_plane, leader, f"{service}.{shop}")
    wait_until(
        lambda: conditions(control_plane, shop) == {"Accepted": "True", "Programmed": "True"},
        WAIT,
        "the conditions",
        seen=lambda: (conditions(control_plane, shop), leader.logs()[-20:]),
    )
    wait_until(lambda: "AER0112" in events(control_plane, shop), WAIT, "the Event")
    assert events(control_plane, shop)["AER0112"].startswith(f"{leader.name}_")
    assert holder(control_plane, home).startswith(f"{leader.name}_")

    # Both answer where the Deployment says, and each shows the controller of its own pod.
    for pod in (leader, standby):
        assert [
            pod.probe(name)[0] for name in ("livenessProbe", "readinessProbe", "startupProbe")
        ] == [200, 200, 200]
        assert pod.metric("leader_election_master_status") == (1 if pod is leader else 0)
        told = json.loads(pod.execute("aeraki", "status", "-o", "json"))
        assert told["controller"]["identity"].startswith(f"{pod.name}_")
        assert told["controller"]["leads"] is (pod is leader)
        assert {f"cache.{shop}.svc.cluster.local", f"greeter.{shop}.svc.cluster.local"} <= {
            port["host"] for port in told["ports"] if port["state"] == "current"
        }
        assert json.loads(pod.get("/status")[1])["controller"] == told["controller"]
    assert nothing_was_forbidden(leader, standby)
    assert "open-sesame" not in json.dumps([leader.logs(), standby.logs()])

    # A rollout: the leader gets SIGTERM, and the filters stay as they are.
    before = filters(control_plane)
    assert leader.delete() == 0  # in its grace period, else it would have been killed
    assert leader.said("gave the Lease back")
    wait_until(
        lambda: holder(control_plane, home).startswith(f"{standby.name}_"),
        WAIT,
        "the Lease to be taken",
    )
    standby.wait_for("nothing to write")
    assert standby.probe("readinessProbe") == (200, "ok, leader\n")
    assert filters(control_plane) == before
    Workloads(control_plane.api, shop).workload("later", [Port("tcp-thrift", 9090)])
    wait_filter(control_plane, standby, f"later.{shop}")
    assert before.items() <= filters(control_plane).items()
    assert nothing_was_forbidden(standby)

    # The last one: no replica takes over the Lease.
    assert standby.delete() == 0
    assert holder(control_plane, home) == ""


def test_a_leader_whose_node_dies_is_followed(
    install: Install, node: Node, control_plane: ControlPlane, make_namespace: NamespaceFactory
) -> None:
    times = {"leaseDuration": "3s", "renewDeadline": "2s", "retryPeriod": "500ms"}
    objects = install({f"settings.{key}": value for key, value in times.items()})
    shop = make_namespace()
    Workloads(control_plane.api, shop).workload("cache", [Port("tcp-redis", 6379)])
    leader, standby = find_ready([node.start(objects) for _ in range(2)])
    wait_filter(control_plane, leader, f"cache.{shop}")
    before = filters(control_plane)
    leader.kill()
    wait_until(
        lambda: standby.probe("readinessProbe") == (200, "ok, leader\n"), WAIT, "the other to lead"
    )
    standby.wait_for("nothing to write")
    assert filters(control_plane) == before


def test_a_changed_config_map_reaches_it(install: Install, node: Node) -> None:
    objects = install({"settings.logLevel": "info"})
    pod = node.start(objects)
    pod.wait_ready()
    text = str(next(iter(one(objects, "ConfigMap")["data"].values())))
    assert "logLevel: info" in text
    pod.configure(text.replace("logLevel: info", "logLevel: {all: info, pipeline: debug}"))
    pod.wait_for("log levels are now info,pipeline:debug")
    pod.configure(text.replace("rootNamespace: istio-system", "rootNamespace: elsewhere"))
    pod.wait_for("rootNamespace will count after a restart")
    pod.configure("logLevel: loud\n")
    pod.wait_for("its last valid content stays")
    assert pod.probe("livenessProbe")[0] == 200


def test_a_setting_that_is_wrong_stops_it_and_is_named(install: Install, node: Node) -> None:
    pod = node.start(install({"settings.debounceQuiet": "soon"}))
    wait_until(lambda: not pod.running, WAIT, "it to end")
    assert pod.exit_code == 2
    assert "/etc/aeraki/settings.yaml:" in pod.output()
    assert "debounceQuiet" in pod.output()


@pytest.mark.parametrize(
    "values",
    [
        {"plugins": ["dubbo"]},
        {
            "plugins": ["dubbo", "redis"],
            "http.port": 9090,
            "leaderElection.id": "mine",
            "settings.arrangement": "namespace",
        },
    ],
    ids=["dubbo", "others"],
)
def test_rights_of_chosen_plugins_are_enough(
    install: Install,
    node: Node,
    control_plane: ControlPlane,
    make_namespace: NamespaceFactory,
    values: dict[str, Any],
) -> None:
    pod = node.start(install(values))
    pod.wait_ready()
    shop = make_namespace()
    workloads = Workloads(control_plane.api, shop)
    workloads.workload("kept-out", [Port("tcp-thrift", 9090)])
    workloads.workload("greeter", [Port("tcp-dubbo", 20880)])
    wait_filter(
        control_plane,
        pod,
        f"outbound-dubbo.{shop}-all" if "settings.arrangement" in values else f"greeter.{shop}",
    )
    rows = [line.split()[:2] for line in pod.execute("aeraki", "plugins").splitlines()[1:]]
    assert [name for name, state in rows if state == "active"] == values["plugins"]
    assert nothing_was_forbidden(pod)
    assert not [name for name in filters(control_plane) if "kept-out" in name]


@pytest.mark.parametrize("by", ["name", "label"])
def test_only_the_namespaces_that_it_is_told_to_watch(
    install: Install,
    node: Node,
    control_plane: ControlPlane,
    make_namespace: NamespaceFactory,
    by: str,
) -> None:
    """By name, with rights in no other namespace but the root."""
    shop, other = make_namespace(labels={"team": "shop"}), make_namespace()
    chosen = (
        {"watchNamespaces": [shop]} if by == "name" else {"watchNamespaceSelector": ["team=shop"]}
    )
    values: dict[str, Any] = {f"settings.{key}": value for key, value in chosen.items()}
    objects = install({**values, "rbac.secretNamespaces": [shop]})
    for namespace in (other, shop):
        redis_with_password(control_plane, namespace)
    leader, standby = find_ready([node.start(objects) for _ in range(2)])
    wait_filter(control_plane, leader, f"cache.{shop}")
    wait_until(
        lambda: conditions(control_plane, shop).get("Programmed") == "True", WAIT, "the condition"
    )
    wait_until(lambda: "AER0112" in events(control_plane, shop), WAIT, "the Event")
    assert nothing_was_forbidden(leader, standby)
    assert not [name for name in filters(control_plane) if other in name]
    assert not events(control_plane, other)
    assert not conditions(control_plane, other)


@pytest.mark.parametrize("source", [["kubernetes", "istiod"], ["istiod"]], ids=["both", "alone"])
def test_istiod_as_a_source(
    install: Install,
    node: Node,
    control_plane: ControlPlane,
    make_namespace: NamespaceFactory,
    source: list[str],
) -> None:
    """By the token and the certificate that the chart provides, at istiod's own address."""
    shop = make_namespace()
    pod = node.start(install({"settings.source": source}, root=True))
    pod.wait_ready()
    Workloads(control_plane.api, shop).workload("cache", [Port("tcp-redis", 6379, 16379)])
    wait_filter(control_plane, pod, f"cache.{shop}")
    assert pod.metric("aeraki_source_synced", source="istiod") == 1
    assert nothing_was_forbidden(pod)


def test_a_proxy_that_refuses_is_told_of_where_istiod_is_known(
    install: Install,
    node: Node,
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    """Also where istiod is no source: the chart gives a token for it all the same."""
    kafka = Port("tcp-kafka", 9092)
    service = workloads.workload("kafka", [kafka])
    sidecar = sidecar_factory(workloads.pod("client"))
    sidecar.wait_listener(f"{service['spec']['clusterIP']}_{kafka.port}")
    settings: dict[str, Any] = {"istiodAddress": f"istiod.{ROOT_NAMESPACE}.svc:15012"}
    # This Envoy has no such extension.
    settings["proxyExtensions"] = ["envoy.filters.network.kafka_broker"]
    pod = node.start(
        install({f"settings.{key}": value for key, value in settings.items()}, root=True)
    )
    pod.wait_ready()
    wait_filter(control_plane, pod, f"kafka.{namespace}")
    wait_until(
        lambda: "AER0509" in events(control_plane, ROOT_NAMESPACE), WAIT, "the Event", seen=pod.logs
    )
    assert pod.said(f"proxy client.{namespace} does not accept the listeners")
    assert nothing_was_forbidden(pod)
