"""A canary by live weights: real calls over open connections follow each step, and none fails."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from tests.istio.traffic import ANYWHERE, PEERS, Load, wait_inbound
from tests.istio.truth import FILTER, GROUP, OURS, istio, proxy, subsets
from tests.kubernetes.replica import Replica
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import PodFactory
from tests.rig.names import listener_of
from tests.rig.workloads import Workloads
from tests.waiting import wait_until

pytestmark = pytest.mark.mesh

STEPS = [10, 25, 50, 75, 100, 60, 0, 30, 90, 0]
CALLS = 150
OFF_BY = 0.13  # four standard deviations of 150 calls at the most


@pytest.fixture
def companions(control_plane: ControlPlane) -> Iterator[None]:
    """What the controller leaves for connections that drain is gone after the test."""
    yield
    for kind in ("ServiceEntry", "DestinationRule"):
        for item in control_plane.api.objects(GROUP, kind, labels=OURS):
            name, space = item["metadata"]["name"], item["metadata"]["namespace"]
            control_plane.api.delete(GROUP, kind, name, namespace=space)


def routes(name: str, namespace: str, second: int) -> dict[str, Any]:
    spec = {
        "hosts": [name],
        "http": [
            {
                "route": [
                    {"destination": {"host": name, "subset": "v1"}, "weight": 100 - second},
                    {"destination": {"host": name, "subset": "v2"}, "weight": second},
                ]
            }
        ],
    }
    annotations = {"aeraki.io/live-weights": "true"}
    return istio("VirtualService", name, namespace, spec, annotations=annotations)


def next_answers(load: Load) -> Counter[str]:
    """Who answers the next calls over the connection that stays open."""
    before = Counter(load.answers)
    goal = load.calls("open") + CALLS
    load.wait(lambda: load.calls("open") >= goal, f"{CALLS} calls more")
    came = Counter(load.answers) - before
    return Counter({server: count for (kind, server), count in came.items() if kind == "open"})


def follows(load: Load, second: int) -> bool:
    """Whether v2 has its share of the next calls: at 0 and 100 % exactly."""
    answers = next_answers(load)
    off_by = OFF_BY if 0 < second < 100 else 0.0
    return abs(answers["v2"] / answers.total() - second / 100) <= off_by


@pytest.mark.usefixtures("companions")
@pytest.mark.parametrize("protocol", ["dubbo", "thrift"])
def test_ten_steps_without_a_failed_call(
    protocol: str, control_plane: ControlPlane, workloads: Workloads, pod_factory: PodFactory
) -> None:
    api, namespace, peer = control_plane.api, workloads.namespace, PEERS[protocol]
    port = peer.port
    control_plane.set_mesh_config(enableAutoMtls=True)
    control_plane.set_mtls("STRICT")
    client = pod_factory("client", mtls=True)
    # Two pods of the one version, one of the other: their shares do not depend on that.
    versions = {"v1-a": "v1", "v1-b": "v1", "v2-a": "v2"}
    pods = {
        name: pod_factory(name, labels={"app": protocol, "version": version}, mtls=True)
        for name, version in versions.items()
    }
    service = workloads.workload(protocol, [port], pods=[pod.record for pod in pods.values()])
    api.create(subsets(protocol, namespace, "v1", "v2"))
    api.create(routes(protocol, namespace, 0))
    with ExitStack() as running:
        for name, pod in pods.items():
            running.enter_context(peer.serve(pod, versions[name], (ANYWHERE, port.target_port)))
        running.enter_context(
            Replica(
                "one",
                control_plane.kubeconfig,
                namespace,
                "--live-weights",
                "annotated",
                plugins=protocol,
                elects=False,
            )
        )
        near, *far = (pod.sidecar() for pod in (client, *pods.values()))
        config = near.wait_filter(
            listener_of(service, port),
            proxy(protocol),
            lambda config: "weights.aeraki.internal" in str(config),
            timeout=60,
        )
        (cluster,) = set(
            re.findall(r"outbound\|\d+\|\|[\w.-]+\.weights\.aeraki\.internal", str(config))
        )
        first = [pods[name].ip for name in ("v1-a", "v1-b")]
        near.wait_endpoints(cluster, [f"{address}:{port.target_port}" for address in first])
        wait_inbound(far, port, f"{protocol}_proxy")
        load = Load(client, partial(peer.caller, (service["spec"]["clusterIP"], port.port)))
        before = versions_of_filters(control_plane)
        with load.running():
            next_answers(load)
            for second in STEPS:
                spec = {"spec": routes(protocol, namespace, second)["spec"]}
                api.merge(GROUP, "VirtualService", protocol, spec, namespace=namespace)
                wait_until(
                    partial(follows, load, second),
                    60,
                    f"{second} % of the calls to reach v2",
                    seen=lambda: (load.answers, load.failures[:10]),
                )
        # Neither connection was closed: the one that stays open would have failed with a call.
        assert load.calls("new") > 0
        assert load.failures == []
        assert versions_of_filters(control_plane) == before
        for sidecar in (near, *far):
            assert not sidecar.rejected()
            handshakes = sum(sidecar.stats(r"listener.*15006.*ssl\.handshake$").values())
            assert (handshakes > 0) == (sidecar is not near)


def versions_of_filters(plane: ControlPlane) -> dict[str, str]:
    """The version of each filter of ours: a filter that changes drains its listeners."""
    filters = plane.api.objects(*FILTER, labels=OURS)
    return {
        f"{each['metadata']['namespace']}/{each['metadata']['name']}": each["metadata"][
            "resourceVersion"
        ]
        for each in filters
    }
