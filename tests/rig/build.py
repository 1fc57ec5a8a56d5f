"""Builds kube-apiserver and Istio's binaries with Go, once, into a cache outside the checkout.

No release of them is downloaded: the Go module proxy (or its mirror) is all that is needed. The
cache is keyed by version, so an upgrade of the rig builds beside the old binaries. Each file gets
its name only when it is complete; a lock keeps two runs from building the same thing twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import RigError, RigUnavailableError

KUBERNETES_VERSION = "1.36.3"
ISTIO_VERSION = "v0.0.0-20260827124520-eed52ebb66ad"
"""The pseudo-version of istio.io/istio; `ISTIO_PROXY_VERSION` is the release it leads to."""
ISTIO_PROXY_VERSION = "1.32.0"

NO_GO = (
    "Go 1.21 or later is missing, and it has to build the API server and istiod: "
    "install it (https://go.dev/doc/install) and run `make rig-build`"
)
_ISTIO_FILES = {
    "crd-all.gen.yaml": "manifests/charts/base/files/crd-all.gen.yaml",
    "envoy_bootstrap.json": "tools/packaging/common/envoy_bootstrap.json",
}
_WORKSHOP = ".build-"
_APISERVER_MAIN = """\
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
"""


@dataclass(frozen=True)
class Artifacts:
    """Where everything that was built lies."""

    kube_apiserver: Path
    pilot_discovery: Path
    pilot_agent: Path
    istio_crds: Path
    """Istio's CRDs, several YAML documents."""
    envoy_bootstrap: Path
    """The template from which pilot-agent writes Envoy's bootstrap."""

    def missing(self) -> list[Path]:
        """The files that are not there yet."""
        return [path for path in vars(self).values() if not path.exists()]


def cache_dir() -> Path:
    """The cache: ``$AERAKI_RIG_CACHE``, or ``aeraki-rig`` in the user's cache folder."""
    if explicit := os.environ.get("AERAKI_RIG_CACHE"):
        return Path(explicit).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "aeraki-rig"


def artifacts() -> Artifacts:
    """Where the artifacts of this version are, or will be once built."""
    kubernetes = cache_dir() / f"kube-apiserver-{KUBERNETES_VERSION}"
    istio = cache_dir() / f"istio-{ISTIO_VERSION}"
    return Artifacts(
        kube_apiserver=kubernetes / "kube-apiserver",
        pilot_discovery=istio / "pilot-discovery",
        pilot_agent=istio / "pilot-agent",
        istio_crds=istio / "crd-all.gen.yaml",
        envoy_bootstrap=istio / "envoy_bootstrap.json",
    )


def find_go() -> str | None:
    """The path of a Go that can build this, also where its installer puts it outside ``PATH``.

    From 1.21 on Go fetches the newer one that a module asks for; an older one would only fail.
    """
    for folders in (None, "/usr/local/go/bin:/usr/lib/go/bin"):
        if (go := shutil.which("go", path=folders)) is None:
            continue
        version = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
        found = re.search(r"go1\.(\d+)", version.stdout)
        if found and int(found[1]) >= 21:
            return go
    return None


def ensure_built(report: Callable[[str], None] = print) -> Artifacts:
    """Return the artifacts, building those that are missing: about 16 minutes on two cores.

    Args:
        report: receives what is being built.

    Raises:
        RigUnavailableError: something must be built and Go is missing.
        RigError: a build failed; the message holds the end of its output.
    """
    wanted = artifacts()
    if not wanted.missing():
        return wanted
    go = find_go()
    if go is None:
        raise RigUnavailableError(NO_GO)
    with _lock(report):
        for folder in cache_dir().glob(f"*/{_WORKSHOP}*"):
            shutil.rmtree(folder, ignore_errors=True)  # of a build that was killed
        if not wanted.kube_apiserver.exists():
            report(f"rig: building kube-apiserver {KUBERNETES_VERSION} (about 8 minutes, once)")
            _build_apiserver(go, wanted.kube_apiserver)
        for binary in (wanted.pilot_discovery, wanted.pilot_agent):
            if not binary.exists():
                report(f"rig: building {binary.name} {ISTIO_VERSION} (up to 8 minutes, once)")
                _install_istio(go, binary)
        if any(not path.exists() for path in (wanted.istio_crds, wanted.envoy_bootstrap)):
            _copy_istio_files(go, wanted.istio_crds.parent)
    return wanted


