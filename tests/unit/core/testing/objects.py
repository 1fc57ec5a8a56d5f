"""Objects and EnvoyFilters that the tests of `aeraki_core.testing` share."""

from __future__ import annotations

from typing import Any

ROOT = "istio-system"
ECHO = "envoy.filters.network.echo"
TCP_PROXY = "envoy.filters.network.tcp_proxy"
_TYPES = "type.googleapis.com/envoy.extensions.filters.network"
ECHO_FILTER = {"name": ECHO, "typed_config": {"@type": f"{_TYPES}.echo.v3.Echo"}}
CART = "cart.shop.svc.cluster.local"


def tcp_filter(**config: Any) -> dict[str, Any]:
    return {
        "name": TCP_PROXY,
        "typed_config": {"@type": f"{_TYPES}.tcp_proxy.v3.TcpProxy", **config},
    }


def envoy_filter(
    *patches: dict[str, Any], name: str = "f", namespace: str = ROOT, **fields: Any
) -> dict[str, Any]:
    created = fields.pop("created", None)
    metadata = {"name": name, "namespace": namespace}
    if created:
        metadata["creationTimestamp"] = created
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": metadata,
        "spec": {"configPatches": list(patches), **fields},
    }


def patch(
    operation: str,
    value: Any = None,
    *,
    to: str = "NETWORK_FILTER",
    context: str = "SIDECAR_OUTBOUND",
    **match: Any,
) -> dict[str, Any]:
    """Return a patch; for a network filter it matches tcp_proxy by default.

    `listener` or `filter=None` change that.
    """
    name = match.pop("filter", TCP_PROXY if to == "NETWORK_FILTER" else None)
    if name is not None:
        match.setdefault("listener", {}).setdefault("filterChain", {}).setdefault(
            "filter", {"name": name}
        )
    body: dict[str, Any] = {"operation": operation}
    if value is not None:
        body["value"] = value
    return {"applyTo": to, "match": {"context": context, **match}, "patch": body}
