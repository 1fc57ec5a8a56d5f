"""The plugin against what every plugin must hold to, with the golden files' objects as examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from aeraki_core.testing import PluginConformance

import aeraki_plugins_redis

GOLDEN = Path(__file__).parents[2] / "golden" / "redis"
# Without a password that was asked for nothing is written: test_passwords.py.
WITHOUT_FILTER = {"no-password.in.yaml", "one-host-two-resolutions.in.yaml"}


@pytest.mark.envoy
class TestRedis(PluginConformance):
    plugin: ClassVar[Any] = aeraki_plugins_redis
    examples: ClassVar[dict[str, str]] = {
        path.name: path.read_text()
        for path in sorted(GOLDEN.glob("*.in.yaml"))
        if path.name not in WITHOUT_FILTER
    }
    odd_inputs = 40
