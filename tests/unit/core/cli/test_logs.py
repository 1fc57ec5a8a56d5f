"""Every component in the documentation really logs, and has a level of its own."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from pathlib import Path

import pytest
from aeraki_core.console.logs import COMPONENTS, component_of

import aeraki_core
from tests.cli.running import Run


@pytest.fixture(scope="module")
def loggers() -> list[str]:
    """The names of all loggers of the core."""
    for module in pkgutil.walk_packages(aeraki_core.__path__, "aeraki_core."):
        if ".testing" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [name for name in logging.root.manager.loggerDict if name.startswith("aeraki_core.")]


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_has_loggers(component: str, loggers: list[str]) -> None:
    assert component in {component_of(name) for name in loggers}


def test_no_logger_is_outside_the_components(loggers: list[str]) -> None:
    assert {component_of(name) for name in loggers} <= {*COMPONENTS, "testing"}


@pytest.mark.parametrize("component", ["sources", "mesh", "pipeline", "sinks", "controller"])
def test_a_level_for_one_component_shows_it_alone(
    aeraki: Run, shop: Path, tmp_path: Path, component: str
) -> None:
    level = f"none,{component}:debug"
    result = aeraki("run", "--once", "-f", shop, "--to", tmp_path / "out", "--log-level", level)
    assert {line.split()[2] for line in result.err.splitlines()} == {f"{component}:"}
