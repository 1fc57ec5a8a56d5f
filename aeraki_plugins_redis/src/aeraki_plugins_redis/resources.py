"""The two resources, as upstream defined them.

A RedisService routes, a RedisDestination configures how Redis is reached. From
:data:`REDIS_SERVICE` and :data:`REDIS_DESTINATION` the core derives what to watch, index and
validate, and the CRDs. docs/protocols/redis.md describes each field for users.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from aeraki_core import (
    Duration,
    Kind,
    Percentage,
    PositiveDuration,
    SpecModel,
    parse_duration,
)
from aeraki_plugins_redis.auth_spec import Auth

__all__ = [
    "MAX_UPSTREAM_UNKNOWN_CONNECTIONS",
    "OP_TIMEOUT",
    "REDIS_DESTINATION",
    "REDIS_SERVICE",
    "Destination",
    "Fault",
    "FaultType",
    "Mirror",
    "Mode",
    "ReadPolicy",
    "RedisDestinationSpec",
    "RedisRoute",
    "RedisServiceSpec",
    "RedisSettings",
    "Settings",
    "TCPSettings",
    "gives_password",
]

GROUP, VERSION = "redis.aeraki.io", "v1alpha1"
OP_TIMEOUT = "60s"
MAX_UINT32 = 2**32 - 1
MAX_UPSTREAM_UNKNOWN_CONNECTIONS = 100  # Envoy's own default


class ReadPolicy(StrEnum):
    """Which nodes of a Redis Cluster answer reads."""

    MASTER = "MASTER"
    PREFER_MASTER = "PREFER_MASTER"
    REPLICA = "REPLICA"
    PREFER_REPLICA = "PREFER_REPLICA"
    ANY = "ANY"


class FaultType(StrEnum):
    """DELAY holds a command back; ERROR answers it with an error."""

    DELAY = "DELAY"
    ERROR = "ERROR"


class Mode(StrEnum):
    """PROXY: independent instances, keys are spread by hash.

    CLUSTER: a Redis Cluster, keys go to the owner of their slot.
    """

    PROXY = "PROXY"
    CLUSTER = "CLUSTER"


Host = Annotated[str, Field(pattern=r"^[^*]*$", max_length=253)]
"""A host without a wildcard: an object speaks for services of its namespace, by their names."""


ExportTo = Annotated[
    tuple[str, ...],
    Field(
        description="The namespaces of the clients that it is for: names, . "
        "for its own, * for all. Default: all; "
        "with a password of Redis, those that the service is exported to by name, or else its own.",
    ),
]
"""``exportTo``, as Istio's objects have it."""


class Settings(SpecModel):
    """How the clients' sidecars treat commands."""

    case_insensitive: bool = Field(False, description="Prefixes match keys in any case.")
    op_timeout: Duration = Field(
        OP_TIMEOUT,
        description="How long Redis may take for a command; "
        "each answer on the connection starts it anew.",
    )
    enable_command_stats: bool = Field(False, description="Keep statistics for each command.")
    max_buffer_size_before_flush: int = Field(
        0,
        ge=0,
        le=MAX_UINT32,
        description="Commands are sent on in batches of this many bytes; 0 sends each at once.",
    )
    buffer_flush_timeout: Duration = Field(
        "3ms",
        description="A batch is sent at the latest after this time; "
        "it counts with maxBufferSizeBeforeFlush only.",
    )
    max_upstream_unknown_connections: int = Field(
        MAX_UPSTREAM_UNKNOWN_CONNECTIONS,
        ge=0,
        le=MAX_UINT32,
        description="How many connections a worker may have "
        "to nodes that only a redirection named.",
    )
    enable_hashtagging: bool = Field(
        False,
        description="Keys with the same {tag} go to the same instance. "
        "A Redis Cluster does so in any case.",
    )
    enable_redirection: bool = Field(
        False, description="Follow MOVED and ASK answers instead of handing them to the client."
    )
    read_policy: ReadPolicy = Field(
        ReadPolicy.MASTER,
        description="Which nodes answer reads; it counts for destinations of mode CLUSTER.",
    )
    auth: Auth | None = Field(
        None, description="What clients must give with AUTH; it need not be Redis' own password."
    )


