"""What this plugin declares: the protocol and its options."""

from __future__ import annotations

from aeraki_core import Extension, Option, OptionType, Protocol
from aeraki_plugins_zookeeper.codes import CODES

__all__ = [
    "DECODER_ERRORS",
    "DEFAULT_LATENCY_THRESHOLD",
    "FILTER",
    "GREATEST_THRESHOLD",
    "LATENCY_THRESHOLDS",
    "LATENCY_THRESHOLD_METRICS",
    "LEAST_THRESHOLD",
    "MAX_PACKET_BYTES",
    "REQUEST_BYTES",
    "RESPONSE_BYTES",
    "ZOOKEEPER",
]

FILTER = "envoy.filters.network.zookeeper_proxy"

# Envoy refuses less. It counts in whole milliseconds; a day is more than any answer takes.
LEAST_THRESHOLD, GREATEST_THRESHOLD = 0.001, 86400.0

MAX_PACKET_BYTES = Option(
    name="max-packet-bytes",
    type=OptionType.INT,
    help="Larger messages are not decoded; "
    "the jute.maxbuffer of the servers. Envoy's default: 1 MiB",
    minimum=1,
    maximum=2**32 - 1,
)
LATENCY_THRESHOLD_METRICS = Option(
    name="latency-threshold-metrics",
    type=OptionType.BOOL,
    help="Count answers within and beyond their latency threshold",
    default=False,
)
DEFAULT_LATENCY_THRESHOLD = Option(
    name="default-latency-threshold",
    type=OptionType.DURATION,
    help="The threshold of the opcodes that latency-thresholds does not name. "
    "Envoy's default: 100ms",
    minimum=LEAST_THRESHOLD,
    maximum=GREATEST_THRESHOLD,
)
LATENCY_THRESHOLDS = Option(
    name="latency-thresholds",
    type=OptionType.MAP,
    help="Thresholds of single opcodes, `opcode: "
    "duration`, by Envoy's names (GetData, Create, ...)",
    default=(),
)
REQUEST_BYTES = Option(
    name="per-opcode-request-bytes-metrics",
    type=OptionType.BOOL,
    help="Count the requests' bytes for each opcode",
    default=False,
)
RESPONSE_BYTES = Option(
    name="per-opcode-response-bytes-metrics",
    type=OptionType.BOOL,
    help="Count the answers' bytes for each opcode",
    default=False,
)
DECODER_ERRORS = Option(
    name="per-opcode-decoder-error-metrics",
    type=OptionType.BOOL,
    help="Count messages that could not be decoded for each opcode",
    default=False,
)

ZOOKEEPER = Protocol(
    name="zookeeper",
    tokens=("zookeeper",),
    extension=Extension(FILTER, stock=True),
    summary="Metrics and latencies for each kind of operation",
    options=(
        MAX_PACKET_BYTES,
        LATENCY_THRESHOLD_METRICS,
        DEFAULT_LATENCY_THRESHOLD,
        LATENCY_THRESHOLDS,
        REQUEST_BYTES,
        RESPONSE_BYTES,
        DECODER_ERRORS,
    ),
    codes=CODES,
)
