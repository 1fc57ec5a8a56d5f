"""Any legal mesh gives filters that load in Envoy without a warning and patch only their ports."""

from __future__ import annotations

import os

import pytest
from aeraki_core.model.mesh import Mesh
from aeraki_core.plugins.registry import build_registry
from aeraki_core.testing import Envoy, EnvoyConfig, Made, generate, stray_changes, to_yaml
from hypothesis import Phase, given, settings

from tests.fuzz.meshes import Object, meshes, proxies
from tests.loading import WORK_IN_PROGRESS, refused

EXAMPLES = int(os.environ.get("AERAKI_FUZZ_EXAMPLES", "500"))
BATCH = 2000  # configurations before Envoy is asked

REGISTRY = build_registry()

pytestmark = pytest.mark.timeout(1800)  # as many examples as were asked for, on a busy machine


class Collected:
    """Configurations that examples made, for Envoy to judge many in one start."""

    def __init__(self, envoy: Envoy) -> None:
        self.envoy = envoy
        self.configs: dict[str, EnvoyConfig] = {}
        self.made: dict[str, Made] = {}

    def add(self, made: Made, example: int) -> None:
        for name, config in made.envoy_configs().items():
            self.configs[f"{example} {name}"] = config
            self.made[f"{example} {name}"] = made
        if len(self.configs) >= BATCH:
            self.judge()

    def judge(self) -> None:
        configs, made = self.configs, self.made
        self.configs, self.made = {}, {}
        for name, verdict in refused(self.envoy, configs, tolerate=[WORK_IN_PROGRESS]).items():
            # The whole mesh, to be pasted into a golden case.
            pytest.fail(
                f"{name}: {verdict}\n{to_yaml(made[name].objects)}\n{made[name].mesh}",
                pytrace=False,
            )


@pytest.fixture
def collected(envoy: Envoy) -> Collected:
    return Collected(envoy)


@pytest.mark.envoy
@pytest.mark.slow
def test_every_output_loads_and_patches_only_its_ports(collected: Collected) -> None:
    count = 0

    # Envoy loads a batch of examples, so a single one cannot be shrunk. The message lists its
    # objects.
    @given(objects=meshes(REGISTRY), mesh=proxies())
    @settings(max_examples=EXAMPLES, phases=[Phase.generate])
    def example(objects: list[Object], mesh: Mesh) -> None:
        nonlocal count
        count += 1
        made = generate(objects, mesh=mesh, plugins=REGISTRY)
        assert stray_changes(made) == []
        collected.add(made, count)

    example()
    collected.judge()
    assert count >= min(EXAMPLES, 100)
