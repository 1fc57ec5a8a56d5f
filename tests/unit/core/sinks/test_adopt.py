"""Which filters of upstream's ours supersede."""

from __future__ import annotations

import pytest
from aeraki_core.filters.envoyfilter import FilterKey, ServicePort
from aeraki_core.sinks.kubernetes.live import LiveFilters, Whose
from aeraki_core.sinks.kubernetes.upstream import superseded

RBAC = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"
OURS = [ServicePort("cache.shop.svc.cluster.local", 6379)]


@pytest.mark.parametrize(
    ("name", "adopted"),
    [
        ("aeraki-outbound-cache.shop.svc.cluster.local-10.96.0.1-6379", True),
        ("aeraki-inbound-cache.shop.svc.cluster.local-6379", True),
        ("aeraki-outbound-cache.shop.svc.cluster.local", True),  # an older release
        ("aeraki-outbound-cache.shop.svc.cluster.local-10.96.0.1-6380", False),
        ("aeraki-outbound-other.shop.svc.cluster.local-10.96.0.1-6379", False),
        ("aeraki-outbound-my-cache.shop.svc.cluster.local-10.96.0.1-6379", False),
        ("aeraki-metaprotocol-cache.shop.svc.cluster.local", False),
        ("cache.shop.svc.cluster.local-6379", False),
    ],
)
def test_only_what_is_for_a_service_port_of_ours(name: str, adopted: bool) -> None:
    key = FilterKey("istio-system", name)
    assert superseded([key], OURS) == ([key] if adopted else [])


@pytest.mark.parametrize(
    ("filters", "whose"),
    [
        ([{"name": "rbac", "config": {"@type": RBAC}}, {"name": "router"}], Whose.UPSTREAM_POLICY),
        ([{"name": "envoy.filters.any.rbac"}], Whose.UPSTREAM_POLICY),
        ([{"name": "router"}], Whose.UPSTREAM),
    ],
)
def test_one_that_refuses_calls_is_told_apart(filters: list[object], whose: Whose) -> None:
    live = LiveFilters()
    value = {"typed_config": {"value": {"any_filters": filters}}}
    labels = {"manager": "Aeraki"}
    metadata = {"namespace": "a", "name": "b", "labels": labels, "resourceVersion": "1"}
    spec = {"configPatches": [{"patch": {"value": value}}]}
    live.put({"metadata": metadata, "spec": spec})
    assert [found for found in Whose if live.keys(found)] == [whose]
