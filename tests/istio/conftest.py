"""What tests with istiod have in common: how they reach it, and the kinds of the Redis plugin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aeraki_core.manifests.crds import crd
from aeraki_core.plugins.registry import build_registry
from aeraki_core.sources.istiod.connection import Istiod

from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.shown import wait_forgotten
from tests.waiting import wait_until


@pytest.fixture
def istiod(control_plane: ControlPlane) -> Istiod:
    """istiod over TLS, with a token of the root namespace's ServiceAccount.

    It has no objects of earlier tests.
    """
    wait_forgotten(control_plane)
    return Istiod(
        f"127.0.0.1:{control_plane.istiod_ports.secure_grpc}",
        certificate=lambda: control_plane.root_certificate().encode(),
        token=lambda: control_plane.api.token(
            "default", ROOT_NAMESPACE, audience="istio-ca"
        ).encode(),
        server_name=f"istiod.{ROOT_NAMESPACE}.svc",
    )


@pytest.fixture
def redis_kinds(control_plane: ControlPlane) -> Iterator[None]:
    """The cluster serves the kinds of the plugin."""
    api, kind = control_plane.api, ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    made = [crd(each) for each in build_registry(only=["redis"]).kinds]
    names = [item["metadata"]["name"] for item in made]
    for item in made:
        api.apply(item)
    wait_until(
        lambda: all(served(control_plane, name) for name in names), 20, "the kinds to be served"
    )
    yield
    for name in names:
        api.delete(*kind, name)
    wait_until(
        lambda: all(api.find(*kind, name) is None for name in names), 20, "the kinds to be gone"
    )


def served(control_plane: ControlPlane, name: str) -> bool:
    found = control_plane.api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
    conditions = found.get("status", {}).get("conditions") or []
    return any((each["type"], each["status"]) == ("Established", "True") for each in conditions)
