"""What this plugin declares: the protocol and its options."""

from __future__ import annotations

from aeraki_core import Extension, Option, OptionType, Protocol
from aeraki_plugins_kafka.codes import CODES

__all__ = ["ALLOWED", "BROKER_REWRITE", "DENIED", "FILTER", "FORCE_RESPONSE_REWRITE", "KAFKA"]

FILTER = "envoy.filters.network.kafka_broker"

ALLOWED = Option(
    name="api-keys-allowed",
    type=OptionType.LIST,
    help="Only these requests pass, by name (Produce) or number (0); "
    "another one closes its connection",
    default=(),
)
DENIED = Option(
    name="api-keys-denied",
    type=OptionType.LIST,
    help="These requests close their connection, "
    "by name (CreateTopics) or number (19), allowed or not",
    default=(),
)
FORCE_RESPONSE_REWRITE = Option(
    name="force-response-rewrite",
    type=OptionType.BOOL,
    help="Write every response anew instead of passing its bytes on",
    default=False,
)
BROKER_REWRITE = Option(
    name="broker-rewrite",
    type=OptionType.MAP,
    help="The addresses that clients are told, `id: host:port` for each broker",
    default=(),
)

KAFKA = Protocol(
    name="kafka",
    tokens=("kafka",),
    extension=Extension(FILTER, stock=False),
    summary="Metrics of each kind of request, "
    "limits on which may pass, brokers' addresses rewritten",
    options=(
        ALLOWED,
        DENIED,
        FORCE_RESPONSE_REWRITE,
        BROKER_REWRITE,
    ),
    codes=CODES,
)
