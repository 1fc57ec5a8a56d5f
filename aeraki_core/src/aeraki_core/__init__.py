"""Aeraki's core: what a plugin imports, and nothing else.

A plugin is written against these names and :mod:`aeraki_core.testing`. docs/plugins.md is the one page to read.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aeraki_core.filters.patch import Inbound, Outbound, Patch, Side
    from aeraki_core.findings.finding import Code, Finding, Severity
    from aeraki_core.mesh.routes import Mirror, Route, RouteMatch, WeightedCluster, cluster_name
    from aeraki_core.model.duration import parse_duration
    from aeraki_core.model.istio import DestinationRule, StringMatch, VirtualService
    from aeraki_core.model.meta import ObjectRef
    from aeraki_core.model.resource import Kind, Resource
    from aeraki_core.model.secret import Secret
    from aeraki_core.model.service import Port, Service
    from aeraki_core.pipeline.detect import Detector
    from aeraki_core.plugins.context import GenerateContext, KeepLastGood
    from aeraki_core.plugins.hookspec import hookimpl
    from aeraki_core.plugins.matchers import header_matchers, matches_any, string_matcher
    from aeraki_core.plugins.types import Extension, Option, OptionType, Protocol
    from aeraki_core.plugins.validate import ValidateContext

# Imported when first used: `aeraki --help` must not pay for pydantic and protobuf.
_HOME = {
    "Code": "findings.finding",
    "DestinationRule": "model.istio",
    "Detector": "pipeline.detect",
    "Extension": "plugins.types",
    "Finding": "findings.finding",
    "GenerateContext": "plugins.context",
    "Inbound": "filters.patch",
    "KeepLastGood": "plugins.context",
    "Kind": "model.resource",
    "Mirror": "mesh.routes",
    "ObjectRef": "model.meta",
    "Option": "plugins.types",
    "OptionType": "plugins.types",
    "Outbound": "filters.patch",
    "Patch": "filters.patch",
    "Port": "model.service",
    "Protocol": "plugins.types",
    "Resource": "model.resource",
    "Route": "mesh.routes",
    "RouteMatch": "mesh.routes",
    "Secret": "model.secret",
    "Service": "model.service",
    "Severity": "findings.finding",
    "Side": "filters.patch",
    "StringMatch": "model.istio",
    "ValidateContext": "plugins.validate",
    "VirtualService": "model.istio",
    "WeightedCluster": "mesh.routes",
    "cluster_name": "mesh.routes",
    "header_matchers": "plugins.matchers",
    "hookimpl": "plugins.hookspec",
    "matches_any": "plugins.matchers",
    "parse_duration": "model.duration",
    "string_matcher": "plugins.matchers",
}

__all__ = [
    "Code",
    "DestinationRule",
    "Detector",
    "Extension",
    "Finding",
    "GenerateContext",
    "Inbound",
    "KeepLastGood",
    "Kind",
    "Mirror",
    "ObjectRef",
    "Option",
    "OptionType",
    "Outbound",
    "Patch",
    "Port",
    "Protocol",
    "Resource",
    "Route",
    "RouteMatch",
    "Secret",
    "Service",
    "Severity",
    "Side",
    "StringMatch",
    "ValidateContext",
    "VirtualService",
    "WeightedCluster",
    "cluster_name",
    "header_matchers",
    "hookimpl",
    "matches_any",
    "parse_duration",
    "string_matcher",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"aeraki_core.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, also those that nobody has used yet: `help` and editors look for them here."""
    return sorted({*globals(), *__all__})
