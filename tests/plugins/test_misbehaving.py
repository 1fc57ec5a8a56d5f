"""Plugins that misbehave in every way, beside one that works.

The good one continues to work, and each bad one is reported by name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.distributions import DISTRIBUTIONS, install
from tests.plugins.judge import TOKENS

JUDGE = Path(__file__).with_name("judge.py")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    target = tmp_path_factory.mktemp("installed")
    install(target, tmp_path_factory.mktemp("work"))
    environment = {**os.environ, "PYTHONPATH": str(target)}
    done = subprocess.run(
        [sys.executable, str(JUDGE)], env=environment, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_plugin_is_found(judged: dict[str, Any]) -> None:
    assert judged["plugins"].keys() >= {distribution.plugin for distribution in DISTRIBUTIONS}
    assert judged["plugins"]["works"]["title"] == "aeraki-plugins-works 1.2.3"


def test_the_one_that_works_works(judged: dict[str, Any]) -> None:
    assert judged["plugins"]["works"]["state"] == "active"
    assert judged["filters"] == ["works"]


@pytest.mark.parametrize(
    ("plugin", "state", "reason"),
    [
        ("raises-on-import", "failed", "import failed: RuntimeError: no library here"),
        ("exits-on-import", "failed", "import failed: SystemExit: not on this machine"),
        ("not-there", "failed", "import failed: ModuleNotFoundError"),
        ("too-new", "incompatible", "it needs aeraki-core>=99, this is "),
        (
            "unknown-hook",
            "failed",
            "there is no hook aeraki_generates; did you mean aeraki_generate?",
        ),
        (
            "unknown-parameter",
            "failed",
            "aeraki_generate is given no mesh; it has protocol, context",
        ),
        ("no-hook", "failed", "it implements no hook"),
        ("no-generator", "failed", "it brings protocols but no aeraki_generate"),
        ("no-protocol", "failed", "which is no Protocol"),
        (
            "no-list",
            "failed",
            "aeraki_protocols gave a Protocol where a list of Protocol values belongs",
        ),
        ("derived-protocol", "failed", "which is no Protocol"),
        ("unprintable-import", "failed", "import failed: Unprintable: <exception str() failed>"),
        ("tokens-text", "failed", "the tokens of word are a tuple of words: write ('word',)"),
        ("raises-in-hook", "failed", "ValueError: later"),
        ("bad-token", "failed", "'Bad Token' is no token"),
        (
            "clash-one",
            "conflicting",
            "token clash is claimed by aeraki-plugins-clash-one "
            "1.2.3 and aeraki-plugins-clash-two 2.0",
        ),
        (
            "clash-two",
            "conflicting",
            "token clash is claimed by aeraki-plugins-clash-one "
            "1.2.3 and aeraki-plugins-clash-two 2.0",
        ),
    ],
)
def test_a_plugin_that_cannot_be_used_says_why(
    judged: dict[str, Any], plugin: str, state: str, reason: str
) -> None:
    found = judged["plugins"][plugin]
    assert found["state"] == state
    assert reason in found["reason"]


def test_a_failed_plugin_shows_where(judged: dict[str, Any]) -> None:
    assert (
        "raise RuntimeError('no library here')" in judged["plugins"]["raises-on-import"]["detail"]
    )


@pytest.mark.parametrize(
    ("plugin", "code", "message"),
    [
        (
            "raises",
            "AER0401",
            "raises 1.2.3 raised ZeroDivisionError: "
            "division by zero (aeraki_plugins_raises/__init__.py:13)",
        ),
        ("exits", "AER0401", "aeraki-plugins-exits 1.2.3 raised SystemExit: 3"),
        ("garbage", "AER0402", "aeraki_generate gave a str where a Patch belongs"),
        ("not-iterable", "AER0402", "aeraki_generate gave no Patch values: yield them"),
        (
            "no-message",
            "AER0401",
            "a config is one of Envoy's messages (of xds-protos), "
            "not a dict (aeraki_plugins_no_message/__init__.py:13)",
        ),
        ("forgets-yield", "AER0402", "aeraki_generate gave no Patch values: yield them"),
        ("endless", "AER0402", "aeraki_generate gave more than 10000 patches"),
        ("interrupts", "AER0401", "aeraki-plugins-interrupts 1.2.3 raised KeyboardInterrupt"),
        ("foreign-code", "AER0401", "report: code is a str, where a value of Code belongs"),
        (
            "undeclared-code",
            "AER0401",
            "report: the plugin declares no code UND0101: list it in codes",
        ),
        (
            "other-message",
            "AER0401",
            "merge_cluster takes a envoy.config.cluster.v3.Cluster, not a envoy.extensions",
        ),
        ("other-match", "AER0401", "routes: match has no 'metod'; it has headers, method"),
        (
            "other-secret",
            "AER0401",
            "no resource that was asked for refers to the Secret shop/s: name it in Kind.secrets",
        ),
        ("silent-keep", "AER0407", "the moon is full; what was written before stays"),
        ("nested", "AER0402", "aeraki_generate gave a generator where a Patch belongs"),
        ("derived-patch", "AER0402", "aeraki_generate gave a Derived where a Patch belongs"),
        ("odd-patch", "AER0402", "aeraki_generate gave a patch whose side is a str"),
        (
            "other-content",
            "AER0402",
            "aeraki_generate gave a patch of CLUSTER with a envoy.config.listener.v3.Filter",
        ),
        ("huge", "AER0402", "aeraki_generate gave patches of more than 4 MiB"),
        ("unprintable", "AER0401", "raised Unprintable: <exception str() failed>"),
        ("keeps-unprintable", "AER0407", "<exception str() failed>; what was written before"),
        ("unordered", "AER0402", "aeraki_generate gave no Patch values: yield them"),
        ("no-name", "AER0401", "raised ValueError: '' is no name of a filter"),
        ("closes", "AER0401", "aeraki-plugins-closes 1.2.3 raised GeneratorExit"),
        ("stops", "AER0401", "aeraki-plugins-stops 1.2.3 raised StopIteration"),
        ("recurses", "AER0401", "raised RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_a_generator_that_fails_is_named_at_the_service(
    judged: dict[str, Any], plugin: str, code: str, message: str
) -> None:
    assert judged["plugins"][plugin]["state"] == "active"
    found = [
        (item[0], item[2]) for item in judged["findings"] if item[1] == f"Service shop/{plugin}"
    ]
    assert [item[0] for item in found] == [code]
    assert message in found[0][1]


def test_nobody_else_is_blamed(judged: dict[str, Any]) -> None:
    services = {
        where.removeprefix("Service shop/")
        for code, where, _ in judged["findings"]
        if code.startswith("AER04")
    }
    inactive = {"clash", "too-new", "unknown-hook", "no-generator"}
    assert services == {*TOKENS} - inactive - {"works"}


def test_a_long_text_is_cut(judged: dict[str, Any]) -> None:
    found = [
        (code, len(message))
        for code, where, message in judged["findings"]
        if where == "Service shop/huge-finding"
    ]
    assert [code for code, _ in found] == ["AER0401", "LNG0101"]
    assert all(length < 5_000 for _, length in found)
