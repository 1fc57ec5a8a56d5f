"""The chart as a user sees it: values in, objects out; and its installation in the rig.

Tests elsewhere that need the controller's own rights use `installed` and a kubeconfig of its
ServiceAccount:

    with installed(control_plane.api, chart.render(namespace=namespace)) as objects:
        kubeconfig = control_plane.kubeconfig_for("aeraki", namespace)
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aeraki_core.plugins.registry import build_registry

from scripts.render_deploy import CHART, POLICIES, bundled_plugins, template
from tests.rig.api import Api, Object
from tests.waiting import wait_until

Values = Mapping[str, Any]

_NAMESPACED_NOWHERE = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
}


class Refused(Exception):
    """Helm refused the values; the message is Helm's."""


@dataclass(frozen=True)
class Chart:
    """The chart and the Helm that renders it."""

    helm: Path

    def render(
        self,
        values: Values | None = None,
        *,
        release: str = "aeraki",
        namespace: str = "istio-system",
        policies: bool = True,
    ) -> list[Object]:
        """Render the objects of these values.

        With ``policies``, the cluster serves admission policies.

        Raises:
            Refused: Helm did not accept the values.
        """
        arguments = [
            argument
            for key, value in (values or {}).items()
            for argument in ("--set-json", _pair(key, value))
        ]
        if policies:
            arguments += ["--api-versions", POLICIES]
        try:
            return template(self.helm, *arguments, release=release, namespace=namespace)
        except subprocess.CalledProcessError as error:
            raise Refused(error.stderr) from None

    def run(self, *arguments: str, kubeconfig: Path | None = None) -> str:
        """Runs Helm and returns what it printed.

        Raises:
            Refused: it failed.
        """
        command = [
            str(self.helm),
            *arguments,
            *(["--kubeconfig", str(kubeconfig)] if kubeconfig else []),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise Refused(done.stdout + done.stderr)
        return done.stdout

    def lint(self, values: Values) -> str:
        """What ``helm lint --strict`` says.

        Raises:
            Refused: it found something.
        """
        arguments = [
            argument
            for key, value in values.items()
            for argument in ("--set-json", _pair(key, value))
        ]
        return self.run("lint", "--strict", str(CHART), *arguments)


def _pair(key: str, value: Any) -> str:
    return f"{key}={json.dumps(value)}"


def one(objects: Sequence[Object], kind: str, name: str | None = None) -> Object:
    """The only object of that kind (and name)."""
    found = [
        item
        for item in objects
        if item["kind"] == kind and name in (None, item["metadata"]["name"])
    ]
    assert len(found) == 1, (
        f"{len(found)} objects of kind {kind} in {[item['kind'] for item in objects]}"
    )
    return found[0]


def all_of(objects: Sequence[Object], kind: str) -> list[Object]:
    """The objects of that kind."""
    return [item for item in objects if item["kind"] == kind]


def container(objects: Sequence[Object]) -> Object:
    """The controller's container."""
    (found,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def settings_file(objects: Sequence[Object]) -> str:
    """Return the settings file that the container's variable AERAKI_CONFIG points to."""
    environment = {item["name"]: item.get("value") for item in container(objects)["env"]}
    config = Path(str(environment["AERAKI_CONFIG"]))
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    (mount,) = [
        item
        for item in container(objects)["volumeMounts"]
        if item["mountPath"] == str(config.parent)
    ]
    (volume,) = [item for item in pod["volumes"] if item["name"] == mount["name"]]
    text: str = one(objects, "ConfigMap", volume["configMap"]["name"])["data"][config.name]
    return text


def kinds(plugins: Sequence[str]) -> Any:
    """The kinds of these plugins of the checkout; of all if none is named, as the chart has it."""
    return build_registry(only=plugins or bundled_plugins()).kinds


def load(path: Path) -> list[Object]:
    """The objects of a manifest."""
    return [item for item in yaml.safe_load_all(path.read_text(encoding="utf-8")) if item]


@contextmanager
def installed(api: Api, objects: Sequence[Object]) -> Iterator[Sequence[Object]]:
    """Create the objects in an API server, and delete those without a namespace afterwards.

    The rig removes the others.
    """
    try:
        for item in objects:
            api.apply(item, manager="helm")
        yield objects
    finally:
        for item in objects:
            if item["kind"] in _NAMESPACED_NOWHERE:
                remove(api, item["apiVersion"], item["kind"], item["metadata"]["name"])


def remove(api: Api, api_version: str, kind: str, name: str) -> None:
    """Delete an object without a namespace and wait until it is gone.

    A CRD's objects are deleted before the CRD.
    """
    api.delete(api_version, kind, name)
    wait_until(
        lambda: api.find(api_version, kind, name) is None, 20, f"the {kind} {name} to be gone"
    )
