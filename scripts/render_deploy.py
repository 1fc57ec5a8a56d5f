"""Write the generated parts of deploy/ and docs/install.md.

The plugins of this checkout, which must be installed, provide the chart's CRDs, rules and names of
plugins. The table of settings provides the schema of ``settings``. The chart provides the plain
manifests and the table of values. Usage, from the root of the repository:

    python -m scripts.render_deploy [--check] [--helm PATH]

``--check`` writes nothing, lists the files that are out of date, and exits with 1 if there are any.
Without ``--helm`` it uses the Helm of the tests.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from aeraki_core.manifests.crds import crd
from aeraki_core.manifests.rbac import rules
from aeraki_core.model.resource import Kind
from aeraki_core.plugins.registry import build_registry
from aeraki_core.settings import SETTINGS, Setting, forms

from scripts.dashboards import DASHBOARDS, render

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "charts" / "aeraki"
MANIFESTS = ROOT / "deploy" / "manifests"
GRAFANA = CHART / "files" / "dashboards"
INSTALL = ROOT / "docs" / "install.md"
RELEASE, NAMESPACE = "aeraki", "istio-system"
"""The name and namespace of the plain manifests: the mesh's root namespace, as upstream uses."""

OLDEST = "1.25.0"
"""The oldest Kubernetes that the chart supports: without a cluster, Helm would assume another."""

POLICIES = "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy"
"""What a cluster must serve for the chart's admission policy: Kubernetes 1.30 does."""

# Settings that a pod of the chart does not use, and those that a value of the chart decides. A
# template sets the latter.
_NO_VALUES = ("paths", "to", "defaultNamespace", "maxFileSize", "noPlugins")
_VALUES_OF_THE_CHART = (
    "plugins",
    "electionId",
    "httpAddress",
    "probeAddress",
    "httpAuthentication",
    "webhookAddress",
    "webhookCertificate",
)

_MADE_BY = "# Made by scripts/render_deploy.py"
_BEGIN, _END = "<!-- values: made by scripts/render_deploy.py -->", "<!-- end of values -->"
# What only Helm needs.
_HELM_LABELS = ("app.kubernetes.io/managed-by", "helm.sh/chart")
_HELM_ANNOTATIONS = ("helm.sh/resource-policy",)


def bundled_plugins() -> list[str]:
    """The names of the plugins of this checkout."""
    return sorted(
        path.parent.name.removeprefix("aeraki_plugins_")
        for path in ROOT.glob("aeraki_plugins_*/pyproject.toml")
    )


def chart_files() -> dict[Path, str]:
    """Return the chart's files that come from the plugins.

    These are a file of CRDs for each plugin with kinds, and the rules of the ClusterRole by owner.

    Raises:
        SystemExit: a plugin of this checkout is not installed, or not active.
    """
    core = rules(())
    files = {CHART / "files" / "rules" / "core.yaml": _yaml([core])}
    live = [rule for rule in rules((), live_weights=True) if rule not in core]
    files[CHART / "files" / "live-weights.yaml"] = _yaml([live])
    for name, kinds in _kinds().items():
        if kinds:
            own = [rule for rule in rules(kinds) if rule not in core]
            files[CHART / "files" / "rules" / f"{name}.yaml"] = _yaml([own])
            files[CHART / "files" / "crds" / f"{name}.yaml"] = _yaml(crd(kind) for kind in kinds)
    return files


def schema() -> dict[Path, str]:
    """Return the chart's schema of values: names of the plugins, settings of the controller."""
    path = CHART / "values.schema.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    properties = content["properties"]
    properties["plugins"]["items"] = {"enum": bundled_plugins()}
    properties["settings"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            setting.key: {} if setting.key in _VALUES_OF_THE_CHART else _setting_schema(setting)
            for setting in SETTINGS
            if setting.key not in _NO_VALUES
        },
    }
    return {path: json.dumps(content, indent=2) + "\n"}


def dashboards() -> dict[Path, str]:
    """The Grafana dashboards that the chart can install."""
    return {
        GRAFANA / f"{dashboard.name}.json": json.dumps(render(dashboard), indent=1) + "\n"
        for dashboard in DASHBOARDS
    }


