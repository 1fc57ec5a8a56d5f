"""A live filter that somebody wrote to do harm: it is read as far as it can be, and nothing else suffers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.filters.envoyfilter import MANAGED_BY, MANAGER, PLUGIN_LABEL, FilterKey, to_dict
from aeraki_core.manifests.write import render_objects
from aeraki_core.sinks.files import FilesSink
from aeraki_core.sinks.kubernetes.live import LiveFilters

from tests.unit.core.controller.running import Feed, Running, key, pipeline, service

EVIL = FilterKey("evil", "aeraki-outbound-cart.shop.svc.cluster.local-7000")


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def typed(url: Any) -> dict[str, Any]:
    value = {"typed_config": {"@type": url}}
    patch = {"operation": "MERGE", "value": value}
    match = {"context": "SIDECAR_OUTBOUND"}
    return {"configPatches": [{"applyTo": "CLUSTER", "match": match, "patch": patch}]}


SPECS: dict[str, Any] = {
    "a module": typed("type.googleapis.com/envoy.config.cluster.v3.cluster_pb2.X"),
    "a package": typed("type.googleapis.com/envoy.config.cluster.v3"),
    "another module": typed("os.path"),
    "dots": typed("envoy...Cluster"),
    "a surrogate": typed("envoy.\ud800.Cluster"),
    "long": typed("envoy." + "a" * 100_000 + ".X"),
    "a number": typed(7),
    "deep": {"configPatches": [{"patch": {"value": nested(50_000)}}]},
    "no list": {"configPatches": 7},
    "texts": {"configPatches": ["a", None]},
    "labels of numbers": {"workloadSelector": {"labels": {1: 2, "a": 3}}, "configPatches": []},
    "a priority": {"priority": 1e400, "configPatches": []},
    "a text": "spec",
    "nothing": None,
}


def content(spec: Any, where: FilterKey = EVIL, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {
            "namespace": where.namespace,
            "name": where.name,
            "resourceVersion": "7",
            "uid": "7",
            "labels": {MANAGED_BY: MANAGER, PLUGIN_LABEL: "echo"},
            **metadata,
        },
        "spec": spec,
    }


@pytest.mark.parametrize("name", SPECS)
def test_what_cannot_be_read_from_the_cluster_is_a_filter_without_content(name: str) -> None:
    filters = LiveFilters()
    filters.put(content(SPECS[name]))
    live = filters.live(EVIL)
    assert live is not None
    assert (live.plugin, live.filter) == ("echo", None)


@pytest.mark.parametrize(
    "metadata",
    [
        {"annotations": {"aeraki.io/services": "a:b,c"}},
        {"annotations": {"aeraki.io/services": "a:" + "9" * 5000}},
        {"annotations": {"aeraki.io/namespaces": ",,,"}},
        {"annotations": None},
    ],
)
def test_odd_annotations_are_no_error(metadata: dict[str, Any]) -> None:
    filters = LiveFilters()
    filters.put(content({"configPatches": []}, **metadata))
    live = filters.live(EVIL)
    assert live is not None
    assert live.service_ports == ()


@pytest.mark.parametrize("name", ["a module", "deep", "texts", "a priority", "a text"])
def test_a_hostile_file_leaves_the_others_as_they_are(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    of = pipeline()
    of.upsert(service("cart"))
    of.run()
    path = tmp_path / f"{EVIL.namespace}.{EVIL.name}.yaml"
    if name == "deep":
        path.write_text(f"kind: EnvoyFilter\nspec: {'[' * 5000}", encoding="utf-8")
    else:
        path.write_text(render_objects([content(SPECS[name])]), encoding="utf-8")
    with (
        caplog.at_level(logging.ERROR),
        Running(Feed(service("cart")), sink=FilesSink(tmp_path, watch=False)) as running,
    ):
        running.next()
        live = running.sink.live()
        assert live[key("cart")].filter == of.filters[key("cart")]
        assert to_dict(of.filters[key("cart")])
    assert caplog.text == ""
