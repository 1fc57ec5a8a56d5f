"""The plugin against what every plugin must hold to, with the golden files' objects as examples.

Envoy's contrib extension is not in the Envoy of the tests: what is loaded is the configuration without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from aeraki_core.model.mesh import Mesh, parse_proxy_rule
from aeraki_core.testing import PluginConformance

import aeraki_plugins_kafka

GOLDEN = Path(__file__).parents[2] / "golden" / "kafka"
# What cannot be read at all makes no filter: test_generator.py.
WITHOUT_FILTER = {"unreadable-allowed.in.yaml"}


@pytest.mark.envoy
class TestKafka(PluginConformance):
    plugin: ClassVar[Any] = aeraki_plugins_kafka
    mesh = Mesh(proxy_rules=(parse_proxy_rule("envoy.filters.network.kafka_broker"),))
    examples: ClassVar[dict[str, str]] = {
        path.name: path.read_text()
        for path in sorted(GOLDEN.glob("*.in.yaml"))
        if path.name not in WITHOUT_FILTER
    }
    odd_inputs = 50
