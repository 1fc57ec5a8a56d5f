"""Aeraki's core: what a plugin imports, and nothing else.

A plugin is written against these names and :mod:`aeraki_core.testing`. docs/plugins.md is the one page to read.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aeraki_core.context import GenerateContext, KeepLastGood
    from aeraki_core.detect import Detector
    from aeraki_core.duration import parse_duration
    from aeraki_core.finding import Code, Finding, Severity
    from aeraki_core.hookspec import hookimpl
    from aeraki_core.matchers import header_matchers, matches_any, string_matcher
    from aeraki_core.model.istio import DestinationRule, StringMatch, VirtualService
    from aeraki_core.model.meta import ObjectRef
    from aeraki_core.model.secret import Secret
    from aeraki_core.model.service import Port, Service
    from aeraki_core.patch import Inbound, Outbound, Patch, Side
    from aeraki_core.resource import Kind, Resource
    from aeraki_core.routes import Mirror, Route, RouteMatch, WeightedCluster, cluster_name
    from aeraki_core.types import Extension, Option, OptionType, Protocol
    from aeraki_core.validate import ValidateContext

# Imported when first used: `aeraki --help` must not pay for pydantic and protobuf.
_HOME = {
    "Code": "finding",
    "DestinationRule": "model.istio",
    "Detector": "detect",
    "Extension": "types",
    "Finding": "finding",
    "GenerateContext": "context",
    "Inbound": "patch",
    "KeepLastGood": "context",
    "Kind": "resource",
    "Mirror": "routes",
    "ObjectRef": "model.meta",
    "Option": "types",
    "OptionType": "types",
    "Outbound": "patch",
    "Patch": "patch",
    "Port": "model.service",
    "Protocol": "types",
    "Resource": "resource",
    "Route": "routes",
    "RouteMatch": "routes",
    "Secret": "model.secret",
    "Service": "model.service",
    "Severity": "finding",
    "Side": "patch",
    "StringMatch": "model.istio",
    "ValidateContext": "validate",
    "VirtualService": "model.istio",
    "WeightedCluster": "routes",
    "cluster_name": "routes",
    "header_matchers": "matchers",
    "hookimpl": "hookspec",
    "matches_any": "matchers",
    "parse_duration": "duration",
    "string_matcher": "matchers",
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
