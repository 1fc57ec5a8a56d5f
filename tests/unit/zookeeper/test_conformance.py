"""The plugin against what every plugin must hold to, with the golden files' objects as examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from aeraki_core.testing import PluginConformance

import aeraki_plugins_zookeeper

GOLDEN = Path(__file__).parents[2] / "golden" / "zookeeper"


@pytest.mark.envoy
class TestZooKeeper(PluginConformance):
    plugin: ClassVar[Any] = aeraki_plugins_zookeeper
    examples: ClassVar[dict[str, str]] = {
        path.name: path.read_text() for path in sorted(GOLDEN.glob("*.in.yaml"))
    }
    odd_inputs = 50
