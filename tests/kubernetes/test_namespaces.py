"""Which namespaces are watched: by a label that changes, and the fate of filters elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from aeraki_core.kube.client import connect
from aeraki_core.kube.informer import Tuning
from aeraki_core.manifests.rbac import bindings, roles
from aeraki_core.model.resource import Kind, LoadedKind
from aeraki_core.model.selector import parse_selector
from aeraki_core.pipeline.reconcile import Action
from aeraki_core.sources.events import Event, Removed, Scoped, Upserted
from aeraki_core.sources.kubernetes.source import KubernetesSource

from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import NamespaceFactory
from tests.rig.workloads import Workloads

from .recorder import Recorder
from .replica import Replica
from .running import Running
from .test_faults import API, GROUP, entry, make, versions
from .test_source import DEMO, demo, demo_crd, secret, service_entry

pytestmark = pytest.mark.mesh

QUICK = Tuning(page=3, watch=20, idle=30, absent=0.3)
PROD = {"team": "ours", "env": "prod"}
SELECTOR = "team=ours,env in (prod, test)"

Start = Callable[..., Recorder]


@pytest.fixture
def start(control_plane: ControlPlane) -> Iterator[Start]:
    """Start sources that watch the namespaces of :data:`SELECTOR`; stop them after the test."""
    with ExitStack() as started:

        def begin(*kinds: Kind[Any]) -> Recorder:
            source = KubernetesSource(
                lambda: connect(control_plane.kubeconfig),
                [LoadedKind.of(kind, "demo") for kind in kinds],
                selectors=[parse_selector(SELECTOR)],
                tuning=QUICK,
            )
            recorder = Recorder()
            started.callback(source.stop)
            source.start(recorder)
            return recorder

        yield begin


def label(plane: ControlPlane, namespace: str, **labels: str | None) -> None:
    """Change labels of a namespace; None takes one away."""
    plane.api.merge("v1", "Namespace", namespace, {"metadata": {"labels": labels}})


def delete_entry(plane: ControlPlane, name: str, namespace: str) -> None:
    plane.api.delete(GROUP, "ServiceEntry", name, namespace=namespace)


def the_call(seen: Recorder, wanted: type[Event], ref: str) -> tuple[Event, ...]:
    """Return the batch of events with the last event of that kind about an object."""

    def about(event: Event) -> str:
        match event:
            case Upserted(object=item):
                return str(item.ref)
            case Removed(ref=found):
                return str(found)
        return ""

    found = [
        call
        for call in seen.calls
        if any(isinstance(each, wanted) and about(each) == ref for each in call)
    ]
    return found[-1]


def refs(call: tuple[Event, ...]) -> set[str]:
    return {str(each.object.ref) for each in call if isinstance(each, Upserted)}


class TestTheSource:
    def test_only_namespaces_that_match_are_read(
        self, start: Start, make_namespace: NamespaceFactory, control_plane: ControlPlane
    ) -> None:
        mine, other = (
            make_namespace(labels=PROD),
            make_namespace(labels={"team": "theirs", "env": "prod"}),
        )
        for name in (mine, other):
            for number in range(4):  # more than a page
                control_plane.api.create(service_entry(f"outside-{number}", name))
        seen = start()
        seen.wait_synced()
        read = [item.ref for item in seen.objects.values() if item.ref.kind != "Namespace"]
        assert {ref.namespace for ref in read} == {mine}
        assert len(read) == 4

    def test_one_that_comes_to_match_arrives_in_one_piece(
        self, start: Start, make_namespace: NamespaceFactory, control_plane: ControlPlane
    ) -> None:
        """Half of it, a service without its routes, would make a wrong filter."""
        api = control_plane.api
        later = make_namespace(labels={"team": "ours", "env": "dev"})
        api.create(service_entry("outside", later))
        route = {"destination": {"host": "outside.example.org"}}
        api.create(
            {
                "apiVersion": GROUP,
                "kind": "VirtualService",
                "metadata": {"name": "outside", "namespace": later},
                "spec": {"hosts": ["outside.example.org"], "tcp": [{"route": [route]}]},
            }
        )
        seen = start()
        seen.wait_synced()
        assert f"ServiceEntry {later}/outside" not in seen.objects
        label(control_plane, later, env="test")
        seen.wait_object(f"ServiceEntry {later}/outside")
        call = the_call(seen, Upserted, f"ServiceEntry {later}/outside")
        assert f"VirtualService {later}/outside" in refs(call)
        scope = next(each.scope for each in call if isinstance(each, Scoped))
        assert scope.watches(later)
        seen.wait_synced()
        # Now it is read as any other.
        delete_entry(control_plane, "outside", later)
        seen.wait_no_object(f"ServiceEntry {later}/outside")

    def test_one_that_ceases_to_match_goes_out_of_sight_in_one_piece(
        self, start: Start, make_namespace: NamespaceFactory, control_plane: ControlPlane
    ) -> None:
        api = control_plane.api
        mine, kept = make_namespace(labels=PROD), make_namespace(labels=PROD)
        for name in (mine, kept):
            api.create(service_entry("one", name))
            api.create(service_entry("two", name))
        seen = start()
        seen.wait_synced()
        label(control_plane, mine, env=None)
        seen.wait_no_object(f"ServiceEntry {mine}/one")
        call = the_call(seen, Removed, f"ServiceEntry {mine}/one")
        assert {str(each.ref) for each in call if isinstance(each, Removed)} == {
            f"ServiceEntry {mine}/one",
            f"ServiceEntry {mine}/two",
        }
        scope = next(each.scope for each in call if isinstance(each, Scoped))
        assert scope.why_outside([mine]) == f"namespace {mine} is not watched here"
        assert f"ServiceEntry {kept}/one" in seen.objects
        # Nothing of it counts any more, until it comes back: with what happened meanwhile.
        mark = seen.mark()
        delete_entry(control_plane, "one", mine)
        api.create(service_entry("three", mine))
        api.create(service_entry("three", kept))
        seen.wait_object(f"ServiceEntry {kept}/three")
        assert not [ref for ref in seen.upserted_since(mark) if f" {mine}/" in ref]
        label(control_plane, mine, env="prod")
        seen.wait_object(f"ServiceEntry {mine}/three")
        seen.wait_synced()
        assert {ref for ref in seen.objects if f" {mine}/" in ref} == {
            f"ServiceEntry {mine}/two",
            f"ServiceEntry {mine}/three",
        }

    def test_a_new_namespace_that_matches_costs_no_list(
        self, start: Start, make_namespace: NamespaceFactory, control_plane: ControlPlane
    ) -> None:
        seen = start()
        seen.wait_synced()
        mark = seen.mark()
        mine, other = make_namespace(labels=PROD), make_namespace()
        for name in (other, mine):
            control_plane.api.create(service_entry("outside", name))
        seen.wait_object(f"ServiceEntry {mine}/outside")
        assert f"ServiceEntry {other}/outside" not in seen.objects
        assert seen.synced
        assert not any(each.__class__.__name__ == "Unsynced" for each in seen.events[mark:])

    def test_one_that_is_deleted_with_all_that_is_in_it(
        self, start: Start, make_namespace: NamespaceFactory, control_plane: ControlPlane
    ) -> None:
        mine = make_namespace(labels=PROD)
        control_plane.api.create(service_entry("outside", mine))
        seen = start()
        seen.wait_synced()
        control_plane.namespaces.remove(mine)
        seen.wait_no_object(f"ServiceEntry {mine}/outside")

        def gone() -> bool:
            scopes = [each.scope for each in seen.events if isinstance(each, Scoped)]
            # It does not exist: nothing in it can be somebody else's.
            return not scopes[-1].watches(mine) and scopes[-1].covers(mine)

        seen.wait(gone, "the namespace to be known as gone")
        assert seen.synced

    def test_secrets_only_of_namespaces_that_match(
        self, start: Start, make_namespace: NamespaceFactory, control_plane: ControlPlane
    ) -> None:
        api = control_plane.api
        mine, other = make_namespace(labels=PROD), make_namespace()
        with demo_crd(control_plane):
            for name in (mine, other):
                api.create(secret("wanted", name, "one"))
                api.create(demo("one", name, "wanted"))
            seen = start(DEMO)
            seen.wait_object(f"Secret {mine}/wanted")
            seen.wait_synced()
            assert f"Secret {other}/wanted" not in seen.objects
            label(control_plane, mine, env=None)
            seen.wait_no_object(f"Secret {mine}/wanted")
            label(control_plane, other, **PROD)
            seen.wait_object(f"Secret {other}/wanted")
            assert f"Secret {mine}/wanted" not in seen.objects


def test_namespaces_that_cannot_be_listed_are_said_and_nothing_is_concluded(
    control_plane: ControlPlane, make_namespace: NamespaceFactory, workloads: Workloads
) -> None:
    """With the rights for everything but to list Namespaces."""
    mine = make_namespace(labels=PROD)
    control_plane.api.create(service_entry("outside", mine))
    workloads.service_account("blind")
    name = f"blind-{workloads.namespace}"
    own = roles([], name=name, namespace=workloads.namespace, election_id="none")
    for role in own:
        role["rules"] = [rule for rule in role["rules"] if rule["resources"] != ["namespaces"]]
    printed = [*own, *bindings(own, namespace=workloads.namespace, service_account="blind")]
    for item in printed:
        control_plane.api.apply(item)
    kubeconfig = control_plane.kubeconfig_for("blind", workloads.namespace)
    source = KubernetesSource(
        lambda: connect(kubeconfig), selectors=[parse_selector(SELECTOR)], tuning=QUICK
    )
    seen = Recorder()
    try:
        source.start(seen)
        seen.wait(
            lambda: any("forbidden" in text for text in seen.problems.get("Namespace", ())),
            "a word",
        )
        assert not seen.synced
        assert not seen.objects
        selected = roles(
            [],
            name=name,
            namespace=workloads.namespace,
            election_id="none",
        )
        control_plane.api.apply(selected[0])
        seen.wait_synced(timeout=30)
        assert f"ServiceEntry {mine}/outside" in seen.objects
        # Nothing waits for the list of annotations, which is tried again by itself.
        seen.wait(lambda: not any(seen.problems.values()), "no problem", timeout=60)
    finally:
        source.stop()
        for item in printed:
            metadata = item["metadata"]
            control_plane.api.delete(
                item["apiVersion"],
                item["kind"],
                metadata["name"],
                namespace=metadata.get("namespace"),
            )


def outside(running: Running) -> list[str]:
    """Return the findings about filters whose services' namespaces are not watched."""
    return [item.message for item in running.controller.findings if item.code.id == "AER0510"]


