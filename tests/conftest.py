"""What holds for every test: property tests that repeat, and no silent skips in CI."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

# Only the conftest above all tests may name plugins.
pytest_plugins = ["tests.rig.fixtures"]

# Slow tests begin first, so that no worker is alone with one at the end. The many small files of
# tests/unit fill the gaps. Tests with a Java peer come later, because Maven may still be busy.
BEGIN_WITH = ("tests/fuzz/", "tests/golden/", "tests/deploy/", "tests/docs/", "tests/cli/")
THEN = ("tests/dataplane/", "tests/peers/")

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
FUZZ_EXAMPLES = os.environ.get("AERAKI_FUZZ_EXAMPLES")

# The same examples in every run, unless `make fuzz` looks for new ones. No deadline: a shared
# machine is slow at times, which says nothing about the code.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=int(FUZZ_EXAMPLES or 100),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fuzz" if FUZZ_EXAMPLES else "repeatable")


def _refuse_skip(report: Report) -> Report:
    """A skip becomes a failure: in CI everything that a test needs has been installed."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"a skipped test is a failure in CI: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Watches the skips of tests."""
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Watches the skips of whole files."""
    return _refuse_skip((yield))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders files by how long they take; within a file the order stays."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    place = item.nodeid
    return 0 if place.startswith(BEGIN_WITH) else 1 if place.startswith(THEN) else 2
