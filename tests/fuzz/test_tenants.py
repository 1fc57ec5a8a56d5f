"""A tenant's objects for hosts of other namespaces change nothing for clients elsewhere.

Removing all objects of the tenant changes no filter of another namespace, in any order of arrival.
The filters of the tenant's own services change no listener and no cluster of other hosts.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from typing import Any

import pytest
from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.filters.output import Output, to_dict
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.mesh import LiveWeights, Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.registry import build_registry
from aeraki_core.testing.sidecar.patches import patched_sidecar
from aeraki_core.testing.sidecar.proxy import Proxy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.tenants import OWNED, TENANT, Object, tenant_meshes

EXAMPLES = int(os.environ.get("AERAKI_FUZZ_EXAMPLES", "300"))

REGISTRY = build_registry()
MESH = Mesh(live_weights=LiveWeights.ANNOTATED)

pytestmark = pytest.mark.timeout(1800)  # as many examples as were asked for, on a busy machine


def as_source(content: Object) -> SourceObject:
    metadata = content["metadata"]
    ref = ObjectRef(content["kind"], metadata["namespace"], metadata["name"])
    return SourceObject(ref, content["apiVersion"], content)


def of_others(pipeline: Pipeline) -> dict[FilterKey, Output]:
    """The filters that are neither in the tenant's namespace nor for a service of it alone."""
    return {
        key: envoy_filter
        for key, envoy_filter in pipeline.filters.items()
        if key.namespace != TENANT and set(envoy_filter.namespaces) != {TENANT}
    }


@given(mesh=tenant_meshes(), seed=st.randoms(use_true_random=False))
@settings(max_examples=EXAMPLES)
def test_a_tenant_changes_no_filter_of_others(
    mesh: tuple[list[Object], list[Object]], seed: random.Random
) -> None:
    objects, hostile = mesh
    alone = Pipeline(MESH, Dispatcher(REGISTRY))
    for content in objects:
        alone.upsert(as_source(content))
    alone.run()
    attacked = Pipeline(MESH, Dispatcher(REGISTRY))
    for content in seed.sample([*objects, *hostile], len(objects) + len(hostile)):
        attacked.upsert(as_source(content))
        if seed.random() < 0.3:
            attacked.run()
    attacked.run()
    assert of_others(attacked) == alone.filters
    for envoy_filter in alone.filters.values():
        for service_port in envoy_filter.service_ports:
            assert attacked.why_held(service_port, envoy_filter.namespaces) is None
    for content in hostile:
        attacked.remove(as_source(content).ref)
    attacked.run()
    assert attacked.filters == alone.filters
    assert attacked.findings() == alone.findings()


@given(mesh=tenant_meshes())
@settings(max_examples=max(EXAMPLES // 5, 1))
def test_a_tenants_filters_change_nothing_of_other_hosts(
    mesh: tuple[list[Object], list[Object]],
) -> None:
    objects, hostile = mesh
    pipeline = Pipeline(MESH, Dispatcher(REGISTRY))
    for content in (*objects, *hostile):
        pipeline.upsert(as_source(content))
    pipeline.run()
    everything, others = pipeline.filters, of_others(pipeline)
    for namespace in ("web", "shop", "pay"):
        proxy = Proxy(namespace=namespace)
        there = [*objects, *hostile]
        assert _seen(there, everything, proxy) == _seen(there, others, proxy)


def _seen(
    objects: list[Object], outputs: Mapping[FilterKey, Output], proxy: Proxy
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the clusters of others' hosts, and the listeners that route to one of them.

    Both are those of a client's sidecar.
    """
    companions = [to_dict(each) for key, each in sorted(outputs.items()) if key.kind.is_named]
    filters = [to_dict(each) for key, each in sorted(outputs.items()) if not key.kind.is_named]
    config = patched_sidecar([*objects, *companions], filters, proxy).config
    clusters = {
        cluster.name: cluster
        for cluster in config.outbound_clusters
        if cluster.name.rpartition("|")[2] in OWNED
    }
    listeners = {
        listener.name: listener
        for listener in config.outbound
        if any(f"|{host}" in str(listener) for host in OWNED)
    }
    return clusters, listeners
