"""The findings that this plugin reports on its own, each with what to do about it."""

from __future__ import annotations

from aeraki_core import Code, Severity

__all__ = ["BAD_THRESHOLD", "CODES", "HTTP_ROUTES", "UNUSED_THRESHOLDS"]

HTTP_ROUTES = Code(
    "ZKP0101",
    Severity.WARNING,
    "http routes have no effect on ZooKeeper",
    "Write them as tcp routes, which choose a destination for each connection, or remove them.",
)
BAD_THRESHOLD = Code(
    "ZKP0102",
    Severity.WARNING,
    "not a latency threshold",
    "Write `opcode: duration`, such as `GetData: 50ms`; until then the default threshold counts.",
)
UNUSED_THRESHOLDS = Code(
    "ZKP0103",
    Severity.WARNING,
    "latency thresholds have no effect",
    "Set latency-threshold-metrics to true, or remove the thresholds.",
)

CODES = (HTTP_ROUTES, BAD_THRESHOLD, UNUSED_THRESHOLDS)
