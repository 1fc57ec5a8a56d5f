"""Whatever is legal gives filters that load, whatever the order, and patch nothing else."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline import Pipeline
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.registry import build_registry
from aeraki_core.store import SourceObject
from aeraki_core.testing import Envoy, EnvoyConfig, generate, stray_changes, validate_many
from tests.fuzz.meshes import Object, meshes, proxies

EXAMPLES = int(os.environ.get("AERAKI_FUZZ_EXAMPLES", "500"))
BATCH = 250  # meshes in one start of Envoy

REGISTRY = build_registry()
WORK_IN_PROGRESS = "generic_proxy"  # Envoy says of this filter that it is work in progress (docs/protocols/dubbo.md)


def as_source(content: Object) -> SourceObject:
    ref = ObjectRef(content["kind"], content["metadata"]["namespace"], content["metadata"]["name"])
    return SourceObject(ref, content["apiVersion"], content)


@given(objects=meshes(REGISTRY), mesh=proxies(), seed=st.randoms(use_true_random=False))
@settings(max_examples=EXAMPLES)
def test_any_order_and_any_detour_give_the_same_bytes(objects: list[Object], mesh: Mesh, seed: random.Random) -> None:
    straight = Pipeline(mesh, Dispatcher(REGISTRY))
    for content in objects:
        straight.upsert(as_source(content))
    straight.run()

    detour = Pipeline(mesh, Dispatcher(REGISTRY))
    shuffled = seed.sample(objects, len(objects))
    for content in shuffled:
        detour.upsert(as_source(content))
        if seed.random() < 0.5:
            detour.run()
    for content in seed.sample(objects, len(objects) // 2):
        detour.remove(as_source(content).ref)
        if seed.random() < 0.5:
            detour.run()
        detour.upsert(as_source(content))
    detour.run()
    held = {report.service.host for report in (*straight.reports(), *detour.reports()) if report.state == "held"}
    same = {key: item for key, item in straight.filters.items() if not held & {owner.host for owner in item.owners}}
    other = {key: item for key, item in detour.filters.items() if not held & {owner.host for owner in item.owners}}
    assert same == other
    assert straight.findings() == detour.findings()


class Collected:
    """Configurations that examples made, for Envoy to judge many in one start."""

    def __init__(self, envoy: Envoy) -> None:
        self.envoy = envoy
        self.configs: dict[str, EnvoyConfig] = {}

    def add(self, configs: dict[str, EnvoyConfig], example: int) -> None:
        self.configs.update({f"{example} {name}": config for name, config in configs.items()})
        if len(self.configs) >= BATCH:
            self.judge()

    def judge(self) -> None:
        configs, self.configs = self.configs, {}
        refused = validate_many(self.envoy, configs)
        wrong = {
            name: verdict
            for name, verdict in refused.items()
            if verdict.errors or any(WORK_IN_PROGRESS not in str(warning) for warning in verdict.warnings)
        }
        assert not wrong, wrong


@pytest.fixture
def collected(envoy: Envoy) -> Iterator[Collected]:
    return Collected(envoy)


@pytest.mark.envoy
@pytest.mark.slow
def test_every_output_loads_and_patches_only_its_ports(collected: Collected) -> None:
    count = 0

    # Envoy judges a batch of examples, so a single one cannot be shrunk: the message names it by its objects.
    @given(objects=meshes(REGISTRY), mesh=proxies())
    @settings(max_examples=EXAMPLES, phases=[Phase.generate])
    def example(objects: list[Object], mesh: Mesh) -> None:
        nonlocal count
        count += 1
        made = generate(objects, mesh=mesh)
        assert stray_changes(made) == []
        collected.add(made.envoy_configs(), count)

    example()
    collected.judge()
    assert count >= min(EXAMPLES, 100)
