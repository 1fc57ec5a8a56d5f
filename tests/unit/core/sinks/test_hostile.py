"""A live filter that is meant to harm: it is read as far as possible, and affects nothing else."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.filters.envoyfilter import (
    MANAGED_BY,
    MANAGER,
    PLUGIN_LABEL,
    FilterKey,
)
from aeraki_core.filters.output import Output, to_dict
from aeraki_core.manifests.write import render_objects
from aeraki_core.pipeline.reconcile import Action, Reason, Step
from aeraki_core.sinks.files import FilesSink, file_name
from aeraki_core.sinks.kubernetes.live import LiveFilters
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from google.protobuf.duration_pb2 import Duration

from aeraki_core import GenerateContext, Patch, Protocol, hookimpl
from tests.unit.core.controller.running import Feed, Running, codes, key, pipeline, service, written
from tests.unit.core.echo import EchoPlugin

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


def step(action: Action, where: FilterKey, after: Output | None) -> Step:
    return Step(action=action, key=where, reason=Reason.MISSING, message="", after=after)


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


# -- what we would write ---------------------------------------------------------------------------


class Endless(EchoPlugin):
    """Gives the service ``cart`` a timeout that protobuf holds and that JSON does not know."""

    @hookimpl
    def aeraki_generate(self, protocol: Protocol, context: GenerateContext) -> Iterator[Patch]:
        yield from super().aeraki_generate(protocol, context)
        if context.service.ref.name == "cart":
            endless = Cluster(connect_timeout=Duration(seconds=99_999_999_999 * 3600))
            yield context.outbound.merge_cluster(endless)


def test_a_value_without_a_json_form_fails_its_own_filter_alone(tmp_path: Path) -> None:
    feed = Feed(service("cart"), service("order", 2))
    sink = FilesSink(tmp_path, watch=False)
    with Running(feed, sink=sink, of=pipeline(Endless())) as running:
        report = running.next()
        assert [item.step.key for item in report.failures] == [key("cart")]
        assert written(report) == [
            "create outbound order",
            "create inbound cart",
            "create inbound order",
        ]
        assert codes(report.new_findings) == ["AER0511"]
        assert "has no JSON form" in report.new_findings[0].message
        assert report.new_findings[0].ref == service("cart").ref
        feed.put(service("order", 2, volume="2"))
        # It is not tried again as long as it is the same.
        assert key("cart") not in {item.step.key for item in running.next().written}
        assert key("order") in sink.live()


@pytest.mark.parametrize(
    "where",
    [
        FilterKey("../outside", "aeraki-outbound-a"),
        FilterKey("/x", "aeraki-outbound-a"),
        FilterKey("..", "aeraki-outbound-a"),
        FilterKey("istio-system", "../../outside"),
        FilterKey("istio-system", "a/../../outside"),
        FilterKey("", "a"),
        FilterKey("a.b", "a"),
        FilterKey("istio-system", "A"),
        FilterKey("istio-system", "a" * 254),
    ],
)
def test_a_name_that_kubernetes_would_refuse_never_becomes_a_path(
    where: FilterKey, tmp_path: Path
) -> None:
    of = pipeline()
    of.upsert(service("cart"))
    of.run()
    folder = tmp_path / "filters"
    sink = FilesSink(folder, watch=False)
    sink.start(lambda _: None)
    hostile = replace(of.filters[key("cart")], key=where)
    for action, after in ((Action.CREATE, hostile), (Action.DELETE, None)):
        (written,) = sink.apply([step(action, where, after)])
        assert written.finding is not None
        assert written.finding.code.id == "AER0511"
        assert not written.retry
    assert [path for path in tmp_path.rglob("*") if path != folder] == []


def test_a_link_at_a_name_of_ours_is_never_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "filters"
    folder.mkdir()
    of = pipeline()
    of.upsert(service("cart"))
    of.run()
    sink = FilesSink(folder, watch=False)
    sink.start(lambda _: None)
    (folder / file_name(key("cart"))).symlink_to(victim)
    (folder / f".aeraki-{os.getpid()}.tmp").symlink_to(victim)
    after = of.filters[key("cart")]
    (written,) = sink.apply([step(Action.CREATE, key("cart"), after)])
    assert written.error is not None
    assert victim.read_text() == "precious"
    # A link that comes after the sink looked is replaced, not followed.
    (folder / file_name(key("cart"))).unlink()
    (done,) = sink.apply([step(Action.CREATE, key("cart"), after)])
    assert done.error is None
    assert victim.read_text() == "precious"
    assert not (folder / file_name(key("cart"))).is_symlink()


def test_what_a_write_left_behind_that_was_cut_off_is_removed(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".aeraki-0123.tmp", tmp_path / ".aeraki-4567.tmp"
    for path in (old, fresh):
        path.write_text("half")
    os.utime(old, (1, 1))
    FilesSink(tmp_path, watch=False).start(lambda _: None)
    assert not old.exists()
    assert fresh.exists()
