"""What the models of both resources are made of: the base, durations, percentages, credentials.

In: parts of an object's ``spec`` as Kubernetes writes them. Out: frozen pydantic models. Names are those of upstream's API
(aeraki-mesh/api, redis/v1alpha1), so that its manifests fit; fields that upstream does not know are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from google.protobuf.duration_pb2 import Duration as DurationMessage
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from aeraki_core import parse_duration

__all__ = [
    "MAX_UINT32",
    "Auth",
    "Duration",
    "Percent",
    "PlainAuth",
    "PositiveDuration",
    "SecretReference",
    "Spec",
    "duration_message",
]

MAX_UINT32 = 2**32 - 1


class Spec(BaseModel):
    """A part of an object: camelCase keys, unknown ones ignored, null the same as absent (as in protobuf's JSON)."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, alias_generator=to_camel
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: item for key, item in value.items() if item is not None}
        return value


def _is_duration(text: str) -> str:
    parse_duration(text)
    return text


def _is_positive(text: str) -> str:
    if parse_duration(text) <= 0:
        raise ValueError("must be longer than 0")
    return text


Duration = Annotated[str, AfterValidator(_is_duration)]
"""A text such as ``60s``, ``1.5s`` or ``200ms``."""

PositiveDuration = Annotated[str, AfterValidator(_is_positive)]
"""A :data:`Duration` above 0: Envoy refuses another."""


def duration_message(text: str) -> DurationMessage:
    """A :data:`Duration` as Envoy takes it."""
    message = DurationMessage()
    message.FromNanoseconds(round(parse_duration(text) * 1e9))
    return message


class Percent(Spec):
    """A share in percent. What is not from 0 to 100 is accepted here and reported by checks.py, as upstream accepts it."""

    value: float = Field(0.0, description="The share, from 0.0 to 100.0.")

    @property
    def valid(self) -> bool:
        """Whether it is a share at all."""
        return 0 <= self.value <= 100


class SecretReference(Spec):
    """Names a Secret of the object's namespace and the fields to read."""

    name: str = Field("", description="The Secret's name; it is read in the object's namespace.")
    password_field: str = Field(
        "",
        description="The field that holds the password. Without it: password, or token if there is no password.",
    )
    username_field: str = Field(
        "",
        description="The field that holds the username. Without it: username, if the Secret has it.",
    )


class PlainAuth(Spec):
    """A password in plain sight of everyone who may read the object."""

    password: Annotated[SecretStr, WithJsonSchema({"type": "string", "format": "password"})] = (
        Field(SecretStr(""), description="The password.", json_schema_extra={"default": ""})
    )
    username: str = Field("", description="The username; Redis before 6 knows none.")


class Auth(Spec):
    """Credentials: in a Secret, or plain."""

    secret: SecretReference | None = Field(
        None, description="Read them from a Secret of this namespace."
    )
    plain: PlainAuth | None = Field(None, description="The credentials themselves.")

    @model_validator(mode="after")
    def _one_of(self) -> Auth:
        if self.secret is not None and self.plain is not None:
            raise ValueError("give secret or plain, not both")
        return self
