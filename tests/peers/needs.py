"""What a test needs on the machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

JAVA = ("java", "javac", "mvn")
REDIS = ("redis-server",)
ZOOKEEPER = ("java", "/usr/share/java/zookeeper.jar")


def need(*programs: str) -> None:
    """Skip the test where a program (or file) is missing; in CI, conftest makes that a failure."""
    missing = [each for each in programs if not (shutil.which(each) or Path(each).exists())]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: tests/peers/setup.sh installs it")
