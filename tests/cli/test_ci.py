"""A user's repository passes `aeraki validate --strict`: in a hook, in an action, by hand."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import ROOT
from tests.cli.running import Run

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: quote, namespace: fx, annotations: {dubbo.aeraki.io/engine: dubbo_proxy}}
spec:
  selector: {app: quote}
  ports: [{name: tcp-dubbo, port: 9000, targetPort: 11206}]
"""
"""As it lies in Git: the cluster IP is the API server's business."""
ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: quote, namespace: fx}
spec:
  hosts: [quote]
  http:
  - match: [{mehtod: {exact: get}}]
    route: [{destination: {host: quote}}]
"""
CHART = {
    "charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "charts/web/values.yaml": "replicas: 2\nimage: {tag: latest}\n",
    "charts/web/templates/web.yaml": "apiVersion: v1\nkind: Service\n{{- if .Values.x }}\n",
}
"""What is no manifest and lies beside manifests all the same."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with manifests and what else there is; the working directory."""
    (tmp_path / ".git").mkdir()
    files = {
        **CHART,
        "deploy/quote.yaml": SERVICE,
        "docker-compose.yaml": "services: {db: {image: postgres}}\n",
        "mkdocs.yml": "site_name: x\nmarkdown_extensions:\n  - emoji: !!python/name:a.b\n",
        "node_modules/x/package.json": '{"name": "x"}\n',
        "old/broken.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: [\n",
        ".gitignore": "node_modules/\n/old\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def codes(out: str) -> list[str]:
    """The codes of a JSON report."""
    return sorted(finding["code"] for finding in json.loads(out))


def test_a_whole_repository_is_green(aeraki: Run, repository: Path) -> None:
    result = aeraki("validate", "--strict", "-o", "json", ".")
    assert result.code == 0, result.out
    assert codes(result.out) == ["AER0116", "AER0116", "AER0116", "AER0230"]
    assert "2 filters for 1 port" in result.err


@pytest.mark.envoy
def test_filters_with_stand_in_addresses_load_in_envoy(aeraki: Run, repository: Path) -> None:
    result = aeraki("validate", "--strict", "deploy", "--envoy")
    assert (result.code, "loaded in Envoy" in result.err) == (0, True), result.err


def test_generate_marks_stand_ins_and_fails(aeraki: Run, repository: Path) -> None:
    result = aeraki("generate", "deploy")
    outbound, inbound = sorted(
        yaml.safe_load_all(result.out), key=lambda item: item["metadata"]["name"], reverse=True
    )
    assert result.code == 1
    assert "--use-cluster" in result.err
    mark = "aeraki.io/stand-in-address"
    assert outbound["metadata"]["annotations"].get(mark) == "true"
    assert mark not in inbound["metadata"]["annotations"]
    [patch, *_] = outbound["spec"]["configPatches"]
    assert re.match(r"250\.\d+\.\d+\.\d+_9000$", patch["match"]["listener"]["name"])


def test_no_stand_in_is_written_to_a_directory(aeraki: Run, repository: Path) -> None:
    aeraki("generate", "deploy", "--to", "out")
    texts = [file.read_text() for file in (repository / "out").iterdir()]
    assert len(texts) == 1
    assert "250." not in texts[0]


def test_an_address_does_not_depend_on_other_services(aeraki: Run, repository: Path) -> None:
    before = aeraki("validate", "-o", "json", "deploy").out
    other = SERVICE.replace("name: quote", "name: another", 1)
    (repository / "deploy" / "another.yaml").write_text(other)
    assert json.loads(before)[0] in json.loads(aeraki("validate", "-o", "json", "deploy").out)


class TestChoosing:
    def test_a_code_is_ignored(self, aeraki: Run, repository: Path) -> None:
        result = aeraki("validate", "-o", "json", ".", "--ignore", "AER0116,aer0230")
        assert codes(result.out) == []
        assert "4 ignored" in result.err

    def test_a_code_is_ignored_for_one_object(self, aeraki: Run, repository: Path) -> None:
        (repository / "deploy" / "route.yaml").write_text(ROUTE)
        assert aeraki("validate", "--strict", "deploy").code == 1
        annotated = ROUTE.replace(
            "namespace: fx}", "namespace: fx, annotations: {aeraki.io/ignore: 'AER0306, AER0312'}}"
        )
        (repository / "deploy" / "route.yaml").write_text(annotated)
        result = aeraki("validate", "--strict", "deploy")
        assert result.code == 0, result.out

    def test_a_misspelt_code_is_an_error(self, aeraki: Run, repository: Path) -> None:
        result = aeraki("validate", ".", "--ignore", "AER02")
        assert (result.code, "'AER02' is not a code" in result.err) == (2, True)

    def test_a_code_that_no_finding_has_is_named(self, aeraki: Run, repository: Path) -> None:
        result = aeraki("validate", ".", "--ignore", "AER9999,RDS9999")
        assert "no finding has the code AER9999" in result.err
        assert "RDS9999" not in result.err
        annotated = SERVICE.replace(
            "annotations: {", "annotations: {aeraki.io/ignore: 'aer9998,', "
        )
        (repository / "deploy" / "quote.yaml").write_text(annotated)
        result = aeraki("validate", "-o", "json", "deploy")
        (finding,) = [each for each in json.loads(result.out) if each["code"] == "AER0111"]
        assert "no finding has the code AER9998" in finding["message"]
        assert finding["line"]

    def test_globs(self, aeraki: Run, repository: Path) -> None:
        arguments = ("--exclude", "charts/", "--exclude", "*.yml", "--exclude", "/docker-*")
        assert codes(aeraki("validate", "-o", "json", ".", *arguments).out) == ["AER0230"]

    def test_a_path_that_is_named_is_read_though_git_ignores_it(
        self, aeraki: Run, repository: Path
    ) -> None:
        assert codes(aeraki("validate", "-o", "json", "old/broken.yaml").out) == ["AER0101"]

    def test_the_projects_file_is_found_from_below(
        self, aeraki: Run, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (repository / ".aeraki.yaml").write_text("ignore: [AER0116, AER0230]\n")
        monkeypatch.chdir(repository / "deploy")
        assert codes(aeraki("validate", "-o", "json", "..").out) == []

    def test_the_projects_file_cannot_choose_a_cluster(self, aeraki: Run, repository: Path) -> None:
        (repository / ".aeraki.yaml").write_text("kubeconfig: mine\n")
        result = aeraki("validate", ".")
        assert result.code == 2
        assert ".aeraki.yaml:1: kubeconfig cannot be set in .aeraki.yaml" in result.err

    @pytest.mark.parametrize(
        "command", ["validate", "generate", "status", "explain x", "diff --live x"]
    )
    def test_a_path_that_is_not_there_is_a_mistake_of_the_command_line(
        self, aeraki: Run, repository: Path, command: str
    ) -> None:
        result = aeraki(*command.split(), "-f", "nowhere")
        assert (result.code, "nowhere: no such file or directory" in result.err) == (2, True)


class TestReports:
    def test_a_terminal_shows_the_line(
        self, aeraki: Run, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (repository / "deploy" / "route.yaml").write_text(ROUTE)
        monkeypatch.setenv("FORCE_COLOR", "1")
        out = aeraki("validate", "deploy").out
        assert "  7 |   - match: [{mehtod: {exact: get}}]\n    |              ^^^^^^\n" in out
        monkeypatch.delenv("FORCE_COLOR")
        assert " | " not in aeraki("validate", "deploy").out

    def test_a_misspelt_match_is_named(self, aeraki: Run, repository: Path) -> None:
        (repository / "deploy" / "route.yaml").write_text(ROUTE)
        assert "did you mean method?" in aeraki("validate", "deploy").out

    def test_a_code_links_to_its_page(self, aeraki: Run, repository: Path) -> None:
        url = ("--docs-url", "https://docs.example.com/aeraki/")
        wanted = "https://docs.example.com/aeraki/finding-examples.html#aer0230"
        [finding] = json.loads(aeraki("validate", "-o", "json", "deploy", *url).out)
        assert finding["help"] == wanted
        [run] = json.loads(aeraki("validate", "-o", "sarif", "deploy", *url).out)["runs"]
        assert [rule["helpUri"] for rule in run["tool"]["driver"]["rules"]] == [wanted]
        assert "### AER0230" in (ROOT / "docs" / "finding-examples.md").read_text()

    def test_a_review_gets_the_path_as_git_has_it(self, aeraki: Run, repository: Path) -> None:
        out = aeraki("validate", "-o", "github", "-f", "./deploy").out
        assert out.startswith("::notice file=deploy/quote.yaml,line=4,")


def _environment() -> dict[str, str]:
    """As after an installation: the command is on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**{k: v for k, v in os.environ.items() if not k.startswith("AERAKI")}, "PATH": path}


def test_the_hook_runs_as_pre_commit_runs_it(repository: Path) -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (repository / ".aeraki.yaml").write_text("paths: [deploy]\n")
    run = subprocess.run(
        shlex.split(hook["entry"]), env=_environment(), capture_output=True, text=True, check=False
    )
    assert (run.returncode, "1 note" in run.stderr) == (0, True), run.stderr


def test_the_action_runs_as_github_runs_it(repository: Path) -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    step = action["runs"]["steps"][-1]
    inputs = {name: value["default"] for name, value in action["inputs"].items()}
    environment = {
        name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: inputs[match[1]], text)
        for name, text in step["env"].items()
    }
    bash = shutil.which("bash")
    assert bash
    run = subprocess.run(
        [bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={**_environment(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "::notice file=deploy/quote.yaml,line=4,title=AER0230" in run.stdout
