"""Build the configuration of Envoy's zookeeper_proxy from a service's options.

An option that is not set keeps Envoy's own default. Invalid values are reported at their
annotations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from envoy.extensions.filters.network.zookeeper_proxy.v3.zookeeper_proxy_pb2 import (
    LatencyThresholdOverride,
    ZooKeeperProxy,
)
from google.protobuf.duration_pb2 import Duration

from aeraki_core import GenerateContext, Option, parse_duration
from aeraki_plugins_zookeeper.codes import BAD_THRESHOLD, UNUSED_THRESHOLDS
from aeraki_plugins_zookeeper.protocol import (
    DECODER_ERRORS,
    DEFAULT_LATENCY_THRESHOLD,
    GREATEST_THRESHOLD,
    LATENCY_THRESHOLD_METRICS,
    LATENCY_THRESHOLDS,
    LEAST_THRESHOLD,
    MAX_PACKET_BYTES,
    REQUEST_BYTES,
    RESPONSE_BYTES,
)

__all__ = ["zookeeper_proxy"]

_OPCODES = {name.lower(): number for name, number in LatencyThresholdOverride.Opcode.items()}


def zookeeper_proxy(context: GenerateContext) -> ZooKeeperProxy:
    """Return the filter's configuration; the side sets ``stat_prefix``."""
    config = ZooKeeperProxy(
        enable_latency_threshold_metrics=context.option(LATENCY_THRESHOLD_METRICS),
        enable_per_opcode_request_bytes_metrics=context.option(REQUEST_BYTES),
        enable_per_opcode_response_bytes_metrics=context.option(RESPONSE_BYTES),
        enable_per_opcode_decoder_error_metrics=context.option(DECODER_ERRORS),
    )
    size = context.option(MAX_PACKET_BYTES)
    if size is not None:
        config.max_packet_bytes.value = size
    threshold = context.option(DEFAULT_LATENCY_THRESHOLD)
    if threshold is not None:
        config.default_latency_threshold.CopyFrom(_duration(threshold))
    for opcode, seconds in _thresholds(context):
        config.latency_threshold_overrides.add(opcode=opcode, threshold=_duration(seconds))
    if not config.enable_latency_threshold_metrics:
        options: tuple[tuple[Option[Any], bool], ...] = (
            (DEFAULT_LATENCY_THRESHOLD, threshold is not None),
            (LATENCY_THRESHOLDS, bool(config.latency_threshold_overrides)),
        )
        for option in (option for option, is_set in options if is_set):
            message = f"{option.name} has no effect without {LATENCY_THRESHOLD_METRICS.name}"
            context.report(UNUSED_THRESHOLDS, message, field=context.option_field(option))
    return config


def _thresholds(context: GenerateContext) -> Iterator[tuple[int, float]]:
    """Opcode and seconds of each threshold, in order; Envoy refuses an opcode given twice."""
    thresholds: dict[int, float] = {}
    for name, text in context.option(LATENCY_THRESHOLDS):
        opcode = _OPCODES.get(name.lower())
        seconds = _seconds(text)
        if opcode is None:
            problem = f"Envoy knows no opcode {name!r}"
        elif seconds is None:
            problem = f"{text!r} is not a duration from 1ms to 24h"
        elif opcode in thresholds:
            problem = f"{name!r} is given twice"
        else:
            thresholds[opcode] = seconds
            continue
        message = f"{LATENCY_THRESHOLDS.name}: {problem}; it is left out"
        context.report(BAD_THRESHOLD, message, field=context.option_field(LATENCY_THRESHOLDS))
    yield from sorted(thresholds.items())


def _seconds(text: str) -> float | None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return None
    return seconds if LEAST_THRESHOLD <= seconds <= GREATEST_THRESHOLD else None


def _duration(seconds: float) -> Duration:
    """To the microsecond, so that what a float adds at its end is not seen in the filter."""
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return Duration(seconds=whole, nanos=micros * 1000)
