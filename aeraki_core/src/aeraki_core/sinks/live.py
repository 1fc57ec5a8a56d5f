"""A live filter as a sink finds it, from its Kubernetes object.

In: an object. Out: :class:`~aeraki_core.pipeline.reconcile.Live`; of one that is not as Aeraki writes it, what its labels still tell.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool

from aeraki_core.filters.envoyfilter import (
    PLUGIN_LABEL,
    SERVICES_ANNOTATION,
    EnvoyFilter,
    FilterKey,
    from_dict,
    is_ours,
    parse_namespaces,
    parse_service_ports,
    to_dict,
)
from aeraki_core.filters.live import Live

__all__ = ["live_of"]


def live_of(content: Any, instance: str = "") -> Live | None:
    """The filter in force; None when the object is not ours: no EnvoyFilter, without our label, or of another ``instance``."""
    if not isinstance(content, Mapping) or content.get("kind") != "EnvoyFilter":
        return None
    metadata = content.get("metadata")
    if not isinstance(metadata, Mapping) or not _has_our_label(content, instance):
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not isinstance(name, str) or not isinstance(namespace, str):
        return None
    key = FilterKey(namespace, name)
    found = _as_written(content)
    if found is not None:
        return Live(key, found.plugin, found.service_ports, found, found.namespaces)
    labels, annotations = metadata.get("labels"), metadata.get("annotations")
    plugin = labels.get(PLUGIN_LABEL) if isinstance(labels, Mapping) else None
    service_ports = (
        annotations.get(SERVICES_ANNOTATION) if isinstance(annotations, Mapping) else None
    )
    try:
        parsed, namespaces = (
            parse_service_ports(str(service_ports or "")),
            parse_namespaces(metadata),
        )
    except (ValueError, AttributeError):
        return Live(key, str(plugin or ""), (), None)
    return Live(key, str(plugin or ""), parsed, None, namespaces)


def _has_our_label(content: Mapping[str, Any], instance: str) -> bool:
    try:
        return is_ours(content, instance)
    except (AttributeError, TypeError):
        return False


def _as_written(content: Mapping[str, Any]) -> EnvoyFilter | None:
    """The filter, if the object says that and no more: a field that we do not write could change what it does."""
    for name in set(_types(content.get("spec"))):
        _know(name)
    try:
        found = from_dict(content)
    except ValueError:
        return None
    return found if to_dict(found)["spec"] == content["spec"] else None


def _types(value: Any) -> Iterator[str]:
    """The full names of all message types that the value holds as Any."""
    if isinstance(value, Mapping):
        url = value.get("@type")
        if isinstance(url, str):
            yield url.rpartition("/")[2]
        for item in value.values():
            yield from _types(item)
    elif isinstance(value, list):
        for item in value:
            yield from _types(item)


@cache
def _know(name: str) -> None:
    """Import the module of one of Envoy's message types: a live filter is read before any generator has run and did so."""
    package = name.rpartition(".")[0]
    if not package.startswith(("envoy.", "udpa.", "xds.")):
        return
    try:
        descriptor_pool.Default().FindMessageTypeByName(name)
        return
    except KeyError:
        pass
    for home in (package, f"contrib.{package}"):
        try:
            found = importlib.import_module(home)
        except ImportError:
            continue
        for module in pkgutil.iter_modules(found.__path__):
            if module.name.endswith("_pb2"):
                importlib.import_module(f"{home}.{module.name}")
