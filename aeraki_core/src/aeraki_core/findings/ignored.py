"""Findings that the author of an object accepts, by an annotation of the object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aeraki_core.findings.codes import CORE_CODES

__all__ = ["IGNORE_ANNOTATION", "ignored_codes", "unknown_codes"]

IGNORE_ANNOTATION = "aeraki.io/ignore"
"""On any object: codes of findings about it that are not reported, separated by commas."""
_OF_A_PLUGIN = re.compile(r"(?!AER)[A-Z]{2,8}[0-9]{4}")


def ignored_codes(content: Mapping[str, Any]) -> frozenset[str]:
    """Return the codes that an object's annotation names; none if it has no such annotation."""
    metadata = content.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    text = annotations.get(IGNORE_ANNOTATION) if isinstance(annotations, Mapping) else None
    return frozenset(re.findall(r"[^\s,]+", text.upper())) if isinstance(text, str) else frozenset()


def unknown_codes(codes: Iterable[str]) -> list[str]:
    """Return those that no finding has.

    A code with another prefix than the core's may be of a plugin that is not installed here.
    """
    known = {code.id for code in CORE_CODES}
    return sorted(code for code in codes if code not in known and not _OF_A_PLUGIN.fullmatch(code))
