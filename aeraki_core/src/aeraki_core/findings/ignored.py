"""Findings that the author of an object accepts, by an annotation of the object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["IGNORE_ANNOTATION", "ignored_codes"]

IGNORE_ANNOTATION = "aeraki.io/ignore"
"""On any object: codes of findings about it that are not reported, separated by commas."""


def ignored_codes(content: Mapping[str, Any]) -> frozenset[str]:
    """Return the codes that an object's annotation names; none if it has no such annotation."""
    metadata = content.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    text = annotations.get(IGNORE_ANNOTATION) if isinstance(annotations, Mapping) else None
    return frozenset(re.split(r"[\s,]+", text.upper())) if isinstance(text, str) else frozenset()
