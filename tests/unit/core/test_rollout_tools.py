"""Live weights under Argo Rollouts and Flagger, by the objects that these tools write.

Both send whole VirtualServices (PUT). The forms are those that their sources had in November 2026
(argo-rollouts: rollout/trafficrouting/istio; flagger: pkg/router/istio.go).
"""

from __future__ import annotations

from typing import Any

from aeraki_core.filters.output_kind import OutputKind
from aeraki_core.mesh.shares import TOTAL
from aeraki_core.model.mesh import LiveWeights

from tests.unit.core.test_live_weights import ASKS, Canary

HASH = "rollouts-pod-template-hash"
ENTRY = [OutputKind.SERVICE_ENTRY]


def kinds(canary: Canary) -> list[OutputKind]:
    return sorted(key.kind for key in canary.run().changed)


class TestArgoRollouts:
    """Subsets of one host. The tool changes weights, adds routes, and labels subsets by hash."""

    def write(self, canary: Canary, second: int, *managed: dict[str, Any]) -> None:
        route = [
            {"destination": {"host": "cart", "subset": "v1"}, "weight": 100 - second},
            {"destination": {"host": "cart", "subset": "v2"}, "weight": second},
        ]
        http = [*managed, {"name": "primary", "route": route}]
        canary.put("VirtualService", "cart", {"hosts": ["cart"], "http": http}, annotations=ASKS)

    def label(self, canary: Canary, stable: str, new: str) -> None:
        subsets = [{"name": "v1", "labels": {HASH: stable}}, {"name": "v2", "labels": {HASH: new}}]
        canary.rule(subsets=subsets)

    def mesh(self) -> Canary:
        canary = Canary()
        for name, address, pod_hash in (
            ("v1-0", "10.1.0.1", "old"),
            ("v1-1", "10.1.0.2", "old"),
            ("v2-0", "10.1.0.3", "new"),
        ):
            canary.pod(name, address, **{HASH: pod_hash})
        # Between two rollouts both subsets are the stable pods.
        self.label(canary, "old", "old")
        self.write(canary, 0)
        canary.run()
        return canary

    def test_a_rollout_changes_no_filter(self) -> None:
        canary = self.mesh()
        assert canary.endpoints == [("10.1.0.1", TOTAL // 2), ("10.1.0.2", TOTAL // 2)]
        self.label(canary, "old", "new")
        assert kinds(canary) == []
        for second in (20, 50, 100):
            self.write(canary, second)
            assert kinds(canary) == ENTRY
            assert dict(canary.endpoints)["10.1.0.3"] == TOTAL * second // 100
        # The promotion: the new pods are the stable ones, first by label, then by weight.
        self.label(canary, "new", "new")
        kinds(canary)
        self.write(canary, 0)
        kinds(canary)
        assert canary.endpoints == [("10.1.0.3", TOTAL)]
        assert canary.codes() == []

    def test_pods_of_both_subsets_have_both_weights(self) -> None:
        canary = self.mesh()
        self.write(canary, 30)
        assert canary.endpoints == [("10.1.0.1", TOTAL // 2), ("10.1.0.2", TOTAL // 2)]

    def test_a_managed_route_changes_the_filter_and_no_other_routes_set(self) -> None:
        canary = self.mesh()
        self.write(canary, 20)
        canary.run()
        (before,) = [entry["spec"]["hosts"] for entry in canary.made(OutputKind.SERVICE_ENTRY)]
        to_new = {"destination": {"host": "cart", "subset": "v2"}, "weight": 100}
        to_old = {"destination": {"host": "cart", "subset": "v1"}, "weight": 0}
        match = [{"headers": {"tester": {"exact": "yes"}}}]
        for route in ([to_new], [to_old, to_new]):
            self.write(canary, 20, {"name": "set-header", "match": match, "route": route})
            assert OutputKind.ENVOY_FILTER in kinds(canary)
            entries = {
                tuple(entry["spec"]["hosts"]): len(entry["spec"]["endpoints"])
                for entry in canary.made(OutputKind.SERVICE_ENTRY)
            }
            assert len(entries) == len(route)
            assert entries[tuple(before)] == 2


class TestFlagger:
    """Two Services of its own. The tool writes the whole spec, with annotations of the apex."""

    def write(self, canary: Canary, second: int, **more: Any) -> None:
        route = [
            {"destination": {"host": "cart-primary"}, "weight": 100 - second},
            {"destination": {"host": "cart-canary"}, "weight": second},
        ]
        spec = {"hosts": ["cart"], "gateways": ["mesh"], "http": [{"route": route, **more}]}
        canary.put("VirtualService", "cart", spec, annotations=ASKS)

    def scale(self, canary: Canary, name: str, *addresses: str) -> None:
        endpoints = []
        for address in addresses:
            pod = f"{name}-{address.rpartition('.')[2]}"
            canary.pod(pod, address)
            endpoints.append({"addresses": [address], "targetRef": {"kind": "Pod", "name": pod}})
        canary.put(
            "EndpointSlice",
            name,
            {"endpoints": endpoints, "ports": [{"name": "tcp-echo", "port": 9000}]},
            labels={"kubernetes.io/service-name": name},
        )

    def test_a_canary_changes_no_filter(self) -> None:
        canary = Canary(LiveWeights.ANNOTATED)
        for number, name in enumerate(("cart-primary", "cart-canary"), 5):
            canary.service(name, f"10.0.0.{number}")
            canary.put("DestinationRule", name, {"host": name})
        self.scale(canary, "cart-primary", "10.1.1.1", "10.1.1.2")
        self.scale(canary, "cart-canary")
        self.write(canary, 0)
        canary.run()
        assert canary.endpoints == [("10.1.1.1", TOTAL // 2), ("10.1.1.2", TOTAL // 2)]
        self.scale(canary, "cart-canary", "10.1.2.1")
        canary.run()
        for second in (10, 60, 100, 0):
            self.write(canary, second)
            assert kinds(canary) == ENTRY
            assert dict(canary.endpoints).get("10.1.2.1", 0) == TOTAL * second // 100
        self.scale(canary, "cart-canary")
        canary.run()
        assert canary.codes() == []
