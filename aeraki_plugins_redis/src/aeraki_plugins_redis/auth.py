"""Passwords, from a Secret or from the object itself.

:class:`Credentials` do not print their password. When a password is missing, KeepLastGood is
raised: a filter without the password would open Redis to everyone or lock everyone out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from envoy.config.core.v3.base_pb2 import DataSource

from aeraki_core import GenerateContext, KeepLastGood, Resource
from aeraki_plugins_redis.auth_spec import Auth, PlainAuth, SecretReference
from aeraki_plugins_redis.codes import NO_PASSWORD

__all__ = ["Credentials", "credentials", "inline"]

_PASSWORD_FIELDS = ("password", "token")
_PREVIOUS_FIELD = "previousPassword"
_USERNAME_FIELD = "username"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What authenticates clients, or the sidecars at Redis."""

    password: str = field(repr=False)
    username: str = field(default="", repr=False)
    """Empty: only the password counts."""
    previous: str = field(default="", repr=False)
    """A second password that clients may still give; empty for none."""


def inline(text: str) -> DataSource:
    """Return the text as Envoy's data source."""
    return DataSource(inline_string=text)


def credentials(
    context: GenerateContext, resource: Resource[Any], auth: Auth | None, path: str
) -> Credentials | None:
    """Return the credentials of ``auth``, the resource's field ``path``; None without any.

    Raises:
        KeepLastGood: there is no password, or no Secret or field of that name. It was reported.
    """
    if auth is None:
        return None
    if auth.plain is not None:
        return _plain(context, resource, auth.plain, f"{path}.plain")
    if auth.secret is not None:
        return _secret(context, resource, auth.secret, f"{path}.secret")
    return None


def _plain(
    context: GenerateContext, resource: Resource[Any], plain: PlainAuth, path: str
) -> Credentials:
    password = plain.password.get_secret_value()
    if not password:
        message = "no password is given"
        context.report(NO_PASSWORD, message, ref=resource.ref, field=f"{path}.password")
        raise KeepLastGood(message)
    return Credentials(password, plain.username, plain.previous_password.get_secret_value())


def _secret(
    context: GenerateContext, resource: Resource[Any], reference: SecretReference, path: str
) -> Credentials:
    namespace = resource.namespace
    secret = context.secret(namespace, reference.name)
    if secret is None:
        message = f"no Secret {reference.name!r} in namespace {namespace}"
        raise context.missing_secret(message, resource.ref, f"{path}.name")

    def value(name: str) -> str:
        # Files often end in a line break, and so do Secrets made of them; upstream strips it too.
        return secret.data.get(name, "").strip()

    asked = (reference.password_field,) if reference.password_field else _PASSWORD_FIELDS
    password = next((part for part in map(value, asked) if part), "")
    if not password:
        message = f"{secret.ref} has no {' and no '.join(asked)}"
        raise context.missing_secret(message, resource.ref, f"{path}.passwordField")
    username = value(reference.username_field or _USERNAME_FIELD)
    if reference.username_field and not username:
        message = f"{secret.ref} has no {reference.username_field}"
        raise context.missing_secret(message, resource.ref, f"{path}.usernameField")
    previous = value(reference.previous_password_field or _PREVIOUS_FIELD)
    return Credentials(password, username, previous)
