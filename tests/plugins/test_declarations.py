"""A mistake in a declaration is one sentence at load, and affects no other plugin."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.plugins.controller import COMMAND, service
from tests.plugins.distributions import (
    DECLARATIONS,
    DISTRIBUTIONS,
    OTHER_EXTENSION,
    SAME_KIND,
    SHARED_CODE,
    Distribution,
    install,
)

WORKS = next(item for item in DISTRIBUTIONS if item.plugin == "works")
REASONS = {distribution.plugin: reason for distribution, reason in DECLARATIONS}


def aeraki(site: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    wrong = [distribution for distribution, _ in DECLARATIONS]
    everything: list[Distribution] = [WORKS, OTHER_EXTENSION, *wrong, *SHARED_CODE, *SAME_KIND]
    install(target, tmp_path_factory.mktemp("work"), everything)
    return target


@pytest.fixture(scope="module")
def plugins(site: Path) -> dict[str, dict[str, Any]]:
    listed = json.loads(aeraki(site, "plugins", "-o", "json"))["plugins"]
    return {plugin["name"]: plugin for plugin in listed}


@pytest.mark.parametrize("name", REASONS)
def test_a_wrong_declaration_is_named(plugins: dict[str, dict[str, Any]], name: str) -> None:
    assert plugins[name]["state"] == "failed"
    assert REASONS[name] in plugins[name]["reason"]


def test_what_works_is_active(plugins: dict[str, dict[str, Any]]) -> None:
    assert plugins["works"]["state"] == "active"


def test_one_finding_belongs_to_one_plugin(plugins: dict[str, dict[str, Any]]) -> None:
    for distribution in SHARED_CODE:
        plugin = plugins[distribution.plugin]
        assert plugin["state"] == "conflicting"
        assert "finding SHA0101 is claimed by aeraki-plugins-shares-one" in plugin["reason"]


def test_kinds_of_one_name_live_side_by_side(
    plugins: dict[str, dict[str, Any]], site: Path
) -> None:
    assert {plugins[each.plugin]["state"] for each in SAME_KIND} == {"active"}
    crds = aeraki(site, "crds", "--plugins", "same-one,same-two")
    names = [crd["metadata"]["name"] for crd in yaml.safe_load_all(crds)]
    assert names == ["policies.same-one.example.com", "policies.same-two.example.com"]


def test_an_undeclared_extension_is_refused(site: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "mesh.yaml"
    manifest.write_text(
        yaml.safe_dump_all(
            [service("other", 1, "tcp-other-extension"), service("works", 2, "tcp-works")]
        )
    )
    assert "kind: EnvoyFilter" in aeraki(site, "generate", "-f", str(manifest))
    said = aeraki(site, "validate", "-f", str(manifest), "--plugins", "works,other-extension")
    message = "uses envoy.filters.network.mongo_proxy, which other-extension does not declare"
    assert f"AER0402: port 7000: aeraki_generate {message}" in said
