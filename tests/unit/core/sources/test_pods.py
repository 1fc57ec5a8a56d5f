"""Which Pods are read: those of services with live weights, and of each only what is needed."""

from __future__ import annotations

from typing import Any

from aeraki_core.kube.decode import DecodedObject
from aeraki_core.kube.informer import Changed, ListBegan, ListEnded, Page
from aeraki_core.kube.resources import ApiResource
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.mesh import LiveWeights, Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.sources.events import Event, Removed, Upserted
from aeraki_core.sources.kubernetes.pods import PodFeed, PodReferences, PodSelection

CART = PodSelection("shop", "app=cart,tier=back")
LIVE = {"aeraki.io/live-weights": "true"}
PODS = ApiResource("", "v1", "Pod", "pods")


def upserted(
    kind: str,
    name: str,
    spec: Any,
    annotations: dict[str, str] | None = None,
    *,
    namespace: str = "shop",
) -> Event:
    group = "v1" if kind == "Service" else "networking.istio.io/v1"
    metadata = {"name": name, "namespace": namespace, "annotations": annotations or {}}
    ref = ObjectRef(kind, namespace, name)
    return Upserted("kubernetes", SourceObject(ref, group, {"metadata": metadata, "spec": spec}))


def service(name: str, selector: dict[str, str], **annotations: str) -> Event:
    return upserted("Service", name, {"selector": selector}, annotations)


def routes(*subsets: str, host: str = "cart", annotations: dict[str, str] | None = None) -> Event:
    route = [{"destination": {"host": host, "subset": subset}} for subset in subsets]
    return upserted(
        "VirtualService", "cart", {"hosts": [host], "http": [{"route": route}]}, annotations
    )


def following(live_weights: LiveWeights = LiveWeights.ANNOTATED) -> PodReferences:
    references = PodReferences(Mesh(live_weights=live_weights))
    references.follow(
        [service("cart", {"tier": "back", "app": "cart"}), service("other", {"a": "b"})]
    )
    return references


def test_a_route_with_weights_that_asks_needs_the_pods_of_its_services() -> None:
    references = following()
    assert not references.follow([routes("v1", "v2")])
    assert references.follow([routes("v1", "v2", annotations=LIVE)])
    assert references.wanted == {CART}
    assert not references.follow([routes("v1", "v2", "v3", annotations=LIVE)])
    assert references.follow([routes("v1", annotations=LIVE)])
    assert references.wanted == frozenset()


def test_a_service_can_ask() -> None:
    references = following()
    references.follow([routes("v1", "v2")])
    cart = upserted("Service", "cart", {"selector": {"app": "cart", "tier": "back"}}, LIVE)
    assert references.follow([cart])
    assert references.wanted == {CART}


def test_what_is_gone_needs_nothing() -> None:
    references = following()
    references.follow([routes("v1", "v2", annotations=LIVE)])
    assert references.follow([Removed("kubernetes", ObjectRef("Service", "shop", "cart"))])
    assert references.wanted == frozenset()
    assert references.follow([service("cart", {"app": "cart", "tier": "back"})])
    assert references.follow([Removed("kubernetes", ObjectRef("VirtualService", "shop", "cart"))])
    assert references.wanted == frozenset()


def test_all_or_nothing_by_the_setting() -> None:
    references = following(LiveWeights.ALL)
    assert references.follow([routes("v1", "v2")])
    assert references.wanted == {CART}
    references = following(LiveWeights.OFF)
    assert not references.follow([routes("v1", "v2", annotations=LIVE)])
    assert references.wanted == frozenset()


def test_hosts_outside_the_mesh_have_no_pods() -> None:
    references = following(LiveWeights.ALL)
    assert not references.follow([routes("v1", "v2", host="cart.example.org")])


def test_nobody_makes_the_controller_read_pods_of_another_namespace() -> None:
    references = following(LiveWeights.ALL)
    host = "cart.shop.svc.cluster.local"
    route = [{"destination": {"host": host, "subset": subset}} for subset in ("v1", "v2")]
    spec = {"hosts": [host], "http": [{"route": route}]}
    assert not references.follow([upserted("VirtualService", "x", spec, LIVE, namespace="evil")])
    assert references.follow([upserted("VirtualService", "x", spec, namespace="istio-system")])
    assert references.wanted == {CART}


def test_many_services_of_a_namespace_share_one_watch() -> None:
    references = following(LiveWeights.ALL)
    names = [f"s{number}" for number in range(20)]
    references.follow([service(name, {"app": name}) for name in names])
    route = [{"destination": {"host": name}} for name in names]
    spec = {"hosts": ["s0"], "http": [{"route": route}]}
    assert references.follow([upserted("VirtualService", "many", spec)])
    assert references.wanted == {PodSelection("shop", "")}
    assert PodFeed(PodSelection("shop", "")).params == {}


def pod(name: str, version: str = "1", address: str = "10.1.0.1") -> DecodedObject:
    return DecodedObject(
        {
            "metadata": {
                "name": name,
                "namespace": "shop",
                "labels": {"app": "cart"},
                "annotations": {"large": "x" * 1000},
                "resourceVersion": version,
            },
            "spec": {"serviceAccountName": "seller", "containers": [{"name": "app"}]},
            "status": {"podIP": address, "phase": "Running", "startTime": version},
        },
        None,
    )


def test_only_what_a_weight_set_needs_is_kept() -> None:
    feed = PodFeed(CART)
    feed.handle(ListBegan())
    (event,) = feed.handle(Page(PODS, (pod("a"),)))
    assert feed.handle(ListEnded(PODS)) == []
    assert isinstance(event, Upserted)
    assert event.object.ref == ObjectRef("Pod", "shop", "a")
    assert event.object.content == {
        "metadata": {"name": "a", "namespace": "shop", "labels": {"app": "cart"}},
        "spec": {"serviceAccountName": "seller"},
        "status": {"podIP": "10.1.0.1"},
    }
    assert feed.holds(event.object.ref)
    assert feed.handle(Changed(PODS, (pod("a", "2"),))) == []
    assert len(feed.handle(Changed(PODS, (pod("a", "3", address="10.1.0.2"),)))) == 1
    assert feed.drop_all() == [Removed("kubernetes", event.object.ref)]
