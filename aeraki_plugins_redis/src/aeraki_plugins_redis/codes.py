"""The findings that this plugin reports on its own, each with what to do about it."""

from __future__ import annotations

from aeraki_core import Code, Severity

__all__ = [
    "AUTH_REFUSED",
    "CLUSTER_POLICY",
    "CLUSTER_TLS",
    "CODES",
    "DEAD_ROUTE",
    "ENDPOINT",
    "FAULT_COMMAND",
    "INBOUND_CLUSTER",
    "NOT_REDIS",
    "NO_CLUSTER",
    "NO_DELAY",
    "NO_EFFECT",
    "NO_HOST",
    "NO_PASSWORD",
    "OTHER_NAMESPACE",
    "REPEATED_PREFIX",
    "SHADOWED",
    "UNKNOWN_HOST",
    "UNKNOWN_PORT",
    "VIRTUAL_SERVICE",
    "WHOLE_PERCENT",
]

_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO

# 01xx: services, hosts and routes.
NO_CLUSTER = Code(
    "RDS0101",
    _W,
    "redis_proxy cannot reach this service",
    "Give the service a ClusterIP or endpoints that Istio knows; "
    "until then its clients' commands pass as plain TCP.",
)
VIRTUAL_SERVICE = Code(
    "RDS0102",
    _W,
    "VirtualService does not route Redis",
    "Write the routes in a RedisService; all commands go to the service itself until then.",
)
UNKNOWN_HOST = Code(
    "RDS0103",
    _W,
    "host is not in the mesh",
    "Correct the host, or add its Service or ServiceEntry.",
)
UNKNOWN_PORT = Code(
    "RDS0104",
    _E,
    "destination port cannot be told",
    "Name one of the destination's ports; commands on this route fail until then.",
)
DEAD_ROUTE = Code(
    "RDS0105",
    _E,
    "redis_proxy cannot reach this destination",
    "Send the route to a service with a ClusterIP or with endpoints that Istio knows.",
)
NOT_REDIS = Code(
    "RDS0106",
    _W,
    "port is not known to speak Redis",
    "Name the port tcp-redis or tcp-redis-<anything>, or set its appProtocol to redis.",
)
OTHER_NAMESPACE = Code(
    "RDS0107",
    _W,
    "host belongs to another namespace",
    "Move the object to the namespace of the service, if it is meant for all clients.",
)
SHADOWED = Code(
    "RDS0108",
    _W,
    "an older object already speaks for the host",
    "Merge the two; the older is used.",
)
NO_HOST = Code("RDS0109", _W, "object names no host", "Give it a host; it has no effect without.")
REPEATED_PREFIX = Code(
    "RDS0110",
    _W,
    "route never takes a key",
    "Remove it, or give it another prefix; the first of two is used.",
)
INBOUND_CLUSTER = Code(
    "RDS0111",
    _W,
    "no inbound filter for a node of a Redis Cluster",
    "Remove the option inbound, or the mode CLUSTER: "
    "nodes need commands that the filter does not pass.",
)
# 02xx: values.
AUTH_REFUSED = Code(
    "RDS0112",
    _I,
    "AUTH of clients is refused",
    "If clients send a password, name it in a RedisDestination, "
    "or set redis.aeraki.io/proxy to never. If they send none, set it to always.",
)
CLUSTER_TLS = Code(
    "RDS0113",
    _E,
    "Redis Cluster behind TLS",
    "Remove the mode CLUSTER, or the tls settings of the DestinationRule; "
    "until then commands pass as Istio sends them.",
)
CLUSTER_POLICY = Code(
    "RDS0114",
    _W,
    "traffic policy has no effect on a Redis Cluster",
    "Remove the setting, or set connections in the RedisDestination.",
)

# RDS0201 is free: the model refuses a percentage above 100.
WHOLE_PERCENT = Code(
    "RDS0202",
    _W,
    "share of a fault is not a whole percent",
    "Give whole percents; Envoy cuts the fraction off.",
)
FAULT_COMMAND = Code(
    "RDS0203",
    _W,
    "fault never meets this command",
    "Correct the command; docs/protocols/redis.md says which ones Envoy passes on.",
)
NO_DELAY = Code(
    "RDS0204", _W, "fault delays by nothing", "Give the fault a delay, or the type ERROR."
)
ENDPOINT = Code(
    "RDS0205",
    _E,
    "not a discovery endpoint",
    "Write host or host:port, an IPv6 address with a port as [address]:port; "
    "it is left out until then.",
)
NO_PASSWORD = Code(
    "RDS0206",
    _E,
    "auth without a password",
    "Give auth.plain a password, or name a Secret; the last good filter stays until then.",
)
NO_EFFECT = Code(
    "RDS0207", _I, "setting has no effect", "Remove it, or see what the message names."
)

CODES = (
    NO_CLUSTER,
    VIRTUAL_SERVICE,
    UNKNOWN_HOST,
    UNKNOWN_PORT,
    DEAD_ROUTE,
    NOT_REDIS,
    OTHER_NAMESPACE,
    SHADOWED,
    NO_HOST,
    REPEATED_PREFIX,
    INBOUND_CLUSTER,
    AUTH_REFUSED,
    CLUSTER_TLS,
    CLUSTER_POLICY,
    WHOLE_PERCENT,
    FAULT_COMMAND,
    NO_DELAY,
    ENDPOINT,
    NO_PASSWORD,
    NO_EFFECT,
)
