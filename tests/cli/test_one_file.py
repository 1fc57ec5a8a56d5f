"""A plugin that is one Python file works without being installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Run

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: demo, namespace: shop}
spec: {clusterIP: 10.96.0.9, ports: [{name: tcp-my-proto, port: 7000}]}
"""


def test_one_file_is_a_plugin(aeraki: Run, tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(SERVICE)
    written = aeraki("new-plugin", "my-proto", "--one-file", "--to", tmp_path)
    assert written.code == 0
    plugin = tmp_path / "my_proto.py"
    mesh = tmp_path / "mesh.yaml"
    made = aeraki("generate", "--plugin", plugin, "-f", mesh)
    assert (made.code, "aeraki.io/plugin: my-proto" in made.out) == (0, True)
    assert aeraki("validate", "--plugin", plugin, "-f", mesh).code == 0
    out = tmp_path / "filters"
    arguments = ("run", "--once", "--source", "files", "-f", mesh, "--sink", "files", "--to", out)
    assert aeraki(*arguments, "--plugin", plugin).code == 0
    assert len(list(out.glob("*.yaml"))) == 1
    assert aeraki("new-plugin", "my-proto", "--one-file", "--to", tmp_path).code == 1


def test_a_file_that_is_wrong_is_named(aeraki: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('not today')\n")
    listed = aeraki("plugins", "--plugin", broken)
    assert "import failed: RuntimeError: not today" in listed.out + listed.err
    missing = aeraki("plugins", "--plugin", tmp_path / "nowhere.py")
    assert "there is no such Python file" in missing.out + missing.err


@pytest.mark.filterwarnings("ignore::aeraki_core.deprecations.AerakiDeprecationWarning")
def test_what_a_file_uses_that_is_deprecated_is_shown(aeraki: Run, tmp_path: Path) -> None:
    plugin = tmp_path / "old.py"
    assert aeraki("new-plugin", "old", "--one-file", "--to", tmp_path).code == 0
    code = "Code('OLD0101', Severity.INFO, 'old', 'None.')"
    text = f"{plugin.read_text()}\nfrom aeraki_core import Code, Severity\n{code}\n"
    plugin.write_text(text)
    shown = aeraki("plugins", "old", "--plugin", plugin)
    line = len(text.splitlines())
    assert f"  deprecated {plugin}:{line}: Code(...) with arguments by position" in shown.out, shown