def names_in(plane: ControlPlane, namespace: str) -> dict[str, str]:
    """The versions of our filters for services of a namespace."""
    return {name: version for name, version in versions(plane).items() if f".{namespace}." in name}


class TestTheFilters:
    def test_of_a_namespace_that_is_not_watched_any_more_they_stay_as_they_are(
        self, control_plane: ControlPlane, make_namespace: NamespaceFactory
    ) -> None:
        mine, kept = make_namespace(labels=PROD), make_namespace(labels=PROD)
        make(control_plane, mine, [1, 2])
        make(control_plane, kept, [3, 4])
        with Running(
            control_plane.kubeconfig, ["redis"], selectors=[SELECTOR], tuning=QUICK
        ) as running:
            running.wait_written(4)
            before = names_in(control_plane, mine)
            label(control_plane, mine, team="theirs")
            running.wait(lambda: outside(running), "a finding")
            assert [
                f"namespace {mine} is not watched here" in text for text in outside(running)
            ] == [True]
            # Not even those whose service is gone: we cannot see that.
            delete_entry(control_plane, "redis-1", mine)
            delete_entry(control_plane, "redis-3", kept)
            running.wait(
                lambda: len(names_in(control_plane, kept)) == 1,
                "the filter of a watched service to go",
            )
            assert names_in(control_plane, mine) == before
            label(control_plane, mine, team="ours")
            running.wait(
                lambda: len(names_in(control_plane, mine)) == 1, "what was left to be cleared up"
            )
            running.wait(lambda: not outside(running), "no finding any more")
            left = names_in(control_plane, mine)
            assert left.items() <= before.items()  # and what is wanted was not written again
            assert running.count(Action.CREATE, Action.UPDATE) == 4

    def test_a_restart_that_watches_less_deletes_nothing(
        self, control_plane: ControlPlane, make_namespace: NamespaceFactory
    ) -> None:
        mine, other = make_namespace(), make_namespace()
        make(control_plane, mine, [1])
        make(control_plane, other, [2])
        with Running(control_plane.kubeconfig, ["redis"]) as running:
            running.wait_written(2)
        before = versions(control_plane)
        with Running(control_plane.kubeconfig, ["redis"], namespaces=[mine]) as running:
            running.wait(lambda: running.passes, "a pass")
            assert len(outside(running)) == 1
            make(control_plane, mine, [3])
            running.wait_written(1)
            delete_entry(control_plane, "redis-3", mine)
            running.wait(lambda: running.count(Action.DELETE) == 1, "its own filter to go")
        assert versions(control_plane) == before

    def test_what_is_left_is_found_by_its_label(
        self, control_plane: ControlPlane, make_namespace: NamespaceFactory
    ) -> None:
        """The way of the documentation to remove it."""
        mine, other = make_namespace(), make_namespace()
        make(control_plane, mine, [1])
        make(control_plane, other, [2])
        with Running(control_plane.kubeconfig, ["redis"]) as running:
            running.wait_written(2)
        labels = f"app.kubernetes.io/managed-by=aeraki,aeraki.io/namespace={mine}"
        found = [
            each["metadata"]["name"] for each in control_plane.api.objects(*API, labels=labels)
        ]
        assert found == [f"aeraki-outbound-redis-1.{mine}.example.org-6379"]

    def test_none_is_written_where_nobody_would_look_after_it(
        self, control_plane: ControlPlane, make_namespace: NamespaceFactory
    ) -> None:
        """A service is exported to an unwatched namespace: a filter there could never go."""
        mine, other = make_namespace(), make_namespace()
        item = entry(1, mine)
        item["spec"]["exportTo"] = [".", other]
        control_plane.api.create(item)
        with Running(control_plane.kubeconfig, ["redis"], namespaces=[mine]) as running:
            running.wait_written(1)
            found = {finding.code.id: finding for finding in running.controller.findings}
            assert f"namespace {other} is not watched here" in found["AER0506"].message
            assert str(found["AER0506"].ref) == f"ServiceEntry {mine}/redis-1"
        where = [each["metadata"]["namespace"] for each in control_plane.api.objects(*API)]
        assert where == [mine]


