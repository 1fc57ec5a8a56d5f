"""The pytest plugin of the rig: ``pytest_plugins = ["tests.rig.fixtures"]`` in the root conftest.

One control plane serves a whole session. Every test gets namespaces of its own, and afterwards
what it wrote is gone and what it stopped runs again.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from . import availability
from .bootstrap import Node
from .control_plane import ControlPlane
from .errors import RigUnavailableError
from .interception import Pod, PodNetwork
from .shown import wait_forgotten
from .sidecar import PlainSidecar, Sidecar
from .workloads import PodRecord, Workloads

_folders = itertools.count(1)


class SidecarFactory(Protocol):
    """Starts plain sidecars that are stopped when the test ends."""

    def __call__(
        self,
        pod: PodRecord,
        *,
        delta: bool = True,
        metadata: Mapping[str, Any] | None = None,
    ) -> Sidecar:
        """Starts an Envoy as istiod's client for `pod`, and waits for its first configuration."""


class PodFactory(Protocol):
    """Starts pods with real networks that are removed when the test ends."""

    def __call__(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        service_account: str = "default",
        mtls: bool = False,
        in_mesh: bool = True,
    ) -> Pod:
        """Starts a pod in the test's namespace and, if `in_mesh`, writes it to the API server.

        With `mtls` its sidecar will have certificates. Call ``sidecar()`` of the answer for one.
        """


class NamespaceFactory(Protocol):
    """Makes namespaces that are emptied and removed when the test ends."""

    def __call__(self, name: str | None = None, *, labels: Mapping[str, str] | None = None) -> str:
        """Creates a namespace and returns its name."""


def give_up(reason: str) -> None:
    """The tests cannot run: a failure in CI, elsewhere a skip that says why."""
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(f"the rig cannot run: {reason}", pytrace=False)
    pytest.skip(f"the rig cannot run: {reason}")


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """The real API server and istiod; started once for all tests of a session."""
    if reason := availability.obstacle() or availability.unbuilt():
        give_up(reason)
    with ControlPlane() as started:
        yield started


@pytest.fixture
def make_namespace(control_plane: ControlPlane) -> Iterator[NamespaceFactory]:
    """Makes any number of clean namespaces for a test."""
    control_plane.heal()
    made: list[str] = []

    def make(name: str | None = None, *, labels: Mapping[str, str] | None = None) -> str:
        made.append(control_plane.namespaces.make(name, labels=labels))
        return made[-1]

    yield make
    control_plane.heal()
    for name in made:
        control_plane.namespaces.remove(name)
    control_plane.namespaces.clean_root()


@pytest.fixture
def namespace(make_namespace: NamespaceFactory) -> str:
    """The name of a clean namespace of this test's own."""
    return make_namespace()


@pytest.fixture
def workloads(control_plane: ControlPlane, namespace: str) -> Workloads:
    """Writes Services, Pods and EndpointSlices into the test's namespace."""
    return Workloads(control_plane.api, namespace)


@pytest.fixture
def sidecar_factory(control_plane: ControlPlane) -> Iterator[SidecarFactory]:
    """Starts plain Envoys as clients of istiod."""
    wait_forgotten(control_plane)
    with ExitStack() as started:

        def start(
            pod: PodRecord,
            *,
            delta: bool = True,
            metadata: Mapping[str, Any] | None = None,
        ) -> Sidecar:
            node = Node.of(pod, metadata)
            xds = ("127.0.0.1", control_plane.istiod_ports.grpc)
            folder = control_plane.folder / f"sidecar-{next(_folders)}-{pod.name}"
            return started.enter_context(PlainSidecar(node, xds, folder, delta=delta))

        yield start


@pytest.fixture(scope="session")
def pod_network(control_plane: ControlPlane) -> Iterator[PodNetwork]:
    """The node that pods with real networks are attached to."""
    try:
        network = PodNetwork(control_plane)
    except RigUnavailableError as error:
        give_up(str(error))
        raise
    with network:
        yield network


@pytest.fixture
def pod_factory(
    control_plane: ControlPlane, pod_network: PodNetwork, namespace: str, workloads: Workloads
) -> Iterator[PodFactory]:
    """Starts pods whose traffic can be intercepted by a sidecar."""
    wait_forgotten(control_plane)
    with ExitStack() as started:

        def start(
            name: str,
            *,
            labels: Mapping[str, str] | None = None,
            service_account: str = "default",
            mtls: bool = False,
            in_mesh: bool = True,
        ) -> Pod:
            pod = started.enter_context(
                pod_network.pod(
                    name, namespace, labels=labels, service_account=service_account, mtls=mtls
                )
            )
            if in_mesh:
                written = pod.record
                workloads.pod(
                    name, ip=pod.ip, labels=written.labels, service_account=service_account
                )
            return pod

        yield start


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> None:
    """Report that the tests with a cluster could not have run, even if none was requested."""
    if reason := availability.obstacle():
        terminalreporter.section("cluster tests did not run")
        terminalreporter.line(f"The tests marked `mesh` need the rig: {reason}.")
