"""The plugin against what every plugin must hold to, as its own author would run it.

Two examples are enough: tests/golden loads every case, in any order and with odd input.

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


@pytest.mark.envoy
class TestKafka(PluginConformance):
    plugin: ClassVar[Any] = aeraki_plugins_kafka
    mesh = Mesh(proxy_rules=(parse_proxy_rule("envoy.filters.network.kafka_broker"),))
    examples: ClassVar[dict[str, str]] = {
        name: (GOLDEN / f"{name}.in.yaml").read_text() for name in ("service", "options")
    }
    odd_inputs = 20  # of these two; tests/golden/test_odd.py tries 50 of each case
