"""The plugin against what every plugin must hold to, with the golden files' objects as examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from aeraki_core.testing import PluginConformance

import aeraki_plugins_dubbo

GOLDEN = Path(__file__).parents[2] / "golden" / "dubbo"


@pytest.mark.envoy
class TestDubbo(PluginConformance):
    plugin: ClassVar[Any] = aeraki_plugins_dubbo
    # dubbo_proxy only: of generic_proxy Envoy warns that it is work in progress.
    examples: ClassVar[dict[str, str]] = {
        path.name: path.read_text()
        for path in sorted(GOLDEN.glob("*.in.yaml"))
        if not path.with_name(path.name.replace(".in.", ".settings.")).exists()
        and not path.name.startswith("engine-")
    }
    odd_inputs = 50
