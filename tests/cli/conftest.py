"""The command line with every plugin of this repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Run, clean_environment, runner

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "deploy" / "samples"


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """As users type the commands: from the root of the checkout."""
    clean_environment(monkeypatch)
    monkeypatch.chdir(ROOT)


@pytest.fixture
def aeraki(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line; the result has the exit code and both streams."""
    return runner(capfd, monkeypatch)
