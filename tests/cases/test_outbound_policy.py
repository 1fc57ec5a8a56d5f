"""Calls to no known service on a port of ours go where each client's Sidecar sends them."""

from __future__ import annotations

import pytest
from aeraki_core.testing import Mesh

from tests.reach import client_of, made_of

LISTENER, CHAIN = "0.0.0.0_9090", "PassthroughFilterChain"
DENY, ALLOW = {"mode": "REGISTRY_ONLY"}, {"mode": "ALLOW_ANY"}
BLACK_HOLE, PASSTHROUGH = "BlackHoleCluster", "PassthroughCluster"
ORDERS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: orders
  namespace: shop
  annotations: {thrift.aeraki.io/transport: framed}
spec:
  hosts: [orders.example.com]
  addresses: [10.8.0.0/16]
  resolution: NONE
  ports: [{number: 9090, name: tcp-PROTOCOL, protocol: TCP}]
"""


def sidecar(namespace: str, policy: object) -> dict[str, object]:
    spec: dict[str, object] = {"egress": [{"hosts": ["*/*"]}]}
    if policy is not None:
        spec["outboundTrafficPolicy"] = policy
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": spec,
    }


@pytest.mark.parametrize("registry_only", [False, True])
@pytest.mark.parametrize(
    ("of_root", "of_web"), [(DENY, ALLOW), (DENY, None), (None, DENY), (None, ALLOW), (None, {})]
)
@pytest.mark.parametrize("protocol", ["thrift", "zookeeper"])
def test_each_namespace_keeps_its_policy(
    protocol: str, of_root: object, of_web: object, registry_only: bool
) -> None:
    made = made_of(
        ORDERS.replace("PROTOCOL", protocol),
        sidecar("istio-system", of_root),
        sidecar("web", of_web),
        mesh=Mesh(registry_only=registry_only),
    )
    assert made.filters
    for namespace, own in (("web", of_web), ("other", of_root)):
        client = client_of(made, namespace)
        default = "REGISTRY_ONLY" if registry_only or own == {} else "ALLOW_ANY"
        mode = (own if isinstance(own, dict) else {}).get("mode", default)
        catch_all = BLACK_HOLE if mode == "REGISTRY_ONLY" else PASSTHROUGH
        assert client.filters(LISTENER, CHAIN) == ["tcp_proxy"]
        (chain,) = (
            each.default_filter_chain for each in client.config.outbound if each.name == LISTENER
        )
        assert catch_all.encode() in chain.SerializeToString(), namespace


def test_only_namespaces_with_another_policy_have_a_filter_of_their_own() -> None:
    made = made_of(
        ORDERS.replace("PROTOCOL", "thrift"),
        sidecar("web", DENY),
        sidecar("shop", ALLOW),
        sidecar("bank", None),
    )
    assert {each["metadata"]["namespace"] for each in made.filters} == {"istio-system", "web"}


def test_an_egress_proxy_keeps_the_calls_to_no_service() -> None:
    proxy = {"host": "egress.istio-system.svc.cluster.local", "port": {"number": 443}}
    made = made_of(
        ORDERS.replace("PROTOCOL", "thrift"),
        sidecar("web", {"mode": "ALLOW_ANY", "egressProxy": proxy}),
    )
    (of_web,) = (each for each in made.filters if each["metadata"]["namespace"] == "web")
    (patch,) = of_web["spec"]["configPatches"]
    value = patch["patch"]["value"]["typed_config"]
    assert value["cluster"] == "outbound|443||egress.istio-system.svc.cluster.local"
