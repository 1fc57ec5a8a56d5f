"""The filters that the plugin makes for a Service, and its conformance to Aeraki's contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aeraki_core.testing import PluginConformance, generate, service

SAMPLE = Path(__file__).parents[1].joinpath("sample.yaml").read_text(encoding="utf-8")


def database(**options: str) -> dict[str, Any]:
    annotations = {
        f"mongo.aeraki.io/{name.replace('_', '-')}": text for name, text in options.items()
    }
    return service("db", {"tcp-mongo": 27017}, selector={"app": "db"}, annotations=annotations)


def test_clients_and_workloads_get_the_filter_and_only_clients_the_delay() -> None:
    made = generate(SAMPLE, plugins=["mongo"])
    inbound, outbound = (patch["patch"]["value"]["typed_config"] for patch in made.patches())
    if "delay" in inbound:
        inbound, outbound = outbound, inbound
    assert outbound["delay"] == {"fixed_delay": "0.050s", "percentage": {"numerator": 10}}
    assert "delay" not in inbound
    assert outbound["commands"] == inbound["commands"] == ["find", "insert"]
    assert made.findings == ()


def test_a_share_of_no_delay_is_a_finding() -> None:
    made = generate(database(delay_percent="10"), plugins=["mongo"])
    assert made.codes == ("MNG0101",)
    assert "mongo.aeraki.io/delay-percent" in made.findings_text


class TestConformance(PluginConformance):
    plugin = "mongo"
    examples = {"a service": SAMPLE, "a share of no delay": [database(delay_percent="10")]}
    not_for = {"other ports": [service("web", {"http-web": 80, "mongo": 27017, "tcp": 7000})]}
