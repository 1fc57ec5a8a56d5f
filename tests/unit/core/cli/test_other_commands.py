from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.running import Run


class TestPlugins:
    def test_the_table(self, aeraki: Run) -> None:
        result = aeraki("plugins", "--plugins", "echo")
        rows = [line.split() for line in result.out.splitlines()]
        assert rows[0] == ["NAME", "STATE", "DISTRIBUTION", "VERSION", "PROTOCOLS", "KINDS"]
        assert ["echo", "active", "aeraki-echo", "1.2", "echo", "EchoPolicy"] in rows
        assert result.code == 0

    def test_all_of_one(self, aeraki: Run) -> None:
        out = aeraki("plugins", "echo").out
        for words in (
            "aeraki-echo 1.2",
            "aeraki_generate, aeraki_protocols, aeraki_resources, aeraki_validate",
            "EchoPolicy (ep), echo.example.com/v1: What to send back",
            "tcp-echo, or appProtocol",
            "echo.aeraki.io/volume  (int; default 1; at least 0; at most 11; also written volume)",
            "How loud",
            "ECH0101  warning  volume is too high",
        ):
            assert words in out

    def test_json(self, aeraki: Run) -> None:
        (plugin,) = json.loads(aeraki("plugins", "echo", "-o", "json").out)["plugins"]
        assert plugin["state"] == "active"
        volume = plugin["protocols"][0]["options"][0]
        assert (volume["annotation"], volume["default"], volume["maximum"]) == (
            "echo.aeraki.io/volume",
            1,
            11,
        )

    def test_a_disabled_one_is_no_fault(self, aeraki: Run) -> None:
        result = aeraki("plugins", "--plugins", "", "echo")
        assert result.code == 0
        assert "disabled" in result.out
        assert "not named by --plugins" in result.out

    def test_one_that_is_broken_gives_1_and_says_why(
        self, aeraki: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "aeraki_broken.py").write_text("import nowhere_to_be_found\n")
        info = tmp_path / "aeraki_broken-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: aeraki-broken\nVersion: 0.1\n")
        (info / "entry_points.txt").write_text("[aeraki.plugins]\nbroken = aeraki_broken\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        result = aeraki("plugins", "--plugins", "echo,broken")
        assert result.code == 1
        assert (
            "broken: failed: import failed: ModuleNotFoundError: "
            "No module named 'nowhere_to_be_found'" in result.err
        )
        assert "Traceback" in aeraki("plugins", "broken", "--plugins", "echo,broken").out
        filters = aeraki("generate", "-f", "-", "--plugins", "echo,broken", stdin="")
        assert "AER0403: plugin broken (aeraki-broken 0.1) is failed" in filters.err

    def test_one_that_is_not_installed(self, aeraki: Run) -> None:
        result = aeraki("plugins", "ehco")
        assert result.code == 1
        assert "no plugin 'ehco' is installed; installed: " in result.err
        asked = aeraki("plugins", "--plugins", "ehco")
        assert asked.code == 2
        assert "no plugin 'ehco' is installed (asked for by flag --plugins)" in asked.err
        opted = aeraki("validate", "-f", "-", "--plugins", "echo", "--opt-in", "ehco", stdin="")
        assert opted.code == 2
        assert "flag --opt-in: no plugin speaks 'ehco'; protocols: " in opted.err


class TestFindings:
    def test_one_code(self, aeraki: Run) -> None:
        result = aeraki("findings", "aer0302")
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith("AER0302  error  unknown subset\n\nAdd the subset")

    def test_a_plugins_code(self, aeraki: Run) -> None:
        assert "Lower it to 11 or less." in aeraki("findings", "ECH0101").out

    def test_all(self, aeraki: Run) -> None:
        codes = [line.split()[0] for line in aeraki("findings").out.splitlines()[1:]]
        assert codes[0] == "AER0101"
        assert codes[-1] == "ECH0101"
        assert codes == [item["id"] for item in json.loads(aeraki("findings", "-o", "json").out)]
        assert codes == [
            item["id"] for item in yaml.safe_load(aeraki("findings", "-o", "yaml").out)
        ]

    def test_an_unknown_code_gives_1(self, aeraki: Run) -> None:
        assert "no code 'AER9999' is known" in aeraki("findings", "AER9999").err
        assert aeraki("findings", "AER9999").code == 1


class TestManifests:
    def test_crds(self, aeraki: Run) -> None:
        result = aeraki("crds")
        (manifest,) = yaml.safe_load_all(result.out)
        assert manifest["metadata"]["name"] == "echopolicies.echo.example.com"
        assert aeraki("crds", "-o", "name").out == "echopolicies.echo.example.com\n"
        assert json.loads(aeraki("crds", "-o", "json").out)["items"] == [manifest]

    def test_no_kind_no_crd(self, aeraki: Run) -> None:
        result = aeraki("crds", "--plugins", "")
        assert (result.code, result.out) == (0, "")
        assert "no CRD" in result.err

    def test_rbac(self, aeraki: Run) -> None:
        result = aeraki("rbac", "--service-account", "runner", "-n", "mesh", "--name", "mine")
        found = list(yaml.safe_load_all(result.out))
        assert [item["kind"] for item in found] == [
            "ClusterRole",
            "Role",
            "ClusterRoleBinding",
            "RoleBinding",
        ]
        assert found[3]["subjects"] == [
            {"kind": "ServiceAccount", "name": "runner", "namespace": "mesh"}
        ]
        assert {item["metadata"]["name"] for item in found} == {"mine"}


class TestConfig:
    def test_value_and_origin_of_each(
        self, aeraki: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "aeraki.yaml"
        file.write_text("\ndomain: mesh.example\n")
        monkeypatch.setenv("AERAKI_REGISTRY_ONLY", "true")
        result = aeraki("config", "--config", file, "--root-namespace", "here")
        lines = {line.split()[0]: " ".join(line.split()[1:]) for line in result.out.splitlines()}
        assert lines["rootNamespace"] == "here flag --root-namespace"
        assert lines["registryOnly"] == "true environment AERAKI_REGISTRY_ONLY"
        assert lines["domain"] == f"mesh.example file {file}:2"
        assert lines["arrangement"] == "auto default"
        assert result.code == 0

    def test_json(self, aeraki: Run) -> None:
        content = json.loads(aeraki("config", "-o", "json", "--debounce-quiet", "200ms").out)
        assert content["debounceQuiet"] == {
            "value": "200ms",
            "origin": "flag",
            "name": "--debounce-quiet",
        }
        assert (
            yaml.safe_load(aeraki("config", "-o", "yaml", "--debounce-quiet", "200ms").out)
            == content
        )

    def test_a_mistake_gives_2_with_file_and_line(self, aeraki: Run, tmp_path: Path) -> None:
        file = tmp_path / "aeraki.yaml"
        file.write_text("domain: mesh.example\nrotNamespace: x\n")
        result = aeraki("config", "--config", file)
        assert (result.code, result.out) == (2, "")
        assert (
            result.err
            == f"error: {file}:2: there is no setting 'rotNamespace'; did you mean rootNamespace?\n"
        )


class TestVersionAndCompletion:
    def test_version(self, aeraki: Run) -> None:
        lines = aeraki("version").out.splitlines()
        assert lines[0].startswith("aeraki ")
        assert aeraki("--version").out == f"{lines[0]}\n"
        assert aeraki("version", "--short").out == lines[0].removeprefix("aeraki ") + "\n"
        assert any(line.split() == ["aeraki-echo", "1.2"] for line in lines)
        for form, load in (("json", json.loads), ("yaml", yaml.safe_load)):
            content = load(aeraki("version", "-o", form).out)
            assert (content["aeraki"], content["aeraki-echo"]) == (
                lines[0].removeprefix("aeraki "),
                "1.2",
            )

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion(self, aeraki: Run, shell: str) -> None:
        result = aeraki("completion", shell)
        assert result.code == 0
        assert "_AERAKI_COMPLETE" in result.out
        assert aeraki("completion", "dos").code == 2


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("gen", ["plain,generate"]),
        ("generate -o ", ["plain,yaml", "plain,json", "plain,name"]),
        ("generate -f ca", ["file,ca"]),
        ("run --kubeconfig ca", ["file,ca"]),
        ("run --source kubernetes,is", ["plain,kubernetes,istiod"]),
        ("generate --plugins ech", ["plain,echo"]),
        ("plugins ech", ["plain,echo"]),
        ("findings AER030", [f"plain,AER030{number}" for number in range(1, 10)]),
        ("diff --live cl", ["plain,cluster", "file,cl"]),
    ],
)
def test_what_the_shell_offers(
    aeraki: Run, monkeypatch: pytest.MonkeyPatch, typed: str, offered: list[str]
) -> None:
    monkeypatch.setenv("_AERAKI_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", f"aeraki {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(f"{typed} ".split(" ")) - 1))
    assert aeraki().out.splitlines() == offered


class TestNewPlugin:
    def test_what_it_writes_loads_and_makes_filters(
        self, aeraki: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "mine"
        result = aeraki("new-plugin", "my-proto", "--to", folder)
        assert result.code == 0
        assert f"{folder}/pyproject.toml" in result.out
        # As an installation would have it.
        info = folder / "src" / "aeraki_plugins_my_proto-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: aeraki-plugins-my-proto\nVersion: 0.1.0\n"
        )
        (info / "entry_points.txt").write_text(
            "[aeraki.plugins]\nmy-proto = aeraki_plugins_my_proto\n"
        )
        monkeypatch.syspath_prepend(str(folder / "src"))
        assert "my-proto" in (folder / "pyproject.toml").read_text()
        service = (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\n"
            "spec: {clusterIP: 10.0.0.1, ports: [{name: tcp-my-proto, port: 1}]}\n"
        )
        made = aeraki("generate", "-f", "-", "--plugins", "my-proto", stdin=service)
        assert made.code == 0
        assert "aeraki.io/plugin: my-proto" in made.out
        sample = aeraki(
            "generate", "-f", folder / "sample.yaml", "--plugins", "my-proto", "-o", "name"
        )
        assert sample.out == "istio-system/aeraki-outbound-sample.demo.svc.cluster.local-7000\n"

    @pytest.mark.envoy
    def test_its_own_tests_pass(self, aeraki: Run, tmp_path: Path, site: Path) -> None:
        folder = tmp_path / "mine"
        aeraki("new-plugin", "my-proto", "--to", folder)
        info = folder / "src" / "aeraki_plugins_my_proto-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: aeraki-plugins-my-proto\nVersion: 0.1.0\n"
        )
        (info / "entry_points.txt").write_text(
            "[aeraki.plugins]\nmy-proto = aeraki_plugins_my_proto\n"
        )
        command = [sys.executable, "-m", "pytest", "-q", "-o", "pythonpath=src"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_it_overwrites_nothing(self, aeraki: Run, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        result = aeraki("new-plugin", "my-proto", "--to", tmp_path)
        assert result.code == 1
        assert [path.name for path in tmp_path.iterdir() if path.name != "site"] == ["file"]

    @pytest.mark.parametrize("name", ["My", "a_b", "-a", "a--b", "1a"])
    def test_a_name_that_is_no_token(self, aeraki: Run, tmp_path: Path, name: str) -> None:
        result = aeraki("new-plugin", "--to", tmp_path / "x", "--", name)
        assert result.code == 2
        assert not (tmp_path / "x").exists()
