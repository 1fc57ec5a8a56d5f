"""Findings: their order."""

from __future__ import annotations

from dataclasses import replace

from aeraki_core.findings.codes import HEADLESS_ROUTES
from aeraki_core.findings.finding import Finding, in_order


def test_what_several_plugins_say_alike_is_in_the_order_of_their_names() -> None:
    finding = Finding(HEADLESS_ROUTES, "the same words")
    names = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    found = in_order(replace(finding, plugin=name) for name in names)
    assert [item.plugin for item in found] == sorted(names)