class KeyMatch(SpecModel):
    """Which keys a route is for."""

    prefix: str = Field(
        "", description="The beginning of the keys; the longest prefix that fits decides."
    )
    remove_prefix: bool = Field(False, description="Redis sees the key without the prefix.")


class RouteMatch(SpecModel):
    """Which commands a route is for."""

    key: KeyMatch | None = Field(
        None, description="Which keys; without it, all that no prefix fits."
    )


class Destination(SpecModel):
    """A port of a service."""

    host: str = Field(
        min_length=1, description="The service: a name of this namespace, or a full host."
    )
    port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Its port. 0: the port of the same name, "
        "else of the same number, else its only one.",
    )


class Mirror(SpecModel):
    """Where copies of commands go; the answers are dropped."""

    route: Destination = Field(description="Where the copies go.")
    percentage: Percentage | None = Field(
        None, description="The share of commands that is copied; without it, all."
    )
    exclude_read_commands: bool = Field(False, description="Copy only commands that write.")


class RedisRoute(SpecModel):
    """One route."""

    match: RouteMatch = Field(
        default_factory=RouteMatch, description="Which keys; without it, all that no prefix fits."
    )
    route: Destination = Field(description="Where the commands go.")
    mirror: tuple[Mirror, ...] = Field((), description="Where copies of them go.")

    @property
    def prefix(self) -> str:
        """The prefix of its keys; empty for all."""
        return self.match.key.prefix if self.match.key else ""


class Fault(SpecModel):
    """A fault for a share of commands, to test how clients bear it."""

    type: FaultType = Field(FaultType.DELAY, description="Delay commands, or answer with an error.")
    percentage: Percentage | None = Field(
        None, description="The share of commands, in whole percent; without it, all."
    )
    delay: Duration = Field("0s", description="How long to hold the command back.")
    commands: tuple[str, ...] = Field(
        (), description="The commands that it is for, such as GET; without them, all."
    )

    @property
    def whole_percent(self) -> int:
        """The share as Envoy takes it: it cuts fractions off."""
        return 100 if self.percentage is None else int(self.percentage.value)

    @property
    def delays(self) -> bool:
        """Whether it holds commands back at all."""
        return parse_duration(self.delay) > 0


class RedisServiceSpec(SpecModel):
    """Routes, settings and faults for the clients of Redis services."""

    host: tuple[Host, ...] = Field(
        (), description="The services, of the object's namespace, whose clients it is for."
    )
    settings: Settings = Field(
        default_factory=Settings, description="How the clients' sidecars treat commands."
    )
    redis: tuple[RedisRoute, ...] = Field(
        (), description="The routes; without any, all commands go to the service itself."
    )
    faults: tuple[Fault, ...] = Field((), description="Faults to inject.")
    export_to: ExportTo = ()

    def repeats(self) -> dict[int, int]:
        """Return the routes that no key reaches, by index, and the earlier route with their keys.

        Envoy would refuse two routes of one prefix.
        """
        first: dict[bytes, int] = {}
        counts: dict[int, int] = {}
        for index, route in enumerate(self.redis):
            prefix = route.prefix.encode()
            # As Envoy folds case: of ASCII only, which is what bytes do.
            earlier = first.setdefault(
                prefix.lower() if self.settings.case_insensitive else prefix, index
            )
            if earlier != index:
                counts[index] = earlier
        return counts


class TCPKeepalive(SpecModel):
    """SO_KEEPALIVE of the connections to Redis; an unset field has the system's default."""

    probes: int = Field(
        0,
        ge=0,
        le=MAX_UINT32,
        description="Probes without an answer before the connection is dead.",
    )
    time: PositiveDuration | None = Field(
        None, description="How long a connection is idle before the first probe; whole seconds."
    )
    interval: PositiveDuration | None = Field(
        None, description="The time between probes; whole seconds."
    )


