"""All that Aeraki writes: EnvoyFilters, and the companions that they name.

Whoever plans, writes or reads back needs no more of an output than its key, its plugin, its service
ports, its namespaces and its instance. The functions here are for its content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from aeraki_core.filters import envoyfilter
from aeraki_core.filters.companion import Companion
from aeraki_core.filters.envoyfilter import EnvoyFilter
from aeraki_core.filters.output_kind import OutputKind

__all__ = ["Output", "from_dict", "in_order", "is_up_to_date", "kind_of", "to_dict"]

Output = EnvoyFilter | Companion


def kind_of(content: Mapping[str, Any]) -> OutputKind | None:
    """The kind of an object; None if Aeraki writes no such kind."""
    api_version, kind = content.get("apiVersion"), content.get("kind")
    try:
        output_kind = OutputKind(str(kind))
    except ValueError:
        return None
    group = str(api_version or output_kind.api_version).partition("/")[0]
    return output_kind if group == output_kind.api_version.partition("/")[0] else None


def is_up_to_date(live: Output | None, want: Output) -> bool:
    """Whether what is live is what is wanted.

    That it does not say of which namespaces it is alone is no reason to write it.
    """
    if live is None or live == want:
        return live is not None
    return not live.namespaces and live == replace(want, namespaces=())


def in_order(outputs: Iterable[Output]) -> list[Output]:
    """The outputs in the order in which to apply them: first what filters name, then filters."""
    return sorted(outputs, key=lambda output: (not output.key.kind.is_named, output.key))


def to_dict(output: Output) -> dict[str, Any]:
    """The output as a Kubernetes object.

    Raises:
        UnserialisableError: a value has no JSON form.
    """
    return output.as_object() if isinstance(output, Companion) else envoyfilter.to_dict(output)


def from_dict(content: Mapping[str, Any]) -> Output:
    """One of our outputs, read back from a sink.

    Raises:
        ValueError: it is not of the form that :func:`to_dict` writes.
    """
    kind = kind_of(content)
    if kind is None:
        raise ValueError(f"Aeraki writes no {content.get('kind')}")
    if kind is OutputKind.ENVOY_FILTER:
        return envoyfilter.from_dict(content)
    return Companion.parse(kind, content)
