"""A tenant changes nothing of hosts of others in a real istiod, beyond what Istio lets it change.

The property of tests/fuzz/test_tenants.py, for a few of the same random meshes.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import Phase, given, settings

from tests.fuzz.tenants import Object, tenant_meshes
from tests.istio.judge.tenancy import Tenancy

MESHES = int(os.environ.get("AERAKI_TENANT_MESHES", "20"))

# As many meshes as are asked for, on a busy machine.
pytestmark = [pytest.mark.mesh, pytest.mark.slow, pytest.mark.timeout(0)]


def _drawn() -> list[list[Object]]:
    meshes: list[list[Object]] = []

    @settings(max_examples=MESHES, phases=(Phase.generate,))
    @given(mesh=tenant_meshes())
    def draw(mesh: tuple[list[Object], list[Object]]) -> None:
        owners, tenant = mesh
        meshes.append([*owners, *tenant])

    draw()
    return meshes


def test_a_tenant_changes_no_client_of_others(tenancy: Tenancy) -> None:
    trials = list(tenancy.compare(_drawn()))
    failing = [trial for trial in trials if trial.changes]
    assert not failing, "\n".join([*failing[0].changes, failing[0].yaml])
    assert sum(trial.compared for trial in trials) > 10 * len(trials)
