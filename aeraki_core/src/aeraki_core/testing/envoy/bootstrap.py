"""The bootstrap of a local Envoy, as a dictionary to be written as JSON.

JSON and not YAML, whose ``n`` and ``y`` Envoy reads as booleans. Everything is static, or listeners
and clusters come from a management server. A sound configuration gives no warning: the limit of
connections that Envoy asks for is set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aeraki_core.testing.envoy.local import EnvoyConfig
from aeraki_core.testing.sidecar.messages import to_dict

__all__ = ["ads_bootstrap", "static_bootstrap"]

_MAX_CONNECTIONS = 100_000
_MAX_PROGRAM_SIZE = 32768
_TYPE = "type.googleapis.com/envoy.extensions"


def _common(admin: Path | None) -> dict[str, Any]:
    bootstrap: dict[str, Any] = {
        "node": {"id": "aeraki-testing", "cluster": "aeraki-testing"},
        # Without a limit every start warns.
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_TYPE}.resource_monitors.downstream_connections.v3."
                        "DownstreamConnectionsConfig",
                        "max_active_downstream_connections": _MAX_CONNECTIONS,
                    },
                }
            ]
        },
        # As Istio's proxies: Envoy's own limit for regular expressions is 100.
        "layered_runtime": {
            "layers": [
                {
                    "name": "istio",
                    "static_layer": {"re2.max_program_size.error_level": _MAX_PROGRAM_SIZE},
                }
            ]
        },
    }
    if admin is not None:
        bootstrap["admin"] = {"address": {"pipe": {"path": str(admin)}}}
    return bootstrap


def static_bootstrap(config: EnvoyConfig, admin: Path | None = None) -> dict[str, Any]:
    """Return a bootstrap with all listeners and clusters.

    ``admin`` is the socket of the admin interface.

    Raises:
        ValueError: a message holds an undefined type, so it cannot be written as JSON.
    """
    return {
        **_common(admin),
        "static_resources": {
            "listeners": [to_dict(item) for item in config.listeners],
            "clusters": [to_dict(item) for item in config.clusters],
        },
    }


def ads_bootstrap(server: Path, admin: Path) -> dict[str, Any]:
    """Listeners and clusters from the management server at a socket."""
    source = {"ads": {}, "resource_api_version": "V3"}
    http2 = {
        "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(server)}}}}
    return {
        **_common(admin),
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "management_server"}}],
            },
            "lds_config": source,
            "cds_config": source,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "management_server",
                    "type": "STATIC",
                    "connect_timeout": "5s",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
                    },
                    "load_assignment": {
                        "cluster_name": "management_server",
                        "endpoints": [{"lb_endpoints": [endpoint]}],
                    },
                }
            ]
        },
    }
