"""What the tests of the chart share: Helm, an installation in the rig, pods that run.

Helm is built once where Go is there; elsewhere there is a skip that says why.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.rig.control_plane import ControlPlane
from tests.rig.errors import RigUnavailableError
from tests.rig.fixtures import NamespaceFactory
from tests.rig.interception import PodNetwork

from . import binaries
from .chart import Chart
from .pod import Node

_nodes = itertools.count(1)


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart; the first one builds Helm."""
    try:
        return Chart(binaries.helm())
    except RigUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def node(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    pod_network: PodNetwork,
    make_namespace: NamespaceFactory,
) -> Iterator[Node]:
    """Starts pods of rendered Deployments; they are gone before the test's namespaces are."""
    del make_namespace
    with ExitStack() as cleanup:
        node = Node(control_plane, pod_network, control_plane.folder / f"deployed-{next(_nodes)}")
        cleanup.callback(node.close)
        failed = request.session.testsfailed
        yield node
        if request.session.testsfailed > failed:
            node.show()
