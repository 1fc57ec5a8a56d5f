"""A Namespace: only what its annotations say to Aeraki."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aeraki_core.model.meta import ObjectRef

__all__ = ["ANNOTATION_PREFIX", "Namespace", "parse_namespace"]

ANNOTATION_PREFIX = "aeraki.io"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A Namespace and its annotations for Aeraki, sorted."""

    ref: ObjectRef
    annotations: tuple[tuple[str, str], ...] = ()


def parse_namespace(ref: ObjectRef, content: Mapping[str, Any]) -> Namespace:
    """Parse a Namespace; unused annotations are left out, so that their changes cost nothing."""
    annotations = (content.get("metadata") or {}).get("annotations") or {}
    return Namespace(
        ref,
        tuple(
            sorted(
                (str(name), str(text))
                for name, text in annotations.items()
                if f".{name}".partition("/")[0].endswith(f".{ANNOTATION_PREFIX}")
            )
        ),
    )
