"""Build the configuration of Envoy's kafka_broker from a service's options.

An entry that cannot be read is reported at its annotation and left out. An empty list of allowed
keys would allow every key. So when no entry is left, the last good filter stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from aeraki_core import GenerateContext, KeepLastGood, Option
from aeraki_plugins_kafka.api_keys import API_VERSIONS, api_key
from aeraki_plugins_kafka.codes import BAD_REWRITE, NO_API_VERSIONS, UNKNOWN_API_KEY
from aeraki_plugins_kafka.message import KafkaBroker
from aeraki_plugins_kafka.protocol import (
    ALLOWED,
    BROKER_REWRITE,
    DENIED,
    FORCE_RESPONSE_REWRITE,
)

__all__ = ["kafka_broker"]


# A broker's id is a signed 32-bit number on the wire, from 0.
_LARGEST_ID = 2**31 - 1
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):(?P<port>[0-9]{1,5})")


def kafka_broker(context: GenerateContext) -> Any:
    """Return the filter's configuration; the side sets ``stat_prefix``.

    Raises:
        KeepLastGood: none of the allowed API keys can be read.
    """
    config = KafkaBroker()
    config.api_keys_allowed.extend(_allowed(context))
    config.api_keys_denied.extend(_keys(context, DENIED))
    config.force_response_rewrite = context.option(FORCE_RESPONSE_REWRITE)
    for broker, host, port in _rewrites(context):
        config.id_based_broker_address_rewrite_spec.rules.add(id=broker, host=host, port=port)
    return config


def _keys(context: GenerateContext, option: Option[tuple[str, ...]]) -> list[int]:
    """Return the API keys of an option, sorted; unreadable ones are reported and left out."""
    keys: set[int] = set()
    for item in context.option(option):
        number = api_key(item)
        if number is None:
            message = f"{option.name}: {item!r} is no API key of Kafka; it is left out"
            context.report(UNKNOWN_API_KEY, message, field=context.option_field(option))
        else:
            keys.add(number)
    return sorted(keys)


def _allowed(context: GenerateContext) -> list[int]:
    keys = _keys(context, ALLOWED)
    if not keys and context.option(ALLOWED):
        # Envoy reads an empty list as "all": never what was meant.
        message = f"{ALLOWED.name}: none of the keys can be read; what was written before stays"
        context.report(UNKNOWN_API_KEY, message, field=context.option_field(ALLOWED))
        raise KeepLastGood(message)
    if keys and API_VERSIONS not in keys:
        message = f"{ALLOWED.name} lacks ApiVersions: current clients cannot connect"
        context.report(NO_API_VERSIONS, message, field=context.option_field(ALLOWED))
    return keys


def _rewrites(context: GenerateContext) -> Iterator[tuple[int, str, int]]:
    """Broker id, host and port of each rule, in order of the ids."""
    rewrites: dict[int, tuple[str, int]] = {}
    for broker, address in context.option(BROKER_REWRITE):
        rule = _rule(broker, address)
        if rule is None or rule[0] in rewrites:
            problem = "is not `id: host:port`" if rule is None else "names a broker a second time"
            message = f"{BROKER_REWRITE.name}: `{broker}: {address}` {problem}; it is left out"
            context.report(BAD_REWRITE, message, field=context.option_field(BROKER_REWRITE))
        else:
            rewrites[rule[0]] = rule[1:]
    for number, (host, port) in sorted(rewrites.items()):
        yield number, host, port


def _rule(broker: str, address: str) -> tuple[int, str, int] | None:
    match = _ADDRESS.fullmatch(address)
    if not match or not (broker.isascii() and broker.isdigit() and len(broker) <= 10):
        return None
    number, port = int(broker), int(match["port"])
    if number > _LARGEST_ID or not 1 <= port <= 65535:
        return None
    return number, match["host"].strip("[]"), port
