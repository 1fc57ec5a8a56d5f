"""What a plugin author's pytest gets, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = "aeraki_core.testing.pytest_plugin"


def run_pytest(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "-p", PLUGIN, "-p", "no:cacheprovider", "-q"],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.envoy
def test_a_failure_shows_envoys_log_and_configuration(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "from aeraki_core.testing import service\n"
        "def test_it(envoy_sandbox):\n"
        "    envoy_sandbox.run([service('cart', {'tcp-x': 7000}, cluster_ip='127.63.0.1')])\n"
        "    assert False\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 1
    assert "Envoy log (client in default)" in done.stdout
    assert "starting main dispatch loop" in done.stdout
    assert '"name": "127.63.0.1_7000"' in done.stdout


@pytest.mark.envoy
def test_a_passing_test_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "from aeraki_core.testing import service\n"
        "def test_it(envoy_sandbox):\n"
        "    assert envoy_sandbox.load([service('cart', {'tcp-x': 7000})]).clean\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "Envoy" not in done.stdout


def test_without_envoy_a_test_fails_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(envoy):\n    pass\n")
    done = run_pytest(tmp_path, AERAKI_ENVOY=str(tmp_path / "none"))
    assert done.returncode == 1
    assert "EnvoyMissingError: AERAKI_ENVOY is" in done.stdout


def test_golden_files_are_written_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "from pathlib import Path\n"
        "def test_it(golden):\n"
        "    golden.check(Path('out.txt'), 'text\\n')\n"
    )
    assert run_pytest(tmp_path).returncode == 1
    assert run_pytest(tmp_path, "--regenerate").returncode == 0
    assert (tmp_path / "out.txt").read_text() == "text\n"
    assert run_pytest(tmp_path).returncode == 0


def test_another_plugins_option_of_that_name_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--regenerate', action='store_true')\n"
    )
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")
    done = run_pytest(tmp_path, "-p", "other", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_loading_it_costs_nobody_the_core() -> None:
    code = (
        f"import pytest, sys; before = set(sys.modules); import {PLUGIN};"
        "print([m for m in sorted(set(sys.modules) - before) if not m.startswith('aeraki_core')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_everything_that_is_exported_exists() -> None:
    import aeraki_core.testing as testing

    for name in testing.__all__:
        assert getattr(testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = testing.nonsense  # type: ignore[attr-defined]
    assert set(testing.__all__) <= set(dir(testing))
