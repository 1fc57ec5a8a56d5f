"""The findings that this plugin reports on its own, each with what to do about it."""

from __future__ import annotations

from aeraki_core import Code, Severity

__all__ = [
    "AUTH_REFUSED",
    "CLUSTER_TLS",
    "CODES",
    "DEAD_ROUTE",
    "ENDPOINT",
    "FAULT_COMMAND",
    "INBOUND_CLUSTER",
    "LEFT_PLAIN",
    "NODES_WITHOUT_TLS",
    "NOT_REDIS",
    "NO_CLUSTER",
    "NO_DELAY",
    "NO_EFFECT",
    "NO_HOST",
    "NO_PASSWORD",
    "OTHER_NAMESPACE",
    "PASSWORD_KEPT",
    "REPEATED_PREFIX",
    "SHADOWED",
    "TCP_ROUTE",
    "UNKNOWN_HOST",
    "UNKNOWN_PORT",
    "VIRTUAL_SERVICE",
    "WHOLE_PERCENT",
]

_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO

# 01xx: services, hosts and routes.
NO_CLUSTER = Code(
    id="RDS0101",
    severity=_W,
    title="redis_proxy cannot reach this service",
    action="Give the service a ClusterIP or endpoints that Istio knows; "
    "until then its clients' commands pass as plain TCP.",
)
VIRTUAL_SERVICE = Code(
    id="RDS0102",
    severity=_W,
    title="VirtualService does not route Redis",
    action="Write the routes in a RedisService; all commands go to the service itself until then.",
)
UNKNOWN_HOST = Code(
    id="RDS0103",
    severity=_W,
    title="host is not in the mesh",
    action="Correct the host, or add its Service or ServiceEntry.",
)
UNKNOWN_PORT = Code(
    id="RDS0104",
    severity=_E,
    title="ambiguous destination port",
    action="Name one of the destination's ports; commands on this route fail until then.",
)
DEAD_ROUTE = Code(
    id="RDS0105",
    severity=_E,
    title="redis_proxy cannot reach this destination",
    action="Send the route to a service with a ClusterIP or with endpoints that Istio knows.",
)
NOT_REDIS = Code(
    id="RDS0106",
    severity=_W,
    title="port is not known to speak Redis",
    action="Name the port tcp-redis or tcp-redis-<anything>, or set its appProtocol to redis, "
    "or let `aeraki explain` say what leaves it alone.",
)
OTHER_NAMESPACE = Code(
    id="RDS0107",
    severity=_W,
    title="host belongs to another namespace",
    action="Move the object to the namespace of the service, if it is meant for all clients.",
)
SHADOWED = Code(
    id="RDS0108",
    severity=_W,
    title="an older object takes precedence for the host",
    action="Merge the two; the older is used.",
)
NO_HOST = Code(
    id="RDS0109",
    severity=_W,
    title="object names no host",
    action="Give it a host; it has no effect without.",
)
REPEATED_PREFIX = Code(
    id="RDS0110",
    severity=_W,
    title="route matches no key",
    action="Remove it, or give it another prefix; the first of two is used.",
)
INBOUND_CLUSTER = Code(
    id="RDS0111",
    severity=_W,
    title="no inbound filter for a node of a Redis Cluster",
    action="Remove the option inbound, or the mode CLUSTER: "
    "nodes need commands that the filter does not pass.",
)
# 02xx: values.
AUTH_REFUSED = Code(
    id="RDS0112",
    severity=_I,
    title="AUTH of clients is refused",
    action="If clients send a password, name it in a RedisDestination, "
    "or set redis.aeraki.io/proxy to never. If they send none, set it to always.",
)
CLUSTER_TLS = Code(
    id="RDS0113",
    severity=_E,
    title="Redis Cluster behind TLS",
    action="Remove the mode CLUSTER, or the tls settings of the DestinationRule; "
    "until then commands pass as Istio sends them.",
)
# RDS0114 is free: the cluster of a Redis Cluster keeps the traffic policy.
TCP_ROUTE = Code(
    id="RDS0115",
    severity=_W,
    title="redis_proxy cannot follow the tcp routes",
    action="Write the routes in a RedisService, with one for all keys; "
    "until then commands pass as Istio sends them.",
)
PASSWORD_KEPT = Code(
    id="RDS0116",
    severity=_I,
    title="password is for clients of some namespaces only",
    action="Name in spec.exportTo the namespaces that use the service, or . for its own alone.",
)
LEFT_PLAIN = Code(
    id="RDS0117",
    severity=_I,
    title="port named for Redis stays plain TCP",
    action="Nothing, if clients need no redis_proxy; otherwise give the service a ClusterIP or "
    "endpoints that Istio knows.",
)
NODES_WITHOUT_TLS = Code(
    id="RDS0118",
    severity=_I,
    title="nodes of a Redis Cluster are reached without mutual TLS",
    action="Leave the nodes without sidecars, or their ports without STRICT; keep the mode PROXY "
    "where the traffic needs mutual TLS.",
)

# RDS0201 is free: the model refuses a percentage above 100.
WHOLE_PERCENT = Code(
    id="RDS0202",
    severity=_W,
    title="fault percentage is not whole",
    action="Give whole percents; Envoy cuts the fraction off.",
)
FAULT_COMMAND = Code(
    id="RDS0203",
    severity=_W,
    title="fault has no effect on this command",
    action="Correct the command; docs/protocols/redis.md says which ones Envoy passes on.",
)
NO_DELAY = Code(
    id="RDS0204",
    severity=_W,
    title="fault has no delay",
    action="Give the fault a delay, or the type ERROR.",
)
ENDPOINT = Code(
    id="RDS0205",
    severity=_E,
    title="invalid discovery endpoint",
    action="Write host or host:port, an IPv6 address with a port as [address]:port; "
    "it is left out until then.",
)
NO_PASSWORD = Code(
    id="RDS0206",
    severity=_E,
    title="auth has no password",
    action="Give auth.plain a password, or name a Secret; the last good filter stays until then.",
)
NO_EFFECT = Code(
    id="RDS0207",
    severity=_I,
    title="setting has no effect",
    action="Remove it, or see what the message names.",
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
    TCP_ROUTE,
    PASSWORD_KEPT,
    LEFT_PLAIN,
    NODES_WITHOUT_TLS,
    WHOLE_PERCENT,
    FAULT_COMMAND,
    NO_DELAY,
    ENDPOINT,
    NO_PASSWORD,
    NO_EFFECT,
)
