"""A Secret whose values never print."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aeraki_core.errors import Problem, RejectedError
from aeraki_core.model.meta import ObjectRef

__all__ = ["Secret", "parse_secret"]


@dataclass(frozen=True, slots=True)
class Secret:
    """A Kubernetes Secret.

    ``data`` is decoded text; it stays out of ``repr`` and so out of logs and tracebacks' locals.
    """

    ref: ObjectRef
    """Its namespace and name."""
    data: Mapping[str, str] = field(repr=False, hash=False)
    """Its values, decoded; empty where ``refused`` says why."""
    refused: str = ""
    """Why plugins are not given its values: its type, and no label that opts in."""


OPT_IN_LABEL = "aeraki.io/secret"
_READABLE = frozenset({"", "Opaque", "kubernetes.io/basic-auth"})
_NEVER = frozenset({"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"})


def _why_refused(content: Mapping[str, Any]) -> str:
    """Return why the values stay unread.

    An object may name any Secret, also one that its author cannot read.
    """
    kind = str(content.get("type") or "")
    labels = (content.get("metadata") or {}).get("labels") or {}
    opted_in = isinstance(labels, Mapping) and str(labels.get(OPT_IN_LABEL)).lower() == "true"
    if kind in _NEVER:
        return f"a Secret of type {kind} is never used"
    if kind in _READABLE or opted_in:
        return ""
    return f'a Secret of type {kind} is used only with the label {OPT_IN_LABEL}: "true"'


def parse_secret(ref: ObjectRef, content: Mapping[str, Any]) -> Secret:
    """Parse a Secret, ``stringData`` over ``data``.

    Values that are not UTF-8 text are left out: no option of ours can use them.

    Raises:
        RejectedError: a value of ``data`` is not base64, or ``data`` or ``stringData`` is no map.
    """
    refused = _why_refused(content)
    if refused:
        return Secret(ref, {}, refused)
    data: dict[str, str] = {}
    for name in ("data", "stringData"):
        if not isinstance(content.get(name) or {}, Mapping):
            raise RejectedError((Problem(name, "not a map"),))
    for key, value in (content.get("data") or {}).items():
        try:
            data[str(key)] = base64.b64decode(value or "", validate=True).decode()
        except UnicodeDecodeError:
            continue
        except (binascii.Error, TypeError, ValueError):
            raise RejectedError((Problem(f"data.{key}", "not base64"),)) from None
    data.update({str(key): str(value) for key, value in (content.get("stringData") or {}).items()})
    return Secret(ref, data)
