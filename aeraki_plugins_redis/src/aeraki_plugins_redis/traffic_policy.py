"""What the cluster of a Redis Cluster must not lose of Istio's: limits and outlier detection.

A cluster of type ``envoy.clusters.redis`` is one of our own, because no merge can change the type
of Istio's. So the settings that istiod writes there are written again, in the same way
(applyConnectionPool and applyOutlierDetection in istio/istio, pilot/pkg/networking/core).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from google.protobuf.message import Message

from aeraki_core import duration_message

__all__ = ["keep_policy", "part"]

_NO_LIMIT = 2**32 - 1
_LIMITS = ("max_connections", "max_pending_requests", "max_requests", "max_retries")


def keep_policy(cluster: Cluster, policy: Mapping[str, Any]) -> None:
    """Write what a DestinationRule's traffic policy, or Istio's default, says into a cluster."""
    pool = part(policy, "connectionPool")
    tcp, http = part(pool, "tcp"), part(pool, "http")
    thresholds = cluster.circuit_breakers.thresholds.add()
    for name in _LIMITS:
        getattr(thresholds, name).value = _NO_LIMIT
    _limit(thresholds, "max_connections", tcp.get("maxConnections"))
    _limit(thresholds, "max_pending_requests", http.get("http1MaxPendingRequests"))
    _limit(thresholds, "max_requests", http.get("http2MaxRequests"))
    _limit(thresholds, "max_retries", http.get("maxRetries"))
    _duration(cluster, "connect_timeout", tcp.get("connectTimeout"))
    keepalive = part(tcp, "tcpKeepalive")
    if keepalive:
        options = cluster.upstream_connection_options.tcp_keepalive
        for name, value in (
            ("keepalive_probes", _number(keepalive.get("probes"))),
            ("keepalive_time", _seconds(keepalive.get("time"))),
            ("keepalive_interval", _seconds(keepalive.get("interval"))),
        ):
            if value:
                getattr(options, name).value = value
    _keep_outlier_detection(cluster, part(policy, "outlierDetection"))


def part(value: Any, key: str) -> Mapping[str, Any]:
    """Return a part of an object that no model has checked; empty if it has another form."""
    field = value.get(key) if isinstance(value, Mapping) else None
    return field if isinstance(field, Mapping) else {}


def _keep_outlier_detection(cluster: Cluster, outlier: Mapping[str, Any]) -> None:
    if not outlier:
        return
    detection = cluster.outlier_detection
    detection.enforcing_success_rate.value = 0
    for written, field in (
        ("consecutive5xxErrors", "consecutive_5xx"),
        ("consecutiveGatewayErrors", "consecutive_gateway_failure"),
    ):
        errors = _number(outlier.get(written))
        if errors is not None:
            getattr(detection, field).value = errors
            getattr(detection, f"enforcing_{field}").value = 100 if errors else 0
    _duration(detection, "interval", outlier.get("interval"))
    _duration(detection, "base_ejection_time", outlier.get("baseEjectionTime"))
    if share := _number(outlier.get("maxEjectionPercent")):
        detection.max_ejection_percent.value = share
    if outlier.get("splitExternalLocalOriginErrors") is True:
        detection.split_external_local_origin_errors = True
        if failures := _number(outlier.get("consecutiveLocalOriginFailures")):
            detection.consecutive_local_origin_failure.value = failures
            detection.enforcing_consecutive_local_origin_failure.value = 100
        detection.enforcing_local_origin_success_rate.value = 0
    # Istio's default is 0, Envoy's 50.
    panic = _number(outlier.get("minHealthPercent")) or 0
    cluster.common_lb_config.healthy_panic_threshold.value = panic


def _limit(thresholds: CircuitBreakers.Thresholds, name: str, value: Any) -> None:
    number = _number(value)
    if number:
        getattr(thresholds, name).value = number


def _number(value: Any) -> int | None:
    """Return a whole number of at least 0; None for anything else."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= _NO_LIMIT else None


def _seconds(value: Any) -> int:
    try:
        return int(duration_message(str(value)).seconds) if value else 0
    except ValueError:
        return 0


def _duration(message: Message, name: str, value: Any) -> None:
    """Write a duration; nothing where it is none."""
    try:
        duration = duration_message(str(value)) if value else None
    except ValueError:
        return
    if duration is not None:
        getattr(message, name).CopyFrom(duration)
