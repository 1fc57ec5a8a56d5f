"""With our filters no client of a random mesh is worse off, in the modelled sidecar.

The same meshes and checks as in a real istiod, without one: a hundred take seconds, so a fault of
the pipeline shows on every machine. What istiod really does, `test_judge` proves.
"""

from __future__ import annotations

import pytest
from aeraki_core.model.mesh import Mesh
from aeraki_core.plugins.registry import Registry, build_registry
from aeraki_core.testing import generate, to_yaml
from aeraki_core.testing.sidecar.patches import patched_sidecar
from aeraki_core.testing.sidecar.proxy import Proxy

from tests.istio.judge.checks import Comparison, Violation, judge
from tests.istio.judge.choices import CLIENT_LABELS, NAMESPACES
from tests.istio.judge.gaps import gap_of
from tests.istio.judge.meshes import draw
from tests.rig.ads import ProxyConfig
from tests.rig.api import Object

SEEDS = range(200, 320)
SOLVED = (
    *(129, 437, 1143, 2788, 3401, 4295, 6453, 10648, 11175, 12635, 20661, 21204, 22292, 22465),
    *(30364, 30801, 32398, 32863),
)
"""Meshes in which a client was worse off: shared endpoints, names of other hosts, lost chains."""


@pytest.fixture(scope="module")
def registry() -> Registry:
    """All installed plugins."""
    return build_registry()


@pytest.mark.parametrize("first", SEEDS[::30])
def test_no_client_is_worse_off(first: int, registry: Registry) -> None:
    for seed in range(first, first + 30):
        assert_not_worse(seed, registry)


@pytest.mark.parametrize("seed", SOLVED)
def test_no_client_is_worse_off_again(seed: int, registry: Registry) -> None:
    assert_not_worse(seed, registry)


def assert_not_worse(seed: int, registry: Registry) -> None:
    mesh = draw(seed)
    found = [str(each) for each in violations(mesh, registry) if gap_of(each) is None]
    assert not found, "\n".join([f"seed {seed}", *found[:3], to_yaml(mesh)])


def violations(mesh: list[Object], registry: Registry) -> list[Violation]:
    """What every check finds for every client."""
    made = generate(mesh, plugins=registry, mesh=Mesh())
    return [
        violation
        for namespace in NAMESPACES
        for violation in judge(
            Comparison(
                namespace=namespace,
                before=_config(mesh, (), namespace),
                after=_config(mesh, made.filters, namespace),
                objects=mesh,
                findings=made.findings,
            )
        )
    ]


def _config(mesh: list[Object], filters: tuple[Object, ...], namespace: str) -> ProxyConfig:
    others = [each for each in mesh if each["kind"] == "EnvoyFilter"]
    objects = [each for each in mesh if each["kind"] != "EnvoyFilter"]
    proxy = Proxy(namespace, labels=CLIENT_LABELS, ip="10.251.0.1", dns_capture=False)
    config = patched_sidecar(objects, [*others, *filters], proxy).config
    return ProxyConfig(
        {each.name: each for each in (*config.outbound, *config.inbound)},
        {each.name: each for each in config.clusters},
    )
