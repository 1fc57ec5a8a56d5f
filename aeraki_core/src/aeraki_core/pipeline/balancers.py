"""Gives clients with rules of their own the load balancer that Istio gives them.

A merge of the mesh-wide filter reaches every client's cluster. With another DestinationRule, or
another service of the host, the merged load balancer may not even be valid: Envoy rejects MAGLEV
for a cluster of type ORIGINAL_DST. Istio's own cannot be read, but follows from the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from aeraki_core.filters.patch import FrozenMessage, Patch
from aeraki_core.mesh.reads import Reads
from aeraki_core.model.service import Resolution

if TYPE_CHECKING:
    from envoy.config.cluster.v3.cluster_pb2 import Cluster

__all__ = ["balancer_restore", "only_balancer"]

_SIMPLE = {
    "RANDOM": "RANDOM",
    "LEAST_CONN": "LEAST_REQUEST",
    "LEAST_REQUEST": "LEAST_REQUEST",
    "UNSPECIFIED": "LEAST_REQUEST",
    "PASSTHROUGH": "CLUSTER_PROVIDED",
}
"""Istio's words and Envoy's. ROUND_ROBIN is Envoy's zero value, which a merge cannot set."""


def balancer_restore(merge: Patch, host: str, port: int, reads: Reads) -> Patch | None:
    """A merge that puts Istio's load balancer back for these clients.

    None: the merge changes no load balancer, or Istio's cannot be put back.
    """
    from envoy.config.cluster.v3.cluster_pb2 import Cluster

    if not _cluster(merge).lb_policy:
        return None
    word = _istios_balancer(host, port, reads)
    if word is None:
        return None
    value = FrozenMessage.of(Cluster(lb_policy=Cluster.LbPolicy.Value(word)))
    return replace(merge, value=value, plugin="")


def only_balancer(merge: Patch) -> bool:
    """Whether the merge changes the load balancer and nothing else."""
    cluster = _cluster(merge)
    return [field.name for field, _ in cluster.ListFields()] == ["lb_policy"]


def _istios_balancer(host: str, port: int, reads: Reads) -> str | None:
    services = reads.services_of_host(host)
    if services and (services[0].headless or services[0].resolution is Resolution.NONE):
        return "CLUSTER_PROVIDED"
    rules = reads.destination_rules(host)
    policy = next((rule.traffic_policy for rule in rules if rule.traffic_policy), {})
    # The settings of a port replace all others.
    settings = policy.get("portLevelSettings")
    for entry in settings if isinstance(settings, list | tuple) else ():
        if isinstance(entry, Mapping) and _part(entry, "port").get("number") == port:
            policy = entry
    balancer = _part(policy, "loadBalancer")
    consistent = _part(balancer, "consistentHash")
    if consistent:
        return "MAGLEV" if "maglev" in consistent else "RING_HASH"
    return _SIMPLE.get(str(balancer.get("simple") or "UNSPECIFIED"))


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = value.get(name)
    return part if isinstance(part, Mapping) else {}


def _cluster(merge: Patch) -> Cluster:
    return cast("Cluster", merge.value.message())
