"""docs/protocols/<protocol>.md: the example works, and options and findings match the plugin's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aeraki_core.model.mesh import Mesh, parse_proxy_rule
from aeraki_core.testing import generate, objects_in

from aeraki_core import Protocol
from aeraki_plugins_dubbo import DUBBO
from aeraki_plugins_kafka import KAFKA
from aeraki_plugins_thrift import THRIFT
from aeraki_plugins_zookeeper import ZOOKEEPER

PAGES = Path(__file__).parents[2] / "docs" / "protocols"
PROTOCOLS = pytest.mark.parametrize(
    "protocol", [DUBBO, KAFKA, THRIFT, ZOOKEEPER], ids=lambda protocol: protocol.name
)


def page(protocol: Protocol) -> str:
    return (PAGES / f"{protocol.name}.md").read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    return text[text.index(f"\n## {heading}\n") + 1 :].partition("\n## ")[0]


@PROTOCOLS
def test_the_example_gives_filters_and_nothing_to_complain_about(protocol: Protocol) -> None:
    example, *_ = re.findall(r"^```yaml\n(.*?)^```$", page(protocol), re.MULTILINE | re.DOTALL)
    mesh = Mesh(proxy_rules=(parse_proxy_rule(protocol.extension.name),))
    made = generate(objects_in(example), plugins=[protocol.name], mesh=mesh)
    assert len(made.filters) == 2
    assert made.findings == ()


@PROTOCOLS
def test_the_options_are_those_of_the_plugin(protocol: Protocol) -> None:
    listed = re.findall(r"^\| `([\w-]+)` \|", section(page(protocol), "Options"), re.MULTILINE)
    assert sorted(listed) == sorted(option.name for option in protocol.options)


@PROTOCOLS
def test_the_findings_are_those_of_the_plugin(protocol: Protocol) -> None:
    listed = re.findall(
        r"^\| `(\w+)` \| ([^|]+) \|", section(page(protocol), "Findings"), re.MULTILINE
    )
    assert listed == [(code.id, code.title) for code in protocol.codes]
