"""The plugin's conformance to the contract of every plugin, as its own author would test it.

Two examples are enough: tests/golden loads every case, in any order and with odd input.

The Envoy of the tests lacks the contrib extension, so it loads the configuration without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from aeraki_core.testing import PluginConformance, service, service_entry

import aeraki_plugins_kafka

OTHERS = [
    service("web", {"http-web": 80, "tcp": 7000, "tcp-db": 7001, "": 7002}),
    service_entry("far", ["far.example.com"], {"tls": 443, "mongo": 27017}),
]
GOLDEN = Path(__file__).parents[2] / "golden" / "kafka"


@pytest.mark.envoy
class TestKafka(PluginConformance):
    plugin: ClassVar[Any] = aeraki_plugins_kafka
    proxy_extensions = ("envoy.filters.network.kafka_broker",)
    examples: ClassVar[dict[str, str]] = {
        name: (GOLDEN / f"{name}.in.yaml").read_text() for name in ("service", "options")
    }
    reporting: ClassVar[dict[str, str]] = {
        path.name.removesuffix(".in.yaml"): path.read_text() for path in GOLDEN.glob("*.in.yaml")
    }
    not_for: ClassVar[dict[str, Any]] = {"ports of others": OTHERS}
    odd_inputs = 20  # of these two; tests/golden/test_odd.py tries 50 of each case
