"""Limits for Aeraki: connections and new connections, for ports of every protocol with a plugin.

The add-on puts Envoy's connection_limit and local_ratelimit before the filter that a protocol's
plugin makes for the workloads of a service. Ports of plain TCP have no plugin. So this package
brings the protocol ``plain`` for them, which adds nothing but the limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envoy.extensions.filters.network.connection_limit.v3.connection_limit_pb2 import (
    ConnectionLimit,
)
from envoy.extensions.filters.network.local_ratelimit.v3.local_rate_limit_pb2 import LocalRateLimit

from aeraki_core import (
    AddOn,
    Code,
    ExtendContext,
    Extension,
    GenerateContext,
    Option,
    OptionType,
    Patch,
    Protocol,
    Severity,
    duration_message,
    hookimpl,
)

CONNECTION_LIMIT = "envoy.filters.network.connection_limit"
RATE_LIMIT = "envoy.filters.network.local_ratelimit"
LARGEST = 2**31 - 1

MAX_CONNECTIONS = Option(
    name="max-connections",
    type=OptionType.INT,
    help="How many connections a workload's port takes at a time; further ones are closed.",
    minimum=1,
    maximum=LARGEST,
)
CONNECTIONS_PER_SECOND = Option(
    name="connections-per-second",
    type=OptionType.INT,
    help="How many new connections a workload's port takes in a second; further ones are closed.",
    minimum=1,
    maximum=LARGEST,
)
NO_WORKLOAD = Code(
    id="LMT0101",
    severity=Severity.WARNING,
    title="limits without a workload",
    action="Give the service a selector: the limits are kept by the sidecars of its workloads.",
)
LIMITS = AddOn(
    name="limits",
    summary="Limits of connections and of new connections, for the ports of any protocol",
    extensions=(Extension(CONNECTION_LIMIT, stock=True), Extension(RATE_LIMIT, stock=True)),
    options=(MAX_CONNECTIONS, CONNECTIONS_PER_SECOND),
    codes=(NO_WORKLOAD,),
)


PLAIN = Protocol(
    name="plain",
    tokens=("plain",),
    extension=Extension("envoy.filters.network.tcp_proxy", stock=True),
    summary="Plain TCP, with nothing but the limits",
)


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    """Plain TCP."""
    return [PLAIN]


@hookimpl
def aeraki_generate(context: GenerateContext) -> Iterable[Patch]:
    """Nothing: tcp_proxy stays as it is."""
    return []


@hookimpl
def aeraki_addons() -> Iterable[AddOn]:
    """The one add-on of this plugin."""
    return [LIMITS]


@hookimpl
def aeraki_extend(context: ExtendContext) -> Iterator[Patch]:
    """The limits that the service's annotations ask for, in front of the protocol's filter."""
    connections = context.option(MAX_CONNECTIONS)
    rate = context.option(CONNECTIONS_PER_SECOND)
    for option, value in ((MAX_CONNECTIONS, connections), (CONNECTIONS_PER_SECOND, rate)):
        if value is not None and not context.inbound:
            message = f"port {context.port.number}: no workload keeps {option.name}"
            context.report(NO_WORKLOAD, message, field=context.option_field(option))
    for side in context.inbound:
        if connections is not None:
            limit = ConnectionLimit(stat_prefix=side.stat_prefix)
            limit.max_connections.value = connections
            yield side.insert_before_protocol(CONNECTION_LIMIT, limit)
        if rate is not None:
            config = LocalRateLimit(stat_prefix=side.stat_prefix)
            config.token_bucket.max_tokens = rate
            config.token_bucket.tokens_per_fill.value = rate
            config.token_bucket.fill_interval.CopyFrom(duration_message("1s"))
            yield side.insert_before_protocol(RATE_LIMIT, config)
