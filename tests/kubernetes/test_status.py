"""What the objects report: conditions in their status, and Events.

The leader alone writes them, once, with the printed rights.
"""

from __future__ import annotations

import base64
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aeraki_core.manifests.crds import crd
from aeraki_core.manifests.rbac import Watched, bindings, roles
from aeraki_core.plugins.registry import build_registry

from tests.rig.api import Object
from tests.rig.control_plane import ControlPlane
from tests.rig.workloads import Port, Workloads
from tests.waiting import wait_until

from .replica import Replica, metric

pytestmark = pytest.mark.mesh

REDIS = "redis.aeraki.io/v1alpha1"
EVENT = ("events.k8s.io/v1", "Event")
QUICK = ("--debounce-quiet", "100ms", "--retry-period", "500ms")


@pytest.fixture
def account(control_plane: ControlPlane, namespace: str, workloads: Workloads) -> Iterator[Path]:
    """Return the kubeconfig of an account with the rights that `aeraki rbac` prints.

    The plugin's CRDs are served.
    """
    api, kinds = control_plane.api, build_registry(only=["redis"]).kinds
    definitions = [crd(kind) for kind in kinds]
    control_plane.apply_crds("\n---\n".join(yaml.safe_dump(item) for item in definitions))
    workloads.service_account("aeraki")
    printed = roles(
        kinds,
        name="aeraki",
        namespace=namespace,
        election_id="aeraki-controller",
        watched=Watched(secrets=(namespace,)),
    )
    printed += bindings(printed, namespace=namespace, service_account="aeraki")
    for item in printed:
        api.apply(item)
    yield control_plane.kubeconfig_for("aeraki", namespace)
    for item in (*printed, *definitions):
        metadata = item["metadata"]
        api.delete(
            item["apiVersion"], item["kind"], metadata["name"], namespace=metadata.get("namespace")
        )
    crds = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    for item in definitions:
        name = item["metadata"]["name"]
        wait_until(
            lambda name=name: api.find(*crds, name) is None,  # type: ignore[misc]
            20,
            f"the CRD {name} to be gone",
        )


@pytest.fixture
def start(account: Path, namespace: str) -> Callable[..., Replica]:
    return lambda name="one", **given: Replica(name, account, namespace, *QUICK, **given)


def destination(namespace: str, secret: str | None = None, **more: Any) -> Object:
    auth = {"auth": {"secret": {"name": secret}}} if secret else {}
    policy = {"trafficPolicy": {"connectionPool": {"redis": auth}}} if secret else {}
    return {
        "apiVersion": REDIS,
        "kind": "RedisDestination",
        "metadata": {"name": "cache", "namespace": namespace},
        "spec": {"host": "cache", "exportTo": ["*"], **policy, **more},
    }


