"""A model that compares in its own way is the plugin's code, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from aeraki_core import Kind, hookimpl
from tests.unit.core.echo import EchoPlugin, EchoSpec, Mesher


def compares_with(body: Any) -> Kind[Any]:
    class OddSpec(EchoSpec):
        __eq__ = body
        __hash__ = None  # type: ignore[assignment]

    return Kind(
        group="echo.example.com",
        version="v1",
        kind="EchoPolicy",
        plural="echopolicies",
        spec=OddSpec,
        summary="How to echo",
        hosts=lambda spec: (spec.host,),
    )


class Odd(EchoPlugin):
    def __init__(self, kind: Kind[Any]) -> None:
        super().__init__()
        self.kind = kind

    @hookimpl
    def aeraki_resources(self) -> Iterable[Kind[Any]]:
        return [self.kind]

    @hookimpl
    def aeraki_generate(self, protocol: Any, context: Any) -> Any:
        for policy in context.resources(self.kind):
            context.report(protocol.codes[0], f"volume {policy.spec.volume}")
        return ()


def raises(self: object, other: object) -> bool:
    raise RuntimeError("not comparable")


def ends(self: object, other: object) -> bool:
    raise SystemExit(3)


@pytest.mark.parametrize("body", [raises, ends])
def test_what_cannot_be_compared_counts_as_changed(body: Any) -> None:
    mesh = Mesher(Odd(compares_with(body)))
    mesh.service()
    for volume in (3, 4):
        mesh.put("EchoPolicy", "p", {"host": "cart", "volume": volume})
        mesh.run()
        assert [finding.message for finding in mesh.pipeline.findings()] == [f"volume {volume}"]
