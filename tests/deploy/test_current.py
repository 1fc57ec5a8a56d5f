"""The generated parts of deploy/ and docs/install.md are current, and the page's commands work."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import pairwise

import pytest
import yaml
from aeraki_core.cli.group import COMMANDS

from scripts import render_deploy
from scripts.render_deploy import CHART, INSTALL, MANIFESTS, ROOT

from .chart import Chart

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(1200)]  # helm is compiled with Go

REMEDY = "run `python -m scripts.render_deploy`"


def _commands() -> Iterator[list[str]]:
    """Every command of the page's shell blocks, in words."""
    page = INSTALL.read_text(encoding="utf-8")
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s(?:\||&&)\s", line):
                words = shlex.split(part, comments=True)
                if words:
                    yield words


def test_the_charts_crds_and_rules_are_those_of_the_plugins() -> None:
    files = render_deploy.chart_files()
    assert not render_deploy.outdated(files), REMEDY
    assert not render_deploy.strays(files), REMEDY


def test_schema_and_dashboards_are_up_to_date() -> None:
    assert not render_deploy.outdated(render_deploy.schema() | render_deploy.dashboards()), REMEDY


def test_the_manifests_are_those_of_the_chart(chart: Chart) -> None:
    assert not render_deploy.outdated(render_deploy.manifests(chart.helm)), REMEDY


def test_the_table_of_values_is_that_of_the_chart() -> None:
    assert not render_deploy.outdated(render_deploy.install_page()), REMEDY


def test_chart_image_and_distributions_have_one_version() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    core = tomllib.loads((ROOT / "aeraki_core" / "pyproject.toml").read_text(encoding="utf-8"))
    assert about["version"] == about["appVersion"] == core["project"]["version"]


def test_manifests_can_be_removed_without_the_crds() -> None:
    """They are in a file of their own, for with them go all objects of their kinds."""
    assert "CustomResourceDefinition" not in (MANIFESTS / "aeraki.yaml").read_text(encoding="utf-8")


def test_every_file_that_the_page_names_is_there() -> None:
    named = {
        word
        for words in _commands()
        for word in words
        if word.startswith(("deploy/", "./deploy", "aeraki_", "./aeraki_"))
    }
    assert named
    assert not [word for word in named if not (ROOT / word).exists()]


def test_every_value_that_the_page_sets_exists(chart: Chart) -> None:
    settings = re.findall(r"--set ([^\s`]+)", INSTALL.read_text(encoding="utf-8"))
    assert settings
    for setting in settings:
        render_deploy.template(chart.helm, "--set", setting)


def test_every_values_file_that_the_page_shows_is_accepted(
    chart: Chart, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page = INSTALL.read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n# values\.yaml\n(.*?)```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        file = tmp_path_factory.mktemp("values") / "values.yaml"
        file.write_text(block, encoding="utf-8")
        assert render_deploy.template(chart.helm, "--values", str(file))


def _aeraki(words: list[str]) -> str | None:
    """The command that `aeraki` is given, if the words run it: here, in a pod or in a container."""
    for word, after in pairwise(words):
        if (
            word in ("aeraki", ".venv/bin/aeraki")
            and words[0] in (word, "kubectl")
            and re.fullmatch(r"[a-z-]+", after)
        ):
            return after
        if words[0] == "docker" and word.startswith("aeraki/aeraki-py:") and words[1] == "run":
            return after
    return None


def test_every_aeraki_command_on_the_page_exists() -> None:
    used = {command for words in _commands() if (command := _aeraki(words))}
    assert used >= {"plugins", "generate", "crds"}
    assert used <= set(COMMANDS)
