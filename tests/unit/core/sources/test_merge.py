"""Several sources as one."""

from __future__ import annotations

from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.mesh.store import Store
from aeraki_core.model.listeners import outbound_listeners
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.sources.events import Event, Removed, Synced, Upserted
from aeraki_core.sources.merge import merged

REF = ObjectRef("Service", "shop", "cart")


def given(source: str, state: int = 1) -> Upserted:
    return Upserted(source, SourceObject(REF, "v1", {"state": state}))


def told(*events: Event, order: tuple[str, ...] = ("kubernetes", "istiod")) -> list[Event]:
    found: list[Event] = []
    merge = merged(order)(lambda *given: found.extend(given))
    for event in events:
        merge(event)
    return found


def test_the_better_source_has_the_say() -> None:
    better, other = given("kubernetes"), given("istiod", 2)
    assert told(better, other) == [better]
    assert told(other, better) == [other, better]
    assert told(better, other, given("istiod", 3)) == [better]


def test_what_only_the_other_gives_counts() -> None:
    only, changed, gone = given("istiod"), given("istiod", 2), Removed("istiod", REF)
    assert told(only, changed, gone) == [only, changed, gone]


def test_what_kubernetes_removed_stays_gone_while_istiod_still_shows_it() -> None:
    gone = Removed("kubernetes", REF)
    assert told(given("kubernetes"), given("istiod"), gone, Removed("istiod", REF)) == [
        given("kubernetes"),
        gone,
    ]


def test_it_comes_back_when_somebody_speaks_of_it_anew() -> None:
    start = (given("kubernetes"), given("istiod"), Removed("kubernetes", REF))
    assert told(*start, given("istiod", 2))[-1] == given("istiod", 2)
    assert told(*start, given("istiod", 2), Removed("istiod", REF))[-1] == Removed("istiod", REF)
    assert told(*start, given("kubernetes", 3))[-1] == given("kubernetes", 3)
    assert told(*start, given("kubernetes", 3), Removed("kubernetes", REF))[-1] == Removed(
        "kubernetes", REF
    )


def test_another_source_that_is_no_mirror_inherits() -> None:
    events = (given("files"), given("kubernetes", 2), Removed("files", REF))
    assert told(*events, order=("files", "kubernetes")) == [given("files"), given("kubernetes", 2)]
    assert told(*events, Removed("kubernetes", REF), order=("files", "kubernetes"))[-1] == Removed(
        "kubernetes", REF
    )


def test_what_the_lesser_removes_was_not_in_force() -> None:
    assert told(given("kubernetes"), given("istiod"), Removed("istiod", REF)) == [
        given("kubernetes")
    ]


def test_what_nobody_gave_cannot_go_and_the_rest_passes() -> None:
    assert told(Removed("istiod", REF), Synced("istiod")) == [Synced("istiod")]


class TestAddressesOfOtherClusters:
    """A Service that istiod knows from two clusters, and the API server from one."""

    def service(self, source: str, *addresses: str, port: int = 7000) -> Upserted:
        metadata = {"name": "cart", "namespace": "shop"}
        spec = {
            "clusterIP": addresses[0],
            "clusterIPs": list(addresses),
            "ports": [{"name": "tcp-echo", "port": port}],
        }
        return Upserted(source, SourceObject(REF, "v1", {"metadata": metadata, "spec": spec}))

    def listeners(self, *events: Event) -> list[str]:
        store = Store(Mesh())
        for event in told(*events):
            if isinstance(event, Upserted):
                store.upsert(event.object)
            elif isinstance(event, Removed):
                store.remove(event.ref)
        return sorted(
            listener.name
            for service in store.services()
            for port in service.ports
            for listener in outbound_listeners(service, port, None)
        )

    def test_each_has_its_listener_whoever_comes_first(self) -> None:
        ours = self.service("kubernetes", "10.0.0.1")
        theirs = self.service("istiod", "10.0.0.1", "10.128.0.9", port=80)
        both = ["10.0.0.1_7000", "10.128.0.9_7000"]
        assert self.listeners(ours, theirs) == both
        assert self.listeners(theirs, ours) == both
        assert self.listeners(ours, theirs, self.service("kubernetes", "10.0.0.1")) == both
        assert self.listeners(theirs) == ["10.0.0.1_80", "10.128.0.9_80"]

    def test_they_go_with_the_other_cluster(self) -> None:
        ours = self.service("kubernetes", "10.0.0.1")
        theirs = self.service("istiod", "10.0.0.1", "10.128.0.9")
        assert self.listeners(ours, theirs, self.service("istiod", "10.0.0.1")) == ["10.0.0.1_7000"]
        assert self.listeners(ours, theirs, Removed("istiod", REF)) == ["10.0.0.1_7000"]
        assert self.listeners(ours, theirs, Removed("kubernetes", REF)) == []

    def test_a_mirror_that_is_late_adds_nothing(self) -> None:
        late = self.service("istiod", "10.0.0.1")
        moved = self.service("kubernetes", "10.0.0.2")
        assert self.listeners(self.service("kubernetes", "10.0.0.1"), late, moved) == [
            "10.0.0.2_7000"
        ]

    def test_both_families_are_one_clusters(self) -> None:
        ours = self.service("kubernetes", "10.0.0.1", "fd00::1")
        theirs = self.service("istiod", "10.0.0.1", "10.128.0.9", "fd00::1")
        assert self.listeners(ours, theirs) == ["10.0.0.1_7000", "10.128.0.9_7000", "fd00::1_7000"]


def test_what_istiod_makes_of_a_route_does_not_count_beside_the_route() -> None:
    name = "r.tcp.0.istio-autogenerated-k8s-gateway"
    ref = ObjectRef("VirtualService", "shop", name)
    made = Upserted("istiod", SourceObject(ref, "networking.istio.io/v1", {"spec": {}}))
    assert told(made, Removed("istiod", ref)) == []
