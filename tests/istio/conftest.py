"""How tests reach the rig's istiod."""

from __future__ import annotations

import pytest
from aeraki_core.sources.istiod.connection import Istiod

from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane


@pytest.fixture
def istiod(control_plane: ControlPlane) -> Istiod:
    """istiod over TLS, with a token of the root namespace's ServiceAccount."""
    return Istiod(
        f"127.0.0.1:{control_plane.istiod_ports.secure_grpc}",
        certificate=lambda: control_plane.root_certificate().encode(),
        token=lambda: control_plane.api.token("default", ROOT_NAMESPACE, audience="istio-ca").encode(),
        server_name=f"istiod.{ROOT_NAMESPACE}.svc",
    )