@contextmanager
def _lock(report: Callable[[str], None]) -> Iterator[None]:
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("rig: another run is building; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield  # closing the file releases the lock; so does the death of this process


@contextmanager
def _workshop(target: Path) -> Iterator[Path]:
    """A temporary folder on the same file system as `target`, so that a rename is atomic."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=_WORKSHOP) as folder:
        yield Path(folder)


def _build_apiserver(go: str, target: Path) -> None:
    """Kubernetes is not installable by ``go install``: its go.mod replaces modules by folders.

    A module of our own replaces them by their published twins instead.
    """
    with _workshop(target.parent) as work:
        source = f"k8s.io/kubernetes@v{KUBERNETES_VERSION}"
        module = _go_json(go, "mod", "download", "-json", source, cwd=work)
        upstream = _go_json(go, "mod", "edit", "-json", module["GoMod"], cwd=work)
        staging = f"v0.{KUBERNETES_VERSION.partition('.')[2]}"
        replaced = [
            f"replace {entry['Old']['Path']} => {entry['Old']['Path']} {staging}"
            for entry in upstream.get("Replace") or []
            if entry["New"]["Path"].startswith("./")
        ]
        go_version = upstream["Go"]
        language = ".".join(go_version.split(".")[:2])
        lines = [
            "module aeraki.local/rig/kube-apiserver",
            f"go {go_version}",
            f"godebug default=go{language}",
            f"require k8s.io/kubernetes v{KUBERNETES_VERSION}",
            *replaced,
        ]
        (work / "go.mod").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (work / "main.go").write_text(_APISERVER_MAIN, encoding="utf-8")
        version = "k8s.io/component-base/version"
        major, minor, _ = KUBERNETES_VERSION.split(".")
        # gitVersion is what /version answers, and what feature gates compare with.
        flags = (
            f"-s -w -X {version}.gitVersion=v{KUBERNETES_VERSION} "
            f"-X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
        )
        _run_go(go, "build", "-mod=mod", "-ldflags", flags, "-o", str(work / "out"), ".", cwd=work)
        (work / "out").replace(target)


def _install_istio(go: str, target: Path) -> None:
    with _workshop(target.parent) as work:
        package = f"istio.io/istio/pilot/cmd/{target.name}@{ISTIO_VERSION}"
        _run_go(go, "install", "-ldflags", "-s -w", package, cwd=work, env={"GOBIN": str(work)})
        (work / target.name).replace(target)


def _copy_istio_files(go: str, folder: Path) -> None:
    with _workshop(folder) as work:
        source = f"istio.io/istio@{ISTIO_VERSION}"
        module = _go_json(go, "mod", "download", "-json", source, cwd=work)
        for name, inside in _ISTIO_FILES.items():
            shutil.copyfile(Path(module["Dir"]) / inside, work / name)
            (work / name).replace(folder / name)


def _go_json(go: str, *arguments: str, cwd: Path) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(_run_go(go, *arguments, cwd=cwd))
    return answer


def _run_go(go: str, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Runs Go at low priority and returns what it printed."""
    settings = {**os.environ, "GOWORK": "off", **(env or {})}
    done = subprocess.run(
        ["nice", "-n", "10", go, *arguments],
        cwd=cwd,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stderr.splitlines()[-30:])
        raise RigError(
            f"`go {' '.join(arguments)}` failed with exit code {done.returncode}; its last words:\n"
            f"{tail}\nMend that (network to the Go module proxy? disk space?) and run again"
        )
    return done.stdout
