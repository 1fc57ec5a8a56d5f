"""What the istiod source says of a real istiod."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from aeraki_core.kube.client import connect
from aeraki_core.kube.informer import Tuning
from aeraki_core.mesh.keys import DestinationRulesKey, VirtualServicesKey
from aeraki_core.mesh.store import Store
from aeraki_core.model.mesh import Mesh
from aeraki_core.sources.events import Unsynced
from aeraki_core.sources.istiod.connection import Istiod
from aeraki_core.sources.istiod.source import IstiodSource
from aeraki_core.sources.kubernetes.source import KubernetesSource
from aeraki_core.sources.merge import merged

from tests.kubernetes.recorder import Recorder
from tests.rig.api import Object
from tests.rig.control_plane import ControlPlane
from tests.rig.workloads import Port, Workloads

pytestmark = pytest.mark.mesh

PORT = Port("tcp-redis", 6379, 16379)
Start = Callable[..., tuple[IstiodSource, Recorder]]


@pytest.fixture
def start(istiod: Istiod) -> Iterator[Start]:
    with ExitStack() as started:

        def begin(where: Istiod = istiod, **settings: Any) -> tuple[IstiodSource, Recorder]:
            source = IstiodSource(where, **{"believe_empty": 0.3, **settings})
            seen = Recorder()
            started.callback(source.stop)
            source.start(seen)
            return source, seen

        yield begin


def config(kind: str, name: str, namespace: str, spec: Object, **metadata: Any) -> Object:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {"redis.aeraki.io/proxy": "always"},
            **metadata,
        },
        "spec": spec,
    }


ENTRY: Object = {
    "hosts": ["redis.example.org"],
    "addresses": ["240.0.0.7"],
    "ports": [{"number": 6379, "name": "tcp-redis", "protocol": "TCP", "targetPort": 16379}],
    "location": "MESH_INTERNAL",
    "resolution": "STATIC",
    "workloadSelector": {"labels": {"app": "redis"}},
    "exportTo": ["."],
}
ROUTES: Object = {
    "hosts": ["redis"],
    "http": [
        {
            "name": "canary",
            "match": [
                {
                    "method": {"exact": "sayHello"},
                    "headers": {"group": {"regex": "v[12]"}, "present": {}},
                    "sourceLabels": {"app": "x"},
                    "uri": {"prefix": "/"},
                }
            ],
            "route": [
                {"destination": {"host": "redis", "subset": "v1"}, "weight": 100},
                {
                    "destination": {"host": "redis", "subset": "v2", "port": {"number": 6379}},
                    "weight": 0,
                },
            ],
            "timeout": "1.500s",
            "retries": {"attempts": 3, "perTryTimeout": "0.500s"},
            "mirror": {"host": "redis"},
            "mirrorPercentage": {"value": 12.5},
            "fault": {"abort": {"httpStatus": 503, "percentage": {"value": 1}}},
        }
    ],
    "tcp": [{"match": [{"port": 6379}], "route": [{"destination": {"host": "redis"}}]}],
}
RULE: Object = {
    "host": "redis",
    "subsets": [
        {"name": "v1", "labels": {"version": "v1"}},
        {"name": "v2", "labels": {"version": "v2"}},
    ],
    "trafficPolicy": {
        "connectionPool": {
            "tcp": {"maxConnections": 7, "connectTimeout": "2s", "tcpKeepalive": {"probes": 3}}
        },
        "loadBalancer": {"simple": "LEAST_REQUEST"},
        "outlierDetection": {"consecutive5xxErrors": 4, "interval": "3s"},
        "tls": {"mode": "ISTIO_MUTUAL"},
    },
}


def test_the_store_reads_the_same_as_from_kubernetes(
    start: Start, control_plane: ControlPlane, namespace: str, workloads: Workloads
) -> None:
    api = control_plane.api
    for kind, spec in (
        ("ServiceEntry", ENTRY),
        ("VirtualService", ROUTES),
        ("DestinationRule", RULE),
    ):
        api.create(config(kind, "redis", namespace, spec))
    service = workloads.workload("redis", [PORT])
    workloads.workload("several", [Port("tcp-a", 1000), Port("udp-b", 1001)], headless=True)
    _, seen = start()
    seen.wait_synced()
    # istiod hears of a Service a moment after the API server.
    for ref in ("Service", "ServiceEntry", "VirtualService", "DestinationRule"):
        seen.wait_object(f"{ref} {namespace}/redis")
    seen.wait_object(f"Service {namespace}/several")
    theirs, ours = Store(Mesh()), Store(Mesh())
    for item in seen.objects.values():
        assert theirs.upsert(item) is not None
    reader = KubernetesSource(lambda: connect(control_plane.kubeconfig), namespaces=[namespace])
    known = Recorder()
    reader.start(known)
    known.wait_synced()
    reader.stop()
    for item in known.objects.values():
        ours.upsert(item)
    assert not theirs.rejected()
    host = f"redis.{namespace}.svc.cluster.local"
    routes, rules = VirtualServicesKey(host), DestinationRulesKey(host)
    assert theirs.virtual_services(routes) == ours.virtual_services(routes)
    assert theirs.virtual_services(routes)[0].http[0].others() == ("fault",)
    assert theirs.destination_rules(rules) == ours.destination_rules(rules)
    assert theirs.services_of_host("redis.example.org") == ours.services_of_host(
        "redis.example.org"
    )
    (found,) = theirs.services_of_host(host)
    assert found.addresses == (service["spec"]["clusterIP"],)
    # targetPort is all that istiod does not tell.
    (better,) = ours.services_of_host(host)
    ports = tuple(replace(port, target_port=port.number) for port in better.ports)
    assert found == replace(better, ports=ports)
    (headless,) = theirs.services_of_host(f"several.{namespace}.svc.cluster.local")
    assert headless.headless
    assert [port.number for port in headless.ports] == [1000, 1001]


def test_changes_arrive(start: Start, control_plane: ControlPlane, namespace: str) -> None:
    api = control_plane.api
    _, seen = start()
    seen.wait_synced()
    api.create(config("ServiceEntry", "redis", namespace, ENTRY))
    ref = f"ServiceEntry {namespace}/redis"
    seen.wait_object(ref)
    api.merge(
        "networking.istio.io/v1",
        "ServiceEntry",
        "redis",
        {"spec": {"addresses": ["240.0.0.8"]}},
        namespace=namespace,
    )
    seen.wait_object(ref, lambda item: item.content["spec"]["addresses"] == ["240.0.0.8"])
    api.delete("networking.istio.io/v1", "ServiceEntry", "redis", namespace=namespace)
    seen.wait_no_object(ref)


def test_a_restart_of_istiod_removes_nothing(
    start: Start, control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.api.create(config("ServiceEntry", "redis", namespace, ENTRY))
    _, seen = start()
    ref = f"ServiceEntry {namespace}/redis"
    seen.wait_object(ref)
    mark = seen.mark()
    control_plane.istiod.kill()
    seen.wait(lambda: isinstance(seen.state, Unsynced), "the source to notice")
    control_plane.istiod.start()
    seen.wait_synced(30)
    control_plane.api.create(
        config("ServiceEntry", "later", namespace, {**ENTRY, "hosts": ["later.example.org"]})
    )
    seen.wait_object(f"ServiceEntry {namespace}/later")
    assert seen.removed_since(mark) == []
    assert seen.upserted_since(mark) == [f"ServiceEntry {namespace}/later"]


def test_without_a_token_it_says_so_and_goes_on(start: Start, istiod: Istiod) -> None:
    tokens = [b"wrong"]
    token = istiod.token
    assert token is not None
    where = replace(istiod, token=lambda: tokens[0])
    _, seen = start(where)
    seen.wait(
        lambda: any("UNAUTHENTICATED" in text for text in seen.problems.get("stream", ())),
        "a word about it",
    )
    assert isinstance(seen.state, Unsynced)
    tokens[0] = token()  # as the kubelet renews it
    seen.wait_synced(30)
    assert seen.problems["stream"] == ()


def test_with_kubernetes_each_object_is_told_once(
    istiod: Istiod, control_plane: ControlPlane, namespace: str, workloads: Workloads
) -> None:
    api = control_plane.api
    seen = Recorder()
    merge = merged(["kubernetes", "istiod"])(seen)
    kubernetes = KubernetesSource(lambda: connect(control_plane.kubeconfig), tuning=Tuning())
    other = IstiodSource(istiod)
    with ExitStack() as started:
        for source in (kubernetes, other):
            started.callback(source.stop)
            source.start(merge)
        name = f"Service {namespace}/redis"
        workloads.workload("redis", [PORT])
        seen.wait_object(
            name, lambda item: item.content["spec"]["ports"][0].get("targetPort") == 16379
        )
        # istiod has heard of it too when it pushes something later than that.
        api.create(config("VirtualService", "redis", namespace, ROUTES))
        seen.wait_object(f"VirtualService {namespace}/redis")
        mark = seen.mark()
        api.delete("v1", "Service", "redis", namespace=namespace)
        seen.wait_no_object(name)
        api.create(config("ServiceEntry", "redis", namespace, ENTRY))
        seen.wait_object(f"ServiceEntry {namespace}/redis")
        assert seen.removed_since(mark) == [name]
        assert name not in seen.upserted_since(mark)
