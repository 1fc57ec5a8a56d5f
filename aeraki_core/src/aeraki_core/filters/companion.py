"""An object that filters name: a ServiceEntry or a DestinationRule of ours, as a frozen value.

It has the labels and annotations of a filter, so the same promises hold for it. Its ``spec`` is the
text of canonical JSON: two companions are equal when their objects are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aeraki_core.filters.envoyfilter import (
    INSTANCE_LABEL,
    PLUGIN_LABEL,
    SERVICES_ANNOTATION,
    FilterKey,
    ServicePort,
    metadata_of,
    parse_namespaces,
    parse_service_ports,
)
from aeraki_core.filters.output_kind import OutputKind

__all__ = ["Companion", "freeze_spec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """One object that filters name.

    - key: its kind, namespace and name
    - plugin: whose filters name it
    - service_ports: the service ports of these filters
    - spec: canonical JSON (:func:`freeze_spec`)
    - namespaces: those of the services' objects
    - instance: the controller that it belongs to, where several share a cluster
    """

    key: FilterKey
    plugin: str
    service_ports: tuple[ServicePort, ...]
    spec: str
    namespaces: tuple[str, ...] = ()
    instance: str = ""

    def as_object(self) -> dict[str, Any]:
        """The Kubernetes object."""
        return {
            "apiVersion": self.key.kind.api_version,
            "kind": str(self.key.kind),
            "metadata": metadata_of(self),
            "spec": json.loads(self.spec),
        }

    @classmethod
    def parse(cls, kind: OutputKind, content: Mapping[str, Any]) -> Companion:
        """One of our objects, read back from a sink.

        Raises:
            ValueError: it lacks what :meth:`as_object` writes.
        """
        try:
            metadata = content["metadata"]
            annotations = metadata.get("annotations") or {}
            return cls(
                key=FilterKey(metadata["namespace"], metadata["name"], kind),
                plugin=metadata["labels"][PLUGIN_LABEL],
                service_ports=parse_service_ports(annotations.get(SERVICES_ANNOTATION, "")),
                spec=freeze_spec(content["spec"]),
                namespaces=parse_namespaces(metadata),
                instance=metadata["labels"].get(INSTANCE_LABEL) or "",
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a {kind} as Aeraki writes them: {error}") from error


def freeze_spec(spec: Mapping[str, Any]) -> str:
    """A spec as text that is equal for equal specs.

    Raises:
        TypeError: a value has no JSON form.
    """
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