class TestTwoControllers:
    def test_each_leaves_the_others_filters_alone(
        self, control_plane: ControlPlane, make_namespace: NamespaceFactory
    ) -> None:
        mine, other = make_namespace(), make_namespace()
        make(control_plane, mine, [1, 2])
        make(control_plane, other, [3, 4])
        kubeconfig = control_plane.kubeconfig
        with (
            Running(kubeconfig, ["redis"], namespaces=[mine]) as one,
            Running(kubeconfig, ["redis"], namespaces=[other]) as two,
        ):
            one.wait_written(2)
            two.wait_written(2)
            before = versions(control_plane)
            assert len(before) == 4
            delete_entry(control_plane, "redis-1", mine)
            one.wait(lambda: one.count(Action.DELETE) == 1, "its filter to go")
            make(control_plane, other, [5])
            two.wait_written(3)
            one.wait(lambda: len(versions(control_plane)) == 4, "each one's filters")
        assert two.count(Action.DELETE) == 0
        assert one.count(Action.CREATE, Action.UPDATE, Action.DELETE) == 3
        assert len(before.items() & versions(control_plane).items()) == 3

    def test_one_name_for_both_is_not_fought_over(
        self, control_plane: ControlPlane, make_namespace: NamespaceFactory
    ) -> None:
        """Two namespaces have an entry for one host: the second has a finding."""
        mine, other = make_namespace(), make_namespace()
        for number, name in enumerate((mine, other), 1):
            item = entry(number, name)
            item["spec"]["hosts"] = ["shared.example.org"]
            control_plane.api.create(item)
        kubeconfig = control_plane.kubeconfig
        with Running(kubeconfig, ["redis"], namespaces=[mine]) as one:
            one.wait_written(1)
            before = versions(control_plane)
            with Running(kubeconfig, ["redis"], namespaces=[other]) as two:
                two.wait(lambda: two.passes, "a pass")
                messages = [
                    item.message for item in two.controller.findings if item.code.id == "AER0502"
                ]
                assert [f"namespace {mine} is not watched here" in text for text in messages] == [
                    True
                ]
                assert versions(control_plane) == before
                # The first gives it up: the other has it.
                delete_entry(control_plane, "redis-1", mine)
                two.wait_written(1)
            assert one.count(Action.UPDATE) == 0

    def test_named_ones_share_a_cluster_whatever_they_watch(
        self, control_plane: ControlPlane, make_namespace: NamespaceFactory
    ) -> None:
        mine = make_namespace()
        make(control_plane, mine, [1])
        kubeconfig = control_plane.kubeconfig
        with Running(kubeconfig, ["redis"], instance="blue") as one:
            one.wait_written(1)
            before = versions(control_plane)
            with Running(kubeconfig, ["redis"], instance="green") as two:
                two.wait(lambda: two.passes, "a pass")
                assert "AER0504" in {item.code.id for item in two.controller.findings}
                assert two.count(*Action) == 0
        # One without a name leaves the filters of those with one alone, too.
        delete_entry(control_plane, "redis-1", mine)
        with Running(kubeconfig, ["redis"]) as other:
            other.wait(lambda: other.passes, "a pass")
            assert versions(control_plane) == before
        with Running(kubeconfig, ["redis"], instance="blue") as one:
            one.wait(lambda: one.count(Action.DELETE) == 1, "its own filter to go")

    def test_one_that_gets_a_name_takes_its_filters_along(
        self, control_plane: ControlPlane, make_namespace: NamespaceFactory
    ) -> None:
        mine = make_namespace()
        make(control_plane, mine, [1])
        kubeconfig = control_plane.kubeconfig
        with Running(kubeconfig, ["redis"]) as running:
            running.wait_written(1)
        with Running(kubeconfig, ["redis"], instance="blue") as running:
            running.wait(lambda: running.count(Action.UPDATE) == 1, "the filter to be marked")
        (found,) = control_plane.api.objects(*API, labels="aeraki.io/instance=blue")
        uid = found["metadata"]["uid"]
        with Running(kubeconfig, ["redis"], instance="blue") as running:
            running.wait(lambda: running.passes, "a pass")
            assert running.count(*Action) == 0
        (found,) = control_plane.api.objects(*API, labels="aeraki.io/instance=blue")
        assert found["metadata"]["uid"] == uid

    def test_they_do_not_stand_by_for_each_other(
        self, control_plane: ControlPlane, namespace: str, make_namespace: NamespaceFactory
    ) -> None:
        """Two deployments in one namespace, as `aeraki run` builds them, for parts of the mesh."""
        mine, other = make_namespace(labels=PROD), make_namespace()
        make(control_plane, mine, [1])
        make(control_plane, other, [2])
        kubeconfig = control_plane.kubeconfig
        with (
            Replica("one", kubeconfig, namespace, "--watch-namespace-selector", SELECTOR) as one,
            Replica("two", kubeconfig, namespace, "--watch-namespaces", other) as two,
        ):
            for replica in (one, two):
                replica.wait_for(", leads")
                replica.wait_for("1 created")
            assert len(versions(control_plane)) == 2
            delete_entry(control_plane, "redis-1", mine)
            one.wait_for("1 deleted")
            assert [name for name in versions(control_plane) if f".{other}." in name]
        leases = control_plane.api.objects("coordination.k8s.io/v1", "Lease", namespace=namespace)
        assert len(leases) == 2


def test_filters_of_an_older_version_are_not_written_only_to_say_their_namespace(
    control_plane: ControlPlane, make_namespace: NamespaceFactory
) -> None:
    mine, other = make_namespace(), make_namespace()
    make(control_plane, mine, [1])
    make(control_plane, other, [2])
    kubeconfig = control_plane.kubeconfig
    with Running(kubeconfig, ["redis"]) as running:
        running.wait_written(2)
    for found in control_plane.api.objects(*API, labels="app.kubernetes.io/managed-by=aeraki"):
        patch = {"metadata": {"labels": {"aeraki.io/namespace": None}}}
        metadata = found["metadata"]
        control_plane.api.merge(*API, metadata["name"], patch, namespace=metadata["namespace"])
    before = versions(control_plane)
    with Running(kubeconfig, ["redis"], namespaces=[mine]) as running:
        running.wait(lambda: running.passes, "a pass")
        assert len(outside(running)) == 1
        assert running.count(*Action) == 0
    with Running(kubeconfig, ["redis"]) as running:
        running.wait(lambda: running.passes, "a pass")
        assert running.count(*Action) == 0
    assert versions(control_plane) == before
