"""For tests of plugins: objects in, EnvoyFilters out, applied to a modelled sidecar and run in a real Envoy.

docs/testing.md shows how. Needs ``pip install 'aeraki-core[testing]'`` for Envoy and pytest; everything else works
without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from aeraki_core.testing.envoy.ads import NackError
    from aeraki_core.testing.envoy.batch import validate_many
    from aeraki_core.testing.envoy.binary import EnvoyError, EnvoyMissingError, find_envoy
    from aeraki_core.testing.envoy.local import EnvoyConfig, inbound_listener, to_envoy
    from aeraki_core.testing.envoy.log import LogRecord
    from aeraki_core.testing.envoy.process import Envoy, LiveEnvoy, Verdict
    from aeraki_core.testing.envoy.running import RunningEnvoy
    from aeraki_core.testing.generating import Made, generate
    from aeraki_core.testing.golden import Golden
    from aeraki_core.testing.sandbox import Sandbox, Sidecar
    from aeraki_core.testing.sidecar.filters import EnvoyFilterError, PatchRef
    from aeraki_core.testing.sidecar.model import SidecarConfig, model_sidecar
    from aeraki_core.testing.sidecar.patches import Patched, apply_filters, unmatched
    from aeraki_core.testing.sidecar.proxies import proxies_for
    from aeraki_core.testing.sidecar.proxy import MutualTls, Proxy
    from aeraki_core.testing.stray import stray_changes

# Imported when first used: pytest loads this package in every run, wherever aeraki-core is installed.
_HOME = {
    "Envoy": "envoy.process",
    "EnvoyConfig": "envoy.local",
    "EnvoyError": "envoy.binary",
    "EnvoyFilterError": "sidecar.filters",
    "EnvoyMissingError": "envoy.binary",
    "Golden": "golden",
    "LiveEnvoy": "envoy.process",
    "LogRecord": "envoy.log",
    "Made": "generating",
    "MutualTls": "sidecar.proxy",
    "NackError": "envoy.ads",
    "PatchRef": "sidecar.filters",
    "Patched": "sidecar.patches",
    "PluginConformance": "conformance",
    "Proxy": "sidecar.proxy",
    "RunningEnvoy": "envoy.running",
    "Sandbox": "sandbox",
    "Sidecar": "sandbox",
    "SidecarConfig": "sidecar.model",
    "Verdict": "envoy.process",
    "apply_filters": "sidecar.patches",
    "destination_rule": "builders",
    "endpoint_slice": "builders",
    "find_envoy": "envoy.binary",
    "generate": "generating",
    "inbound_listener": "envoy.local",
    "model_sidecar": "sidecar.model",
    "objects_in": "builders",
    "proxies_for": "sidecar.proxies",
    "resource": "builders",
    "secret": "builders",
    "service": "builders",
    "service_entry": "builders",
    "stray_changes": "stray",
    "to_envoy": "envoy.local",
    "to_yaml": "builders",
    "unmatched": "sidecar.patches",
    "validate_many": "envoy.batch",
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
