"""Whatever the order, and whatever came and went in between: the same filters, byte for byte."""

from __future__ import annotations

import os
import random

import pytest
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.registry import build_registry
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.meshes import Object, meshes, proxies

EXAMPLES = int(os.environ.get("AERAKI_FUZZ_EXAMPLES", "500"))

REGISTRY = build_registry()

pytestmark = pytest.mark.timeout(1800)  # as many examples as were asked for, on a busy machine


def as_source(content: Object) -> SourceObject:
    ref = ObjectRef(content["kind"], content["metadata"]["namespace"], content["metadata"]["name"])
    return SourceObject(ref, content["apiVersion"], content)


@given(objects=meshes(REGISTRY), mesh=proxies(), seed=st.randoms(use_true_random=False))
@settings(max_examples=EXAMPLES)
def test_any_order_and_any_detour_give_the_same_bytes(
    objects: list[Object], mesh: Mesh, seed: random.Random
) -> None:
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
    held = {
        report.service.host
        for report in (*straight.reports(), *detour.reports())
        if report.state == "held"
    }
    same = {
        key: item
        for key, item in straight.filters.items()
        if not held & {owner.host for owner in item.service_ports}
    }
    other = {
        key: item
        for key, item in detour.filters.items()
        if not held & {owner.host for owner in item.service_ports}
    }
    assert same == other
    assert straight.findings() == detour.findings()
