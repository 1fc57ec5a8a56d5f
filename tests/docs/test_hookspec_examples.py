"""The examples in hookspec.py are a plugin that works."""

from __future__ import annotations

import doctest
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
from aeraki_core.plugins.hookspec import HookSpec
from aeraki_core.testing import Made, generate, service
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo
from pydantic import BaseModel

import aeraki_core
from aeraki_core import Code, Severity

HOOKS = {name: function for name, function in vars(HookSpec).items() if name.startswith("aeraki_")}


class EchoPolicySpec(BaseModel):
    host: str


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    """All examples in one module, as an author would put them."""
    module = ModuleType("echo")
    names = vars(module)
    names.update({name: getattr(aeraki_core, name) for name in aeraki_core.__all__})
    names.update(Echo=Echo, EchoPolicySpec=EchoPolicySpec)
    names["ECHO_UNKNOWN_HOST"] = Code(
        id="ECH0101", severity=Severity.WARNING, title="no such host", action="Correct it."
    )
    for function in HOOKS.values():
        for example in doctest.DocTestParser().get_examples(function.__doc__ or ""):
            exec(example.source, names)
    return module


def made(plugin: ModuleType, *objects: Mapping[str, Any]) -> Made:
    return generate(*objects, plugins=[plugin])


def test_every_hook_has_an_example(plugin: ModuleType) -> None:
    assert {name for name in vars(plugin) if name.startswith("aeraki_")} == set(HOOKS)


def test_the_generator_makes_a_filter_for_a_port_with_its_token(plugin: ModuleType) -> None:
    found = made(plugin, service("demo", {"tcp-echo": 7000}))
    value = found.patches("NETWORK_FILTER")[0]["patch"]["value"]
    assert value["name"] == "envoy.filters.network.echo"
    assert found.codes == ()


def test_the_detection_takes_the_port_that_it_knows(plugin: ModuleType) -> None:
    assert made(plugin, service("demo", {"anything": 7})).filters
    assert not made(plugin, service("demo", {"anything": 8})).filters


def test_the_validation_reports_what_it_finds(plugin: ModuleType) -> None:
    policy = {
        "apiVersion": "echo.example.com/v1",
        "kind": "EchoPolicy",
        "metadata": {"name": "policy", "namespace": "default"},
        "spec": {"host": "demo"},
    }
    (finding,) = made(plugin, policy).findings
    assert (finding.code.id, finding.field, finding.message) == (
        "ECH0101",
        "spec.host",
        "no such host",
    )
    assert made(plugin, policy, service("demo", {"tcp-echo": 7000})).codes == ()