class Status:
    """The status of the RedisDestination ``cache``."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        self._namespace = namespace

    def object(self) -> Object:
        return self._plane.api.get(REDIS, "RedisDestination", "cache", namespace=self._namespace)

    def conditions(self) -> dict[str, Object]:
        return {
            item["type"]: item
            for item in (self.object().get("status") or {}).get("conditions") or ()
        }

    def words(self) -> dict[str, tuple[str, str]]:
        return {key: (item["status"], item["reason"]) for key, item in self.conditions().items()}

    def wait(
        self, accepted: str, programmed: str, generation: int | None = None
    ) -> dict[str, Object]:
        def look() -> bool:
            found = self.conditions()
            reasons = [found[key]["reason"] for key in ("Accepted", "Programmed") if key in found]
            return reasons == [accepted, programmed] and all(
                generation in (None, item["observedGeneration"]) for item in found.values()
            )

        wait_until(look, 30, f"{accepted} and {programmed}", seen=self.object)
        return self.conditions()


def events(plane: ControlPlane, namespace: str, reason: str) -> list[Object]:
    return [
        item for item in plane.api.objects(*EVENT, namespace=namespace) if item["reason"] == reason
    ]


def test_conditions_follow_what_happens(
    start: Callable[..., Replica], control_plane: ControlPlane, namespace: str, workloads: Workloads
) -> None:
    api, status = control_plane.api, Status(control_plane, namespace)
    api.create(destination(namespace))
    with start() as one:
        found = status.wait("Accepted", "NoService", 1)
        assert "no port of a service" in found["Programmed"]["message"]
        accepted_at = found["Accepted"]["lastTransitionTime"]

        workloads.workload("cache", [Port("tcp-redis", 6379, 16379)])
        found = status.wait("Accepted", "Programmed", 1)
        assert found["Programmed"]["status"] == "True"
        assert f"cache.{namespace}.svc.cluster.local:6379" in found["Programmed"]["message"]
        programmed_at = found["Programmed"]["lastTransitionTime"]

        # The Secret is missing: the last good filter stays, and the object says so.
        api.apply(destination(namespace, "redis"), manager="test")
        found = status.wait("Invalid", "Held", 2)
        assert "AER0405" in found["Programmed"]["message"]
        assert found["Programmed"]["status"] == "False"
        assert status.object()["status"]["observedGeneration"] == 2

        password = base64.b64encode(b"open-sesame").decode()
        metadata = {"name": "redis", "namespace": namespace}
        api.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": metadata,
                "data": {"password": password},
            }
        )
        found = status.wait("Accepted", "Programmed", 2)
        assert found["Programmed"]["lastTransitionTime"] >= programmed_at >= accepted_at
        assert "open-sesame" not in "".join(one.raw) + str(status.object())
        assert not [line for line in one.lines if "forbidden" in line["message"].lower()]

        # Nothing about it changed: not a single write, also after a restart.
        before = status.object()["metadata"]["resourceVersion"]
        api.merge(
            "v1", "Service", "cache", {"metadata": {"labels": {"x": "y"}}}, namespace=namespace
        )
        one.send(signal.SIGTERM)
        assert one.process.wait(30) == 0
    with start("two") as two:
        two.wait_for("nothing to write")
        workloads.workload("other", [Port("tcp-redis", 6379, 16379)])
        two.wait_for("1 created")
        assert metric(two, "rest_client_requests_total", method="PATCH", code="200") == 0
        assert status.object()["metadata"]["resourceVersion"] == before
        # What somebody else makes of it is put right.
        forged = {
            "status": {"conditions": [{"type": "Accepted", "status": "False", "reason": "Forged"}]}
        }
        path = f"{api.type(REDIS, 'RedisDestination').path(namespace, 'cache')}/status"
        api.request("PATCH", path, forged, content_type="application/merge-patch+json")
        status.wait("Accepted", "Programmed", 2)


def test_a_finding_is_an_event_once_and_counted_when_it_comes_again(
    start: Callable[..., Replica], control_plane: ControlPlane, namespace: str, workloads: Workloads
) -> None:
    api = control_plane.api
    workloads.workload("cache", [Port("tcp-redis", 6379, 16379)])
    service = api.merge(
        "v1",
        "Service",
        "cache",
        {"metadata": {"annotations": {"redis.aeraki.io/nonsense": "1"}}},
        namespace=namespace,
    )
    code = "AER0112"  # an option that nobody knows
    with start() as one, start("two") as two:
        wait_until(
            lambda: events(control_plane, namespace, code),
            30,
            "the Event",
            seen=lambda: "".join(one.raw[-20:]),
        )
        (event,) = events(control_plane, namespace, code)
        assert event["type"] == "Warning"
        assert "nonsense" in event["note"]
        assert event["regarding"]["uid"] == service["metadata"]["uid"]
        assert event["reportingInstance"].startswith(("one_", "two_"))
        assert "series" not in event
        leader, standby = (one, two) if one.said(", leads") else (two, one)
        standby.wait_for("standby: another replica leads")
        assert metric(standby, "rest_client_requests_total", method="POST") <= 1  # of the Lease

        # Another replica becomes the leader: it says nothing twice.
        leader.send(signal.SIGTERM)
        assert leader.process.wait(30) == 0
        standby.wait_for("nothing to write")
        wait_until(
            lambda: metric(standby, "rest_client_requests_total", method="POST", code="409") == 1,
            20,
            "its look",
        )
        assert events(control_plane, namespace, code) == [event]

        # It goes, and comes again.
        for value in (None, "1"):
            mark = standby.mark()
            change = {"metadata": {"annotations": {"redis.aeraki.io/nonsense": value}}}
            api.merge("v1", "Service", "cache", change, namespace=namespace)
            standby.wait_for(code, since=mark)
        wait_until(lambda: "series" in events(control_plane, namespace, code)[0], 20, "the series")
        (event,) = events(control_plane, namespace, code)
        assert event["series"]["count"] == 2
        assert not [line for line in standby.lines if "forbidden" in line["message"].lower()]
