"""Base types for the models of plugins' resources.

The CRD's schema is made from the model, and the two agree: the model reads everything that the API
server admits, and every value fits into Envoy's configuration. So durations have an upper limit
that a schema's pattern can express, and a share is never above 100.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from google.protobuf.duration_pb2 import Duration as DurationMessage
from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from aeraki_core.model.duration import parse_duration
from aeraki_core.model.wire import Spec

__all__ = ["Duration", "Percentage", "PositiveDuration", "SpecModel", "duration_message"]


class SpecModel(Spec):
    """Base of the models of a ``spec`` and its parts.

    Keys are camelCase, unknown ones are ignored, and null means absent, as in the API server.
    Values are frozen.
    """

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: part for key, part in value.items() if part is not None}
        return value


# Each unit at most once, the largest first: at most 9999 hours, a good year. One pattern for the
# model and the CRD.
_PATTERN = (
    r"^([0-9]{1,4}(\.[0-9]{1,9})?h)?([0-9]{1,6}(\.[0-9]{1,9})?m)?([0-9]{1,8}(\.[0-9]{1,9})?s)?"
    r"([0-9]{1,11}(\.[0-9]{1,9})?ms)?([0-9]{1,14}(\.[0-9]{1,9})?us)?$"
)
_NOT_ZERO = "[1-9]"


def _require_duration(text: str) -> str:
    parse_duration(text)
    if not re.fullmatch(_PATTERN, text):
        raise ValueError(
            f"{text[:40]!r} is not a duration of at most 9999h, such as 200ms, 1.5s or 1h30m"
        )
    return text


def _require_positive(text: str) -> str:
    if parse_duration(_require_duration(text)) <= 0:
        raise ValueError("must be longer than 0")
    return text


Duration = Annotated[
    str,
    AfterValidator(_require_duration),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "minLength": 2, "maxLength": 80}),
]
"""A text such as ``60s``, ``1.5s``, ``200ms`` or ``1h30m``; at most ``9999h``."""

PositiveDuration = Annotated[
    str,
    AfterValidator(_require_positive),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": _PATTERN,
            "minLength": 2,
            "maxLength": 80,
            "allOf": [{"pattern": _NOT_ZERO}],
        }
    ),
]
"""A :data:`Duration` above 0."""


def duration_message(text: str) -> DurationMessage:
    """Return a :data:`Duration` as Envoy's message.

    Raises:
        ValueError: it is no duration.
    """
    message = DurationMessage()
    message.FromNanoseconds(round(parse_duration(text) * 1e9))
    return message


class Percentage(SpecModel):
    """A share, as Istio writes one: ``{value: 12.5}``."""

    value: float = Field(0.0, ge=0, le=100, description="The share in percent, from 0.0 to 100.0.")
