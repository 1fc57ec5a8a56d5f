"""A live filter as a sink finds it, from its Kubernetes object.

Anybody who may write EnvoyFilters can put our label on one, so nothing that an object holds may
raise an error here. A filter that is not as Aeraki writes it keeps what its labels say and has no
content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aeraki_core.filters.envoyfilter import (
    PLUGIN_LABEL,
    SERVICES_ANNOTATION,
    FilterKey,
    is_ours,
    parse_namespaces,
    parse_service_ports,
)
from aeraki_core.filters.live import Live
from aeraki_core.filters.message_types import import_type, type_names
from aeraki_core.filters.output import Output, from_dict, kind_of, to_dict

__all__ = ["live_of"]


def live_of(content: Any, instance: str = "") -> Live | None:
    """The live filter, whatever its object holds.

    None: the object is not ours. It is of no kind that we write, lacks our label or belongs to
    another ``instance``.
    """
    kind = kind_of(content) if isinstance(content, Mapping) else None
    if kind is None:
        return None
    metadata = content.get("metadata")
    if not isinstance(metadata, Mapping) or not _has_our_label(content, instance):
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not isinstance(name, str) or not isinstance(namespace, str):
        return None
    key = FilterKey(namespace, name, kind)
    output = _as_written(content)
    if output is not None:
        return Live.of(output)
    plugin = _text(metadata.get("labels"), PLUGIN_LABEL)
    try:
        service_ports = parse_service_ports(_text(metadata.get("annotations"), SERVICES_ANNOTATION))
        namespaces = parse_namespaces(metadata)
    except (ValueError, AttributeError):
        return Live(key, plugin, (), None)
    return Live(key, plugin, service_ports, None, namespaces)


def _text(texts: Any, name: str) -> str:
    value = texts.get(name) if isinstance(texts, Mapping) else None
    return value if isinstance(value, str) else ""


def _has_our_label(content: Mapping[str, Any], instance: str) -> bool:
    try:
        return is_ours(content, instance)
    except (AttributeError, TypeError):
        return False


def _as_written(content: Mapping[str, Any]) -> Output | None:
    """The output, if the object says just that: any other field could change what it does."""
    try:
        # A live filter is read before any generator runs and imports the types.
        for name in set(type_names(content.get("spec"))):
            import_type(name)
        output = from_dict(content)
        return output if to_dict(output)["spec"] == content["spec"] else None
    except Exception:  # noqa: BLE001 whatever it holds, it is not as we write it
        return None
