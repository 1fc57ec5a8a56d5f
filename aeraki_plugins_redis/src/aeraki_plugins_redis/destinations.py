"""Facts about a service that receives commands.

These are its RedisDestination, its password, its load balancer and whether redis_proxy can reach
it. Only a missing password is reported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from aeraki_core import GenerateContext, Kind, Port, Resource, Service
from aeraki_plugins_redis.auth import Credentials, credentials
from aeraki_plugins_redis.resources import REDIS_DESTINATION, Mode, RedisDestinationSpec
from aeraki_plugins_redis.traffic_policy import part

__all__ = [
    "asks_for_no_tls",
    "destination_of",
    "is_cluster",
    "password_of",
    "policy_of",
    "resource_of",
    "shards_itself",
    "tls_mode",
    "why_unreachable",
]

T = TypeVar("T", bound=BaseModel)


def resource_of(context: GenerateContext, kind: Kind[T], service: Service) -> Resource[T] | None:
    """Return the oldest object for the service's host, as these clients see it."""
    return next(iter(context.resources(kind, service.host)), None)


def destination_of(
    context: GenerateContext, service: Service
) -> Resource[RedisDestinationSpec] | None:
    """Return the RedisDestination of a service."""
    return resource_of(context, REDIS_DESTINATION, service)


def is_cluster(destination: Resource[RedisDestinationSpec]) -> bool:
    """Report whether it is a Redis Cluster."""
    return destination.spec.redis.mode is Mode.CLUSTER


def password_of(
    context: GenerateContext, destination: Resource[RedisDestinationSpec] | None
) -> Credentials | None:
    """Return the password that sidecars send to Redis; None if it needs none.

    Raises:
        KeepLastGood: it is not to be had. It was reported.
    """
    if destination is None:
        return None
    path = "spec.trafficPolicy.connectionPool.redis.auth"
    return credentials(context, destination, destination.spec.redis.auth, path)


def why_unreachable(context: GenerateContext, service: Service, port: Port) -> str | None:
    """Return why redis_proxy finds no upstream there; None when it does.

    A cluster of type ORIGINAL_DST uses the address that the client connected to, and redis_proxy
    does not pass that address on (docs/internals/istio.md, "Seen on a real istiod"). A Redis
    Cluster gets a cluster of ours instead. If it is headless, the filter would be in the listeners
    that its nodes use among themselves.
    """
    if service.headless:
        return f"{service.host} is headless"
    destination = destination_of(context, service)
    if destination is not None and is_cluster(destination):
        return None
    # istiod makes one cluster of all objects with this host, and another object can decide its
    # type.
    for item in (service, *context.services_of_host(service.host)):
        if item.headless or item.resolution in ("NONE", "DYNAMIC_DNS"):
            return (
                f"{item.ref} gives {item.host} the resolution "
                f"{'NONE' if item.headless else item.resolution}"
            )
    if _load_balancer(context, service, port).get("simple") == "PASSTHROUGH":
        return f"a DestinationRule gives {service.host} the load balancer PASSTHROUGH"
    return None


def shards_itself(context: GenerateContext, service: Service, port: Port) -> bool:
    """Report whether a DestinationRule sets consistentHash: Istio's cluster hashes the key."""
    return bool(_load_balancer(context, service, port).get("consistentHash"))


def tls_mode(context: GenerateContext, service: Service, port: Port) -> str:
    """Return the TLS mode of a DestinationRule for the connections to it; empty for none."""
    mode = str(part(policy_of(context, service, port), "tls").get("mode") or "")
    return "" if mode == "DISABLE" else mode


def asks_for_no_tls(context: GenerateContext, service: Service, port: Port) -> bool:
    """Report whether a DestinationRule turns TLS off for the connections to it."""
    return part(policy_of(context, service, port), "tls").get("mode") == "DISABLE"


def _load_balancer(context: GenerateContext, service: Service, port: Port) -> Mapping[str, Any]:
    return part(policy_of(context, service, port), "loadBalancer")


def policy_of(context: GenerateContext, service: Service, port: Port) -> Mapping[str, Any]:
    """Return the policy of the applying DestinationRule, as Istio reads it; empty without one.

    The first trafficPolicy wins; settings for the port take the place of all of it
    (docs/internals/istio.md).
    """
    rules = context.destination_rules(service.host)
    policy = next((rule.traffic_policy for rule in rules if rule.traffic_policy), {})
    settings = policy.get("portLevelSettings")
    for entry in settings if isinstance(settings, list | tuple) else ():
        if part(entry, "port").get("number") == port.number and isinstance(entry, Mapping):
            return entry
    return policy
