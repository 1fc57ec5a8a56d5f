"""A hook that does not return is named by log, probe and gauge, with the line where it is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.plugins.controller import COMMAND, Running, running, service
from tests.plugins.distributions import DISTRIBUTIONS, HANGS, install
from tests.waiting import wait_until

WORKS = next(item for item in DISTRIBUTIONS if item.plugin == "works")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    install(target, tmp_path_factory.mktemp("work"), (WORKS, HANGS))
    return target


@pytest.fixture(scope="module")
def stuck(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A controller in which a generator has been looping for ten seconds."""
    with running(tmp_path_factory.mktemp("run"), site) as started:
        started.put("works.yaml", service("works", 1, "tcp-works"))
        started.until_filters_of("works")
        assert started.get("/readyz")[0] == 200
        started.put("hang.yaml", service("hang", 2, "tcp-hangs"))
        started.until_logged("AER0408")
        yield started


def test_the_log_shows_where_it_is(stuck: Running) -> None:
    line = stuck.until_logged("AER0408")
    assert "plugin hangs: aeraki_generate for hang.shop.svc.cluster.local:7000 runs for 1" in line
    assert "aeraki_plugins_hangs/__init__.py" in stuck.log.read_text()


def test_the_probe_says_so(stuck: Running) -> None:
    code, text = stuck.get("/readyz")
    assert (code, "plugin hangs: aeraki_generate" in text) == (503, True)


def test_the_gauge_says_so(stuck: Running) -> None:
    def line() -> str:
        lines = stuck.get("/metrics")[1].splitlines()
        sample = 'aeraki_plugin_running_seconds{hook="aeraki_generate",plugin="hangs"}'
        return next((line for line in lines if line.startswith(sample)), "")

    assert float(wait_until(line, 30, "the gauge").split()[1]) > 9


def test_what_works_keeps_its_filter(stuck: Running) -> None:
    assert "works" in stuck.hosts()


def test_a_command_is_not_mute(site: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "hang.yaml"
    manifest.write_text(yaml.safe_dump(service("hang", 2, "tcp-hangs")))
    process = subprocess.Popen(
        [*COMMAND, "validate", "-f", str(manifest)],
        env={**os.environ, "PYTHONPATH": str(site)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert any("plugin hangs: aeraki_generate" in line for line in process.stderr)
    finally:
        process.kill()
        process.communicate()
