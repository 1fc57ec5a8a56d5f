"""From a service's options to the configuration of Envoy's zookeeper_proxy.

In: a :class:`GenerateContext`. Out: a ``ZooKeeperProxy`` message without ``stat_prefix``; findings at
the annotations. What is not given is left to Envoy's own default.
"""

from __future__ import annotations

from collections.abc import Iterator

from envoy.extensions.filters.network.zookeeper_proxy.v3.zookeeper_proxy_pb2 import (
    LatencyThresholdOverride,
    ZooKeeperProxy,
)
from google.protobuf.duration_pb2 import Duration

from aeraki_core import GenerateContext, Option, OptionType, parse_duration
from aeraki_plugins_zookeeper.codes import BAD_THRESHOLD, UNUSED_THRESHOLDS

__all__ = ["OPTIONS", "zookeeper_proxy"]

# Envoy refuses less. It counts in whole milliseconds; a day is more than any answer takes.
_LEAST_THRESHOLD, _GREATEST_THRESHOLD = 0.001, 86400.0

_OPCODES = {name.lower(): number for name, number in LatencyThresholdOverride.Opcode.items()}

MAX_PACKET_BYTES = Option(
    "max-packet-bytes",
    OptionType.INT,
    "Larger messages are not decoded; the jute.maxbuffer of the servers. Envoy's default: 1 MiB",
    minimum=1,
    maximum=2**32 - 1,
)
LATENCY_THRESHOLD_METRICS = Option(
    "latency-threshold-metrics",
    OptionType.BOOL,
    "Count answers within and beyond their latency threshold",
    default=False,
)
DEFAULT_LATENCY_THRESHOLD = Option(
    "default-latency-threshold",
    OptionType.DURATION,
    "The threshold of the opcodes that latency-thresholds does not name. Envoy's default: 100ms",
    minimum=_LEAST_THRESHOLD,
    maximum=_GREATEST_THRESHOLD,
)
LATENCY_THRESHOLDS = Option(
    "latency-thresholds",
    OptionType.MAP,
    "Thresholds of single opcodes, `opcode: duration`, by Envoy's names (GetData, Create, ...)",
    default=(),
)
REQUEST_BYTES = Option(
    "per-opcode-request-bytes-metrics",
    OptionType.BOOL,
    "Count the requests' bytes for each opcode",
    default=False,
)
RESPONSE_BYTES = Option(
    "per-opcode-response-bytes-metrics",
    OptionType.BOOL,
    "Count the answers' bytes for each opcode",
    default=False,
)
DECODER_ERRORS = Option(
    "per-opcode-decoder-error-metrics",
    OptionType.BOOL,
    "Count messages that could not be decoded for each opcode",
    default=False,
)
OPTIONS = (
    MAX_PACKET_BYTES,
    LATENCY_THRESHOLD_METRICS,
    DEFAULT_LATENCY_THRESHOLD,
    LATENCY_THRESHOLDS,
    REQUEST_BYTES,
    RESPONSE_BYTES,
    DECODER_ERRORS,
)


def zookeeper_proxy(context: GenerateContext) -> ZooKeeperProxy:
    """The filter's configuration; ``stat_prefix`` is left to the side that it is for."""
    config = ZooKeeperProxy(
        enable_latency_threshold_metrics=context.option(LATENCY_THRESHOLD_METRICS.name),
        enable_per_opcode_request_bytes_metrics=context.option(REQUEST_BYTES.name),
        enable_per_opcode_response_bytes_metrics=context.option(RESPONSE_BYTES.name),
        enable_per_opcode_decoder_error_metrics=context.option(DECODER_ERRORS.name),
    )
    size = context.option(MAX_PACKET_BYTES.name)
    if size is not None:
        config.max_packet_bytes.value = size
    threshold = context.option(DEFAULT_LATENCY_THRESHOLD.name)
    if threshold is not None:
        config.default_latency_threshold.CopyFrom(_duration(threshold))
    for opcode, seconds in _thresholds(context):
        config.latency_threshold_overrides.add(opcode=opcode, threshold=_duration(seconds))
    if not config.enable_latency_threshold_metrics:
        given = {
            DEFAULT_LATENCY_THRESHOLD.name: threshold is not None,
            LATENCY_THRESHOLDS.name: bool(config.latency_threshold_overrides),
        }
        for name in (name for name, is_given in given.items() if is_given):
            message = f"{name} has no effect without {LATENCY_THRESHOLD_METRICS.name}"
            context.report(UNUSED_THRESHOLDS, message, field=context.option_field(name))
    return config


def _thresholds(context: GenerateContext) -> Iterator[tuple[int, float]]:
    """Opcode and seconds of each threshold, in order; Envoy refuses an opcode given twice."""
    found: dict[int, float] = {}
    for name, text in context.option(LATENCY_THRESHOLDS.name):
        opcode = _OPCODES.get(name.lower())
        seconds = _seconds(text)
        if opcode is None:
            problem = f"Envoy knows no opcode {name!r}"
        elif seconds is None:
            problem = f"{text!r} is not a duration from 1ms to 24h"
        elif opcode in found:
            problem = f"{name!r} is given twice"
        else:
            found[opcode] = seconds
            continue
        message = f"{LATENCY_THRESHOLDS.name}: {problem}; it is left out"
        context.report(BAD_THRESHOLD, message, field=context.option_field(LATENCY_THRESHOLDS.name))
    yield from sorted(found.items())


def _seconds(text: str) -> float | None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return None
    return seconds if _LEAST_THRESHOLD <= seconds <= _GREATEST_THRESHOLD else None


def _duration(seconds: float) -> Duration:
    """To the microsecond, so that what a float adds at its end is not seen in the filter."""
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return Duration(seconds=whole, nanos=micros * 1000)
