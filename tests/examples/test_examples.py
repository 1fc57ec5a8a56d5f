"""The distributions in examples/ work for somebody who has nothing but our wheels."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.envoy
def test_every_example_passes_its_own_tests_in_an_empty_environment() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "test_example.sh"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "aeraki-plugins-mongo works as its wheel" in done.stdout
    assert "aeraki-plugins-sample works as its wheel" in done.stdout
