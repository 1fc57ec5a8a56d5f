"""What `aeraki new-plugin` makes is clean by its own settings, with every part."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import Run
from tests.plugins.distributions import install_folders


def made(aeraki: Run, folder: Path, parts: str) -> Path:
    arguments = ("--with", parts) if parts else ()
    result = aeraki("new-plugin", "my-proto", "--to", folder, *arguments)
    assert result.code == 0, result.err
    return folder


def run(folder: Path, *module: str, site: Path | None = None) -> None:
    """Run a module of Python in the folder; it must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(site or "")}
    done = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("parts", ["", "resource", "secret", "resource,secret,traffic,ci"])
def test_its_types_and_its_style_are_right(aeraki: Run, tmp_path: Path, parts: str) -> None:
    folder = made(aeraki, tmp_path / "mine", parts)
    assert "strict = true" in (folder / "pyproject.toml").read_text()
    run(folder, "mypy")
    run(folder, "ruff", "check")
    run(folder, "ruff", "format", "--check")


@pytest.mark.envoy
@pytest.mark.parametrize("parts", ["resource", "resource,secret,traffic,ci"])
def test_its_own_tests_pass(aeraki: Run, tmp_path: Path, parts: str) -> None:
    folder = made(aeraki, tmp_path / "mine", parts)
    (tmp_path / "site").mkdir()
    install_folders(tmp_path / "site", tmp_path, [folder])
    run(folder, "pytest", "-q", "-p", "no:cacheprovider", site=tmp_path / "site")


def test_it_has_the_layout_of_our_own_plugins(aeraki: Run, tmp_path: Path) -> None:
    folder = made(aeraki, tmp_path / "mine", "resource,secret,traffic,ci")
    package = folder / "src" / "aeraki_plugins_my_proto"
    assert {path.name for path in package.glob("*.py")} == {
        "__init__.py",
        "codes.py",
        "direct_response.py",
        "protocol.py",
        "resources.py",
    }
    assert (folder / ".github" / "workflows" / "test.yaml").is_file()
    assert (folder / "tests" / "test_traffic.py").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--with", "ci,docs"), "--with: there is no 'docs'; there are resource, secret"),
        (("--with", "ci", "--one-file"), "--one-file writes one module; leave out --with"),
    ],
)
def test_a_part_that_does_not_exist(
    aeraki: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = aeraki("new-plugin", "my-proto", "--to", tmp_path / "mine", *arguments)
    assert (result.code, message in result.err) == (2, True), result.err
    assert not (tmp_path / "mine").exists()
