"""Helm and kustomize, built with Go's installer once, and the CRD that a ServiceMonitor needs.

All are in the rig's cache, by version. ``python -m tests.deploy.binaries`` makes them and prints
their paths. It does not wait for the rig's own build, which takes far longer; the two may run at
once.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.rig import build
from tests.rig.errors import RigUnavailableError

from . import cache

HELM_VERSION = "v4.3.1"
KUSTOMIZE_VERSION = "v5.7.1"
OPERATOR_VERSION = "v0.85.0"
"""The Prometheus Operator whose CRD is used; its module holds the CRDs as files."""

NO_GO = (
    "Go 1.21 or later is missing, and it has to build Helm and kustomize: install it"
    " (https://go.dev/doc/install)"
)
_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
_CRD = "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"


def helm() -> Path:
    """The path of Helm, which is built if need be: about four minutes on two cores.

    Raises:
        RigUnavailableError: it must be built and Go is missing.
        RigError: the build failed; the message holds the end of its output.
    """
    return cache.ensure(build.cache_dir() / f"helm-{HELM_VERSION}" / "helm", _install_helm)


def kustomize() -> Path:
    """The path of kustomize, which is built if need be: half a minute on two cores.

    Raises:
        RigUnavailableError: it must be built and Go is missing.
        RigError: the build failed; the message holds the end of its output.
    """
    directory = build.cache_dir() / f"kustomize-{KUSTOMIZE_VERSION}"
    return cache.ensure(directory / "kustomize", _install_kustomize)


def service_monitor_crd() -> Path:
    """The path of the ServiceMonitor's CRD, which is fetched if need be.

    Raises:
        RigUnavailableError: it must be fetched and Go is missing.
        RigError: it could not be fetched.
    """
    return cache.ensure(
        build.cache_dir() / f"prometheus-operator-{OPERATOR_VERSION}" / Path(_CRD).name, _copy_crd
    )


def _go() -> str:
    go = build.find_go()
    if go is None:
        raise RigUnavailableError(NO_GO)
    return go


def _install_helm(made: Path, work: Path) -> None:
    _install(f"helm.sh/helm/v4/cmd/{made.name}@{HELM_VERSION}", work)


def _install_kustomize(made: Path, work: Path) -> None:
    _install(f"sigs.k8s.io/kustomize/{made.name}/v5@{KUSTOMIZE_VERSION}", work)


def _install(package: str, work: Path) -> None:
    build._run_go(
        _go(), "install", "-ldflags", "-s -w", package, cwd=work, env={"GOBIN": str(work)}
    )


def _copy_crd(made: Path, work: Path) -> None:
    module = build._go_json(
        _go(), "mod", "download", "-json", f"{_OPERATOR}@{OPERATOR_VERSION}", cwd=work
    )
    shutil.copyfile(Path(module["Dir"]) / _CRD, made)


if __name__ == "__main__":
    print(f"{helm()}\n{service_monitor_crd()}\n{kustomize()}", file=sys.stdout)
