"""The findings that this plugin reports on its own, each with what to do about it."""

from __future__ import annotations

from aeraki_core import Code, Severity

__all__ = ["BAD_THRESHOLD", "CODES", "HTTP_ROUTES", "UNUSED_THRESHOLDS"]

HTTP_ROUTES = Code(
    id="ZKP0101",
    severity=Severity.WARNING,
    title="http routes have no effect on ZooKeeper",
    action="Write them as tcp routes, "
    "which choose a destination for each connection, or remove them.",
)
BAD_THRESHOLD = Code(
    id="ZKP0102",
    severity=Severity.WARNING,
    title="invalid latency threshold",
    action="Write `opcode: duration`, such as `GetData: 50ms`; "
    "until then the default threshold counts.",
)
UNUSED_THRESHOLDS = Code(
    id="ZKP0103",
    severity=Severity.WARNING,
    title="latency thresholds have no effect",
    action="Set latency-threshold-metrics to true, or remove the thresholds.",
)

CODES = (HTTP_ROUTES, BAD_THRESHOLD, UNUSED_THRESHOLDS)
