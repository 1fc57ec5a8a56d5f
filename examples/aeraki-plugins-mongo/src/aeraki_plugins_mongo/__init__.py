"""MongoDB for Aeraki: Envoy's statistics of queries, and injected delays, for ports ``tcp-mongo``.

The filter runs before tcp_proxy, so Istio's routes, load balancing and TLS stay as they are. It
cannot route; it only observes the traffic. Envoy decodes the old wire protocol and passes on what
it cannot decode.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.extensions.filters.network.mongo_proxy.v3.mongo_proxy_pb2 import MongoProxy
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf.duration_pb2 import Duration

from aeraki_core import (
    Code,
    Extension,
    GenerateContext,
    Option,
    OptionType,
    Patch,
    Protocol,
    Severity,
    hookimpl,
)

FILTER = "envoy.filters.network.mongo_proxy"

COMMANDS = Option(
    name="commands",
    type=OptionType.LIST,
    help="Commands that get statistics of their own",
    default=("delete", "insert", "update"),
)
DELAY = Option(
    name="delay",
    type=OptionType.DURATION,
    help="Hold queries back for so long, to try how applications bear it",
    minimum=0.001,
    maximum=60,
)
DELAY_PERCENT = Option(
    name="delay-percent",
    type=OptionType.INT,
    help="Which share of the queries is held back",
    default=100,
    minimum=1,
    maximum=100,
)
NO_DELAY = Code(
    id="MNG0101",
    severity=Severity.WARNING,
    title="share of a delay that is not set",
    action="Set mongo.aeraki.io/delay too, or remove mongo.aeraki.io/delay-percent.",
)

PROTOCOL = Protocol(
    name="mongo",
    tokens=("mongo",),
    extension=Extension(FILTER, stock=True),
    summary="Statistics of queries, and delays on purpose",
    options=(COMMANDS, DELAY, DELAY_PERCENT),
    codes=(NO_DELAY,),
)


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    """The protocols of this plugin."""
    return [PROTOCOL]


@hookimpl
def aeraki_generate(context: GenerateContext) -> Iterable[Patch]:
    """The filter for the clients and the workloads of one service port."""
    delay, percent = context.option(DELAY), context.option(DELAY_PERCENT)
    if delay is None and percent != DELAY_PERCENT.default:
        message = f"{percent} % of the queries of port {context.port.number} are delayed by nothing"
        context.report(NO_DELAY, message, field=context.option_field(DELAY_PERCENT))
    for side in (context.outbound, *context.inbound):
        config = MongoProxy(stat_prefix=side.cluster, commands=context.option(COMMANDS))
        # The workload's own sidecar adds no second delay.
        if delay is not None and side is context.outbound:
            config.delay.fixed_delay.CopyFrom(_duration(delay))
            config.delay.percentage.CopyFrom(FractionalPercent(numerator=percent))
        yield side.insert_before_tcp_proxy(FILTER, config)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1_000_000_000))
    return duration
