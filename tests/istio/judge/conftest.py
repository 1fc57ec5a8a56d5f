"""A control plane of the judge's own: what others write would be in its clients' configurations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
from aeraki_core.manifests.crds import crd
from aeraki_core.plugins.registry import build_registry

from tests.istio.judge.court import Court
from tests.istio.judge.model import MUTUAL_TLS
from tests.istio.judge.tenancy import Tenancy
from tests.rig import availability
from tests.rig.ads import AdsClient
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import give_up

C = TypeVar("C", bound=Court)

_ISTIOD = {
    # Addresses of entries without one would come a moment after the entry.
    "PILOT_ENABLE_IP_AUTOALLOCATE": "false",
    # Hundreds of clients ask at the same time, and nothing changes while they do.
    "PILOT_MAX_REQUESTS_PER_SECOND": "10000",
    "PILOT_DEBOUNCE_AFTER": "50ms",
}


@pytest.fixture(scope="module")
def court() -> Iterator[Court]:
    """Where meshes are heard."""
    with _opened(Court) as court:
        yield court


@pytest.fixture(scope="module")
def tenancy() -> Iterator[Tenancy]:
    """Where meshes with a tenant are compared."""
    with _opened(Tenancy) as tenancy:
        yield tenancy


@contextmanager
def _opened(kind: type[C]) -> Iterator[C]:
    if reason := availability.obstacle() or availability.unbuilt():
        give_up(reason)
    registry = build_registry()
    with ControlPlane(
        mesh_config={"enableAutoMtls": True}, mtls=MUTUAL_TLS, istiod_env=_ISTIOD
    ) as plane:
        for each in registry.kinds:
            plane.api.apply(crd(each))
        with AdsClient(plane.istiod_ports.grpc) as ads:
            yield kind(plane, ads, registry)