def _setting_schema(setting: Setting) -> dict[str, Any]:
    """Return the schema of a setting; the controller parses texts with their own grammar."""
    # A pod has no files to read or write filters.
    words = [str(word) for word in setting.form.words if word != "files"]
    text: dict[str, Any] = {"enum": words} if words else {"type": "string"}
    if setting.is_switch:
        return {"type": "boolean"}
    if setting.form is forms.LOG_LEVELS:
        levels = {"enum": list(forms.LOG_LEVEL_NAMES)}
        return {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": levels}]}
    if setting.form is forms.SIZE:
        return {"type": ["string", "integer"]}
    if setting.form.repeatable:
        # No text with commas, although a settings file accepts it: templates loop over the lists.
        entry = {} if setting.form in (forms.PROXY_RULES, forms.SELECTORS) else text
        return {"type": "array", "uniqueItems": True, "items": entry}
    return text


def manifests(helm: Path) -> dict[Path, str]:
    """Return the plain manifests: the chart with its defaults, without what only Helm needs.

    The CRDs are in a file of their own, because deleting them deletes their objects. So is the
    admission policy, because not every cluster serves its kind.
    """
    files: dict[str, list[Any]] = {"crds.yaml": [], "aeraki.yaml": [], "admission-policy.yaml": []}
    for content in template(helm, "--api-versions", POLICIES):
        if content["kind"] == "CustomResourceDefinition":
            name = "crds.yaml"
        elif content["apiVersion"].startswith("admissionregistration.k8s.io/"):
            name = "admission-policy.yaml"
        else:
            name = "aeraki.yaml"
        files[name].append(_plain(content))
    head = f"{_MADE_BY} from deploy/charts/aeraki.\n"
    return {MANIFESTS / name: head + _yaml(objects) for name, objects in files.items()}


def template(
    helm: Path, *arguments: str, release: str = RELEASE, namespace: str = NAMESPACE
) -> list[dict[str, Any]]:
    """The objects of the chart, as ``helm template`` renders them with these arguments.

    Raises:
        subprocess.CalledProcessError: Helm refused; ``stderr`` says why.
    """
    command = [
        str(helm),
        "template",
        release,
        str(CHART),
        "--namespace",
        namespace,
        "--kube-version",
        OLDEST,
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def values_table() -> str:
    """A table of the chart's values: key, default, and what the comment above it says."""
    rows = [f"| `{key}` | {_default(value)} | {text} |" for key, value, text in documented_values()]
    return "\n".join(["| value | default | |", "|---|---|---|", *rows])


def documented_values() -> Iterator[tuple[str, Any, str]]:
    """Yield the key with dots, the default and the text of every documented value of values.yaml.

    The documentation of a value is its comment ``# -- ...``.

    Raises:
        ValueError: neither a value nor one that contains it has a comment.
    """
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    root = yaml.compose(text, yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    yield from _documented(root, "", text.splitlines())


def _documented(
    node: yaml.MappingNode, prefix: str, lines: Sequence[str]
) -> Iterator[tuple[str, Any, str]]:
    for key_node, value_node in node.value:
        key = f"{prefix}{key_node.value}"
        comment = _comment(lines, key_node.start_mark.line)
        if comment:
            yield key, yaml.safe_load(yaml.serialize(value_node)), comment
        elif isinstance(value_node, yaml.MappingNode) and value_node.value:
            yield from _documented(value_node, f"{key}.", lines)
        else:
            raise ValueError(
                f"values.yaml:{key_node.start_mark.line + 1}: {key} has no comment `# -- ...`"
            )


def _comment(lines: Sequence[str], line: int) -> str:
    """The comment right above a line (from 0), from its ``# --`` on."""
    found: list[str] = []
    for text in reversed(lines[:line]):
        stripped = text.strip()
        if not stripped.startswith("#"):
            break
        found.insert(0, stripped.removeprefix("#").strip())
        if found[0].startswith("--"):
            return " ".join(found).removeprefix("--").strip()
    return ""


def install_page() -> dict[Path, str]:
    """docs/install.md with its table of values made anew.

    Raises:
        SystemExit: the page lacks the lines between which the table stands.
    """
    page = INSTALL.read_text(encoding="utf-8")
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise SystemExit(f"{INSTALL.relative_to(ROOT)}: the lines {_BEGIN} and {_END} are missing")
    return {INSTALL: f"{before}{_BEGIN}\n{values_table()}\n{_END}{after}"}


def outdated(files: dict[Path, str]) -> list[Path]:
    """The files whose content is not what it should be."""
    return [
        path
        for path, text in files.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def strays(files: Iterable[Path]) -> list[Path]:
    """Files of the chart that no plugin brings any more."""
    known = set(files)
    return sorted(path for path in (CHART / "files").rglob("*.yaml") if path not in known)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the files, or with ``--check`` names those that are out of date."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.render_deploy", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 if a file is out of date"
    )
    parser.add_argument(
        "--helm", type=Path, metavar="PATH", help="Helm; by default the one of the tests"
    )
    given = parser.parse_args(arguments)
    stale = _bring(chart_files() | schema() | dashboards(), check=given.check)
    for path in strays(chart_files()):
        stale.append(path)
        if not given.check:
            path.unlink()
    # Only now: the manifests are rendered from the files above.
    stale += _bring(manifests(given.helm or _tests_helm()) | install_page(), check=given.check)
    for path in stale:
        print(f"{path.relative_to(ROOT)} {'is out of date' if given.check else 'written'}")
    return 1 if stale and given.check else 0


def _bring(files: dict[Path, str], *, check: bool) -> list[Path]:
    stale = outdated(files)
    for path in () if check else stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], encoding="utf-8")
    return stale


def _kinds() -> dict[str, tuple[Kind[Any], ...]]:
    wanted = bundled_plugins()
    plugins = {plugin.name: plugin for plugin in build_registry(only=wanted).plugins}
    absent = [name for name in wanted if name not in plugins or not plugins[name].active]
    if absent:
        raise SystemExit(
            f"plugins that are not installed or not active here: {', '.join(absent)}; "
            "see `aeraki plugins`"
        )
    return {
        name: tuple(sorted(plugins[name].kinds, key=lambda kind: (kind.group, kind.kind)))
        for name in wanted
    }


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """The object without the labels and annotations that only Helm needs."""
    metadata = dict(item["metadata"])
    for field, names in (("labels", _HELM_LABELS), ("annotations", _HELM_ANNOTATIONS)):
        if field in metadata:
            metadata[field] = {
                key: value for key, value in metadata[field].items() if key not in names
            }
            if not metadata[field]:
                del metadata[field]
    return {**item, "metadata": metadata}


def _default(value: Any) -> str:
    if value in ("", [], {}):
        return ""
    text = (
        yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
        .removesuffix("...\n")
        .strip()
    )
    return f"`{text}`"


class _Dumper(yaml.SafeDumper):
    """Write multi-line text as a block, so that a settings file in a manifest stays readable."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar(
            "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
        )


_Dumper.add_representer(str, _Dumper.represent_text)


def _yaml(documents: Iterable[Any]) -> str:
    return yaml.dump_all(
        list(documents),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=132,
    )


def _tests_helm() -> Path:
    from tests.deploy.binaries import helm

    return helm()


if __name__ == "__main__":
    sys.exit(main())
