"""docs/testing.md does what it says: its files are written and its commands run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.docs.page import RunCommand, Stray, WriteFile, steps

pytestmark = pytest.mark.envoy

PAGE = Path(__file__).parents[4] / "docs" / "testing.md"
_COMMANDS: Mapping[str, list[str]] = {
    # Load the plugin by name, so that the page also works where its entry point is not installed.
    "pytest": [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "aeraki_core.testing.pytest_plugin",
    ],
    "python": [sys.executable],
}
_SECONDS = re.compile(r" in \d+\.\d+s( \(\d+:\d\d:\d\d\))?")


def run(command: str, folder: Path) -> str:
    name, *arguments = shlex.split(command)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST")
    }
    done = subprocess.run(
        [*_COMMANDS[name], *arguments],
        cwd=folder,
        env={
            **environment,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "COLUMNS": "80",
            "NO_COLOR": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_every_block_does_what_the_page_says(tmp_path: Path) -> None:
    ran = 0
    for step in steps(PAGE.read_text(encoding="utf-8")):
        if isinstance(step, WriteFile):
            (tmp_path / step.path).write_text(step.text, encoding="utf-8")
        elif isinstance(step, RunCommand):
            assert _SECONDS.sub("", run(step.command, tmp_path)) == _SECONDS.sub("", step.output)
            ran += 1
        else:
            assert not isinstance(step, Stray), (
                f"{PAGE.name}:{step.line}: a block that nothing runs"
            )
    assert ran == 3
