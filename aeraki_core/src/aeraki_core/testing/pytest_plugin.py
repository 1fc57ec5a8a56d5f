"""Fixtures for a plugin's tests, and Envoy's log beside a failure.

Every pytest run of an environment that has aeraki-core loads this module (entry point
``pytest11``), so it imports nothing but pytest until a fixture is used. Fixtures: ``envoy``,
``envoy_sandbox``, ``golden``. Option: ``--regenerate``.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from aeraki_core.testing.envoy.process import Envoy
    from aeraki_core.testing.golden import Golden
    from aeraki_core.testing.sandbox import Sandbox

_REGENERATE = "--regenerate"
_SECTION_LIMIT = 20_000  # characters: a failure must stay readable
_sandbox_key: pytest.StashKey[Sandbox] = pytest.StashKey()


pytest.register_assert_rewrite("aeraki_core.testing.conformance")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that writes golden files."""
    group = parser.getgroup("aeraki", "Aeraki")
    try:
        group.addoption(
            _REGENERATE,
            action="store_true",
            default=False,
            help="write the golden files that differ instead of failing",
        )
    except (ValueError, argparse.ArgumentError):
        # Another plugin has an option of that name; that must not stop everyone's tests.
        return


@pytest.fixture(scope="session")
def envoy() -> Envoy:
    """The Envoy binary of this environment: validates and runs configurations."""
    from aeraki_core.testing.envoy.process import Envoy

    return Envoy.find()


@pytest.fixture
def envoy_sandbox(envoy: Envoy, request: pytest.FixtureRequest) -> Generator[Sandbox, None, None]:
    """Runs modelled sidecars in a real Envoy; all of them are stopped at the end of the test."""
    from aeraki_core.testing.sandbox import Sandbox

    with Sandbox(envoy) as sandbox:
        request.node.stash[_sandbox_key] = sandbox
        yield sandbox


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares text with files; with ``--regenerate`` it writes them."""
    from aeraki_core.testing.golden import Golden

    return Golden(regenerate=bool(request.config.getoption(_REGENERATE, default=False)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add Envoy's log and configuration to a failure."""
    report = yield
    sandbox = item.stash.get(_sandbox_key, None)
    if report.failed and sandbox is not None:
        for title, text in sandbox.describe():
            if len(text) > _SECTION_LIMIT:
                text = f"{text[:_SECTION_LIMIT]}\n... {len(text) - _SECTION_LIMIT} more characters"
            report.sections.append((title, text))
    return report
