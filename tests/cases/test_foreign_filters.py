"""Foreign EnvoyFilters beside ours: each of the two without effect has a finding, no other."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.model.meta import ObjectRef

from tests.reach import Client, client_of, made_of
from tests.unit.core.echo import ECHO, EchoPlugin, Mesher

TYPES = "type.googleapis.com/envoy.extensions.filters.network"
TCP, REDIS = "envoy.filters.network.tcp_proxy", "envoy.filters.network.redis_proxy"
LIMIT = {
    "name": "envoy.filters.network.local_ratelimit",
    "typed_config": {
        "@type": f"{TYPES}.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "x",
        "token_bucket": {"max_tokens": 10, "fill_interval": "1s"},
    },
}
OTHER = {"name": ECHO, "typed_config": {"@type": f"{TYPES}.echo.v3.Echo"}}
OWN_TCP = {
    "name": TCP,
    "typed_config": {
        "@type": f"{TYPES}.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "theirs",
        "cluster": "BlackHoleCluster",
    },
}
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: rc, namespace: data, annotations: {redis.aeraki.io/proxy: always}}
spec:
  clusterIP: 10.96.8.1
  selector: {app: rc}
  ports: [{name: tcp-redis, port: 6379}]
"""


def theirs(
    operation: str,
    *,
    priority: int = 0,
    anchor: str = TCP,
    namespace: str = "istio-system",
    listener: dict[str, Any] | None = None,
    context: str = "SIDECAR_OUTBOUND",
    value: dict[str, Any] | None = None,
) -> dict[str, Any]:
    patch: dict[str, Any] = {"operation": operation}
    if operation != "REMOVE":
        patch["value"] = value or {"MERGE": OWN_TCP, "REPLACE": OTHER}.get(operation, LIMIT)
    chain = {"filterChain": {"filter": {"name": anchor}}}
    match = {"context": context, "listener": {**(listener or {"portNumber": 6379}), **chain}}
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "theirs", "namespace": namespace},
        "spec": {
            "priority": priority,
            "configPatches": [{"applyTo": "NETWORK_FILTER", "match": match, "patch": patch}],
        },
    }


def messages(*filters: dict[str, Any]) -> list[str]:
    made = made_of(SERVICE, *filters)
    return [finding.message for finding in made.findings if finding.code.id == "AER0223"]


def sidecar(*filters: dict[str, Any], namespace: str = "web") -> list[str]:
    client: Client = client_of(made_of(SERVICE), namespace, filters)
    (chain,) = client.config.listener("10.96.8.1_6379").filter_chains
    return [each.name.rpartition(".")[2] for each in chain.filters]


@pytest.mark.parametrize(
    ("foreign", "filters", "words"),
    [
        (theirs("INSERT_BEFORE"), ["local_ratelimit", "redis_proxy"], None),
        (theirs("INSERT_BEFORE", priority=11), ["redis_proxy"], "below 10"),
        (theirs("INSERT_BEFORE", priority=10), ["redis_proxy"], "the older of the two"),
        (theirs("REPLACE"), ["echo"], "Aeraki's filter looks for it"),
        (theirs("REPLACE", value=OWN_TCP), ["redis_proxy"], "replaces in turn"),
        (theirs("REMOVE"), [], "Aeraki's filter looks for it"),
        (theirs("REPLACE", priority=11), ["redis_proxy"], "has no effect; give it"),
        (theirs("MERGE"), ["redis_proxy"], "merge into envoy.filters.network.redis_proxy"),
        (theirs("REPLACE", anchor=REDIS), ["redis_proxy"], "above 19"),
        (theirs("REPLACE", anchor=REDIS, priority=20), ["echo"], "takes its place"),
        (theirs("REMOVE", anchor=REDIS, priority=20), [], "takes its place"),
        (theirs("INSERT_BEFORE", anchor=REDIS), ["redis_proxy"], "above 19"),
        (
            theirs("INSERT_BEFORE", anchor=REDIS, priority=20),
            ["local_ratelimit", "redis_proxy"],
            None,
        ),
        (theirs("REPLACE", listener={"portNumber": 6380}), ["redis_proxy"], None),
        (theirs("REPLACE", listener={"name": "10.96.8.1_6379"}), ["echo"], "looks for it"),
        (theirs("REPLACE", listener={"name": "10.96.8.2_6379"}), ["redis_proxy"], None),
        (theirs("REPLACE", context="SIDECAR_INBOUND"), ["redis_proxy"], None),
    ],
)
def test_which_of_the_two_takes_effect(
    foreign: dict[str, Any], filters: list[str], words: str | None
) -> None:
    assert sidecar(foreign) == filters
    found = messages(foreign)
    if words is None:
        assert found == []
    else:
        (message,) = found
        assert "EnvoyFilter istio-system/theirs" in message
        assert words in message


