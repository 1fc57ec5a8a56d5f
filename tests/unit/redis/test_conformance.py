"""The plugin against what every plugin must hold to, with the golden files' objects as examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from aeraki_core.testing import PluginConformance, stray_changes

import aeraki_plugins_redis

GOLDEN = Path(__file__).parents[2] / "golden" / "redis"
# Without a password that was asked for nothing is written: test_passwords.py.
WITHOUT_FILTER = {"no-password.in.yaml"}


@pytest.mark.envoy
class TestRedis(PluginConformance):
    plugin: ClassVar[Any] = aeraki_plugins_redis
    examples: ClassVar[dict[str, str]] = {
        path.name: path.read_text() for path in sorted(GOLDEN.glob("*.in.yaml")) if path.name not in WITHOUT_FILTER
    }
    odd_inputs = 60

    def test_changes_only_its_ports(self, example: str) -> None:
        """But for the cluster of a port that is not named as Redis and that a route leads to: nobody else would change it."""
        allowed = "cluster outbound|6379||old.legacy.svc.cluster.local"
        stray = stray_changes(self.make(self.objects(example)))
        assert {item.partition(": ")[2] for item in stray} == ({allowed} if example == "not-named-redis.in.yaml" else set())
