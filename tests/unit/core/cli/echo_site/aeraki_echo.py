"""A plugin as a user installs one: protocol ``echo``, answered by Envoy itself with what a Secret holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.extensions.filters.network.direct_response.v3.config_pb2 import Config
from pydantic import BaseModel, Field

from aeraki_core import (
    Code,
    Extension,
    Finding,
    GenerateContext,
    Kind,
    Option,
    OptionType,
    Patch,
    Protocol,
    Resource,
    Severity,
    ValidateContext,
    hookimpl,
)

FILTER = "envoy.filters.network.direct_response"
TOO_LOUD = Code("ECH0101", Severity.WARNING, "volume is too high", "Lower it to 11 or less.")
ECHO = Protocol(
    name="echo",
    tokens=("echo",),
    extension=Extension(FILTER, stock=True),
    summary="Sends back",
    options=(
        Option(
            "volume",
            OptionType.INT,
            "How loud",
            default=1,
            minimum=0,
            maximum=11,
            aliases=("volume",),
        ),
        Option("file", OptionType.TEXT, "A file of the proxy to send back"),
        Option("fail", OptionType.BOOL, "Raise an error", default=False),
    ),
    codes=(TOO_LOUD,),
)


class EchoSpec(BaseModel):
    """How to echo."""

    host: str = Field(description="The service's host.")
    volume: int = Field(default=1, ge=0)
    mode: Literal["LOUD", "LOW"] = "LOUD"
    secret: str | None = None


POLICY = Kind(
    "echo.example.com",
    "v1",
    "EchoPolicy",
    "echopolicies",
    EchoSpec,
    "What to send back",
    short_names=("ep",),
    hosts=lambda spec: (spec.host,),
    secrets=lambda spec: (spec.secret,) if spec.secret else (),
    printer_columns=(("Host", ".spec.host"),),
)


@hookimpl
def aeraki_protocols() -> Iterable[Protocol]:
    return [ECHO]


@hookimpl
def aeraki_resources() -> Iterable[Kind[Any]]:
    return [POLICY]


@hookimpl
def aeraki_generate(context: GenerateContext) -> Iterator[Patch]:
    if context.option("fail"):
        raise RuntimeError("asked to")
    text = f"volume {context.option('volume')}"
    for policy in context.resources(POLICY):
        if policy.spec.secret:
            secret = context.secret(policy.namespace, policy.spec.secret)
            if secret is None:
                raise context.missing_secret(
                    f"no Secret {policy.spec.secret}", policy.ref, "spec.secret"
                )
            text = secret.data["text"]
    for side in (context.outbound, *context.inbound):
        source = (
            DataSource(filename=file)
            if (file := context.option("file"))
            else DataSource(inline_string=text)
        )
        yield side.replace_tcp_proxy(FILTER, Config(response=source))


@hookimpl
def aeraki_validate(resource: Resource[EchoSpec], context: ValidateContext) -> Iterator[Finding]:
    if resource.spec.volume > 11:
        yield context.finding(TOO_LOUD, f"volume {resource.spec.volume} is above 11", "spec.volume")