def test_a_filter_of_one_namespace_is_for_its_clients() -> None:
    foreign = theirs("REPLACE", namespace="crm")
    assert sidecar(foreign) == ["redis_proxy"]
    assert sidecar(foreign, namespace="crm") == ["echo"]
    (message,) = messages(foreign)
    assert "clients in crm" in message


def test_a_filter_of_some_proxies_says_which() -> None:
    foreign = theirs("REPLACE")
    foreign["spec"]["workloadSelector"] = {"labels": {"app": "web"}}
    (patch,) = foreign["spec"]["configPatches"]
    patch["match"]["proxy"] = {"proxyVersion": "1.20.*"}
    (message,) = messages(foreign)
    assert message.endswith("of clients with app=web, proxies of its match only)")


@pytest.mark.parametrize(
    ("target", "match", "words"),
    [
        ("LISTENER", {"listener": {"portNumber": 6379}}, "removes the listener"),
        ("FILTER_CHAIN", {"listener": {"portNumber": 6379}}, "removes the filter chain"),
        ("CLUSTER", {"cluster": {"service": "rc.data.svc.cluster.local"}}, "removes the cluster"),
        ("CLUSTER", {"cluster": {"service": "rb.data.svc.cluster.local"}}, None),
        ("CLUSTER", {"cluster": {"portNumber": 6379}}, "removes the cluster"),
        ("CLUSTER", {"cluster": {"portNumber": 6380}}, None),
    ],
)
def test_what_removes_the_whole(target: str, match: dict[str, Any], words: str | None) -> None:
    foreign = theirs("REMOVE")
    (patch,) = foreign["spec"]["configPatches"]
    patch |= {"applyTo": target, "match": {"context": "SIDECAR_OUTBOUND", **match}}
    found = messages(foreign)
    assert len(found) == bool(words)
    assert all(str(words) in message for message in found)


def test_a_filter_that_keeps_tcp_proxy_meets_less() -> None:
    mesh = Mesher(EchoPlugin(insert=True))
    mesh.service()
    for operation in ("MERGE", "INSERT_BEFORE"):
        put(mesh, theirs(operation, listener={"portNumber": 7000}, priority=11))
        assert "AER0223" not in mesh.codes()
    put(mesh, theirs("REPLACE", listener={"portNumber": 7000}))
    assert "AER0223" in mesh.codes()


def test_servers_are_met_by_their_target_port_and_labels() -> None:
    mesh = Mesher()
    mesh.service()
    spec = theirs("REPLACE", listener={"portNumber": 9000}, context="SIDECAR_INBOUND")["spec"]
    for namespace, labels, met in (
        ("shop", {"app": "cart"}, True),
        ("shop", {"app": "other"}, False),
        ("shop", {}, True),
        ("other", {}, False),
        ("istio-system", {"version": "v1"}, True),
    ):
        ref = mesh.put(
            "EnvoyFilter",
            "theirs",
            {**spec, "workloadSelector": {"labels": labels}},
            namespace=namespace,
        )
        assert ("AER0223" in mesh.codes()) is met, (namespace, labels)
        mesh.pipeline.remove(ref)
    assert "AER0223" not in mesh.codes()


def test_their_change_runs_no_generator() -> None:
    mesh = Mesher()
    mesh.service()
    mesh.run()
    ref = put(mesh, theirs("REPLACE", listener={"portNumber": 7000}))
    done = mesh.run()
    assert (done.generated, done.changed) == ((), frozenset())
    assert "AER0223" in mesh.codes()
    (report,) = mesh.pipeline.reports()
    assert "AER0223" in [finding.code.id for finding in report.findings]
    mesh.pipeline.remove(ref)
    assert "AER0223" not in mesh.codes()


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"configPatches": "none"},
        {"configPatches": [None, {"match": []}, {"applyTo": "NETWORK_FILTER", "patch": 7}]},
        {"configPatches": [{"applyTo": ["CLUSTER"], "match": {"context": {}}}]},
        {**theirs("REPLACE")["spec"], "targetRefs": [{"kind": "Gateway", "name": "a"}]},
    ],
)
def test_what_istiod_ignores_is_no_error(spec: dict[str, Any]) -> None:
    mesh = Mesher()
    mesh.service()
    mesh.put("EnvoyFilter", "theirs", spec, namespace="istio-system")
    assert mesh.codes() == []


@pytest.mark.parametrize(
    "labels", [{"app.kubernetes.io/managed-by": "aeraki"}, {"manager": "Aeraki"}]
)
def test_filters_of_aeraki_are_not_foreign(labels: dict[str, str]) -> None:
    mesh = Mesher()
    mesh.service()
    spec = theirs("REPLACE", listener={"portNumber": 7000}, anchor=ECHO)["spec"]
    mesh.put("EnvoyFilter", "theirs", spec, namespace="istio-system", labels=labels)
    assert mesh.codes() == []


def put(mesh: Mesher, content: dict[str, Any]) -> ObjectRef:
    meta = content["metadata"]
    return mesh.put("EnvoyFilter", meta["name"], content["spec"], namespace=meta["namespace"])
