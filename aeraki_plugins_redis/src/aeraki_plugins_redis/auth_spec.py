"""How a resource names a password: a Secret, or plain text. Field names are upstream's."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, WithJsonSchema, model_validator

from aeraki_core import SpecModel

__all__ = ["Auth", "PlainAuth", "SecretReference"]


class SecretReference(SpecModel):
    """Names a Secret of the object's namespace and the fields to read."""

    name: str = Field("", description="The Secret's name; it is read in the object's namespace.")
    password_field: str = Field(
        "",
        description="The field that holds the password. "
        "Without it: password, or token if there is no password.",
    )
    previous_password_field: str = Field(
        "",
        description="The field that holds a second password, which clients may still give while "
        "the password is changed. Without it: previousPassword, if the Secret has it.",
    )
    username_field: str = Field(
        "",
        description="The field that holds the username. "
        "Without it: username, if the Secret has it.",
    )


class PlainAuth(SpecModel):
    """A password in plain sight of everyone who may read the object."""

    password: Annotated[SecretStr, WithJsonSchema({"type": "string", "format": "password"})] = (
        Field(SecretStr(""), description="The password.", json_schema_extra={"default": ""})
    )
    previous_password: Annotated[
        SecretStr, WithJsonSchema({"type": "string", "format": "password"})
    ] = Field(
        SecretStr(""),
        description="A second password, "
        "which clients may still give while the password is changed.",
        json_schema_extra={"default": ""},
    )
    username: str = Field("", description="The username; Redis before 6 knows none.")


class Auth(SpecModel):
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
