"""Live weights: what is made of a route with weights, for whom, and when it stays ordinary."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.filters.output import to_dict
from aeraki_core.filters.output_kind import OutputKind
from aeraki_core.mesh.shares import TOTAL
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.mesh import LiveWeights, Mesh
from aeraki_core.model.meta import ObjectRef

from tests.unit.core.echo import Mesher

HOST = "cart.shop.svc.cluster.local"
ASKS = {"aeraki.io/live-weights": "true"}


ORDER = {"kubernetes.io/service-name": "order"}


def _slice(endpoints: list[Any]) -> dict[str, Any]:
    return {"endpoints": endpoints, "ports": [{"name": "tcp-echo", "port": 9000}]}


class Canary(Mesher):
    """The Service cart of the pods v1-0, v1-1 and v2-0, and a route with weights."""

    def __init__(self, live_weights: LiveWeights = LiveWeights.ANNOTATED, **mesh: Any) -> None:
        super().__init__(mesh=Mesh(live_weights=live_weights, **mesh))
        self.service()
        self.rule()
        self.pods("v1-0", "v1-1", "v2-0")
        self.weights(90, 10)

    def rule(self, **spec: Any) -> None:
        subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
        self.put("DestinationRule", "cart", {"host": "cart", "subsets": subsets, **spec})

    def weights(self, *shares: int, asks: bool = True, **spec: Any) -> None:
        route = [
            {"destination": {"host": "cart", "subset": f"v{number}"}, "weight": share}
            for number, share in enumerate(shares, 1)
        ]
        annotations = ASKS if asks else {}
        content = {"hosts": ["cart"], "http": [{"route": route}], **spec}
        self.put("VirtualService", "cart", content, annotations=annotations)

    def to(self, *hosts: str) -> None:
        """A route that shares its calls evenly among hosts."""
        route = [{"destination": {"host": host, "port": {"number": 7000}}} for host in hosts]
        content = {"hosts": ["cart"], "http": [{"route": [{**to, "weight": 50} for to in route]}]}
        self.put("VirtualService", "cart", content, annotations=ASKS)

    def pods(self, *names: str, ready: bool = True, pods: bool = True) -> None:
        for number, name in enumerate(names if pods else (), 1):
            self.pod(name, f"10.1.0.{number}")
        endpoints = [
            {
                "addresses": [f"10.1.0.{number}"],
                "conditions": {"ready": ready},
                "targetRef": {"kind": "Pod", "name": name},
            }
            for number, name in enumerate(names, 1)
        ]
        self.slice(endpoints)

    def endpoints_of(self, *names: str) -> dict[str, Any]:
        """The content of a slice; the numbers of the addresses are those of the pods."""
        return _slice(
            [
                {
                    "addresses": [f"10.1.0.{number}"],
                    "targetRef": {"kind": "Pod", "name": name},
                }
                for number, name in enumerate(("v1-0", "v1-1", "v2-0", "v2-1"), 1)
                if name in names
            ]
        )

    def slice(self, endpoints: list[Any]) -> None:
        content = _slice(endpoints)
        labels = {"kubernetes.io/service-name": "cart"}
        self.put("EndpointSlice", "cart-x", content, labels=labels)

    def pod(self, name: str, address: str, **labels: str) -> None:
        version = {"app": "cart", "version": name.partition("-")[0]}
        content = {
            "metadata": {"name": name, "namespace": "shop", "labels": {**version, **labels}},
            "spec": {"serviceAccountName": "seller"},
            "status": {"podIP": address},
        }
        ref = ObjectRef("Pod", "shop", name)
        self.pipeline.upsert(SourceObject(ref, "v1", content))

    def made(self, kind: OutputKind) -> list[dict[str, Any]]:
        self.run()
        outputs = self.pipeline.filters
        return [to_dict(outputs[key]) for key in sorted(outputs) if key.kind is kind]

    @property
    def endpoints(self) -> list[tuple[str, int]]:
        """The address and the weight of each endpoint of the one weight set."""
        (entry,) = self.made(OutputKind.SERVICE_ENTRY)
        found = entry["spec"].get("endpoints", ())
        return [(each["address"], each["weight"]) for each in found]

    @property
    def policy(self) -> dict[str, Any]:
        (rule,) = self.made(OutputKind.DESTINATION_RULE)
        policy: dict[str, Any] = rule["spec"]["trafficPolicy"]
        return policy

    def is_live(self) -> bool:
        return bool(self.made(OutputKind.SERVICE_ENTRY))

    def messages(self) -> list[str]:
        self.run()
        return [f"{each.code.id} {each.message}" for each in self.pipeline.findings()]


class TestWhatIsMade:
    def test_the_route_names_a_cluster_whose_endpoints_have_the_weights(self) -> None:
        canary = Canary()
        (entry,) = canary.made(OutputKind.SERVICE_ENTRY)
        (host,) = entry["spec"]["hosts"]
        assert host.endswith(".weights.aeraki.internal")
        assert f"*>outbound|7070||{host}:1" in canary.said()
        assert canary.endpoints == [
            ("10.1.0.1", TOTAL * 45 // 100),
            ("10.1.0.2", TOTAL * 45 // 100),
            ("10.1.0.3", TOTAL * 10 // 100),
        ]
        assert entry["metadata"]["namespace"] == "shop"
        assert entry["spec"]["exportTo"] == ["*"]
        assert canary.codes() == []

    def test_an_endpoint_says_of_its_pod_what_istio_needs(self) -> None:
        canary = Canary()
        network = {"topology.istio.io/network": "east", "istio-locality": "r.z.s"}
        canary.pod("v2-0", "10.1.0.3", **network)
        (entry,) = canary.made(OutputKind.SERVICE_ENTRY)
        last = entry["spec"]["endpoints"][-1]
        assert last["labels"] == {"app": "cart", "version": "v2", **network}
        assert (last["serviceAccount"], last["network"]) == ("seller", "east")
        assert (last["locality"], last["ports"]) == ("r/z/s", {"tcp": 9000})

    def test_a_changed_weight_changes_the_endpoints_alone(self) -> None:
        canary = Canary()
        canary.run()
        for second in (50, 100, 0, 10):
            before = canary.said()
            canary.weights(100 - second, second)
            changed = canary.run().changed
            assert [key.kind for key in changed] == [OutputKind.SERVICE_ENTRY]
            assert canary.said() == before
            shares = dict(canary.endpoints)
            assert shares.get("10.1.0.3", 0) == TOTAL * second // 100

    def test_endpoints_follow_pods(self) -> None:
        canary = Canary()
        canary.run()
        canary.pods("v1-0", "v1-1", "v2-0", "v2-1")
        assert [key.kind for key in canary.run().changed] == [OutputKind.SERVICE_ENTRY]
        assert dict(canary.endpoints)["10.1.0.4"] == TOTAL * 5 // 100
        canary.pods("v1-0", "v1-1", "v2-0", ready=False)
        assert canary.endpoints == []

    def test_a_destination_without_pods_gets_no_calls_and_is_reported(self) -> None:
        canary = Canary()
        canary.pods("v1-0", "v1-1")
        assert [weight for _, weight in canary.endpoints] == [TOTAL // 2, TOTAL // 2]
        assert canary.codes() == ["AER0318"]
        canary.weights(0, 100)
        assert canary.endpoints == []
        assert canary.messages()[0].endswith("has no ready endpoint; its calls fail")
        canary.weights(100, 0)
        assert canary.codes() == []

    def test_the_policy_of_the_service_comes_along_with_round_robin(self) -> None:
        canary = Canary()
        policy = {
            "connectionPool": {"tcp": {"maxConnections": 5}},
            "loadBalancer": {"simple": "LEAST_REQUEST"},
        }
        canary.rule(trafficPolicy=policy)
        ours = canary.policy
        assert ours.pop("outlierDetection")["maxEjectionPercent"] == 100
        assert ours == {
            "connectionPool": {"tcp": {"maxConnections": 5}},
            "loadBalancer": {"simple": "ROUND_ROBIN", "localityLbSetting": {"enabled": False}},
        }
        assert canary.codes() == ["AER0319"]

    def test_the_outlier_detection_of_the_service_stays_as_it_is(self) -> None:
        canary = Canary()
        own = {"consecutive5xxErrors": 7}
        canary.rule(trafficPolicy={"outlierDetection": own})
        assert canary.policy["outlierDetection"] == own

    def test_settings_of_the_port_replace_the_others(self) -> None:
        canary = Canary()
        levels = [{"port": {"number": 7000}, "tls": {"mode": "DISABLE"}}]
        canary.rule(trafficPolicy={"outlierDetection": {}, "portLevelSettings": levels})
        assert set(canary.policy) == {"tls", "loadBalancer", "outlierDetection"}
        assert canary.policy["outlierDetection"] != {}

    def test_two_routes_of_the_same_destinations_have_a_set_each(self) -> None:
        canary = Canary()
        routes = [
            {
                "match": [{"method": {"exact": method}}],
                "route": [
                    {"destination": {"host": "cart", "subset": "v1"}, "weight": 100 - share},
                    {"destination": {"host": "cart", "subset": "v2"}, "weight": share},
                ],
            }
            for method, share in (("buy", 10), ("look", 60))
        ]
        canary.put("VirtualService", "cart", {"hosts": ["cart"], "http": routes}, annotations=ASKS)
        entries = canary.made(OutputKind.SERVICE_ENTRY)
        assert len({entry["spec"]["hosts"][0] for entry in entries}) == 2
        assert sorted(entry["spec"]["endpoints"][-1]["weight"] for entry in entries) == [
            TOTAL // 10,
            TOTAL * 6 // 10,
        ]

    def test_two_services_on_one_port_have_a_set_each(self) -> None:
        canary = Canary()
        canary.service("order", "10.0.0.2")
        canary.put("EndpointSlice", "order-x", canary.endpoints_of("v1-0", "v2-0"), labels=ORDER)
        subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
        canary.put("DestinationRule", "order", {"host": "order", "subsets": subsets})
        route = [
            {"destination": {"host": "order", "subset": name}, "weight": weight}
            for name, weight in (("v1", 30), ("v2", 70))
        ]
        spec = {"hosts": ["order"], "http": [{"route": route}]}
        canary.put("VirtualService", "order", spec, annotations=ASKS)
        weights = {
            entry["spec"]["hosts"][0].partition("-")[0]: [
                each["weight"] for each in entry["spec"]["endpoints"]
            ]
            for entry in canary.made(OutputKind.SERVICE_ENTRY)
        }
        assert weights == {
            "cart": [TOTAL * 45 // 100, TOTAL * 45 // 100, TOTAL * 10 // 100],
            "order": [TOTAL * 30 // 100, TOTAL * 70 // 100],
        }

    def test_what_is_merged_into_the_clusters_of_the_service_is_merged_into_that_of_the_set(
        self,
    ) -> None:
        canary = Canary()
        canary.service(annotations={"echo.aeraki.io/cluster": "true"})
        (entry,) = canary.made(OutputKind.SERVICE_ENTRY)
        merges = [
            patch["match"]["cluster"]
            for made in canary.made(OutputKind.ENVOY_FILTER)
            for patch in made["spec"]["configPatches"]
            if patch["applyTo"] == "CLUSTER"
        ]
        assert merges == [
            {"service": HOST, "portNumber": 7000},
            {"name": f"outbound|7070||{entry['spec']['hosts'][0]}"},
        ]

    def test_nothing_is_left_when_it_is_switched_off(self) -> None:
        canary = Canary()
        canary.run()
        canary.weights(90, 10, asks=False)
        canary.run()
        assert {key.kind for key in canary.pipeline.filters} == {OutputKind.ENVOY_FILTER}
        assert "|v1|" in canary.said()


class TestWhoAsks:
    def test_nobody_by_default(self) -> None:
        canary = Canary(LiveWeights.OFF)
        assert not canary.is_live()
        assert canary.codes() == ["AER0316"]

    def test_a_service(self) -> None:
        canary = Canary()
        canary.weights(90, 10, asks=False)
        assert not canary.is_live()
        canary.service(annotations=ASKS)
        assert canary.is_live()
        assert canary.codes() == []

    def test_everybody_by_a_setting(self) -> None:
        canary = Canary(LiveWeights.ALL)
        canary.weights(90, 10, asks=False)
        assert canary.is_live()

    def test_a_single_destination_has_no_weights(self) -> None:
        canary = Canary(LiveWeights.ALL)
        canary.weights(100)
        assert not canary.is_live()
        assert canary.codes() == []


class TestLimits:
    def reason(self, canary: Canary) -> str:
        assert not canary.is_live()
        assert ".weights." not in canary.said()
        (message,) = [text for text in canary.messages() if text.startswith("AER0317")]
        return message

    def test_no_slice(self) -> None:
        canary = Canary()
        canary.pipeline.remove(ObjectRef("EndpointSlice", "shop", "cart-x"))
        assert "no EndpointSlice of Service shop/cart" in self.reason(canary)

    def test_no_pod(self) -> None:
        canary = Canary()
        for name in ("v1-0", "v1-1", "v2-0"):
            canary.pipeline.remove(ObjectRef("Pod", "shop", name))
        assert "no Pod of Service shop/cart is known" in self.reason(canary)

    def test_a_single_unknown_pod_is_one_that_comes_or_goes(self) -> None:
        canary = Canary()
        canary.pipeline.remove(ObjectRef("Pod", "shop", "v1-1"))
        assert [address for address, _ in canary.endpoints] == ["10.1.0.1", "10.1.0.3"]

    def test_an_endpoint_that_is_no_pod(self) -> None:
        canary = Canary()
        canary.slice([{"addresses": ["10.9.0.9"]}])
        assert "endpoint 10.9.0.9 of Service shop/cart is no pod" in self.reason(canary)

    def test_too_many_endpoints(self) -> None:
        canary = Canary()
        names = [f"v1-{number}" for number in range(1001)]
        for number, name in enumerate(names):
            canary.pod(name, f"10.2.{number // 250}.{number % 250}")
        canary.slice(
            [
                {
                    "addresses": [f"10.2.{number // 250}.{number % 250}"],
                    "targetRef": {"kind": "Pod", "name": name},
                }
                for number, name in enumerate(names)
            ]
        )
        assert "more than 1000 endpoints" in self.reason(canary)

    def test_too_many_destinations(self) -> None:
        canary = Canary()
        routes = [
            {
                "match": [{"method": {"exact": f"m{number}"}}],
                "route": [
                    {"destination": {"host": "cart", "subset": subset}, "weight": 50}
                    for subset in ("v1", "v2")
                ],
            }
            for number in range(102)
        ]
        canary.put("VirtualService", "cart", {"hosts": ["cart"], "http": routes}, annotations=ASKS)
        assert len(canary.made(OutputKind.SERVICE_ENTRY)) == 100
        assert canary.codes() == ["AER0317", "AER0317"]

    def test_subsets_with_policies_of_their_own(self) -> None:
        canary = Canary()
        subsets = [
            {"name": "v1", "labels": {"version": "v1"}},
            {"name": "v2", "labels": {"version": "v2"}, "trafficPolicy": {"tls": {"mode": "X"}}},
        ]
        canary.rule(subsets=subsets)
        assert "different traffic policies" in self.reason(canary)

    def test_settings_of_a_subset_that_are_the_same_are_joined(self) -> None:
        """As istiod does: over those of the port, which replace those of the host."""
        canary = Canary()
        own = {"connectionPool": {"tcp": {"maxConnections": 5}}}
        levels = [{"port": {"number": 7000}, "tls": {"mode": "DISABLE"}}]
        canary.rule(
            trafficPolicy={"outlierDetection": {}, "portLevelSettings": levels},
            subsets=[
                {"name": name, "labels": {"version": name}, "trafficPolicy": own}
                for name in ("v1", "v2")
            ],
        )
        assert canary.policy["connectionPool"] == own["connectionPool"]
        assert canary.policy["tls"] == {"mode": "DISABLE"}

    def test_a_headless_service(self) -> None:
        canary = Canary()
        canary.service(ip="None")
        canary.run()
        assert not canary.is_live()

    def test_a_destination_that_is_headless(self) -> None:
        canary = Canary()
        canary.service("old", ip="None")
        canary.to("cart", "old")
        assert "Service shop/old is headless" in self.reason(canary)

    def test_a_load_balancer_that_lets_clients_choose_the_address(self) -> None:
        canary = Canary()
        canary.rule(trafficPolicy={"loadBalancer": {"simple": "PASSTHROUGH"}})
        assert "PASSTHROUGH" in self.reason(canary)

    def test_a_service_that_is_in_other_clusters_too(self) -> None:
        canary = Canary()
        ref = ObjectRef("Service", "shop", "cart")
        content = {"spec": {"clusterIPs": ["10.0.0.1", "10.99.0.1"]}}
        canary.pipeline.upsert(SourceObject(ref, "v1", content, mirrored=True))
        assert "is in other clusters too" in self.reason(canary)

    def test_a_destination_that_is_no_service(self) -> None:
        canary = Canary()
        canary.entry("far", ["far.example.org"], addresses=["240.0.0.9"], resolution="STATIC")
        canary.to("cart", "far.example.org")
        assert "ServiceEntry shop/far is no Service with a selector" in self.reason(canary)

    def test_an_unknown_subset(self) -> None:
        canary = Canary()
        canary.weights(50, 40, 10)
        assert "a subset v3" in self.reason(canary)

    def test_a_service_without_a_selector(self) -> None:
        canary = Canary()
        canary.service(selector=None)
        assert "no Service with a selector" in self.reason(canary)


class TestWhoMaySay:
    """A tenant can neither take part in somebody's weight set nor end it."""

    @pytest.fixture
    def canary(self) -> Canary:
        canary = Canary()
        canary.run()
        return canary

    def host(self, canary: Canary) -> str:
        (entry,) = canary.made(OutputKind.SERVICE_ENTRY)
        return str(entry["spec"]["hosts"][0])

    def came_back(self, canary: Canary, created: str) -> None:
        """The source shows our own ServiceEntry."""
        (entry,) = canary.made(OutputKind.SERVICE_ENTRY)
        metadata = {**entry["metadata"], "creationTimestamp": created}
        ref = ObjectRef("ServiceEntry", metadata["namespace"], metadata["name"])
        content = {**entry, "metadata": metadata}
        canary.pipeline.upsert(SourceObject(ref, "networking.istio.io/v1", content))

    def test_a_younger_claim_changes_nothing_for_others(self, canary: Canary) -> None:
        host, before = self.host(canary), canary.said()
        self.came_back(canary, "2026-01-01T00:00:00Z")
        port = [{"number": 7070, "name": "tcp", "protocol": "TCP"}]
        evil = "2026-06-01T00:00:00Z"
        canary.entry("evil", [host], port, namespace="evil", creationTimestamp=evil)
        assert canary.said() == before
        assert {finding.ref for finding in canary.pipeline.findings()} == {
            ObjectRef("ServiceEntry", "evil", "evil")
        }

    def test_an_older_claim_gets_no_call(self, canary: Canary) -> None:
        host = self.host(canary)
        port = [{"number": 7070, "name": "tcp", "protocol": "TCP"}]
        evil = "2020-06-01T00:00:00Z"
        canary.entry("evil", [host], port, namespace="evil", creationTimestamp=evil)
        assert host not in canary.said()
        assert "AER0317" in canary.codes()

    def test_pods_of_other_namespaces_do_not_count(self, canary: Canary) -> None:
        ref = ObjectRef("EndpointSlice", "evil", "cart-y")
        content = {
            "metadata": {
                "name": "cart-y",
                "namespace": "evil",
                "labels": {"kubernetes.io/service-name": "cart"},
            },
            "endpoints": [
                {"addresses": ["10.66.0.1"], "targetRef": {"kind": "Pod", "name": "v1-0"}}
            ],
            "ports": [{"name": "tcp-echo", "port": 9000}],
        }
        before = canary.endpoints
        canary.pipeline.upsert(SourceObject(ref, "discovery.k8s.io/v1", content))
        assert canary.endpoints == before

    def test_clients_that_do_not_import_the_host_keep_ordinary_weights(
        self, canary: Canary
    ) -> None:
        hosts = {"hosts": ["./*", f"shop/{HOST}"]}
        canary.put("Sidecar", "default", {"egress": [hosts]}, namespace="web")
        name = "aeraki-outbound-cart.shop.svc.cluster.local-7000"
        canary.run()
        (own,) = [key.name for key in canary.pipeline.filters if key.namespace == "web"]
        assert own.startswith(name)
        assert "|v1|" in canary.said(own, "web")
        assert self.host(canary) in canary.said()
        assert any("clients in web: Sidecar web/default" in text for text in canary.messages())

    def test_clients_with_other_rules_of_the_owner_have_a_set_of_their_own(
        self, canary: Canary
    ) -> None:
        policy = {"connectionPool": {"tcp": {"maxConnections": 5}}}
        subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
        rule = {"host": HOST, "subsets": subsets, "trafficPolicy": policy}
        canary.rule(exportTo=["app"])
        canary.put("DestinationRule", "others", {**rule, "exportTo": ["web", "pay"]})
        exported = {
            tuple(entry["spec"]["exportTo"]): entry["spec"]["hosts"][0]
            for entry in canary.made(OutputKind.SERVICE_ENTRY)
        }
        assert exported.keys() == {("app",), ("pay", "web")}
        assert len({*exported.values()}) == 2

    @pytest.mark.parametrize("kind", ["VirtualService", "DestinationRule", "Sidecar"])
    def test_nobody_else_decides_what_is_written_into_the_namespace(
        self, canary: Canary, kind: str
    ) -> None:
        """Clients with objects of their own have ordinary weights, or the set of all others."""
        before = [
            canary.made(kind) for kind in (OutputKind.SERVICE_ENTRY, OutputKind.DESTINATION_RULE)
        ]
        route = [
            {"destination": {"host": HOST, "subset": f"v{number}"}, "weight": 50}
            for number in (1, 2)
        ]
        subsets = [{"name": name, "labels": {"version": "v2"}} for name in ("v1", "v2")]
        spec = {
            "VirtualService": {"hosts": [HOST], "exportTo": ["."], "http": [{"route": route}]},
            "DestinationRule": {"host": HOST, "subsets": subsets},
            "Sidecar": {"egress": [{"hosts": ["shop/*"]}]},
        }[kind]
        canary.put(kind, "x", spec, namespace="evil", annotations=ASKS)
        assert before == [
            canary.made(kind) for kind in (OutputKind.SERVICE_ENTRY, OutputKind.DESTINATION_RULE)
        ]
        refs = [each.ref for each in canary.pipeline.findings() if each.code.id == "AER0317"]
        assert {*refs} <= {ObjectRef(kind, "evil", "x")}
