"""kustomize runs `aeraki-krm` as a function, from the files that docs/ci.md shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts.render_deploy import ROOT
from tests.rig.errors import RigUnavailableError

from . import binaries

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(1200)]

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: greeter, namespace: shop}
spec: {clusterIP: 10.96.0.43, selector: {app: greeter}, ports: [{name: tcp-dubbo, port: 20880}]}
"""


@pytest.fixture(scope="module")
def kustomize() -> Path:
    try:
        return binaries.kustomize()
    except RigUnavailableError as error:
        pytest.skip(str(error))


def build(kustomize: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """kustomize as its users run it, with the environment's `aeraki-krm`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [kustomize, "build", "--enable-alpha-plugins", "--enable-exec", directory],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """The page's files, and a mesh beside them."""
    page = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    for name in ("kustomization.yaml", "aeraki.yaml"):
        [text] = re.findall(rf"\*\*`{name}`\*\*\n\n```yaml\n(.*?)```", page, re.DOTALL)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "mesh.yaml").write_text(SERVICE, encoding="utf-8")
    return tmp_path


def test_the_filters_are_among_what_kustomize_builds(kustomize: Path, overlay: Path) -> None:
    done = build(kustomize, overlay)
    assert done.returncode == 0, done.stderr
    kinds = [item["kind"] for item in yaml.safe_load_all(done.stdout)]
    assert kinds == ["Service", "EnvoyFilter", "EnvoyFilter"]


def test_an_error_fails_the_build_and_is_shown(kustomize: Path, overlay: Path) -> None:
    (overlay / "mesh.yaml").write_text(SERVICE.replace("20880", "x"), encoding="utf-8")
    done = build(kustomize, overlay)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error AER0106" in done.stderr
    assert "(Service shop/greeter spec.ports[0].port)" in done.stderr
