"""`aeraki_core.testing` as a type checker sees it in a plugin's tests; mypy checks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, assert_type

from aeraki_core.testing import (
    Envoy,
    EnvoyConfig,
    Golden,
    Made,
    Patched,
    PluginConformance,
    Verdict,
    generate,
    service,
    stray_changes,
    to_yaml,
    unmatched,
    validate_many,
    virtual_service,
)

from aeraki_core import Finding

ECHO = service("echo", {"tcp-echo": 7}, selector={"app": "echo"})
assert_type(ECHO, dict[str, Any])
assert_type(virtual_service("echo", "echo"), dict[str, Any])
assert_type(to_yaml([ECHO]), str)


class TestEcho(PluginConformance):
    plugin: ClassVar[Any] = object()
    examples: ClassVar[dict[str, Any]] = {"a service": [ECHO]}
    odd_inputs = 50


def test_makes_filters(envoy: Envoy, golden: Golden) -> None:
    made = generate(ECHO, plugins=["echo"])
    assert_type(made, Made)
    assert_type(made.yaml, str)
    assert_type(made.codes, tuple[str, ...])
    assert_type(made.findings, tuple[Finding, ...])
    assert_type(made.filter("a"), dict[str, Any])
    assert_type(made.patches(), list[dict[str, Any]])
    assert_type(made.sidecar(), Patched)
    assert_type(made.envoy_configs(), dict[str, EnvoyConfig])
    assert_type(validate_many(envoy, made.envoy_configs()), dict[str, Verdict])
    stray_changes(made)
    unmatched(made.sidecars)
    golden.check(Path("echo.yaml"), made.yaml)
