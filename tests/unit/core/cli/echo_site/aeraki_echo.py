"""An installed plugin for tests: protocol ``echo``, which Envoy answers with a Secret's content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.extensions.filters.network.direct_response.v3.config_pb2 import Config
from pydantic import BaseModel, Field

from aeraki_core import (
    Code,
    Extension,
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
TOO_LOUD = Code(
    id="ECH0101",
    severity=Severity.WARNING,
    title="volume is too high",
    action="Lower it to 11 or less.",
)
VOLUME = Option(
    name="volume",
    type=OptionType.INT,
    help="How loud",
    default=1,
    minimum=0,
    maximum=11,
    aliases=("volume",),
)
FILE = Option(name="file", type=OptionType.TEXT, help="A file of the proxy to send back")
FAIL = Option(name="fail", type=OptionType.BOOL, help="Raise an error", default=False)
ECHO = Protocol(
    name="echo",
    tokens=("echo",),
    extension=Extension(FILTER, stock=True),
    summary="Sends back",
    options=(VOLUME, FILE, FAIL),
    codes=(TOO_LOUD,),
)


class EchoSpec(BaseModel):
    """How to echo."""

    host: str = Field(description="The service's host.")
    volume: int = Field(default=1, ge=0)
    mode: Literal["LOUD", "LOW"] = "LOUD"
    secret: str | None = None


POLICY = Kind(
    group="echo.example.com",
    version="v1",
    kind="EchoPolicy",
    plural="echopolicies",
    spec=EchoSpec,
    summary="What to send back",
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
    if context.option(FAIL):
        raise RuntimeError("asked to")
    text = f"volume {context.option(VOLUME)}"
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
            if (file := context.option(FILE))
            else DataSource(inline_string=text)
        )
        yield side.replace_tcp_proxy(FILTER, Config(response=source))


@hookimpl
def aeraki_validate(resource: Resource[EchoSpec], context: ValidateContext) -> None:
    if resource.spec.volume > 11:
        context.report(TOO_LOUD, f"volume {resource.spec.volume} is above 11", field="spec.volume")
