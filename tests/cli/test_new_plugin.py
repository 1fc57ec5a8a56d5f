"""What `aeraki new-plugin` makes passes a strict type checker, by its own settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.running import Run


def test_its_types_are_right(aeraki: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert aeraki("new-plugin", "my-proto", "--to", folder).code == 0
    assert "strict = true" in (folder / "pyproject.toml").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
