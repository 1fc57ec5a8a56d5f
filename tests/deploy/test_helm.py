"""Helm installs, upgrades and removes the chart in a real API server, and what must stay stays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scripts.render_deploy import CHART, MANIFESTS
from tests.rig.api import Api
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane

from .chart import Chart, Refused, load, remove

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(1200)]

CRD = "apiextensions.k8s.io/v1", "CustomResourceDefinition"
FILTER = "networking.istio.io/v1alpha3", "EnvoyFilter"


class Release:
    """One release in a namespace of its own."""

    def __init__(self, chart: Chart, control_plane: ControlPlane, namespace: str) -> None:
        self.api, self.namespace = control_plane.api, namespace
        self._chart, self._kubeconfig = chart, control_plane.kubeconfig

    def install(self, *arguments: str, chart: Path = CHART) -> str:
        return self._run("install", "aeraki", str(chart), *arguments)

    def upgrade(self, *arguments: str) -> str:
        return self._run("upgrade", "aeraki", str(CHART), *arguments)

    def uninstall(self) -> str:
        # There is no garbage collection in the rig that a foreground deletion could wait for.
        return self._run("uninstall", "aeraki", "--ignore-not-found")

    def crds(self) -> set[str]:
        return {
            item["metadata"]["name"]
            for item in self.api.objects(*CRD)
            if item["spec"]["group"].endswith("aeraki.io")
        }

    def _run(self, *arguments: str) -> str:
        return self._chart.run(
            *arguments, "--namespace", self.namespace, kubeconfig=self._kubeconfig
        )


@pytest.fixture
def release(chart: Chart, control_plane: ControlPlane, namespace: str) -> Iterator[Release]:
    found = Release(chart, control_plane, namespace)
    yield found
    found.uninstall()
    for name in found.crds():
        remove(found.api, *CRD, name)


def _roles(api: Api, namespace: str) -> list[str]:
    found = api.objects(
        "rbac.authorization.k8s.io/v1", "ClusterRole", labels="app.kubernetes.io/name=aeraki"
    )
    return [
        item["metadata"]["name"] for item in found if item["metadata"]["name"].endswith(namespace)
    ]


def test_after_removal_only_filters_and_crds_are_left(release: Release) -> None:
    release.install()
    crds = release.crds()
    assert crds
    assert _roles(release.api, release.namespace)
    match = {"context": "SIDECAR_OUTBOUND", "listener": {"name": "10.0.0.1_6379"}}
    patch = {
        "applyTo": "LISTENER",
        "match": match,
        "patch": {"operation": "MERGE", "value": {"stat_prefix": "x"}},
    }
    ours = {"app.kubernetes.io/managed-by": "aeraki"}
    metadata = {"name": "kept", "namespace": ROOT_NAMESPACE, "labels": ours}
    release.api.create(
        {
            "apiVersion": FILTER[0],
            "kind": FILTER[1],
            "metadata": metadata,
            "spec": {"configPatches": [patch]},
        }
    )
    release.uninstall()
    assert release.crds() == crds
    assert release.api.find(*FILTER, "kept", namespace=ROOT_NAMESPACE)
    assert not _roles(release.api, release.namespace)
    for api_version, kind in (
        ("apps/v1", "Deployment"),
        ("v1", "ConfigMap"),
        ("v1", "ServiceAccount"),
    ):
        assert not release.api.find(api_version, kind, "aeraki", namespace=release.namespace)


def test_an_upgrade_changes_crds_and_keeps_those_that_are_no_longer_chosen(
    release: Release, tmp_path: Path
) -> None:
    older = shutil.copytree(CHART, tmp_path / "aeraki")
    file = older / "files" / "crds" / "redis.yaml"
    definitions = load(file)
    definitions[0]["spec"]["names"]["shortNames"] = ["older"]
    file.write_text(yaml.safe_dump_all(definitions), encoding="utf-8")
    name = definitions[0]["metadata"]["name"]

    release.install(chart=older)
    assert release.api.get(*CRD, name)["spec"]["names"]["shortNames"] == ["older"]
    release.upgrade()
    assert release.api.get(*CRD, name)["spec"]["names"]["shortNames"] != ["older"]
    crds = release.crds()
    release.upgrade("--set", "plugins={dubbo}")
    assert release.crds() == crds


def test_it_can_be_installed_again_over_what_stayed(release: Release) -> None:
    release.install()
    release.uninstall()
    release.install()
    assert (
        release.api.get("apps/v1", "Deployment", "aeraki", namespace=release.namespace)["spec"][
            "replicas"
        ]
        == 2
    )


def test_crds_of_another_installation_are_taken_over_when_asked(release: Release) -> None:
    for item in load(MANIFESTS / "crds.yaml"):
        release.api.apply(item, manager="kubectl")
    with pytest.raises(Refused, match="ownership"):
        release.install()
    release.install("--take-ownership")
    assert release.api.get("apps/v1", "Deployment", "aeraki", namespace=release.namespace)


def test_an_upgrade_keeps_the_certificate_of_the_webhook(release: Release) -> None:
    hook = "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"

    def state() -> tuple[object, object]:
        secret = release.api.get("v1", "Secret", "aeraki-webhook", namespace=release.namespace)
        (webhook,) = release.api.get(*hook, f"aeraki-{release.namespace}")["webhooks"]
        return secret["data"], webhook["clientConfig"]["caBundle"]

    release.install("--set", "webhook.enabled=true")
    before = state()
    release.upgrade("--set", "webhook.enabled=true", "--set", "replicas=3")
    assert state() == before
    release.upgrade("--set", "webhook.enabled=false")
    assert release.api.find(*hook, f"aeraki-{release.namespace}") is None
