"""What the Kubernetes sink does to a real cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from aeraki_core.errors import AerakiError
from aeraki_core.filters.envoyfilter import EnvoyFilter, FilterKey, to_dict
from aeraki_core.kube.client import connect
from aeraki_core.pipeline.reconcile import Action, Plan, reconcile
from aeraki_core.sinks.kubernetes.sink import KubernetesSink
from envoy.config.listener.v3.listener_components_pb2 import Filter

from tests.rig.api import Object
from tests.rig.control_plane import ControlPlane
from tests.waiting import wait_until

from .filters import redis_filter

pytestmark = pytest.mark.mesh

API = ("networking.istio.io/v1alpha3", "EnvoyFilter")


class Changes:
    """Remembers what the sink says that somebody else did."""

    def __init__(self) -> None:
        self.keys: list[FilterKey] = []
        self._said = threading.Condition()

    def __call__(self, key: FilterKey) -> None:
        with self._said:
            self.keys.append(key)
            self._said.notify_all()

    def wait_for(self, key: FilterKey, *, and_no_other: bool = False) -> None:
        with self._said:
            assert self._said.wait_for(lambda: key in self.keys, 15), (
                f"nobody told of {key}: {self.keys}"
            )
            assert not and_no_other or set(self.keys) == {key}
            self.keys.clear()


Start = Callable[..., tuple[KubernetesSink, Changes]]


@pytest.fixture
def start(control_plane: ControlPlane, make_namespace: object) -> Iterator[Start]:
    with ExitStack() as started:

        def begin(**settings: Any) -> tuple[KubernetesSink, Changes]:
            sink = KubernetesSink(lambda: connect(control_plane.kubeconfig), **settings)
            changes = Changes()
            started.callback(sink.stop)
            sink.start(changes)
            return sink, changes

        yield begin


def plan(sink: KubernetesSink, wanted: list[EnvoyFilter]) -> Plan:
    desired = {item.key: item for item in wanted}
    live = sink.live()
    return reconcile({*desired, *live}, desired, live, active_plugins={"redis"})


def write(sink: KubernetesSink, wanted: list[EnvoyFilter]) -> list[tuple[Action, str | None]]:
    return [(done.step.action, done.error) for done in sink.apply(plan(sink, wanted).steps)]


def get(plane: ControlPlane, item: EnvoyFilter) -> Object | None:
    return plane.api.find(*API, item.key.name, namespace=item.key.namespace)


def test_create_update_delete_and_then_nothing(start: Start, control_plane: ControlPlane) -> None:
    sink, changes = start()
    one, two = redis_filter(1), redis_filter(2)
    assert write(sink, [one, two]) == [(Action.CREATE, None), (Action.CREATE, None)]
    assert write(sink, [one, two]) == []
    found = get(control_plane, one)
    assert found is not None
    assert found["spec"] == to_dict(one)["spec"]
    assert [field["manager"] for field in found["metadata"]["managedFields"]] == ["aeraki"]
    changed = redis_filter(1, stat_prefix="other")
    assert write(sink, [changed, two]) == [(Action.UPDATE, None)]
    found = get(control_plane, changed)
    assert found is not None
    assert found["spec"] == to_dict(changed)["spec"]
    assert write(sink, [changed]) == [(Action.DELETE, None)]
    assert get(control_plane, two) is None
    assert write(sink, [changed]) == []
    assert changes.keys == []


def test_a_restart_finds_what_it_wrote(start: Start, control_plane: ControlPlane) -> None:
    wanted = [redis_filter(number) for number in range(20)]
    sink, _ = start()
    assert all(error is None for _, error in write(sink, wanted))
    again, _ = start()
    assert len(again.live()) == 20
    assert plan(again, wanted).steps == ()


def test_what_somebody_edits_is_restored(
    start: Start, control_plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    sink, changes = start()
    item = redis_filter(3)
    write(sink, [item])
    edits: list[Object] = [
        {"spec": {"priority": 5}},
        {
            "spec": {"workloadSelector": {"labels": {"app": "only-this"}}}
        },  # a field that we do not own
        {
            "spec": {
                "targetRefs": [
                    {"kind": "Gateway", "group": "gateway.networking.k8s.io", "name": "x"}
                ]
            }
        },
        {"metadata": {"annotations": {"aeraki.io/services": "other.example.org:1"}}},
    ]
    for edit in edits:
        control_plane.api.merge(*API, item.key.name, edit, namespace=item.key.namespace)
        changes.wait_for(item.key)
        assert write(sink, [item]) == [(Action.UPDATE, None)], edit
        found = get(control_plane, item)
        assert found is not None
        assert found["spec"] == to_dict(item)["spec"]
        assert write(sink, [item]) == []
    assert caplog.text.count("was changed by python-urllib3") == 4


def test_what_somebody_deletes_comes_back(start: Start, control_plane: ControlPlane) -> None:
    sink, changes = start()
    item = redis_filter(4)
    write(sink, [item])
    control_plane.api.delete(*API, item.key.name, namespace=item.key.namespace)
    changes.wait_for(item.key)
    assert write(sink, [item]) == [(Action.CREATE, None)]
    assert get(control_plane, item) is not None


@pytest.mark.parametrize(
    "before", [True, False], ids=["there at the start", "made behind our back"]
)
def test_never_touches_what_is_not_ours(
    before: bool, start: Start, control_plane: ControlPlane
) -> None:
    item = redis_filter(5)
    foreign = to_dict(redis_filter(5, stat_prefix="theirs"))
    del foreign["metadata"]["labels"]
    if before:
        control_plane.api.create(foreign)
    sink, changes = start()
    steps = plan(sink, [item]).steps
    if not before:
        control_plane.api.create(foreign)
    done = list(sink.apply(steps))
    assert [(each.retry, "not ours" in (each.error or "")) for each in done] == [(False, True)]
    assert [each.finding.code.id for each in done if each.finding] == ["AER0504"]
    found = get(control_plane, item)
    assert found is not None
    assert found["spec"] == foreign["spec"]
    assert "labels" not in found["metadata"]
    # Changes by its owner do not concern us. We only see a later change of our own filter.
    own = redis_filter(6)
    write(sink, [own])
    edit: Object = {"spec": {"priority": 7}}
    for each in (item, own):
        control_plane.api.merge(*API, each.key.name, edit, namespace=each.key.namespace)
    changes.wait_for(own.key, and_no_other=True)
    # When its owner deletes it, we see that and write ours.
    control_plane.api.delete(*API, item.key.name, namespace=item.key.namespace)
    changes.wait_for(item.key)
    assert write(sink, [item, own]) == [(Action.CREATE, None), (Action.UPDATE, None)]


def test_a_filter_that_somebody_took_over_is_theirs(
    start: Start, control_plane: ControlPlane
) -> None:
    sink, changes = start()
    item = redis_filter(6)
    write(sink, [item])
    labels = {
        "metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}},
        "spec": {"priority": 7},
    }
    control_plane.api.merge(*API, item.key.name, labels, namespace=item.key.namespace)
    changes.wait_for(item.key)
    (done,) = sink.apply(plan(sink, [item]).steps)
    assert "not ours" in (done.error or "")
    found = get(control_plane, item)
    assert found is not None
    assert found["spec"]["priority"] == 7


def test_what_the_webhook_refuses_is_final_and_says_why(
    start: Start, control_plane: ControlPlane
) -> None:
    sink, _ = start()
    bad = redis_filter(7)
    bad = replace(bad, patches=tuple(replace(patch, value=None) for patch in bad.patches))
    good = redis_filter(8)
    done = {each.step.key: each for each in sink.apply(plan(sink, [bad, good]).steps)}
    assert done[good.key].error is None
    assert done[good.key].warnings == ()
    refused = done[bad.key]
    assert "missing patch value" in (refused.error or "")
    assert not refused.retry
    assert get(control_plane, bad) is None


def test_a_warning_of_the_webhook_is_told(start: Start) -> None:
    sink, _ = start()
    (done,) = sink.apply(plan(sink, [redis_filter(9, value=Filter(name="no.config"))]).steps)
    assert done.error is None
    assert len(done.warnings) == 1
    assert "without typed_config" in done.warnings[0]


def test_dry_run_asks_the_server_and_keeps_nothing(
    start: Start, control_plane: ControlPlane
) -> None:
    real, _ = start()
    kept = redis_filter(10)
    write(real, [kept])
    sink, _ = start(dry_run=True)
    bad = redis_filter(11)
    done = list(sink.apply(plan(sink, [bad]).steps))
    assert sorted((each.step.action, each.error) for each in done) == [
        (Action.CREATE, None),
        (Action.DELETE, None),
    ]
    assert get(control_plane, bad) is None
    assert get(control_plane, kept) is not None


def test_no_server_no_start(control_plane: ControlPlane, make_namespace: object) -> None:
    control_plane.apiserver.kill()
    sink = KubernetesSink(lambda: connect(control_plane.kubeconfig), start_timeout=0.5)
    with pytest.raises(AerakiError, match="cannot be read"):
        sink.start(lambda key: None)


def test_adopts_upstreams_filters(start: Start, control_plane: ControlPlane) -> None:
    def upstream(name: str, **labels: str) -> Object:
        found = to_dict(redis_filter(20, stat_prefix="upstream"))
        found["metadata"] = {"name": name, "namespace": "istio-system", "labels": labels}
        return found

    item = redis_filter(20)
    host = item.service_ports[0].host
    theirs = upstream(f"aeraki-outbound-{host}-10.96.0.21-6379", manager="Aeraki")
    inbound = upstream(f"aeraki-inbound-{host}-6379", manager="Aeraki")
    other = upstream(
        "aeraki-outbound-other.test.svc.cluster.local-10.96.0.22-6379", manager="Aeraki"
    )
    users = upstream(f"aeraki-outbound-{host}-6379-mine")
    # What upstream makes of a DubboAuthorizationPolicy.
    policy = upstream(f"aeraki-inbound-{host}", manager="Aeraki")
    rbac = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"
    config = {"name": "envoy.filters.dubbo.rbac", "config": {"@type": rbac}}
    policy["spec"]["configPatches"][0]["patch"]["value"] = {
        "name": "envoy.filters.network.dubbo_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
            "value": {"dubbo_filters": [config]},
        },
    }
    for each in (theirs, inbound, other, users, policy):
        control_plane.api.create(each)

    def names() -> set[str]:
        return {
            each["metadata"]["name"]
            for each in control_plane.api.objects(*API, namespace="istio-system")
        }

    without, _ = start()
    assert write(without, [item]) == [(Action.CREATE, None)]
    assert len(names()) == 6
    assert [finding.code.id for finding in without.findings()] == ["AER0508", "AER0508"]
    adopting, _ = start(adopt_upstream=True)
    assert list(adopting.apply(())) == []
    assert names() == {
        item.key.name,
        *(each["metadata"]["name"] for each in (other, users, policy)),
    }
    # Upstream still runs: the sink reports it and does not fight over it.
    control_plane.api.create(theirs)
    wait_until(
        lambda: any("still runs" in finding.message for finding in adopting.findings()),
        10,
        "a word about upstream",
    )
    assert list(adopting.apply(())) == []
    assert theirs["metadata"]["name"] in names()


def test_500_writes_are_one_burst(start: Start, control_plane: ControlPlane) -> None:
    sink, changes = start()
    wanted = [redis_filter(number) for number in range(500)]
    assert all(error is None for _, error in write(sink, wanted))
    assert all(error is None for _, error in write(sink, []))
    assert changes.keys == []


# -- hostile and unwritable ------------------------------------------------------------------------


def test_a_filter_that_etcd_cannot_hold_is_refused_once_with_its_size(
    start: Start, control_plane: ControlPlane
) -> None:
    sink, _ = start()
    just, over = (
        redis_filter(11, stat_prefix="a" * 1_540_000),
        redis_filter(12, stat_prefix="a" * 1_600_000),
    )
    small = redis_filter(13)
    steps = plan(sink, [just, over, small]).steps
    done = {item.step.key: item for item in sink.apply(steps)}
    assert done[just.key].error is None
    assert done[small.key].error is None
    too_large = done[over.key]
    assert not too_large.retry
    assert too_large.finding is not None
    assert too_large.finding.code.id == "AER0512"
    assert "1.5 MiB" in too_large.finding.message
    assert get(control_plane, over) is None


def test_a_hostile_filter_with_our_label_is_one_more_filter(
    start: Start, control_plane: ControlPlane
) -> None:
    text = "type.googleapis.com/envoy.config.cluster.v3.cluster_pb2.X"
    value = {"typed_config": {"@type": text}}
    patch = {
        "applyTo": "CLUSTER",
        "match": {"context": "SIDECAR_OUTBOUND"},
        "patch": {"operation": "MERGE", "value": value},
    }
    labels = {"app.kubernetes.io/managed-by": "aeraki", "aeraki.io/plugin": "redis"}
    control_plane.api.apply(
        {
            "apiVersion": API[0],
            "kind": API[1],
            "metadata": {"name": "l", "namespace": "istio-system", "labels": labels},
            "spec": {"configPatches": [patch]},
        }
    )
    sink, _ = start()
    live = sink.live()[FilterKey("istio-system", "l")]
    assert (live.plugin, live.filter) == ("redis", None)
    wanted = redis_filter(14)
    assert write(sink, [wanted]) == [(Action.CREATE, None), (Action.DELETE, None)]
    assert get(control_plane, wanted) is not None


def test_a_filter_whose_label_was_taken_away_is_named_as_long_as_it_is_there(
    start: Start, control_plane: ControlPlane
) -> None:
    sink, changes = start()
    item = redis_filter(15)
    write(sink, [item])
    found = get(control_plane, item)
    assert found is not None
    del found["metadata"]["labels"]["app.kubernetes.io/managed-by"]
    control_plane.api.replace(found)
    changes.wait_for(item.key)
    assert item.key not in sink.live()
    (finding,) = sink.findings()
    assert finding.code.id == "AER0514"
    assert str(item.key) in finding.message
    assert write(sink, []) == []
    assert get(control_plane, item) is not None
    control_plane.api.delete(*API, item.key.name, namespace=item.key.namespace)
    wait_until(lambda: not sink.findings(), 15, "the finding to go")
