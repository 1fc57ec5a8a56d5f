"""Requirements of a filter before a sink writes it: a legal name, and values with a JSON form.

Names come from hosts and ``exportTo``, values from a plugin. Their authors may be careless or
hostile, so every sink checks here first. A filter that cannot be written fails alone, with a
finding.
"""

from __future__ import annotations

import re
from typing import Any

from aeraki_core.errors import SinkError, UnserialisableError
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.output import Output, to_dict
from aeraki_core.findings.codes import UNWRITABLE
from aeraki_core.findings.finding import Finding

__all__ = ["UnwritableError", "check_key", "object_of"]

# Kubernetes: a namespace is an RFC 1123 label, the name of an EnvoyFilter an RFC 1123 subdomain.
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME = 253


class UnwritableError(SinkError):
    """A filter that can never be written as it is; ``finding`` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message, retry=False)
        self.finding = finding


def check_key(key: FilterKey) -> None:
    """Accept the namespace and name of a filter.

    Raises:
        UnwritableError: Kubernetes would not accept them; as part of a path they could lead
        elsewhere.
    """
    if not _LABEL.fullmatch(key.namespace):
        raise UnwritableError(
            Finding(UNWRITABLE, f"{key}: {key.namespace!r} is not a valid namespace name")
        )
    if len(key.name) > _LONGEST_NAME or not _SUBDOMAIN.fullmatch(key.name):
        raise UnwritableError(Finding(UNWRITABLE, f"{key}: the filter's name is not valid"))


def object_of(output: Output) -> dict[str, Any]:
    """The output as a Kubernetes object.

    Raises:
        UnwritableError: its name is not valid, or one of its values has no JSON form.
    """
    check_key(output.key)
    try:
        return to_dict(output)
    except UnserialisableError as error:
        message = f"{output.key}: {error}"
        raise UnwritableError(Finding(UNWRITABLE, message, plugin=output.plugin)) from error
