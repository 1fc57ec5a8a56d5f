"""Kafka for Aeraki: Envoy's kafka_broker runs before tcp_proxy, with the clients and the brokers.

The annotations ``kafka.aeraki.io/...`` of a service configure it. tcp_proxy stays, so Istio's own
tcp routes keep working. The core leaves out proxies that lack the extension.
"""

from __future__ import annotations

from collections.abc import Iterable

from aeraki_core import GenerateContext, Patch, Protocol, hookimpl
from aeraki_plugins_kafka.codes import HTTP_ROUTES
from aeraki_plugins_kafka.kafka_broker import kafka_broker
from aeraki_plugins_kafka.protocol import FILTER, KAFKA

__all__ = ["KAFKA", "aeraki_generate", "aeraki_protocols"]


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    """Return the one protocol of this plugin."""
    return [KAFKA]


@hookimpl
def aeraki_generate(context: GenerateContext) -> Iterable[Patch]:
    """Yield the same filter on both sides; each has its own stats."""
    context.check_tcp_routes(HTTP_ROUTES)
    config = kafka_broker(context)
    for side in (context.outbound, *context.inbound):
        config.stat_prefix = side.stat_prefix
        yield side.insert_before_tcp_proxy(FILTER, config)
