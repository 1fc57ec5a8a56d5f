"""For tests of plugins: objects in, EnvoyFilters out, applied to a modelled sidecar and run in a real Envoy.

docs/testing.md shows how. Needs ``pip install 'aeraki-core[testing]'`` for Envoy and pytest; everything else works
without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aeraki_core.testing.ads import NackError
    from aeraki_core.testing.batch import validate_many
    from aeraki_core.testing.binary import EnvoyError, EnvoyMissingError, find_envoy
    from aeraki_core.testing.builders import (
        destination_rule,
        endpoint_slice,
        objects_in,
        resource,
        secret,
        service,
        service_entry,
        to_yaml,
        virtual_service,
    )
    from aeraki_core.testing.conformance import PluginConformance
    from aeraki_core.testing.envoy import Envoy, LiveEnvoy, Verdict
    from aeraki_core.testing.filters import EnvoyFilterError, PatchRef
    from aeraki_core.testing.generating import Made, generate
    from aeraki_core.testing.golden import Golden
    from aeraki_core.testing.local import EnvoyConfig, inbound_listener, to_envoy
    from aeraki_core.testing.log import LogRecord
    from aeraki_core.testing.patches import Patched, apply_filters, unmatched
    from aeraki_core.testing.proxies import proxies_for
    from aeraki_core.testing.proxy import MutualTls, Proxy
    from aeraki_core.testing.running import RunningEnvoy
    from aeraki_core.testing.sandbox import Sandbox, Sidecar
    from aeraki_core.testing.sidecar import SidecarConfig, model_sidecar
    from aeraki_core.testing.stray import stray_changes

# Imported when first used: pytest loads this package in every run, wherever aeraki-core is installed.
_HOME = {
    "Envoy": "envoy",
    "EnvoyConfig": "local",
    "EnvoyError": "binary",
    "EnvoyFilterError": "filters",
    "EnvoyMissingError": "binary",
    "Golden": "golden",
    "LiveEnvoy": "envoy",
    "LogRecord": "log",
    "Made": "generating",
    "MutualTls": "proxy",
    "NackError": "ads",
    "PatchRef": "filters",
    "Patched": "patches",
    "PluginConformance": "conformance",
    "Proxy": "proxy",
    "RunningEnvoy": "running",
    "Sandbox": "sandbox",
    "Sidecar": "sandbox",
    "SidecarConfig": "sidecar",
    "Verdict": "envoy",
    "apply_filters": "patches",
    "destination_rule": "builders",
    "endpoint_slice": "builders",
    "find_envoy": "binary",
    "generate": "generating",
    "inbound_listener": "local",
    "model_sidecar": "sidecar",
    "objects_in": "builders",
    "proxies_for": "proxies",
    "resource": "builders",
    "secret": "builders",
    "service": "builders",
    "service_entry": "builders",
    "stray_changes": "stray",
    "to_envoy": "local",
    "to_yaml": "builders",
    "unmatched": "patches",
    "validate_many": "batch",
    "virtual_service": "builders",
}

__all__ = [
    "Envoy",
    "EnvoyConfig",
    "EnvoyError",
    "EnvoyFilterError",
    "EnvoyMissingError",
    "Golden",
    "LiveEnvoy",
    "LogRecord",
    "Made",
    "MutualTls",
    "NackError",
    "PatchRef",
    "Patched",
    "PluginConformance",
    "Proxy",
    "RunningEnvoy",
    "Sandbox",
    "Sidecar",
    "SidecarConfig",
    "Verdict",
    "apply_filters",
    "destination_rule",
    "endpoint_slice",
    "find_envoy",
    "generate",
    "inbound_listener",
    "model_sidecar",
    "objects_in",
    "proxies_for",
    "resource",
    "secret",
    "service",
    "service_entry",
    "stray_changes",
    "to_envoy",
    "to_yaml",
    "unmatched",
    "validate_many",
    "virtual_service",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"aeraki_core.testing.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