class TCPSettings(SpecModel):
    """The connections to Redis."""

    max_connections: int = Field(
        0,
        ge=-(2**31),
        le=2**31 - 1,
        description="A limit that Envoy keeps for the cluster, "
        "but that its Redis filter does not ask for.",
    )
    connect_timeout: PositiveDuration | None = Field(
        None, description="How long connecting may take. Default: Istio's, 10s."
    )
    tcp_keepalive: TCPKeepalive | None = Field(
        None, description="Send keepalive probes, so that dead connections are noticed."
    )


class RedisSettings(SpecModel):
    """How Redis runs, and its password."""

    mode: Mode = Field(
        Mode.PROXY,
        description="PROXY: independent instances, keys are spread by hash. "
        "CLUSTER: a Redis Cluster.",
    )
    auth: Auth | None = Field(
        None, description="What the sidecars give to Redis; clients need not know it."
    )
    discovery_endpoints: tuple[str, ...] = Field(
        (),
        description="Nodes of the Redis Cluster to ask for the others: host or host:port. "
        "Default: the service.",
    )


class ConnectionPoolSettings(SpecModel):
    """Connections to Redis."""

    tcp: TCPSettings = Field(default_factory=TCPSettings, description="The connections to Redis.")
    redis: RedisSettings = Field(
        default_factory=RedisSettings, description="How Redis runs, and its password."
    )


class TrafficPolicy(SpecModel):
    """What holds for all traffic to the host."""

    connection_pool: ConnectionPoolSettings = Field(
        default_factory=ConnectionPoolSettings, description="Connections to Redis."
    )


class RedisDestinationSpec(SpecModel):
    """How a Redis service is reached: its mode, its password, its connections."""

    host: Host = Field(
        "", description="The service, of the object's namespace: its name or its full host."
    )
    traffic_policy: TrafficPolicy = Field(
        default_factory=TrafficPolicy, description="What holds for all traffic to the host."
    )
    export_to: ExportTo = ()

    @property
    def redis(self) -> RedisSettings:
        """``trafficPolicy.connectionPool.redis``."""
        return self.traffic_policy.connection_pool.redis

    @property
    def tcp(self) -> TCPSettings:
        """``trafficPolicy.connectionPool.tcp``."""
        return self.traffic_policy.connection_pool.tcp


def gives_password(auth: Auth | None) -> bool:
    """Whether a password is named, as text or by a Secret."""
    return auth is not None and (auth.secret is not None or auth.plain is not None)


def _secrets(auth: Auth | None) -> Iterator[str]:
    if auth is not None and auth.secret is not None and auth.secret.name:
        yield auth.secret.name


REDIS_SERVICE: Kind[RedisServiceSpec] = Kind(
    group=GROUP,
    version=VERSION,
    kind="RedisService",
    plural="redisservices",
    spec=RedisServiceSpec,
    summary="Routes by key prefix, mirrors, faults and settings for the clients of Redis services",
    short_names=("rsvc",),
    hosts=lambda spec: dict.fromkeys(host for host in spec.host if host),
    secrets=lambda spec: _secrets(spec.settings.auth),
    export_to=lambda spec: spec.export_to,
    confidential=lambda spec: gives_password(spec.settings.auth),
    printer_columns=(("Hosts", ".spec.host"),),
)

REDIS_DESTINATION: Kind[RedisDestinationSpec] = Kind(
    group=GROUP,
    version=VERSION,
    kind="RedisDestination",
    plural="redisdestinations",
    spec=RedisDestinationSpec,
    summary="How a Redis service is reached: Redis Cluster or not, password, connections",
    short_names=("rd",),
    hosts=lambda spec: (spec.host,) if spec.host else (),
    secrets=lambda spec: _secrets(spec.redis.auth),
    export_to=lambda spec: spec.export_to,
    confidential=lambda spec: gives_password(spec.redis.auth),
    printer_columns=(
        ("Host", ".spec.host"),
        ("Mode", ".spec.trafficPolicy.connectionPool.redis.mode"),
    ),
)
